"""Frozen features: one vector for each video, made by a network that does not learn.

Both phases that use them (probe, retrieval) compute their own: an extraction is one pass over the videos, and runs that
share nothing but their parent need no cache to be kept right. They are short, so one that was interrupted starts again
from the beginning. Memory holds one vector a video, and the frames of the batches in flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hcml.config import ConfigError, FeatureConfig, ProbeRun, RetrievalRun, Runtime
from hcml.data.dataset import ViewDataset
from hcml.data.loader import test_batches
from hcml.data.manifest import Data, Manifest, VideoEntry
from hcml.model import HCML, build_model
from hcml.training.arithmetic import autocast, pick_device, place_clip, place_module, set_up
from hcml.training.costs import gmacs, num_parameters, peak_memory_mb
from hcml.training.evaluate import write_csv
from hcml.training.finetune import check_labels
from hcml.training.loop import OnStep
from hcml.training.progress import ProgressReport
from hcml.training.transfer import build_without_weights, check_same_model, load_model, read_weights
from hcml.weights import file_sha256

Run = ProbeRun | RetrievalRun


@dataclass(frozen=True)
class VideoFeatures:
    """Of the readable videos of one manifest, in its order."""

    rows: Tensor
    """float64 [N, F] on the CPU, averaged over a video's views."""
    widths: list[int]
    """Widths of a row's parts (a map, the motion feature of a level); they add up to F."""
    entries: list[VideoEntry]
    unreadable: dict[str, str]
    """Video id -> why it could not be read."""

    @property
    def labels(self) -> Tensor:
        """int64 [N]"""
        return torch.tensor([entry.label for entry in self.entries], dtype=torch.int64)

    def groups(self, manifest: Manifest) -> Tensor:
        """int64 [N], index into the manifest's group_names; -1 = none."""
        number = {name: index for index, name in enumerate(manifest.group_names)}
        return torch.tensor([number.get(entry.group, -1) for entry in self.entries], dtype=torch.int64)


@dataclass(frozen=True)
class Frozen:
    """Features of both subsets, and what the record says about how they were made."""

    train: VideoFeatures
    test: VideoFeatures
    device: torch.device
    report: dict[str, Any]
    """``unreadable``, ``unreadable_ids``, ``weights`` and ``costs`` of a phase's return value."""


def clip_features(model: HCML, clip: Tensor, config: FeatureConfig) -> list[Tensor]:
    """The parts of the features of clips [B, T, 3, H, W]: float32 [B, F_i] each.

    ``level``: the top level's map in front of its fusion, and its motion feature. The map that is passed on, F + W P,
    would hold no more under a linear classifier, and pretraining does not train that W. ``motion``: P_1 .. P_n.
    ``final``: what the classifier reads, frame by frame. The frame without motion has no motion feature: T - 1 of them.
    """
    batch = clip.shape[0]
    levels = len(model.hierarchy)
    features, motion = model.features(clip, levels, whole=config.source == "final")
    if config.source == "final":
        over_time = [model.backbone.pooled(features).float().unflatten(0, (batch, -1))]
    else:
        pooled = [feature.float().mean((-2, -1)) for feature in motion]
        top = features.float().mean((-2, -1)).unflatten(0, (batch, -1))
        over_time = [top, pooled[-1]] if config.source == "level" else pooled
    return [part.mean(1) if config.pool == "mean" else part.flatten(1) for part in over_time]


def frozen_features(config: Run, data: Data, runtime: Runtime, parent: Path | None, on_step: OnStep | None) -> Frozen:
    """Build the network, freeze it, and run it over all training and test videos.

    Args:
        parent: ``weights.pt`` of a pretraining or fine-tuning run; needed with ``init=run``, refused otherwise.
        on_step: called after each batch with (videos done, videos in all).

    Raises ConfigError, CheckpointError when the weights do not fit, FloatingPointError for features that are not
    finite, and RuntimeError when no video of a subset can be read.
    """
    set_up(config.compute, config.seed)
    device = pick_device(runtime)
    for manifest in (data.train, data.test):
        check_labels(manifest, config.model.num_classes, config.within_group)
    model, weights = _network(config, parent)
    place_module(model, device, config.compute)
    model.requires_grad_(False).eval()
    training = data.train.healthy()  # quarantined videos are never trained on; in testing they count as unreadable
    behind = len(training.entries)
    began, total = time.perf_counter(), behind + len(data.test.entries)
    with ProgressReport(config.phase, 0, total) as progress:

        def count(done: int, last: bool) -> None:
            progress.step(done)
            if last:
                progress.interval(done, {}, done / (time.perf_counter() - began))
            if on_step is not None:
                on_step(done, total)

        train = extract(model, training, config, runtime, device, count)
        test = extract(model, data.test, config, runtime, device, lambda done, last: count(behind + done, last=last))
    seconds = time.perf_counter() - began
    whole = config.features.source == "final"
    views = config.features.num_clips * config.features.num_crops
    clips = (len(train.entries) + len(test.entries)) * views
    report = {
        "unreadable": {"train": len(train.unreadable), "test": len(test.unreadable)},
        "unreadable_ids": {"train": train.unreadable, "test": test.unreadable},
        "weights": weights,
        "costs": {
            "clips": clips,
            "clips_per_second": clips / seconds,
            "num_parameters": num_parameters(model),
            "gmacs": gmacs(model, config.model, classify=whole),
            "views": views,
            "feature_size": train.rows.shape[1],
        },
    }
    return Frozen(train, test, device, report)


