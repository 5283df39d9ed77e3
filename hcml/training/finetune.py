"""Phase finetune: supervised training, from scratch, from ImageNet weights or from a pretraining run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcml.config import ConfigError, FinetuneRun, Runtime, to_dict
from hcml.data.dataset import ClipDataset
from hcml.data.loader import train_batches
from hcml.data.manifest import Data, Manifest
from hcml.model import HCML, build_model
from hcml.objectives.curriculum import Turn
from hcml.objectives.peers import Peers
from hcml.objectives.self_supervision import Losses, SelfSupervision
from hcml.training.arithmetic import autocast, pick_device, place_module, set_up
from hcml.training.collectives import hold_statistics, synchronise_batchnorm
from hcml.training.costs import gmacs, num_parameters, peak_memory_mb
from hcml.training.distributed import World
from hcml.training.loop import Batch, OnStep, share_of, train_loop
from hcml.training.pretrain import training_report
from hcml.training.transfer import build_without_weights, check_same_model, load_model, read_weights, save_weights
from hcml.weights import file_sha256


def group_mask(manifest: Manifest) -> Tensor:
    """Bool [G + 1, C]: which classes a video of group g (index into ``group_names``) may have; the last row, reached
    by group -1, allows all."""
    mask = torch.zeros(len(manifest.groups) + 1, len(manifest.classes), dtype=torch.bool)
    mask[-1] = True
    for row, name in enumerate(manifest.group_names):
        mask[row, manifest.groups[name]] = True
    return mask


class FinetuneTask:
    """Cross-entropy of the clip's logits, plus ``auxiliary_weight`` x the self-supervised losses."""

    label = "finetune"

    def __init__(
        self,
        model: HCML,
        heads: SelfSupervision | None,
        config: FinetuneRun,
        allowed: Tensor,
        total_steps: int,
        peers: Peers | None = None,
    ) -> None:
        self.model, self.heads, self.config, self.peers = model, heads, config, peers
        parts: dict[str, nn.Module] = {"model": model}
        if heads is not None:
            parts["heads"] = heads
        self.modules: nn.Module = nn.ModuleDict(parts)
        self.device = next(model.parameters()).device
        self.allowed = allowed.to(self.device)
        self.turns = [Turn(0, total_steps, config.model.levels)]

    def trained_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.modules.named_parameters())

    def begin(self, turn: Turn) -> None:
        self.modules.requires_grad_(True).train()
        if self.config.compute.bn == "frozen":
            hold_statistics(self.modules)

    def losses(self, clip: Tensor, batch: Batch, turn: Turn, generator: torch.Generator) -> Losses:
        with autocast(self.device, self.config.compute):
            logits, motion = self.model(clip)
        label = batch["label"].to(self.device)
        loss = classification_loss(logits.float(), label, self._allowed(batch), self.config.label_smoothing)
        with torch.no_grad():
            masked = logits.float().masked_fill(~self._allowed(batch), float("-inf"))
            top1 = 100 * (masked.argmax(1) == label).float().mean()
        losses = Losses(loss, {"classification": loss}, {"top1": top1})
        if self.heads is not None:
            features = [level.float() for level in motion]
            extra = self.heads(clip, features, turn.active_levels, generator, self.peers)
            losses.total = loss + self.config.auxiliary_weight * extra.total
            losses.terms.update(extra.terms)
            losses.stats.update(extra.stats)
        return losses

    def _allowed(self, batch: Batch) -> Tensor:
        """Bool [B, C]: the classes between which the loss decides."""
        groups = batch["group"].to(self.device)
        return self.allowed[groups if self.config.within_group else torch.full_like(groups, -1)]


