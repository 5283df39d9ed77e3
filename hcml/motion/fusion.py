"""F <- F + W P: motion joins appearance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcml.config import FusionConfig, MotionConfig


class Fusion(nn.Module):
    """Adds a 1x1 convolution of the motion feature to the map, frame by frame.

    Neither norm nor activation behind it (they would change every backbone whose stage does not end in ReLU), and no
    bias: the frame without motion (the first; under `pairing=lookahead` the last) gets exactly zero.

    Args:
        channels: C of the tapped map.
        motion: `dim` and `pairing`.
        config: `init` zero: a fresh HCML equals its backbone bit for bit.
    """

    def __init__(self, channels: int, motion: MotionConfig, config: FusionConfig) -> None:
        super().__init__()
        self.pairing = motion.pairing
        self.project = nn.Conv2d(motion.dim, channels, 1, bias=False)
        if config.init == "zero":
            nn.init.zeros_(self.project.weight)

    def forward(self, maps: Tensor, motion: Tensor) -> Tensor:
        """maps [B, T, C, h, w] and motion [B, T - 1, D, h, w] -> [B, T, C, h, w]."""
        batch = maps.shape[0]
        projected = self.project(motion.flatten(0, 1)).to(maps.dtype)
        projected = projected.view(batch, -1, *maps.shape[2:])
        still = torch.zeros_like(projected[:, :1])
        order = [still, projected] if self.pairing == "causal" else [projected, still]
        return maps + torch.cat(order, dim=1)
