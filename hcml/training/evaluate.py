"""Phase test: one prediction per video, averaged over its views; every metric is computed from those rows.

Several processes can share the videos (hcml/training/distributed.py): which views a batch holds, and the order in which
those of a video are summed, do not depend on how many there are, so neither do the predictions.
"""

from __future__ import annotations

import csv
import io
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hcml.config import ConfigError, ModelConfig, Runtime, TestRun
from hcml.data.dataset import ViewDataset
from hcml.data.loader import test_batches, view_units
from hcml.data.manifest import Data, Manifest
from hcml.model import HCML
from hcml.training.arithmetic import pick_device, place_module, set_up
from hcml.training.costs import gmacs, num_parameters, peak_memory_mb
from hcml.training.distributed import World
from hcml.training.finetune import check_labels, group_mask
from hcml.training.loop import OnStep
from hcml.training.progress import ProgressReport
from hcml.training.scores import VideoScores, rank_of, view_logits
from hcml.training.transfer import build_without_weights, check_same_model, load_model, read_weights
from hcml.weights import file_sha256


@dataclass(frozen=True)
class Prediction:
    """Of one video: probabilities float64 [C], averaged over views; for each clip alone, the rank of the true class."""

    video_id: str
    label: int
    group: str
    probabilities: np.ndarray
    clip_ranks: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """Number of classes put before the true one; ties go to the lower class index."""
        return rank_of(self.probabilities, self.label)

    @property
    def prediction(self) -> int:
        return int(self.probabilities.argmax())


def metrics_of(predictions: list[Prediction], total: int, metric: str = "video") -> dict[str, float]:
    """Per cent over the readable videos (``top1``, ``top5``) and, an unreadable or missing one counting as wrong, over
    all ``total`` videos (``top1_all``, ``top5_all``). With ``metric='clip'`` a video counts by its share of clips."""
    found = {"videos": float(total), "readable": float(len(predictions))}
    for name, k in (("top1", 1), ("top5", 5)):
        if metric == "clip":
            hits = float(sum(sum(rank < k for rank in p.clip_ranks) / len(p.clip_ranks) for p in predictions))
        else:
            hits = float(sum(p.rank < k for p in predictions))
        if predictions:
            found[name] = 100 * hits / len(predictions)
        found[f"{name}_all"] = 100 * hits / total
    return found


def write_predictions(path: Path, predictions: list[Prediction], classes: list[str], clips: bool = False) -> None:
    """CSV sorted by video id: video_id, label, group, prediction, correct, p_0 .. p_(C-1); with ``clips`` also
    clips_correct, how many clips of the video are right on their own, behind correct."""
    names = [*(["clips_correct"] if clips else []), *(f"p_{i}" for i in range(len(classes)))]
    rows = [["video_id", "label", "group", "prediction", "correct", *names]]
    for p in sorted(predictions, key=lambda p: p.video_id):
        correct = str(int(p.prediction == p.label))
        shown = [str(sum(rank == 0 for rank in p.clip_ranks))] if clips else []
        shown += [f"{value:.6g}" for value in p.probabilities]
        rows.append([p.video_id, str(p.label), p.group, str(p.prediction), correct, *shown])
    write_csv(path, rows)


def write_csv(path: Path, rows: list[list[str]]) -> None:
    """Whole or not at all."""
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
    config: TestRun,
    data: Data,
    folder: Path,
    runtime: Runtime,
    parent: Path,
    on_step: OnStep | None = None,
    world: World | None = None,
) -> dict[str, Any]:
    """Test the weights of a fine-tuning run on every test video.

    Writes ``predictions.csv`` and ``unreadable.csv`` (video_id, error) into ``folder``. A video that cannot be read
    is listed there and counted, never replaced; so is one that the benchmark lists and that is not there.

    Args:
        parent: ``weights.pt`` of the fine-tuning run.
        on_step: called after each batch with (videos done, videos in all), both of this process.
        world: this process among those that share the videos; rank 0 alone writes.

    Returns JSON-able metrics ({} but on rank 0): per cent top-1 and top-5 in ``metrics`` and ``groups``, ``coverage`` =
    readable ones of the listed videos in per cent, ``chance``, ``unreadable``, ``costs``, the ``weights``, and the
    ``seed`` and ``trained_videos`` that they were trained with. Raises ConfigError, CheckpointError when the weights
    do not fit, FloatingPointError for weights that give no finite logits, RankFailed, and RuntimeError when no video
    at all can be read.
    """
    world = world or World()
    set_up(config.compute, seed=0)  # nothing is drawn here; the seed only makes that visible
    device = pick_device(runtime)
    manifest = data.test
    check_labels(manifest, config.model.num_classes, config.within_group)
    payload = read_weights(parent, "finetune")
    check_same_model(payload, config.model, parent)
    model = build_without_weights(config.model)
    load_model(model, payload["model"], parent, classifier=True)
    _check_size(model, config)
    place_module(model, device, config.compute)
    model.requires_grad_(False).eval()
    dataset = ViewDataset(
        manifest, config.sampling, config.transform, config.benchmark.decoder, config.num_clips, config.num_crops
    )
    began = time.perf_counter()
    shares = world.gather(_predict(model, dataset, config, runtime, device, on_step, world))
    if world.rank:
        return {}
    seconds = time.perf_counter() - began
    predictions, unreadable = _joined(shares, manifest)
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.csv", predictions, manifest.classes, clips=config.metric == "clip")
    write_csv(folder / "unreadable.csv", [["video_id", "error"], *([i, e] for i, e in sorted(unreadable.items()))])
    if not predictions:
        video_id, error = next(iter(unreadable.items()))
        raise RuntimeError(f"no test video can be read, of {len(manifest.entries)} (the first: {video_id}: {error})")
    chance, group_chances = chances(manifest, config.within_group)
    sizes = {name: sum(entry.group == name for entry in manifest.entries) for name in manifest.group_names}
    groups = {
        name: metrics_of([p for p in predictions if p.group == name], size, config.metric)
        for name, size in sizes.items()
        if size
    }
    coverage = 100 * len(predictions) / manifest.listed
    views = config.num_clips * config.num_crops
    return {
        "metrics": metrics_of(predictions, manifest.listed, config.metric) | {"coverage": coverage},
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
            "gmacs": gmacs(model, _shown(config)),
            "views": views,
            "processes": world.size,
        },
        "weights": {"source": "a finetune run", "sha256": file_sha256(parent), "matched_percent": 100.0},
        "seed": payload["config"].get("seed", 0),
        # what the weights were trained on, which need not be what lies on the disk today
        "trained_videos": payload.get("train"),
    }


