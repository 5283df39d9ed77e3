"""Levels >= 2: semantic motion, from the map that carries the fused motion of the level below."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hcml.config import MotionConfig
from hcml.motion.blocks import MotionConvs, concatenate, pair_frames, unfold_time
from hcml.motion.cost_volume import cost_volume, fitting_displacement


class SemanticMotion(nn.Module):
    """Map [B, T, C, h, w] -> P_l [B, T - 1, D, h, w], from [F_t, F_t - F_(t-1)] after a 1x1 reduction.

    With `config.semantic_cost_volume` a cost volume of the L2-normalised reduction is added.

    Args:
        level: l >= 2, for messages.
        channels: C of the tapped map.
        height: h in pixels of the map.
        width: w in pixels of the map.
        config: the motion blocks' configuration.

    Raises:
        ValueError: if a cost volume is asked for and the map is too small for one.
    """

    def __init__(self, level: int, channels: int, height: int, width: int, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.max_displacement = 0
        in_channels = 2 * config.dim
        if config.semantic_cost_volume:
            where = f"the map of level {level}"
            self.max_displacement = fitting_displacement(config.max_displacement, height, width, where)
            in_channels += (2 * self.max_displacement + 1) ** 2
        self.reduce = nn.Conv2d(channels, config.dim, 1)
        self.convs = MotionConvs(in_channels, config)

    def forward(self, maps: Tensor) -> Tensor:
        batch = maps.shape[0]
        reduced = unfold_time(self.reduce(maps.flatten(0, 1)), batch)
        current, reference = pair_frames(reduced, self.config)
        parts = [current, current - reference]
        if self.config.semantic_cost_volume:
            a, b = (F.normalize(x.float(), dim=1).to(x.dtype) for x in (current, reference))
            parts.append(cost_volume(a, b, self.max_displacement))
        return unfold_time(self.convs(concatenate(parts)), batch)
