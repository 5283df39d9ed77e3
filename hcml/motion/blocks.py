"""What prime and semantic motion share: pairing of frames and the two convolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hcml.config import MotionConfig


def pair_frames(maps: Tensor, config: MotionConfig) -> tuple[Tensor, Tensor]:
    """Frames and the ones they are compared with.

    Args:
        maps: [B, T, C, h, w].
        config: `pairing` causal: frames 1..T-1 against 0..T-2; lookahead: 0..T-2 against 1..T-1. `input` static:
            every frame against itself.

    Returns:
        (current, reference), each [B * (T - 1), C, h, w].
    """
    earlier, later = maps[:, :-1], maps[:, 1:]
    current, reference = (later, earlier) if config.pairing == "causal" else (earlier, later)
    if config.input == "static":
        reference = current
    return current.flatten(0, 1), reference.flatten(0, 1)


class MotionConvs(nn.Sequential):
    """Two 3x3 convolutions with a normalisation and ReLU between them; [N, in, h, w] -> [N, dim, h, w].

    Nothing follows the second one: the norm of a motion feature says how much moves.
    """

    def __init__(self, in_channels: int, config: MotionConfig) -> None:
        dim = config.dim
        # Group norm has no batch statistics, so that a loss does not depend on how a batch is split over ranks.
        norm = nn.GroupNorm(math.gcd(8, dim), dim) if config.norm == "group" else nn.BatchNorm2d(dim)
        super().__init__(
            nn.Conv2d(in_channels, dim, 3, padding=1, bias=False),
            norm,
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, 3, padding=1),
        )


def unfold_time(features: Tensor, batch: int) -> Tensor:
    """[B * (T - 1), D, h, w] -> [B, T - 1, D, h, w]."""
    return features.view(batch, -1, *features.shape[1:])


def concatenate(parts: list[Tensor]) -> Tensor:
    """Channels of maps of possibly different autocast types, in the first one's type."""
    return torch.cat([part.to(parts[0].dtype) for part in parts], dim=1)