def _shown(config: TestRun) -> ModelConfig:
    """The model's configuration with the frames and pixels of the test clips."""
    return replace(config.model, num_frames=config.sampling.num_frames, input_size=config.transform.crop_size)


def _check_size(model: HCML, config: TestRun) -> None:
    """ConfigError when the network cannot take crops of another size than it was built for."""
    side, own = config.transform.crop_size, config.model.input_size
    if side == own:
        return
    try:
        model.backbone.map_sizes(side)
    except ValueError as error:
        raise ConfigError(
            f"test.transform.crop_size={side}: this backbone takes frames of the size it was trained on alone "
            f"({error}): set test.transform.crop_size={own}"
        ) from error


Share = tuple[list[Prediction], dict[str, str]]
"""Predictions of the readable videos of one process, errors of its others by id."""


def _predict(
    model: HCML,
    dataset: ViewDataset,
    config: TestRun,
    runtime: Runtime,
    device: torch.device,
    on_step: OnStep | None,
    world: World,
) -> Share:
    """What this process has to say of its share of the videos."""
    manifest = dataset.manifest
    names, mask = manifest.group_names, group_mask(manifest)
    scores: dict[str, VideoScores] = {}
    groups: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    batches = test_batches(dataset, config.batch_size, runtime.workers, runtime.loader_timeout, world.rank, world.size)
    views, seen = config.num_clips * config.num_crops, 0
    units = view_units(len(dataset), config.num_clips, config.num_crops, config.batch_size)[world.rank :: world.size]
    total = len({key[0] for unit in units for keys in unit for key in keys})
    began = time.perf_counter()
    with batches as stream, ProgressReport("test", 0, total) as progress:
        for number, batch in enumerate(stream, start=1):
            world.check()
            unreadable.update(batch["unreadable"])
            rows = batch["group"] if config.within_group else torch.full_like(batch["group"], -1)
            if len(rows):
                logits = view_logits(model, batch["views"], mask[rows], config, device)
                facts = zip(batch["video_id"], batch["label"].tolist(), batch["group"].tolist(), logits, strict=True)
                for video_id, label, group, values in facts:
                    groups[video_id] = names[group] if group >= 0 else ""
                    one = scores.setdefault(video_id, VideoScores(label, config.average, config.num_crops))
                    one.add(values)
                    seen += one.views == views
            done = seen + len(unreadable)
            progress.step(done)
            if number % runtime.log_every == 0 or done == total:
                progress.interval(done, {}, done / (time.perf_counter() - began))
            if on_step is not None:
                on_step(done, total)
    # One clip of a video that cannot be read is enough: views are missing, and no others stand in for them.
    predictions = [
        Prediction(video_id, one.label, groups[video_id], one.probabilities(), tuple(one.clip_ranks))
        for video_id, one in scores.items()
        if video_id not in unreadable
    ]
    return predictions, unreadable


def _joined(shares: list[Share], manifest: Manifest) -> Share:
    """The shares of all processes; RuntimeError unless each test video is in them exactly once."""
    predictions = [prediction for share, _ in shares for prediction in share]
    lost = [item for _, share in shares for item in share.items()]
    ids = [p.video_id for p in predictions] + [video_id for video_id, _ in lost]
    if sorted(ids) != sorted(entry.video_id for entry in manifest.entries):
        raise RuntimeError(
            f"{len(ids)} results for {len(manifest.entries)} test videos: each must be seen exactly once"
        )
    return predictions, dict(lost)
