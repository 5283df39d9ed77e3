"""Phase test: one prediction per video, averaged over its views; every metric is computed from those rows."""

from __future__ import annotations

import csv
import io
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hcml.config import Runtime, TestRun
from hcml.data.dataset import ViewDataset
from hcml.data.loader import test_batches
from hcml.data.manifest import Data, Manifest
from hcml.model import HCML
from hcml.training.arithmetic import autocast, pick_device, place_clip, place_module, set_up
from hcml.training.costs import gmacs, num_parameters, peak_memory_mb
from hcml.training.finetune import check_labels, group_mask
from hcml.training.loop import OnStep
from hcml.training.progress import ProgressReport
from hcml.training.transfer import build_without_weights, check_same_model, load_model, read_weights


@dataclass(frozen=True)
class Prediction:
    """Of one video: probabilities float64 [C], averaged over views."""

    video_id: str
    label: int
    group: str
    probabilities: np.ndarray

    @property
    def rank(self) -> int:
        """Number of classes put before the true one; ties go to the lower class index."""
        p = self.probabilities
        before = (p > p[self.label]) | ((p == p[self.label]) & (np.arange(len(p)) < self.label))
        return int(before.sum())

    @property
    def prediction(self) -> int:
        return int(self.probabilities.argmax())


@torch.no_grad()
def view_probabilities(model: HCML, views: Tensor, allowed: Tensor, config: TestRun, device: torch.device) -> Tensor:
    """Views [B, V, T, 3, h, w] -> probabilities float64 [B, C]: the mean over views of the softmax (over the classes
    in ``allowed``, bool [B, C]); clips go through the network ``config.batch_size`` at a time.

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
    return logits.masked_fill(~allowed[:, None], float("-inf")).softmax(-1).mean(1)


def metrics_of(predictions: list[Prediction], total: int) -> dict[str, float]:
    """Per cent over the readable videos (``top1``, ``top5``) and, an unreadable one counting as wrong, over all
    ``total`` videos (``top1_all``, ``top5_all``)."""
    ranks = np.array([prediction.rank for prediction in predictions])
    found = {"videos": float(total), "readable": float(len(predictions))}
    for name, k in (("top1", 1), ("top5", 5)):
        hits = float((ranks < k).sum())
        if predictions:
            found[name] = 100 * hits / len(predictions)
        found[f"{name}_all"] = 100 * hits / total
    return found


def write_predictions(path: Path, predictions: list[Prediction], classes: list[str]) -> None:
    """CSV sorted by video id: video_id, label, group, prediction, correct, p_0 .. p_(C-1)."""
    rows = [["video_id", "label", "group", "prediction", "correct", *(f"p_{i}" for i in range(len(classes)))]]
    for p in sorted(predictions, key=lambda p: p.video_id):
        correct = str(int(p.prediction == p.label))
        shown = (f"{value:.6g}" for value in p.probabilities)
        rows.append([p.video_id, str(p.label), p.group, str(p.prediction), correct, *shown])
    _write_csv(path, rows)


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, path)


def chances(manifest: Manifest, within_group: bool) -> tuple[float, dict[str, float]]:
    """Top-1 of a uniform guess in per cent: overall (mean over videos) and per group."""
    everything = 100 / len(manifest.classes)
    groups = {n: 100 / len(members) if within_group else everything for n, members in manifest.groups.items()}
    guesses = [groups.get(entry.group, everything) for entry in manifest.entries]
    return sum(guesses) / len(guesses), groups


def run_test(
    config: TestRun, data: Data, folder: Path, runtime: Runtime, parent: Path, on_step: OnStep | None = None
) -> dict[str, Any]:
    """Test the weights of a fine-tuning run on every test video.

    Writes ``predictions.csv`` and ``unreadable.csv`` (video_id, error) into ``folder``. A video that cannot be read
    is listed there and counted, never replaced.

    Args:
        parent: ``weights.pt`` of the fine-tuning run.
        on_step: called after each batch with (videos done, videos in all).

    Returns JSON-able metrics: per cent top-1 and top-5 in ``metrics`` and ``groups``, ``chance``, ``unreadable``,
    ``costs``. Raises ConfigError, CheckpointError when the weights do not fit, FloatingPointError for weights that
    give no finite logits, and RuntimeError when no video at all can be read.
    """
    set_up(config.compute, seed=0)  # nothing is drawn here; the seed only makes that visible
    device = pick_device(runtime)
    manifest = data.test
    check_labels(manifest, config.model.num_classes, config.within_group)
    payload = read_weights(parent, "finetune")
    check_same_model(payload, config.model, parent)
    model = build_without_weights(config.model)
    load_model(model, payload["model"], parent, classifier=True)
    place_module(model, device, config.compute)
    model.requires_grad_(False).eval()
    dataset = ViewDataset(
        manifest, config.sampling, config.transform, config.benchmark.decoder, config.num_clips, config.num_crops
    )
    folder.mkdir(parents=True, exist_ok=True)
    predictions, unreadable, seconds = _predict(model, dataset, config, runtime, device, on_step)
    write_predictions(folder / "predictions.csv", predictions, manifest.classes)
    _write_csv(folder / "unreadable.csv", [["video_id", "error"], *([i, e] for i, e in sorted(unreadable.items()))])
    if not predictions:
        video_id, error = next(iter(unreadable.items()))
        raise RuntimeError(f"no test video can be read, of {len(manifest.entries)} (the first: {video_id}: {error})")
    chance, group_chances = chances(manifest, config.within_group)
    sizes = {name: sum(entry.group == name for entry in manifest.entries) for name in manifest.group_names}
    groups = {
        name: metrics_of([p for p in predictions if p.group == name], size) for name, size in sizes.items() if size
    }
    views = config.num_clips * config.num_crops
    return {
        "metrics": metrics_of(predictions, len(manifest.entries)),
        "groups": groups,
        "chance": chance,
        "group_chances": group_chances,
        "unreadable": {"train": 0, "test": len(unreadable)},
        "unreadable_ids": {"train": {}, "test": unreadable},
        "costs": {
            "seconds": seconds,
            "clips": len(predictions) * views,
            "clips_per_second": len(predictions) * views / seconds,
            "peak_memory_mb": peak_memory_mb(device),
            "num_parameters": num_parameters(model),
            "gmacs": gmacs(model, config.model),
            "views": views,
        },
    }


def _predict(
    model: HCML, dataset: ViewDataset, config: TestRun, runtime: Runtime, device: torch.device, on_step: OnStep | None
) -> tuple[list[Prediction], dict[str, str], float]:
    """Predictions of the readable videos, errors of the others by id, and seconds."""
    manifest = dataset.manifest
    names, mask = manifest.group_names, group_mask(manifest)
    predictions: list[Prediction] = []
    unreadable: dict[str, str] = {}
    began, total = time.perf_counter(), len(manifest.entries)
    batches = test_batches(dataset, config.batch_size, runtime.workers, runtime.loader_timeout)
    with batches as stream, ProgressReport("test", 0, total) as progress:
        for number, batch in enumerate(stream, start=1):
            unreadable.update(batch["unreadable"])
            groups = batch["group"]
            if len(groups):
                rows = groups if config.within_group else torch.full_like(groups, -1)
                found = view_probabilities(model, batch["views"], mask[rows], config, device).numpy()
                predictions += [
                    Prediction(video_id, int(label), names[group] if group >= 0 else "", row)
                    for video_id, label, group, row in zip(
                        batch["video_id"], batch["label"], groups.tolist(), found, strict=True
                    )
                ]
            done = len(predictions) + len(unreadable)
            progress.step(done)
            if number % runtime.log_every == 0 or done == total:
                progress.interval(done, {}, done / (time.perf_counter() - began))
            if on_step is not None:
                on_step(done, total)
    ids = [p.video_id for p in predictions] + list(unreadable)
    if sorted(ids) != sorted(entry.video_id for entry in manifest.entries):
        raise RuntimeError(f"{len(ids)} results for {total} test videos: each must be seen exactly once")
    return predictions, unreadable, time.perf_counter() - began