def close_costs(frozen: Frozen, began: float, trained_parameters: int) -> dict[str, Any]:
    """``frozen.report`` with the time since `began` (time.perf_counter) and the parameters that the phase trained."""
    costs = frozen.report["costs"] | {
        "seconds": time.perf_counter() - began,
        "peak_memory_mb": peak_memory_mb(frozen.device),
        "trained_parameters": trained_parameters,
    }
    return frozen.report | {"costs": costs}


def _network(config: Run, parent: Path | None) -> tuple[HCML, dict[str, Any] | None]:
    """The network and where its weights are from."""
    if (config.init == "run") != (parent is not None):
        raise ConfigError(
            "init=run needs the weights.pt of a pretraining or fine-tuning run (a parent run or checkpoint=FILE)"
            if parent is None
            else f"init={config.init} does not read {parent}: set init=run"
        )
    if parent is None:
        model = build_model(config.model)
        report = model.backbone.weights
        if report is None:
            return model, None
        return model, {"source": report.source, "sha256": report.sha256, "matched_percent": report.matched_percent}
    payload = read_weights(parent, "pretrain", "finetune")
    check_same_model(payload, config.model, parent)
    model = build_without_weights(config.model)
    load_model(model, payload["model"], parent, classifier=False)
    return model, {"source": f"a {payload['phase']} run", "sha256": file_sha256(parent), "matched_percent": 100.0}


@torch.no_grad()
def extract(
    model: HCML,
    manifest: Manifest,
    config: Run,
    runtime: Runtime,
    device: torch.device,
    count: Callable[[int, bool], None],
) -> VideoFeatures:
    """Features of every readable video of ``manifest``, sampled as in testing: the same at every call.

    ``count`` gets (videos done, whether to say so in the log).
    """
    features = config.features
    num_views, done = features.num_clips * features.num_crops, 0
    dataset = ViewDataset(
        manifest,
        config.sampling,
        config.transform,
        config.benchmark.decoder,
        features.num_clips,
        features.num_crops,
    )
    sums: dict[str, Tensor] = {}
    missing: dict[str, int] = {}  # views of a video that have not been seen yet: they may come in several batches
    unreadable: dict[str, str] = {}
    widths: list[int] = []
    with test_batches(dataset, config.batch_size, runtime.workers, runtime.loader_timeout) as stream:
        for number, batch in enumerate(stream, start=1):
            unreadable.update(batch["unreadable"])
            if batch["video_id"]:
                views = batch["views"]
                made = []
                for clips in views.flatten(0, 1).split(config.batch_size):
                    with autocast(device, config.compute):
                        parts = clip_features(model, place_clip(clips, device, config.compute), features)
                    widths = [part.shape[1] for part in parts]
                    made.append(torch.cat(parts, dim=1).double().cpu())
                for video_id, rows in zip(
                    batch["video_id"], torch.cat(made).unflatten(0, views.shape[:2]), strict=True
                ):
                    sums[video_id] = sums.get(video_id, torch.zeros(1, dtype=torch.float64)) + rows.sum(0)
                    missing[video_id] = missing.get(video_id, num_views) - len(rows)
                    done += missing[video_id] == 0
                    if not torch.isfinite(sums[video_id]).all():
                        raise FloatingPointError(
                            "the network's features are not finite: its weights are of no use; train it again"
                        )
            finished = done + len(unreadable)
            count(finished, number % runtime.log_every == 0 or finished == len(dataset))
    entries = [e for e in manifest.entries if missing.get(e.video_id) == 0 and e.video_id not in unreadable]
    if not entries:
        video_id, error = next(iter(unreadable.items()))
        raise RuntimeError(
            f"no {manifest.subset} video can be read, of {len(dataset)} (the first: {video_id}: {error})"
        )
    if len(entries) + len(unreadable) != len(manifest.entries):
        raise RuntimeError(
            f"{len(entries)} of {len(manifest.entries)} {manifest.subset} videos have features and {len(unreadable)} "
            "cannot be read: each must be seen exactly once"
        )
    averaged = torch.stack([sums[entry.video_id] / num_views for entry in entries])
    return VideoFeatures(averaged, widths, entries, unreadable)


def write_unreadable(folder: Path, frozen: Frozen) -> None:
    """``unreadable.csv``: subset, video_id, error."""
    rows = [["subset", "video_id", "error"]]
    for subset, features in (("train", frozen.train), ("test", frozen.test)):
        rows += [[subset, video_id, error] for video_id, error in sorted(features.unreadable.items())]
    write_csv(folder / "unreadable.csv", rows)
