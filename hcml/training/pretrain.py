"""Phase pretrain: the motion hierarchy learns from raw frames, level by level."""

from __future__ import annotations

import functools
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hcml.config import ConfigError, PretrainRun, Runtime, to_dict
from hcml.data.dataset import ClipDataset
from hcml.data.loader import train_batches
from hcml.data.manifest import Data
from hcml.model import HCML, build_model
from hcml.objectives.curriculum import Turn, turns
from hcml.objectives.peers import Peers
from hcml.objectives.self_supervision import Losses, SelfSupervision
from hcml.training.arithmetic import autocast, pick_device, place_module, set_up
from hcml.training.collectives import hold_statistics, synchronise_batchnorm
from hcml.training.costs import gmacs, num_parameters, peak_memory_mb
from hcml.training.distributed import World
from hcml.training.held_out import MotionField, measure_held_out
from hcml.training.loop import Batch, OnStep, share_of, train_loop
from hcml.training.tally import Tally
from hcml.training.transfer import save_weights

log = logging.getLogger(__name__)


class PretrainTask:
    """Self-supervised losses of the active levels; the backbone runs no further than the last active level's map.

    Raises ConfigError when a turn would have no loss at all.
    """

    label = "pretrain"

    def __init__(
        self, model: HCML, heads: SelfSupervision, config: PretrainRun, total_steps: int, peers: Peers | None = None
    ) -> None:
        self.model, self.heads, self.config, self.peers = model, heads, config, peers
        self.modules: nn.Module = nn.ModuleDict({"model": model, "heads": heads})
        self.device = next(model.parameters()).device
        self.turns = turns(config.curriculum, config.model.levels, total_steps)
        objective = config.objective
        if not objective.reconstruction.weight and (self.turns[0].active_levels == 1 or not objective.contrast.weight):
            raise ConfigError(
                "the first turn has no loss: objective.reconstruction.weight=0 leaves level 1 without one (set it "
                "above 0, or use curriculum.name=joint with levels >= 2 and objective.contrast.weight > 0)"
            )

    def reached(self, active_levels: int) -> dict[str, nn.Parameter]:
        """Parameters that are trained with levels 1..active_levels; the top level's fusion is not among them."""
        found = {f"model.{name}": p for name, p in self.model.pretrain_parameters(active_levels)}
        if self.config.train == "motion":
            found = {name: p for name, p in found.items() if not name.startswith("model.backbone.")}
        return found | {f"heads.{name}": p for name, p in self.heads.active_parameters(active_levels)}

    def trained_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.reached(self.config.model.levels).items())

    def begin(self, turn: Turn) -> None:
        trained = self.reached(turn.active_levels)
        if self.config.curriculum.freeze_lower and turn.first_step > 0:
            for name in self.reached(turn.active_levels - 1):
                trained.pop(name, None)
        for parameter in self.modules.parameters():
            parameter.requires_grad_(False)
        for parameter in trained.values():
            parameter.requires_grad_(True)
        self.modules.train()
        if self.config.train == "motion":
            self.model.backbone.eval()
        if self.config.compute.bn == "frozen":
            hold_statistics(self.modules)
        freeze_statistics(self.modules)

    def losses(self, clip: Tensor, batch: Batch, turn: Turn, generator: torch.Generator) -> Losses:
        with autocast(self.device, self.config.compute):
            motion = self.model(clip, active_levels=turn.active_levels, classify=False).motion
        return self.heads(clip, [features.float() for features in motion], turn.active_levels, generator, self.peers)


def freeze_statistics(module: nn.Module) -> None:
    """Normalisation layers whose weights are frozen keep their running statistics too."""
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if hasattr(layer, "running_mean") and own and not any(p.requires_grad for p in own):
            layer.eval()


def run_pretrain(
    config: PretrainRun,
    data: Data,
    folder: Path,
    runtime: Runtime,
    motion_field: MotionField | None = None,
    on_step: OnStep | None = None,
    world: World | None = None,
) -> dict[str, Any]:
    """Pretrain (or go on pretraining) in ``folder``, write ``weights.pt``, and measure on held-out videos.

    Args:
        motion_field: true displacements of the benchmark's videos, where it has them, for the end-point error.
        on_step: called after each step with (finished, total).
        world: this process among those that share each batch; the first alone writes.

    Returns JSON-able metrics ({} but from the first process): held-out figures in ``metrics`` and ``groups``, last
    training losses in ``train``, ``alarms``, ``unreadable``, ``costs``. Raises what
    :func:`hcml.training.loop.train_loop` raises, and ConfigError.
    """
    world = world or World()
    set_up(config.compute, config.seed)
    device = pick_device(runtime)
    share = share_of(config, world, device)
    model = build_model(config.model)
    sizes = model.backbone.map_sizes(config.model.input_size)[: config.model.levels]
    heads = SelfSupervision(config.model, config.objective, sizes)
    place_module(model, device, config.compute)
    place_module(heads, device, config.compute)
    length = config.length
    task = PretrainTask(model, heads, config, length.total_steps(len(data.train.healthy().entries)), share.group)
    if config.compute.bn == "sync":
        synchronise_batchnorm(task.modules, share.group)
    clips = ClipDataset(data.train, config.sampling, config.transform, config.benchmark.decoder, config.seed)
    total = task.turns[-1].end
    tally = train_loop(
        task,
        lambda start: train_batches(
            clips,
            length.batch_size,
            config.seed,
            start,
            total,
            runtime.workers,
            runtime.loader_timeout,
            world.rank,
            world.size,
        ),
        share=share,
        optim=config.optim,
        compute=config.compute,
        runtime=runtime,
        seed=config.seed,
        folder=folder,
        identity={"config": share.identity(config), "train_manifest": data.train.content_hash()},
        on_step=on_step,
    )
    if not world.first:
        return {}
    save_weights(folder, model, to_dict(config), tally.step, heads, train=data.train)
    task.modules.requires_grad_(False).eval()
    levels = config.model.levels
    forward = functools.partial(_motion_of, model, levels, config, device)
    held_out = measure_held_out(forward, heads, data.test, config, runtime, device, motion_field)
    return {
        "metrics": held_out.metrics,
        "groups": held_out.groups,
        **training_report(tally, model),
        "unreadable": {"train": sum(tally.replaced.values()), "test": len(held_out.unreadable)},
        "unreadable_ids": {"train": tally.replaced, "test": held_out.unreadable},
        "costs": {
            **tally.costs(),
            "peak_memory_mb": peak_memory_mb(device),
            "num_parameters": num_parameters(model),
            "trained_parameters": sum(p.numel() for _, p in task.trained_parameters()),
            "gmacs": gmacs(model, config.model, active_levels=levels, classify=False),
        },
    }


def _motion_of(model: HCML, levels: int, config: PretrainRun, device: torch.device, clip: Tensor) -> list[Tensor]:
    with autocast(device, config.compute):
        motion = model(clip, active_levels=levels, classify=False).motion
    return [features.float() for features in motion]


def training_report(tally: Tally, model: HCML) -> dict[str, Any]:
    """What training itself says of a finished run: steps, last losses, alarms, the weights it started from."""
    report = model.backbone.weights
    return {
        "steps": tally.step,
        "train": {name: value for name, value in tally.last.items() if math.isfinite(value)},
        "alarms": [
            {"name": name, **seen, "at_end": seen["last_step"] == tally.step}
            for name, seen in sorted(tally.alarms.items())
        ],
        "weights": None
        if report is None
        else {"source": report.source, "sha256": report.sha256, "matched_percent": report.matched_percent},
    }