def classification_loss(logits: Tensor, label: Tensor, allowed: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy over the allowed classes, with label smoothing spread over them alone.

    Args:
        logits: [B, C] float32; label: int64 [B]; allowed: bool [B, C], true at each label.
        smoothing: epsilon of arXiv 1512.00567, section 7.
    """
    log_p = F.log_softmax(logits.masked_fill(~allowed, float("-inf")), dim=1)
    hit = -log_p.gather(1, label[:, None]).squeeze(1)
    if not smoothing:
        return hit.mean()
    uniform = -(log_p.masked_fill(~allowed, 0.0).sum(1) / allowed.sum(1))
    return ((1 - smoothing) * hit + smoothing * uniform).mean()


def check_labels(manifest: Manifest, num_classes: int, within_group: bool) -> None:
    """ConfigError unless the classifier fits the classes (and every video has a group where one is needed)."""
    if len(manifest.classes) != num_classes:
        raise ConfigError(
            f"num_classes={num_classes} but {manifest.benchmark} has {len(manifest.classes)} classes: set "
            f"model.num_classes={len(manifest.classes)}"
        )
    if within_group and not manifest.groups:
        raise ConfigError(f"within_group=true but {manifest.benchmark} has no groups: set within_group=false")
    if within_group and (lost := [e.video_id for e in manifest.entries if e.group not in manifest.groups]):
        raise ConfigError(f"within_group=true but {len(lost)} videos have no group, such as {', '.join(lost[:5])}")


def run_finetune(
    config: FinetuneRun,
    data: Data,
    folder: Path,
    runtime: Runtime,
    parent: Path | None = None,
    on_step: OnStep | None = None,
    world: World | None = None,
) -> dict[str, Any]:
    """Fine-tune (or go on) in ``folder`` and write ``weights.pt``.

    Args:
        parent: ``weights.pt`` of a pretraining run; needed with ``init=run``, refused otherwise.
        on_step: called after each step with (finished, total).
        world: this process among those that share each batch; the first alone writes.

    Returns JSON-able metrics ({} but from the first process): last training losses and top-1 in ``train``,
    ``alarms``, ``unreadable``, ``costs``.
    Raises ConfigError, CheckpointError when the parent does not fit 100 %, and what the loop raises.
    """
    world = world or World()
    set_up(config.compute, config.seed)
    device = pick_device(runtime)
    share = share_of(config, world, device)
    check_labels(data.train, config.model.num_classes, config.within_group)
    if (config.init == "run") != (parent is not None):
        raise ConfigError(
            "init=run needs the weights.pt of a pretraining run (a parent run or checkpoint=FILE)"
            if parent is None
            else f"init={config.init} does not read {parent}: set init=run"
        )
    identity = {"config": share.identity(config), "train_manifest": data.train.content_hash(), "parent_sha256": ""}
    payload = None
    if parent is None:
        model = build_model(config.model)
    else:
        payload = read_weights(parent, "pretrain")
        check_same_model(payload, config.model, parent)
        model = build_without_weights(config.model)
        load_model(model, payload["model"], parent, classifier=False)
        identity["parent_sha256"] = file_sha256(parent)
    heads = None
    if config.auxiliary_weight > 0 and config.objective is not None:
        sizes = model.backbone.map_sizes(config.model.input_size)[: config.model.levels]
        heads = SelfSupervision(config.model, config.objective, sizes)
        place_module(heads, device, config.compute)
    place_module(model, device, config.compute)
    length = config.length
    total = length.total_steps(len(data.train.healthy().entries))
    task = FinetuneTask(model, heads, config, group_mask(data.train), total, share.group)
    if config.compute.bn == "sync":
        synchronise_batchnorm(task.modules, share.group)
    clips = ClipDataset(data.train, config.sampling, config.transform, config.benchmark.decoder, config.seed)
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
        identity=identity,
        on_step=on_step,
    )
    if not world.first:
        return {}
    save_weights(folder, model, to_dict(config), tally.step, parent=payload, train=data.train)
    return {
        "metrics": {f"train_{name}": tally.last[name] for name in ("loss", "top1") if name in tally.last},
        "groups": {},
        **training_report(tally, model),
        "unreadable": {"train": sum(tally.replaced.values()), "test": 0},
        "unreadable_ids": {"train": tally.replaced, "test": {}},
        "costs": {
            **tally.costs(),
            "peak_memory_mb": peak_memory_mb(device),
            "num_parameters": num_parameters(model),
            "trained_parameters": num_parameters(task.modules),
            "gmacs": gmacs(model, config.model),
        },
    }
