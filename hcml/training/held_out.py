"""Pretraining measured on held-out videos: every figure as a quotient of sums, overall and per group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hcml.config import PretrainRun, Runtime
from hcml.data.dataset import ViewDataset
from hcml.data.loader import test_batches
from hcml.data.manifest import Manifest, VideoEntry
from hcml.data.transforms import CropGeometry, resized_size, test_geometry
from hcml.objectives.measure import Fraction, MotionModel, measure_batch
from hcml.objectives.self_supervision import SelfSupervision
from hcml.training.arithmetic import place_clip, step_seed

MotionField = Callable[[Manifest, str, np.ndarray], tuple[np.ndarray, np.ndarray] | None]
"""(manifest, video_id, frame indices int64 [T]) -> (flow float32 [T-1, 2, H, W], valid bool [T-1, H, W]) in pixels of
the source video: from a pixel of frame t to where it was in frame t-1, as (dx, dy); None where nothing is known."""


@dataclass
class HeldOut:
    """Figures overall and per group; videos that could not be read, with the reason."""

    metrics: dict[str, float] = field(default_factory=dict)
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def measure_held_out(
    motion_of: MotionModel,
    heads: SelfSupervision,
    manifest: Manifest,
    config: PretrainRun,
    runtime: Runtime,
    device: torch.device,
    motion_field: MotionField | None = None,
) -> HeldOut:
    """Measure ``config.eval_videos`` held-out videos of each group (centre crop, centred clip).

    Batches hold videos of one group only, so that a group's contrast figures do not depend on what the others are.
    The network behind ``motion_of`` and ``heads`` are in evaluation mode.
    """
    chosen = spread_entries(manifest, config.eval_videos)
    subset = replace(manifest, entries=chosen)
    dataset = ViewDataset(subset, config.sampling, config.transform, config.benchmark.decoder)
    sums: dict[str, dict[str, Fraction]] = {}
    result = HeldOut()
    if config.model.motion.pairing != "causal":
        motion_field = None  # the true field points from frame t to t-1, the head's from t to t+1
    with test_batches(dataset, config.length.batch_size, runtime.workers, runtime.loader_timeout) as stream:
        for index, batch in enumerate(stream):
            result.unreadable.update(batch["unreadable"])
            for group in sorted(set(batch["group"].tolist())):
                rows = (batch["group"] == group).nonzero().flatten().tolist()
                clip = place_clip(batch["views"][rows, 0], device, config.compute)
                flow = None
                if motion_field is not None:
                    ids = [batch["video_id"][row] for row in rows]
                    flow = batch_flow(motion_field, manifest, ids, batch["indices"][rows, 0].numpy(), config)
                seed = step_seed(config.seed, index)
                found = measure_batch(motion_of, heads, clip, seed, None if flow is None else flow.to(device))
                total = sums.setdefault(manifest.group_names[group] if group >= 0 else "", {})
                for name, fraction in found.items():
                    total[name] = _plus(total.get(name), fraction)
    overall: dict[str, Fraction] = {}
    for group_sums in sums.values():
        for name, fraction in group_sums.items():
            overall[name] = _plus(overall.get(name), fraction)
    result.metrics = _quotients(overall)
    result.groups = {name: _quotients(group_sums) for name, group_sums in sorted(sums.items()) if name}
    return result


def _plus(total: Fraction | None, more: Fraction) -> Fraction:
    return more if total is None else (total[0] + more[0], total[1] + more[1])


def _quotients(sums: dict[str, Fraction]) -> dict[str, float]:
    return {name: total / count for name, (total, count) in sums.items() if count}


def spread_entries(manifest: Manifest, count: int) -> list[VideoEntry]:
    """``count`` videos of each group (all of them if there are fewer), spread evenly over its classes, by group."""
    seen: dict[int, int] = {}
    ranked = []
    for position, entry in enumerate(manifest.entries):
        rank = seen[entry.label] = seen.get(entry.label, -1) + 1
        ranked.append((entry.group, rank, entry.label, position))
    ranked.sort()
    taken: dict[str, int] = {}
    chosen = []
    for group, _, _, position in ranked:
        taken[group] = taken.get(group, 0) + 1
        if taken[group] <= count:
            chosen.append(manifest.entries[position])
    return chosen


def batch_flow(
    motion_field: MotionField, manifest: Manifest, ids: list[str], indices: np.ndarray, config: PretrainRun
) -> Tensor | None:
    """[B, T-1, 2, s, s] in pixels of the test crop, NaN where unknown; None when a video has no true motion."""
    fields = []
    for video_id, frames in zip(ids, indices, strict=True):
        truth = motion_field(manifest, video_id, frames)
        if truth is None:
            return None
        height, width = truth[0].shape[-2:]
        geometry = test_geometry(height, width, config.transform, num_crops=1)[0]
        fields.append(crop_flow(*truth, geometry, resized_size(height, width, config.transform)))
    return torch.stack(fields)


def crop_flow(flow: np.ndarray, valid: np.ndarray, geometry: CropGeometry, size: tuple[int, int]) -> Tensor:
    """A displacement field through the geometry of its frames.

    Args:
        flow: [T-1, 2, H, W], (dx, dy) in source pixels; valid: [T-1, H, W].
        geometry: of the crop; size: (height, width) of the resized frame that it is cut from.

    Returns [T-1, 2, s, s] in pixels of the crop; NaN where any source pixel that was averaged is unknown.
    """
    field_ = torch.from_numpy(np.ascontiguousarray(flow, dtype=np.float32))
    known = torch.from_numpy(np.ascontiguousarray(valid)).float().unsqueeze(1)
    height, width = field_.shape[-2:]
    if (height, width) != size:
        field_ = F.interpolate(field_.nan_to_num(), size=size, mode="bilinear", antialias=True)
        known = F.interpolate(known, size=size, mode="bilinear", antialias=True)
        field_ = field_ * torch.tensor([size[1] / width, size[0] / height]).view(1, 2, 1, 1)
    field_ = field_.masked_fill(known < 1 - 1e-4, float("nan"))
    top, left, side = geometry.top, geometry.left, geometry.size
    return field_[..., top : top + side, left : left + side]
