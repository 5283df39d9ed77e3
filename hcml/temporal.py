"""Temporal modelling on a 2D network that keeps every parameter name: TSM's channel shift.

Source: Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding" (arXiv 1811.08383): in front of
the first convolution of each residual block, 1/fold_div of the channels are replaced by those of the neighbouring
frame. A forward pre-hook does it, so a shifted network has exactly the parameters of the plain one and loads its
weights. The causal form takes the channels from the past alone (the paper's online TSM).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from hcml.config import TemporalConfig

# What timm calls the parallel branch of a residual block: its convolution is not the block's first one.
SHORTCUT_NAMES = ("downsample", "shortcut")


def shift_channels(x: Tensor, num_frames: int, fold: int, causal: bool) -> Tensor:
    """Replace some channels of each frame by those of its neighbours in time.

    Causal: the first ``fold`` channels come from frame t-1. Otherwise (TSM's offline form) the first ``fold`` come
    from frame t+1 and the next ``fold`` from frame t-1. Where there is no neighbour, zeros.

    Args:
        x: frames [B*T, C, H, W], clip-major (the T frames of a clip are consecutive).
        num_frames: T.
        fold: channels taken from each side.
        causal: look at the past only.

    Returns:
        [B*T, C, H, W], same memory format as ``x``.

    Raises:
        ValueError: the batch is no multiple of ``num_frames``.
    """
    if num_frames < 1 or x.shape[0] % num_frames:
        raise ValueError(f"temporal shift got {x.shape[0]} frames, no multiple of num_frames={num_frames}")
    clips = x.unflatten(0, (-1, num_frames))
    # A clone and slice assignment keep channels_last, which concatenating 5-D slices does not.
    out = x.clone()
    shifted = out.unflatten(0, (-1, num_frames))
    past = 0 if causal else fold
    shifted[:, 1:, past : past + fold] = clips[:, :-1, past : past + fold]
    shifted[:, 0, past : past + fold] = 0
    if not causal:
        shifted[:, :-1, :fold] = clips[:, 1:, :fold]
        shifted[:, -1, :fold] = 0
    return out


class TemporalShift:
    """The pre-hook of all shifted convolutions of one model; a module-level object, so deepcopy and pickle work.

    Attributes:
        num_frames: T of the clips in flight; the owner of the model sets it before each forward.
        convs: names of the modules that are hooked.
    """

    def __init__(self, fold_div: int, causal: bool) -> None:
        self.fold_div = fold_div
        self.causal = causal
        self.num_frames = 1
        self.convs: list[str] = []

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0]
        return (shift_channels(x, self.num_frames, x.shape[1] // self.fold_div, self.causal), *args[1:])


def first_convolutions(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The first convolution of each residual block of a timm model, as (name, module), outermost blocks only.

    A residual block is a module with a skip connection by timm's conventions (``downsample`` or ``shortcut``, a
    module or None, or a true ``has_skip``) and a convolution, bare or wrapped with its normalisation, among its
    direct children. Blocks with ``has_skip=False`` are left alone, as in TSM: without the skip connection the
    replaced channels would be lost.
    """

    def search(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
        # Elsewhere `shortcut` is a flag (DLA's aggregation nodes), which makes no residual block.
        branches = [getattr(module, name, False) for name in SHORTCUT_NAMES]
        has_skip = getattr(module, "has_skip", any(b is None or isinstance(b, nn.Module) for b in branches))
        for name, child in module.named_children():
            if name in SHORTCUT_NAMES or not _is_convolution(child):
                continue
            if has_skip:
                yield prefix + name, child
                return
        for name, child in module.named_children():
            yield from search(child, f"{prefix}{name}.")

    yield from search(model, "")


def _is_convolution(module: nn.Module) -> bool:
    # timm wraps a convolution with its norm (and activation) in a module whose `conv` it is: ConvNormAct and kin.
    wrapped = "Conv" in type(module).__name__ and isinstance(getattr(module, "conv", None), nn.Conv2d)
    return isinstance(module, nn.Conv2d) or wrapped


def apply_temporal(model: nn.Module, config: TemporalConfig, name: str = "this model") -> TemporalShift | None:
    """Add ``config``'s temporal modelling to a timm model, in place; parameter names and shapes stay as they are.

    Args:
        model: the whole timm model.
        config: what to add; mode ``none`` adds nothing.
        name: the model's name, for the error message.

    Returns:
        The handle whose ``num_frames`` must be set before each forward; None with mode ``none``.

    Raises:
        ValueError: the mode is unknown, the model has no residual block with a convolution, or such a convolution
            has fewer channels than the shift needs.
    """
    if config.mode == "none":
        return None
    if config.mode != "shift":
        raise ValueError(f"temporal.mode={config.mode!r} is not supported on {name}: use none or shift")
    convs = list(first_convolutions(model))
    if not convs:
        raise ValueError(
            f"temporal.mode=shift needs residual blocks that start with a convolution, and {name} has none: "
            "use temporal.mode=none, or a ResNet, RegNet, EfficientNet or ConvNeXt"
        )
    shift = TemporalShift(config.fold_div, config.causal)
    for conv_name, module in convs:
        conv = module if isinstance(module, nn.Conv2d) else module.conv
        assert isinstance(conv, nn.Conv2d)
        if conv.in_channels < config.fold_div:
            raise ValueError(
                f"temporal.fold_div={config.fold_div} leaves nothing to shift in {name}: {conv_name} has only "
                f"{conv.in_channels} input channels; use a smaller fold_div"
            )
        module.register_forward_pre_hook(shift)
        shift.convs.append(conv_name)
    return shift
