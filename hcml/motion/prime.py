"""Level 1: prime motion, from a cost volume of the first tapped map."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hcml.config import MotionConfig
from hcml.motion.blocks import MotionConvs, concatenate, pair_frames, unfold_time
from hcml.motion.cost_volume import cost_volume, fitting_displacement


class PrimeMotion(nn.Module):
    """Map [B, T, C, h, w] -> P_1 [B, T - 1, D, h, w]; P_1[:, t - 1] is the motion arriving at frame t.

    1x1 reduction to D channels, centring over the frame, L2 normalisation over channels, then by `config.prime` a
    cost volume, the feature difference or both, then two 3x3 convolutions.

    Args:
        channels: C of the tapped map.
        height: h in pixels of the map.
        width: w in pixels of the map.
        config: the motion blocks' configuration.

    Raises:
        ValueError: if the map is too small for a cost volume.
    """

    def __init__(self, channels: int, height: int, width: int, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.max_displacement = 0
        in_channels = 0
        if config.prime in ("cost_volume", "both"):
            self.max_displacement = fitting_displacement(config.max_displacement, height, width, "the map of level 1")
            in_channels += (2 * self.max_displacement + 1) ** 2
        if config.prime in ("difference", "both"):
            in_channels += config.dim
        self.reduce = nn.Conv2d(channels, config.dim, 1)
        self.convs = MotionConvs(in_channels, config)

    def forward(self, maps: Tensor) -> Tensor:
        batch = maps.shape[0]
        reduced = self.reduce(maps.flatten(0, 1)).float()
        # Maps behind a ReLU share a large mean, next to which all places look alike: centred, correlations use all of
        # -1..1.
        reduced = reduced - reduced.mean(dim=(2, 3), keepdim=True)
        reduced = F.normalize(reduced, dim=1).to(maps.dtype)
        current, reference = pair_frames(unfold_time(reduced, batch), self.config)
        parts = []
        if self.config.prime in ("cost_volume", "both"):
            parts.append(cost_volume(current, reference, self.max_displacement))
        if self.config.prime in ("difference", "both"):
            parts.append(current - reference)
        return unfold_time(self.convs(concatenate(parts)), batch)
