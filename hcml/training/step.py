"""One optimiser step: forward and backward passes over a process's share of the batch, and what all agree on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hcml.config import FinetuneRun, PretrainRun, Split, science, split_batch
from hcml.data.loader import ClipBatch
from hcml.objectives.curriculum import Turn
from hcml.objectives.self_supervision import Losses
from hcml.training.collectives import GradientMean, Group, RunningStatistics
from hcml.training.distributed import World
from hcml.training.preemption import SIGNALS, StopFlag

Batch = ClipBatch


class NonFiniteLoss(RuntimeError):
    """A loss or the gradient is NaN or infinite; the parameters have not been touched by that step."""


class Task(Protocol):
    """What a phase adds to the loop."""

    label: str
    modules: nn.Module
    """Everything that is trained and saved."""
    turns: list[Turn]

    def trained_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """All parameters that any turn trains; the order must not depend on anything but the configuration."""
        ...

    def begin(self, turn: Turn) -> None:
        """Set what is trainable and which modules are in training mode for a turn."""
        ...

    def losses(self, clip: Tensor, batch: Batch, turn: Turn, generator: torch.Generator) -> Losses:
        """Losses of one batch; ``clip`` [B, T, 3, H, W] is on the device, ``generator`` (CPU) belongs to the step."""
        ...


@dataclass
class Share:
    """What this process has of a training: its place among the others, and its part of each batch."""

    group: Group
    split: Split
    batch_size: int
    """Clips of a step, over all processes."""

    @property
    def world(self) -> World:
        return self.group.world

    def identity(self, config: PretrainRun | FinetuneRun) -> dict[str, Any]:
        """What a checkpoint of the run must have been written with: what may change its result."""
        return science(replace(config, length=replace(config.length, micro_batch=self.split.micro_batch)))


def share_of(config: PretrainRun | FinetuneRun, world: World, device: torch.device) -> Share:
    """What one process of `world` does of each batch. Raises ConfigError when the batch cannot be shared so."""
    split = split_batch(config.length, world.size, f"{config.phase}.length")
    return Share(Group(world, device), split, config.length.batch_size)


@dataclass
class Outcome:
    """Of a step; the same on all processes."""

    values: dict[str, float]
    """Losses (``loss`` = weighted total, ``loss_NAME`` = terms), statistics, grad_norm: of the whole batch."""
    replaced: list[str]
    """Ids of unreadable videos whose place another one took."""
    stopped_by: str
    """The signal that asks for the end of the run; '' = none."""


class Stepper:
    """Makes the steps of a run; :meth:`begin` whenever a turn has changed what is trained."""

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer, share: Share, clip_norm: float) -> None:
        self.task, self.optimizer, self.share, self.clip_norm = task, optimizer, share, clip_norm
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._gradients: GradientMean | None = None

    def begin(self, turn: Turn) -> None:
        self.close()
        self.turn = turn
        group = self.share.group
        self._gradients = GradientMean((p for p in self.parameters if p.requires_grad), group)
        self._statistics = RunningStatistics(self.task.modules, group)

    def close(self) -> None:
        if self._gradients is not None:
            self._gradients.close()

    def step(self, step: int, clip: Tensor, batch: Batch, generator: torch.Generator, stop: StopFlag) -> Outcome:
        """One step on this process's share of the batch, ``clip`` [B, T, 3, H, W] being on the device.

        Raises NonFiniteLoss before any parameter has changed.
        """
        assert self._gradients is not None
        self.optimizer.zero_grad(set_to_none=True)
        micro, accumulation = self.share.split
        sums: dict[str, Tensor] = {}
        for index in range(accumulation):
            part = slice(index * micro, (index + 1) * micro)
            some = batch if accumulation == 1 else _part(batch, part)
            losses = self.task.losses(clip[part], some, self.turn, generator)
            if index == accumulation - 1:
                self._gradients.arm()
            (losses.total if accumulation == 1 else losses.total / accumulation).backward()
            terms = {f"loss_{name}": value for name, value in losses.terms.items()}
            for name, value in {"loss": losses.total, **terms, **losses.stats}.items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
        self._gradients.finish()
        self._statistics.average()
        trained = [p for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in trained])
        means = {name: value if accumulation == 1 else value / accumulation for name, value in sums.items()}
        outcome = self._agree(means | {"grad_norm": norm}, batch, stop)
        self._check(outcome.values, step, batch)
        if self.clip_norm:
            nn.utils.clip_grads_with_norm_(trained, self.clip_norm, norm)
        self.optimizer.step()
        return outcome

    def _agree(self, named: dict[str, Tensor], batch: Batch, stop: StopFlag) -> Outcome:
        """Means over the processes, and who of them has to stop or lost a video, in one exchange and one transfer."""
        group, world = self.share.group, self.share.world
        device = named["loss"].device
        signals = [float(stop.signal_name == number.name) for number in SIGNALS]
        stacked = torch.stack([value.detach().to(device, torch.float32).reshape(()) for value in named.values()])
        if group.size > 1:
            flags = torch.tensor([*signals, len(batch["replaced"])], dtype=torch.float32, device=device)
            summed = group.total(torch.cat([stacked / group.size, flags]))
            *figures, missing = summed.tolist()
            figures, signals = figures[: len(named)], figures[len(named) :]
        else:
            figures, missing = stacked.tolist(), len(batch["replaced"])
        replaced = [video for part in world.gather_all(batch["replaced"]) for video in part] if missing else []
        names = [number.name for number, count in zip(SIGNALS, signals, strict=True) if count]
        return Outcome(dict(zip(named, figures, strict=True)), replaced, names[0] if names else "")

    def _check(self, values: dict[str, float], step: int, batch: Batch) -> None:
        losses = {name: value for name, value in values.items() if name != "grad_norm"}
        finite = all(map(math.isfinite, losses.values()))
        if finite and math.isfinite(values["grad_norm"]):
            return
        what, shown = ("the gradient", values) if finite else ("the loss", losses)
        videos = [video for part in self.share.world.gather_all(batch["video_id"]) for video in part]
        numbers = ", ".join(f"{name}={value:.6g}" for name, value in shown.items())
        raise NonFiniteLoss(
            f"{what} of step {step} is not finite ({numbers}); videos of the batch: {', '.join(videos)}. "
            "The parameters are those of the step before: lower optim.lr, or set optim.clip_norm or "
            "compute.precision=fp32"
        )


def _part(batch: Batch, part: slice) -> Batch:
    """The clips of one forward pass; the pixels are already elsewhere."""
    some: Any = dict(batch)
    return some | {key: some[key][part] for key in ("label", "group", "video_id") if key in some}
