"""What the motion module of a pretraining run sees in a video: motion, the frame rebuilt by it, energy per level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import benchmarks
from hcml.config import ConfigError, PretrainRun
from hcml.data.dataset import ViewDataset
from hcml.data.manifest import Manifest, VideoEntry
from hcml.model import HCML
from hcml.objectives.reconstruction import warp
from hcml.objectives.self_supervision import SelfSupervision
from hcml.training.held_out import batch_flow
from hcml.training.transfer import build_without_weights, load_model, read_weights
from sweeps.freeze import run_from_dict


@dataclass(frozen=True)
class Opened:
    """A pretraining run, ready to look at the videos of its benchmark's test list, which it never saw."""

    config: PretrainRun
    manifest: Manifest
    model: HCML
    heads: SelfSupervision


@dataclass(frozen=True)
class Seen:
    """One video's centred clip, between its middle frame and the one before; frames float [3, H, W] in [0, 1]."""

    entry: VideoEntry
    earlier: torch.Tensor
    later: torch.Tensor
    truth: np.ndarray | None
    """[2, H, W] in pixels, where each pixel of the later frame came from; None where nobody knows."""
    found: np.ndarray | None
    """The same as level 1 sees it; None if reconstruction was not learned."""
    rebuilt: torch.Tensor | None
    """[3, H, W]: the earlier frame moved by `found`."""
    energy: tuple[np.ndarray, ...]
    """[h_l, w_l] for each level: the norm of P_l over its channels."""


def open_pretraining(run: Path, data: Path) -> Opened:
    """Raises CheckpointError, ConfigError, and what the benchmark raises."""
    payload = read_weights(run / "weights.pt", "pretrain")
    config = run_from_dict(payload["config"])
    assert isinstance(config, PretrainRun)  # read_weights has checked the phase
    if config.model.motion.pairing != "causal":
        raise ConfigError(
            "motion.pairing=lookahead looks from a frame to the next one: the picture shows the other way"
        )
    model = build_without_weights(config.model)
    load_model(model, payload["model"], run, classifier=True)
    sizes = model.backbone.map_sizes(config.model.input_size)[: config.model.levels]
    heads = SelfSupervision(config.model, config.objective, sizes)
    heads.load_state_dict(payload["heads"])
    return Opened(config, benchmarks.load(config.benchmark, data).test, model.eval(), heads.eval())


def look(opened: Opened, entries: list[VideoEntry]) -> list[Seen]:
    """One after the other. Raises ConfigError for a video that cannot be read."""
    config = opened.config
    manifest = replace(opened.manifest, entries=entries)
    dataset = ViewDataset(manifest, config.sampling, config.transform, config.benchmark.decoder)
    found = []
    for index, entry in enumerate(entries):
        item = dataset[index]
        if item["error"]:
            raise ConfigError(item["error"])
        clip = item["views"][:1]
        middle = clip.shape[1] // 2
        truth = batch_flow(benchmarks.motion_field, manifest, [item["video_id"]], item["indices"], config)
        with torch.no_grad():
            motion = opened.model(clip, active_levels=config.model.levels, classify=False).motion
            moved = rebuilt = None
            if config.objective.reconstruction.weight:
                displacement = opened.heads.reconstruction(clip, motion).displacement[middle - 1]
                rebuilt = warp(clip[0, middle - 1 : middle], displacement[None])[0][0]
                moved = displacement.numpy()
        known = None if truth is None else np.nan_to_num(truth[0, middle - 1].numpy())
        energy = tuple(level[0, middle - 1].float().norm(dim=0).numpy() for level in motion)
        found.append(Seen(entry, clip[0, middle - 1], clip[0, middle], known, moved, rebuilt, energy))
    return found
