"""The one training loop: counts steps, and ends the same however often it was interrupted."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hcml.config import ComputeConfig, OptimConfig, Runtime
from hcml.data.loader import ClipBatch
from hcml.data.stream import BatchStream
from hcml.objectives.curriculum import Turn, turn_at
from hcml.objectives.self_supervision import Losses
from hcml.training import checkpoint
from hcml.training.arithmetic import place_clip, seed_everything, step_seed
from hcml.training.journal import Journal
from hcml.training.optim import build_optimizer, lr_at, set_lr
from hcml.training.preemption import Preempted, StopFlag
from hcml.training.progress import ProgressReport
from hcml.training.tally import Tally

log = logging.getLogger(__name__)

Batch = ClipBatch
OnStep = Callable[[int, int], None]
"""Called with (finished steps, total steps) after every step."""
WAITING_SHARE = 0.2
"""Share of the time spent waiting for clips above which the end of the run says so."""


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


def train_loop(
    task: Task,
    batches: Callable[[int], BatchStream[Batch]],
    *,
    batch_size: int,
    optim: OptimConfig,
    compute: ComputeConfig,
    runtime: Runtime,
    seed: int,
    folder: Path,
    identity: dict[str, Any],
    on_step: OnStep | None = None,
) -> Tally:
    """Train ``task`` through all its turns, from the newest checkpoint in ``folder/checkpoints`` if there is one.

    Args:
        batches: first step -> the stream of batches from that step on (hcml.data.loader), closed at the end.
        identity: plain dict that a checkpoint must equal to be resumed.

    Returns what the run has seen and used; ``task.modules`` holds the trained weights, saved at the last step.

    Raises NonFiniteLoss, UnreadableVideos, checkpoint.CheckpointError, and Preempted after SIGTERM or SIGUSR2 (a
    checkpoint of the last finished step is written first).
    """
    total = task.turns[-1].end
    device = next(task.modules.parameters()).device
    optimizer = build_optimizer(task.trained_parameters(), optim)
    checkpoints = folder / "checkpoints"
    tally = _resume(checkpoints, identity, task, optimizer)

    def save() -> None:
        journal.sync()
        state = {
            "modules": task.modules.state_dict(),
            "optimizer": optimizer.state_dict(),
            "tally": tally.to_plain(),
        }
        checkpoint.save(checkpoints, tally.step, identity, state)

    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(folder / "metrics.jsonl", tally.step))
        if tally.step == total:
            return tally
        stop = stack.enter_context(StopFlag())
        stream = stack.enter_context(batches(tally.step))
        progress = stack.enter_context(ProgressReport(task.label, tally.step, total))
        saved_at = time.monotonic()
        turn: Turn | None = None
        for step in range(tally.step, total):
            if turn is None or step == turn.end:
                turn = turn_at(task.turns, step)
                task.begin(turn)
            began = time.perf_counter()
            batch = next(stream)
            fetched = time.perf_counter()
            tally.replace(batch["replaced"], total * batch_size)
            lr = lr_at(step - turn.first_step, turn.num_steps, optim)
            set_lr(optimizer, lr)
            seed_everything(step_seed(seed, step))
            generator = torch.Generator().manual_seed(step_seed(seed, step))
            losses = task.losses(place_clip(batch["clip"], device, compute), batch, turn, generator)
            values = _optimise(losses, optimizer, optim.clip_norm, step, batch)
            tally.add(values, len(batch["video_id"]), fetched - began, time.perf_counter() - fetched)

            done = tally.step
            if done % runtime.log_every == 0 or done == turn.end:
                means = tally.close_interval()
                raised = tally.watch(settled=step - turn.first_step >= optim.warmup * turn.num_steps)
                speed = batch_size / (means["data_time"] + means["step_time"])
                line = {"step": done, "active_levels": turn.active_levels, "lr": lr, "epoch": float(batch["epoch"])}
                journal.write({**line, **means, "clips_per_second": speed, "alarms": sorted(raised)})
                progress.interval(done, {name: means[name] for name in means if name.startswith("loss")}, speed)
            progress.step(done)
            due = time.monotonic() - saved_at >= 60 * runtime.save_minutes
            stopping = bool(stop)  # read once: a signal that comes during the save waits for the next step
            if stopping or due or done % runtime.save_every == 0 or done == total:
                save()
                saved_at = time.monotonic()
            if on_step is not None:
                on_step(done, total)
            if stopping:
                raise Preempted(done, stop.signal_name)
    if (share := tally.costs()["data_time_share"]) > WAITING_SHARE:
        log.warning("%s waited for clips %.0f %% of the time: raise runtime.workers", task.label, 100 * share)
    return tally


def _resume(folder: Path, identity: dict[str, Any], task: Task, optimizer: torch.optim.Optimizer) -> Tally:
    state = checkpoint.load_latest(folder, identity)
    if state is None:
        return Tally()
    task.modules.load_state_dict(state["modules"])
    optimizer.load_state_dict(state["optimizer"])
    log.info("%s goes on from step %d (%s)", task.label, state["step"], folder)
    return Tally(**state["tally"])


def _optimise(
    losses: Losses, optimizer: torch.optim.Optimizer, clip_norm: float, step: int, batch: Batch
) -> dict[str, float]:
    """One optimiser step; returns losses (``loss`` = weighted total, ``loss_NAME`` = terms), statistics, grad_norm."""
    optimizer.zero_grad(set_to_none=True)
    named = {"loss": losses.total, **{f"loss_{name}": value for name, value in losses.terms.items()}, **losses.stats}
    values = _floats(named)
    if not all(map(math.isfinite, values.values())):
        raise _non_finite("the loss", step, values, batch)
    losses.total.backward()
    trained = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in trained])
    values["grad_norm"] = float(norm)
    if not math.isfinite(values["grad_norm"]):
        raise _non_finite("the gradient", step, values, batch)
    if clip_norm:
        nn.utils.clip_grads_with_norm_(trained, clip_norm, norm)
    optimizer.step()
    return values


def _floats(named: dict[str, Tensor]) -> dict[str, float]:
    """All scalars in one transfer from the device."""
    device = named["loss"].device
    stacked = torch.stack([value.detach().to(device, torch.float32).reshape(()) for value in named.values()])
    return dict(zip(named, stacked.tolist(), strict=True))


def _non_finite(what: str, step: int, values: dict[str, float], batch: Batch) -> NonFiniteLoss:
    numbers = ", ".join(f"{name}={value:.6g}" for name, value in values.items())
    return NonFiniteLoss(
        f"{what} of step {step} is not finite ({numbers}); videos of the batch: {', '.join(batch['video_id'])}. "
        "The parameters are those of the step before: lower optim.lr, or set optim.clip_norm or compute.precision=fp32"
    )
