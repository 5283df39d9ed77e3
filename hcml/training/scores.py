"""Scores of views, summed video by video: what is kept of a test does not grow with its number of views."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcml.config import TestRun
from hcml.model import HCML
from hcml.training.arithmetic import autocast, place_clip

Row = NDArray[np.float64]


@torch.no_grad()
def view_logits(model: HCML, views: Tensor, allowed: Tensor, config: TestRun, device: torch.device) -> Tensor:
    """Views [B, V, T, 3, h, w] -> logits float64 [B, V, C], -inf for the classes that are not in ``allowed`` (bool
    [B, C]); clips go through the network ``config.batch_size`` at a time.

    Raises FloatingPointError when a logit is not finite.
    """
    batch, num_views = views.shape[:2]
    parts = []
    for clips in views.flatten(0, 1).split(config.batch_size):
        with autocast(device, config.compute):
            logits = model(place_clip(clips, device, config.compute)).logits
        parts.append(logits.double().cpu())
    logits = torch.cat(parts).view(batch, num_views, -1)
    if not torch.isfinite(logits).all():
        raise FloatingPointError("the network's logits are not finite: its weights are of no use; train it again")
    return logits.masked_fill(~allowed[:, None], float("-inf"))


def rank_of(scores: Row, label: int) -> int:
    """Number of classes put before the true one; ties go to the lower class index."""
    before = (scores > scores[label]) | ((scores == scores[label]) & (np.arange(len(scores)) < label))
    return int(before.sum())


@dataclass
class VideoScores:
    """The views of one video so far.

    `average`: softmax | logits, what is summed; `num_crops` views, one behind the other, are a clip.
    """

    label: int
    average: str
    num_crops: int
    total: Row | None = None
    views: int = 0
    clip_ranks: list[int] = field(default_factory=list)
    """Of the true class, for each clip on its own."""

    def add(self, logits: Tensor) -> None:
        """More views of the video: float64 [V, C], whole clips."""
        scores = logits.softmax(-1) if self.average == "softmax" else logits
        total: Row = scores.sum(0).numpy()
        self.total = total if self.total is None else self.total + total
        self.views += len(scores)
        clips = scores.unflatten(0, (-1, self.num_crops)).mean(1).numpy()
        self.clip_ranks += [rank_of(clip, self.label) for clip in clips]

    def probabilities(self) -> Row:
        """float64 [C]: the mean of the probabilities, or the softmax of the mean logits. ValueError before any view."""
        if self.total is None:
            raise ValueError("a video without views has no probabilities")
        mean = self.total / self.views
        if self.average == "softmax":
            return mean
        found: Row = torch.from_numpy(mean).softmax(-1).numpy()
        return found
