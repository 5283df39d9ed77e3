"""Where a motion level can sit in a timm model, and two ways to get there: stage segments and forward hooks.

*Segments*: the model's forward_features as a list of submodule names, cut behind each tap, so that the stages run in
plain sight. *Hooks*: for models whose forward_features is more than a chain of submodules (plain ViTs with their
class token and position embedding). Which of the two reproduces a given model is decided by running it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inject = Callable[[int, Tensor], Tensor]
"""``inject(i, map [N, C, h, w]) -> map``: what happens at the i-th tap (from 0)."""

TimmModel = Any
"""A timm model: an nn.Module with forward_features, forward_head, feature_info and pretrained_cfg, untyped by timm."""

REDUCTIONS = (4, 8, 16, 32)


@dataclass(frozen=True)
class Tap:
    """One place where the map in flight may be changed.

    Attributes:
        reduction: stride of the map to the input.
        channels: C of the map.
        stage: index in timm's feature_info.
        module: name of the submodule whose output is the map.
        layout: what that output is: NCHW | NHWC | tokens ([N, prefix + h*w, C]).
    """

    reduction: int
    channels: int
    stage: int
    module: str
    layout: str = "NCHW"


def choose_taps(model: TimmModel) -> list[Tap]:
    """The last map at each of the reductions 4, 8, 16, 32; in isotropic networks (one reduction throughout) the
    blocks at depths 1/4, 1/2, 3/4 and 1.

    Raises:
        ValueError: the model does not say where its maps are (timm's feature_info).
    """
    info = [dict(entry) for entry in getattr(model, "feature_info", None) or []]
    if not info or any(not entry.get("module") or "reduction" not in entry for entry in info):
        raise ValueError("its feature_info names no stage modules")
    if len(info) >= 4 and len({entry["reduction"] for entry in info}) == 1:
        chosen = [math.ceil(len(info) * depth / 4) - 1 for depth in (1, 2, 3, 4)]
    else:
        last = {entry["reduction"]: stage for stage, entry in enumerate(info)}
        chosen = [last[reduction] for reduction in REDUCTIONS if reduction in last]
    if not chosen:
        raise ValueError(f"it has maps at reductions {sorted({e['reduction'] for e in info})}, none of 4, 8, 16, 32")
    taps = [Tap(info[i]["reduction"], info[i]["num_chs"], i, info[i]["module"]) for i in chosen]
    modules = {name for name, _ in model.named_modules()}
    lost = [tap.module for tap in taps if tap.module not in modules]
    if lost:
        raise ValueError(f"its feature_info names modules that it does not have: {', '.join(lost)}")
    return taps


def layout_of(output: Any, tap: Tap, nhwc: bool) -> str:
    """How the output of a tap's module holds its map; ``nhwc`` (timm's output_fmt) decides where shapes cannot.

    Raises:
        ValueError: it is no single tensor, or none of its dimensions is the tap's channels.
    """
    if not isinstance(output, Tensor):
        raise ValueError(f"the output of {tap.module} is a {type(output).__name__}, not one tensor")
    if output.ndim == 3 and output.shape[2] == tap.channels:
        return "tokens"
    if output.ndim == 4:
        fits = [name for name, dim in (("NCHW", 1), ("NHWC", 3)) if output.shape[dim] == tap.channels]
        if len(fits) == 1:
            return fits[0]
        if fits:
            return "NHWC" if nhwc else "NCHW"
    raise ValueError(f"the output of {tap.module} has shape {tuple(output.shape)}: no map of {tap.channels} channels")


def to_map(output: Tensor, layout: str, grid: tuple[int, int], prefix: int) -> Tensor:
    """The output of a tap's module as a map [N, C, h, w]; ``grid`` = (h, w) and ``prefix`` matter for tokens only."""
    if layout == "NHWC":
        return output.permute(0, 3, 1, 2)
    if layout == "tokens":
        return output[:, prefix:].transpose(1, 2).unflatten(2, grid)
    return output


def from_map(feature: Tensor, layout: str, original: Tensor, prefix: int) -> Tensor:
    """The inverse of :func:`to_map`; prefix tokens are taken from ``original``."""
    if layout == "NHWC":
        return feature.permute(0, 2, 3, 1)
    if layout == "tokens":
        tokens = feature.flatten(2).transpose(1, 2)
        return torch.cat([original[:, :prefix], tokens], dim=1) if prefix else tokens
    return feature


