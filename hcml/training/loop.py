"""The one training loop: counts steps, and ends the same however often it was interrupted."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hcml.config import ComputeConfig, OptimConfig, Runtime
from hcml.data.stream import BatchStream
from hcml.objectives.curriculum import Turn, turn_at
from hcml.training import checkpoint
from hcml.training.arithmetic import place_clip, seed_everything, step_seed
from hcml.training.distributed import World
from hcml.training.journal import Journal
from hcml.training.optim import build_optimizer, lr_at, set_lr
from hcml.training.preemption import Preempted, StopFlag
from hcml.training.progress import ProgressReport
from hcml.training.step import Batch, NonFiniteLoss, Share, Stepper, Task, share_of
from hcml.training.tally import Tally

__all__ = ["Batch", "NonFiniteLoss", "OnStep", "Share", "Task", "share_of", "train_loop"]

log = logging.getLogger(__name__)

OnStep = Callable[[int, int], None]
"""Called with (finished steps, total steps) after every step."""
WAITING_SHARE = 0.2
"""Share of the time spent waiting for clips above which the end of the run says so."""


def train_loop(
    task: Task,
    batches: Callable[[int], BatchStream[Batch]],
    *,
    share: Share,
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
        batches: first step -> the stream of this process's batches from that step on (hcml.data.loader), closed at
            the end.
        share: this process among those of the run; the first of them alone reads and writes ``folder``.
        identity: plain dict that a checkpoint must equal to be resumed.

    Returns what the run has seen and used; ``task.modules`` holds the trained weights, saved at the last step.

    Raises NonFiniteLoss, UnreadableVideos, checkpoint.CheckpointError, and Preempted after SIGTERM or SIGUSR2 to any
    of the processes: all stop behind the same step, of which a checkpoint is written first.
    """
    total = task.turns[-1].end
    world = share.world
    device = next(task.modules.parameters()).device
    optimizer = build_optimizer(task.trained_parameters(), optim)
    checkpoints = folder / "checkpoints"
    tally = _resume(checkpoints, identity, task, optimizer, world)

    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(folder / "metrics.jsonl", tally.step)) if world.first else None
        if tally.step == total:
            return tally
        stop = stack.enter_context(StopFlag())
        stream = stack.enter_context(batches(tally.step))
        progress = ProgressReport(task.label, tally.step, total) if world.first else None
        if progress is not None:
            stack.enter_context(progress)
        saved_at = time.monotonic()
        turn: Turn | None = None
        stepper = Stepper(task, optimizer, share, optim.clip_norm)
        stack.callback(stepper.close)
        for step in range(tally.step, total):
            world.check()
            if turn is None or step == turn.end:
                turn = turn_at(task.turns, step)
                task.begin(turn)
                stepper.begin(turn)
            began = time.perf_counter()
            batch = next(stream)
            fetched = time.perf_counter()
            lr = lr_at(step - turn.first_step, turn.num_steps, optim)
            set_lr(optimizer, lr)
            seed_everything(step_seed(seed, step, world.rank))
            generator = torch.Generator().manual_seed(step_seed(seed, step))
            clip = place_clip(batch["clip"], device, compute)
            outcome = stepper.step(step, clip, batch, generator, stop)
            tally.replace(outcome.replaced, total * share.batch_size)
            tally.add(outcome.values, share.batch_size, fetched - began, time.perf_counter() - fetched)

            done = tally.step
            if done % runtime.log_every == 0 or done == turn.end:
                means = tally.close_interval()
                raised = tally.watch(settled=step - turn.first_step >= optim.warmup * turn.num_steps)
                speed = share.batch_size / (means["data_time"] + means["step_time"])
                line = {"step": done, "active_levels": turn.active_levels, "lr": lr, "epoch": float(batch["epoch"])}
                if journal is not None and progress is not None:
                    journal.write({**line, **means, "clips_per_second": speed, "alarms": sorted(raised)})
                    progress.interval(done, {name: means[name] for name in means if name.startswith("loss")}, speed)
            if progress is not None:
                progress.step(done)
            due = time.monotonic() - saved_at >= 60 * runtime.save_minutes
            if outcome.stopped_by or due or done % runtime.save_every == 0 or done == total:
                if journal is not None:
                    journal.sync()
                    checkpoint.save(checkpoints, done, identity, _state(task, optimizer, tally))
                saved_at = time.monotonic()
            if on_step is not None:
                on_step(done, total)
            if outcome.stopped_by:
                raise Preempted(done, outcome.stopped_by)
    if (waited := tally.costs()["data_time_share"]) > WAITING_SHARE:
        log.warning("%s waited for clips %.0f %% of the time: raise runtime.workers", task.label, 100 * waited)
    return tally


def _state(task: Task, optimizer: torch.optim.Optimizer, tally: Tally) -> dict[str, Any]:
    return {
        "modules": task.modules.state_dict(),
        "optimizer": optimizer.state_dict(),
        "tally": tally.to_plain(),
    }


def _resume(
    folder: Path, identity: dict[str, Any], task: Task, optimizer: torch.optim.Optimizer, world: World
) -> Tally:
    """What the first process finds in its checkpoint is everybody's start; without one, what it was built with is."""
    state = checkpoint.load_latest(folder, identity) if world.first else None
    if world.size > 1:
        weights = {name: value.cpu() for name, value in task.modules.state_dict().items()} if world.first else {}
        state, weights = world.share((state, weights if state is None else {}))
        if state is None:
            task.modules.load_state_dict(weights)
    if state is None:
        return Tally()
    task.modules.load_state_dict(state["modules"])
    optimizer.load_state_dict(state["optimizer"])
    log.info("%s goes on from step %d (%s)", task.label, state["step"], folder)
    return Tally(**state["tally"])
