"""A timm image model with one injection point per tapped stage.

The timm model stays whole (``Backbone.model``), so its parameter names are timm's and its weights load and export.
The stages run one after the other, by submodule name, and are checked bit for bit against the untouched model when
the backbone is built; models that are no such chain (plain ViTs) are reached by forward hooks instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import Tensor, nn
from torch.nn import Parameter

from hcml.config import BackboneConfig, ConfigError, TemporalConfig
from hcml.taps import (
    HookState,
    Inject,
    LayoutProbe,
    Segments,
    Tap,
    TapHook,
    TimmModel,
    choose_taps,
    eval_mode,
    find_segments,
    from_map,
    reference_features,
    to_map,
)
from hcml.temporal import TemporalShift, apply_temporal
from hcml.weights import SHORT_NAMES, WeightsReport, activate_residuals, load_weights, resolve_name

__all__ = ["SHORT_NAMES", "Backbone", "Inject", "Tap", "WeightsReport", "build_backbone", "resolve_name"]

CHECK_SIZE = 64
"""Side in pixels of the image of the build-time check, where the model takes it (else the model's own size)."""


class Backbone(nn.Module):
    """A timm model that hands each tapped map to ``inject`` and goes on with what comes back.

    Attributes:
        model: the whole timm model.
        name: its timm name.
        taps: where levels can sit, by rising depth.
        temporal: handle of the temporal shift, or None.
        weights: what was loaded, or None for a random initialisation.
        mean, std: the normalisation of the input (RGB in [0, 1]) that the model expects; it is not done here.
    """

    def __init__(self, model: TimmModel, name: str, taps: list[Tap], segments: Segments | None) -> None:
        super().__init__()
        self.model: TimmModel = model
        self.name = name
        self.taps = taps
        self.segments = segments
        self.temporal: TemporalShift | None = None
        self.weights: WeightsReport | None = None
        self.mean: tuple[float, ...] = tuple(model.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(model.pretrained_cfg["std"])
        self.hooks: HookState | None = None
        if segments is None:
            self.hooks = HookState(taps, int(getattr(model, "num_prefix_tokens", 0)))
            for index, tap in enumerate(taps):
                model.get_submodule(tap.module).register_forward_hook(TapHook(index, self.hooks))

    def forward(
        self,
        frames: Tensor,
        inject: Inject | None = None,
        num_frames: int | None = None,
        stop_after: int | None = None,
    ) -> Tensor:
        """Features of frames.

        Args:
            frames: [N, 3, H, W], normalised; N = B*T, clip-major, when there is temporal modelling.
            inject: called at the i-th tap as ``inject(i, map [N, C, h, w])``; its result replaces the map.
            num_frames: T; needed with temporal modelling only.
            stop_after: return the map behind this tap (after ``inject``); later stages do not run.

        Returns:
            What the timm model's ``forward_features`` returns (for :meth:`head`), or the map [N, C, h, w] of tap
            ``stop_after``.

        Raises:
            ValueError: a missing or impossible ``num_frames``, an unknown tap, or gradient checkpointing on a model
                that is run through hooks.
        """
        if stop_after is not None and not 0 <= stop_after < len(self.taps):
            raise ValueError(f"stop_after={stop_after}: {self.name} has taps 0..{len(self.taps) - 1}")
        if self.temporal is not None:
            if num_frames is None:
                raise ValueError("the backbone shifts channels over time: pass num_frames to forward")
            self.temporal.num_frames = num_frames
        if self.segments is None:
            return self._run_hooked(frames, inject, stop_after)
        x = frames
        for index, names in enumerate(self.segments.stages):
            for name in names:
                x = self.model.get_submodule(name)(x)
            if inject is not None or stop_after == index:
                layout = self.taps[index].layout
                feature = to_map(x, layout, (0, 0), 0)
                changed = feature if inject is None else inject(index, feature)
                if stop_after == index:
                    return changed
                x = from_map(changed, layout, x, 0)
        for name in self.segments.tail:
            x = self.model.get_submodule(name)(x)
        return x

    def _run_hooked(self, frames: Tensor, inject: Inject | None, stop_after: int | None) -> Tensor:
        assert self.hooks is not None
        # Checkpointing reruns blocks in the backward pass, when there is nothing to inject any more.
        if any(getattr(module, "grad_checkpointing", False) for module in self.model.modules()):
            raise ValueError(
                f"gradient checkpointing cannot be used with {self.name}: its levels are embedded by forward hooks, "
                "which it bypasses; call model.set_grad_checkpointing(False)"
            )
        return self.hooks.run(self.model, frames, inject, stop_after)

    def head(self, features: Tensor) -> Tensor:
        """Pooling and classifier: ``forward``'s features -> logits [N, num_classes]."""
        return self.model.forward_head(features)

    def pooled(self, features: Tensor) -> Tensor:
        """``forward``'s features -> what the classifier's last layer reads, [N, C]."""
        return self.model.forward_head(features, pre_logits=True)

    def require_taps(self, num: int) -> None:
        """Raise ValueError unless there are at least ``num`` taps, one for each level."""
        if num > len(self.taps):
            raise ValueError(
                f"levels={num} needs {num} tapped stages, but {self.name} has {len(self.taps)} (reductions "
                f"{', '.join(str(tap.reduction) for tap in self.taps)}): set levels={len(self.taps)} or less"
            )

    def map_sizes(self, input_size: int) -> list[tuple[int, int, int]]:
        """(C, h, w) of each tap's map for square frames of ``input_size`` pixels, by a dry run on zeros.

        Raises:
            ValueError: the model does not take frames of this size.
        """
        sizes: list[tuple[int, int, int]] = []

        def note(index: int, feature: Tensor) -> Tensor:
            sizes.append((feature.shape[1], feature.shape[2], feature.shape[3]))
            return feature

        some = next(self.model.parameters())
        zeros = torch.zeros(1, 3, input_size, input_size, device=some.device, dtype=some.dtype)
        with torch.no_grad(), eval_mode(self.model):
            try:
                self(zeros, note, num_frames=1, stop_after=len(self.taps) - 1)
            except (RuntimeError, AssertionError, ValueError) as error:
                raise ValueError(f"{self.name} does not take frames of {input_size} px: {error}") from error
        return sizes

    def stage_modules(self, upto_tap: int | None = None) -> list[tuple[str, nn.Module]]:
        """(timm's name in ``model``, module) of everything that runs up to a tap, in order; None = the whole model.

        Models run through hooks do not show their path; there it is the modules that own a parameter on it.
        """
        if upto_tap is None:
            return list(self.model.named_children())
        if self.segments is not None:
            names = [name for stage in self.segments.stages[: upto_tap + 1] for name in stage]
        else:
            on_path = self._parameters_reached(upto_tap)
            names = list(dict.fromkeys(name.rpartition(".")[0] for name in on_path))
            # The model itself can own one (a class token); it is no step of its own path.
            names = [name for name in names if name]
        return [(name, self.model.get_submodule(name)) for name in names]

    def path_parameters(self, upto_tap: int | None = None) -> Iterator[tuple[str, Parameter]]:
        """(timm's name in ``model``, parameter) of what a tap's map depends on; None = all, the classifier included."""
        if upto_tap is None:
            yield from self.model.named_parameters()
            return
        if self.segments is None:
            yield from self._parameters_reached(upto_tap).items()
            return
        for name, module in self.stage_modules(upto_tap):
            for inner, parameter in module.named_parameters():
                yield f"{name}.{inner}", parameter

    def _parameters_reached(self, upto_tap: int) -> dict[str, Parameter]:
        """Parameters that the map of a tap depends on, found by differentiating it (for models with hooks)."""
        named = list(self.model.named_parameters())
        size = self.model.pretrained_cfg["input_size"][1]
        embed = getattr(self.model, "patch_embed", None)
        height, width = getattr(embed, "img_size", None) or (size, size)
        frozen = [parameter for _, parameter in named if not parameter.requires_grad]
        with torch.enable_grad(), eval_mode(self.model):
            try:
                for parameter in frozen:
                    parameter.requires_grad_(True)
                zeros = torch.zeros(1, 3, height, width, device=named[0][1].device, dtype=named[0][1].dtype)
                feature = self(zeros, num_frames=1, stop_after=upto_tap)
                grads = torch.autograd.grad(feature.sum(), [p for _, p in named], allow_unused=True)
            finally:
                for parameter in frozen:
                    parameter.requires_grad_(False)
        return {name: p for (name, p), grad in zip(named, grads, strict=True) if grad is not None}


def build_backbone(
    config: BackboneConfig, temporal: TemporalConfig, num_classes: int, input_size: int | None = None
) -> Backbone:
    """Make a backbone: create the timm model, load weights if asked for, find and check its taps, add the shift.

    The global random state moves exactly as by ``timm.create_model`` alone; the check uses a generator of its own
    and eval mode, so it leaves batch-norm statistics alone.

    Args:
        config: which model and weights.
        temporal: temporal modelling on it.
        num_classes: of the classifier.
        input_size: side of the square frames in pixels; models that are built for one size (Swin, ViT) are built
            for this one. None = timm's own size.

    Raises:
        ConfigError: unknown name, absent or ill-matching weights, or a model that can be embedded in no way.
        ValueError: ``temporal`` is not supported on this model.
    """
    name = resolve_name(config.name, config.pretrained)
    cfg = get_pretrained_cfg(name)
    fixed = bool(cfg and cfg.fixed_input_size)
    kwargs: dict[str, Any] = {"img_size": input_size} if fixed and input_size else {}
    dropout: dict[str, Any] = {"drop_rate": config.drop_rate} if config.drop_rate else {}
    try:
        model: TimmModel = timm.create_model(name, num_classes=num_classes, **kwargs, **dropout)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"timm cannot make {name} for frames of {input_size or 'its own'} px: {error}") from error
    if not config.zero_init_last:
        activate_residuals(model)
    report = None
    if config.pretrained:
        report = load_weights(model, config.pretrained, name, **kwargs)
    own = tuple(model.pretrained_cfg["input_size"][1:])
    if kwargs:
        sizes = [(input_size, input_size)]
    else:
        sizes = [own] if fixed else [(CHECK_SIZE, CHECK_SIZE), own]
    backbone = _embed(model, name, sizes)
    backbone.weights = report
    backbone.temporal = apply_temporal(model, temporal, name)
    return backbone


def _embed(model: TimmModel, name: str, sizes: list[Any]) -> Backbone:
    """Segments where they reproduce the model bit for bit, else hooks, else ConfigError with both reasons."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]), eval_mode(model):
        try:
            taps = choose_taps(model)
        except ValueError as error:
            raise ConfigError(f"{name} cannot carry motion levels: {error}; choose another backbone") from error
        try:
            image, reference = reference_features(model, sizes)
        except ValueError as error:
            raise ConfigError(f"{name} cannot carry motion levels: {error}; choose another backbone") from error
        try:
            segments, layouts = find_segments(model, taps, image, reference)
            taps = [replace(tap, layout=layout) for tap, layout in zip(taps, layouts, strict=True)]
            return Backbone(model, name, taps, segments)
        except ValueError as error:
            no_segments = error
        try:
            return _embed_by_hooks(model, name, taps, image, reference)
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise ConfigError(
                f"{name} cannot carry motion levels: not stage by stage ({no_segments}), nor by hooks ({error}); "
                "choose another backbone: ResNets, RegNets, EfficientNets, ConvNeXts, Swins and plain ViTs all work"
            ) from error


def _embed_by_hooks(model: TimmModel, name: str, taps: list[Tap], image: Tensor, reference: Tensor) -> Backbone:
    nhwc = getattr(model, "output_fmt", "NCHW") == "NHWC"
    probes = [LayoutProbe(tap, nhwc) for tap in taps]
    handles = [model.get_submodule(p.tap.module).register_forward_hook(p) for p in probes]
    try:
        model.forward_features(image)
    finally:
        for handle in handles:
            handle.remove()
    for probe in probes:
        if len(probe.layouts) != 1:
            raise ValueError(f"{probe.tap.module} runs {len(probe.layouts)} times in one forward")
    backbone = Backbone(model, name, [replace(p.tap, layout=p.layouts[0]) for p in probes], None)
    if not torch.equal(backbone(image), reference):
        raise ValueError("its features change when it is hooked")
    for index in range(len(taps)):
        # Rolling channels is undone by no normalisation: if the features stay the same, the tap is a dead end.
        rolled = backbone(image, lambda i, x, index=index: x.roll(1, dims=1) if i == index else x)
        if torch.equal(rolled, reference):
            raise ValueError(f"what is injected at {taps[index].module} does not reach its features")
    return backbone