def token_grid(height: int, width: int, reduction: int, tokens: int) -> tuple[int, int]:
    """(h, w) of a token map of ``tokens`` tokens, for frames of ``height`` x ``width`` pixels.

    Raises:
        ValueError: the tokens do not make such a map.
    """
    floor = (height // reduction, width // reduction)
    ceil = (-(-height // reduction), -(-width // reduction))
    for grid in (floor, ceil):
        if grid[0] * grid[1] == tokens:
            return grid
    raise ValueError(f"{tokens} tokens make no map at reduction {reduction} of frames of {height}x{width}")


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode for a while; each gets its own mode back (frozen ones stay frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def reference_features(model: TimmModel, sizes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """A random image [2, 3, H, W] of the first (H, W) in ``sizes`` that the model takes, and its features of it.

    Raises:
        ValueError: it takes none of them, or its features are no tensor.
    """
    generator = torch.Generator().manual_seed(0)
    reasons = []
    for height, width in sizes:
        image = torch.randn(2, 3, height, width, generator=generator)
        try:
            reference = model.forward_features(image)
        except Exception as error:  # a foreign model may raise anything; the next size, or the message, follows
            reasons.append(f"{height}x{width}: {error}")
            continue
        if not isinstance(reference, Tensor):
            raise ValueError(f"its features are a {type(reference).__name__}, not one tensor")
        return image, reference
    raise ValueError(f"it runs at none of the sizes tried ({'; '.join(reasons)})")


# ------------------------------------------------------------------- segments


@dataclass(frozen=True)
class Segments:
    """forward_features as submodule names: those up to each tap, and those behind the last one."""

    stages: list[list[str]]
    tail: list[str]


def find_segments(model: TimmModel, taps: list[Tap], image: Tensor, reference: Tensor) -> tuple[Segments, list[str]]:
    """Cut the model at its taps so that running the pieces gives ``reference`` bit for bit.

    Args:
        model: in eval mode.
        taps: from :func:`choose_taps`.
        image: [N, 3, H, W].
        reference: ``model.forward_features(image)`` of the untouched model.

    Returns:
        The segments (the tail is the shortest that fits) and the layout of each tap's map.

    Raises:
        ValueError: the model is not a chain of submodules; the message is the reason.
    """
    # Children in order; Sequentials (and their kin) that hold a tap are opened one level.
    flat: list[str] = []
    for name, child in model.named_children():
        opened = isinstance(child, nn.Sequential | nn.ModuleList) and any(
            tap.module.startswith(name + ".") for tap in taps
        )
        flat += [f"{name}.{inner}" for inner, _ in child.named_children()] if opened else [name]
    stages: list[list[str]] = []
    layouts: list[str] = []
    begin = 0
    x: Any = image
    nhwc = getattr(model, "output_fmt", "NCHW") == "NHWC"
    for tap in taps:
        if tap.module not in flat[begin:]:
            raise ValueError(f"{tap.module} is no step of a chain of submodules")
        end = flat.index(tap.module, begin) + 1
        stages.append(flat[begin:end])
        x = _run(model, stages[-1], x)
        layouts.append(layout_of(x, tap, nhwc))
        begin = end
    if "tokens" in layouts:
        raise ValueError("its maps are sequences of tokens")
    tail: list[str] = []
    for name in [*flat[begin:], ""]:
        if isinstance(x, Tensor) and x.shape == reference.shape and torch.equal(x, reference):
            return Segments(stages, tail), layouts
        if name:
            x = _run(model, [name], x)
            tail = [*tail, name]
    raise ValueError("its stages, run one after the other, do not give forward_features")


def _run(model: TimmModel, names: list[str], x: Any) -> Any:
    for name in names:
        try:
            x = model.get_submodule(name)(x)
        except Exception as error:  # whatever a foreign module raises on foreign input means: this is no chain
            raise ValueError(f"{name} cannot be run on the output of the step before it ({error})") from error
    return x


# ---------------------------------------------------------------------- hooks


class Stopped(Exception):  # control flow, not an error: carries the map out of a running model
    """Raised inside a hooked model behind the last tap that is wanted."""

    def __init__(self, feature: Tensor) -> None:
        super().__init__()
        self.feature = feature


class HookState:
    """What the hooks of one model share during a forward; empty (and so picklable) between forwards."""

    def __init__(self, taps: list[Tap], prefix: int) -> None:
        self.taps = taps
        self.prefix = prefix
        self.frame_size = (0, 0)
        self.inject: Inject | None = None
        self.stop_after: int | None = None
        self.active = False
        self.fired: list[int] = []

    def run(self, model: TimmModel, frames: Tensor, inject: Inject | None, stop_after: int | None) -> Tensor:
        """``model.forward_features(frames)`` with ``inject`` at the taps, or the map behind tap ``stop_after``."""
        self.frame_size = (frames.shape[-2], frames.shape[-1])
        self.inject, self.stop_after, self.active, self.fired = inject, stop_after, True, []
        expected = list(range(len(self.taps) if stop_after is None else stop_after + 1))
        try:
            out = model.forward_features(frames)
        except Stopped as stop:
            out = stop.feature
        finally:
            self.inject, self.stop_after, self.active = None, None, False
        if self.fired != expected:
            raise ValueError(f"its taps fired as {self.fired}, not once each and in order {expected}")
        return out

    def visit(self, index: int, output: Any) -> Tensor | None:
        if not self.active:
            return None
        self.fired.append(index)
        tap = self.taps[index]
        grid = (0, 0)
        if tap.layout == "tokens":
            grid = token_grid(*self.frame_size, tap.reduction, output.shape[1] - self.prefix)
        feature = to_map(output, tap.layout, grid, self.prefix)
        changed = feature if self.inject is None else self.inject(index, feature)
        if self.stop_after == index:
            raise Stopped(changed)
        return output if changed is feature else from_map(changed, tap.layout, output, self.prefix)


class TapHook:
    """A forward hook that survives deepcopy and pickle, and then belongs to the copy (a closure would not)."""

    def __init__(self, index: int, state: HookState) -> None:
        self.index = index
        self.state = state

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Tensor | None:
        return self.state.visit(self.index, output)


class LayoutProbe:
    """A forward hook that notes the layout of what passes a tap."""

    def __init__(self, tap: Tap, nhwc: bool) -> None:
        self.tap = tap
        self.nhwc = nhwc
        self.layouts: list[str] = []

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.layouts.append(layout_of(output, self.tap, self.nhwc))
