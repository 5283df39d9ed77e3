"""HCML = a backbone on frames + the motion hierarchy + a classifier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hcml.backbone import Backbone, build_backbone
from hcml.config import ModelConfig
from hcml.motion.hierarchy import Hierarchy


class Output(NamedTuple):
    """logits [B, num_classes] (None when not asked for) and P_1..P_k, each [B, T - 1, D, h_l, w_l]."""

    logits: Tensor | None
    motion: list[Tensor]


class HCML(nn.Module):
    """A timm model run on every frame, with `levels` motion levels embedded; levels = 0 is the plain backbone.

    The classifier is timm's own head on each frame; logits are averaged over the T frames.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, hierarchy: Hierarchy) -> None:
        super().__init__()
        self.backbone = backbone
        self.hierarchy = hierarchy
        shape = (3, 1, 1)  # three dimensions: `.to(memory_format=channels_last)` leaves them alone
        self.register_buffer("mean", torch.tensor(backbone.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(shape), persistent=False)

    def forward(self, clip: Tensor, active_levels: int | None = None, classify: bool = True) -> Output:
        """Logits and motion features of clips.

        Args:
            clip: [B, T, 3, H, W], float, in [0, 1]; normalised here with the backbone's mean and std.
            active_levels: motion levels to compute; None = all.
            classify: False stops the backbone behind the map of the last active level (pretraining).

        Raises:
            ValueError: if there is nothing to compute (`classify=False` without an active level).
        """
        batch, num_frames = clip.shape[:2]
        active = len(self.hierarchy) if active_levels is None else active_levels
        if not classify and not active:
            raise ValueError("classify=False needs at least one active level: a plain backbone has no motion features")
        features, motion = self.features(clip, active, whole=classify)
        if not classify:
            return Output(None, motion)
        logits = self.backbone.head(features)
        return Output(logits.float().view(batch, num_frames, -1).mean(1), motion)

    def features(self, clip: Tensor, active_levels: int, whole: bool = True) -> tuple[Tensor, list[Tensor]]:
        """What the backbone's head reads of clips [B, T, 3, H, W] in [0, 1] and the motion features P_1, P_2, ...

        `whole=False` stops at the last active level, and gives its map [B * T, C, h, w] in front of its fusion.
        """
        num_frames = clip.shape[1]
        frames = ((clip - self.mean) / self.std).flatten(0, 1)
        embedding = self.hierarchy.embed(num_frames, active_levels, fuse_top=whole)
        stop_after = None if whole else active_levels - 1
        inject = embedding if active_levels else None
        return self.backbone(frames, inject, num_frames=num_frames, stop_after=stop_after), embedding.motion

    def pretrain_parameters(self, active_levels: int) -> Iterator[tuple[str, nn.Parameter]]:
        """What the losses of levels 1..active_levels reach: the backbone from its stem to that level's map, the
        motion blocks, and the fusions below the top one."""
        for name, parameter in self.backbone.path_parameters(active_levels - 1):
            yield f"backbone.model.{name}", parameter
        for name, parameter in self.hierarchy.trained_parameters(active_levels):
            yield f"hierarchy.{name}", parameter


def build_model(config: ModelConfig) -> HCML:
    """The model of a configuration.

    Raises:
        ConfigError: unknown or unsuitable backbone, weights that do not match.
        ValueError: the backbone has too few maps for `levels`, or a map is too small for its cost volume.
    """
    backbone = build_backbone(config.backbone, config.temporal, config.num_classes, config.input_size)
    backbone.require_taps(config.levels)
    sizes = backbone.map_sizes(config.input_size)[: config.levels]
    return HCML(backbone, Hierarchy(sizes, config.motion, config.fusion))
