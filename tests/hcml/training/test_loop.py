import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hcml.config import ComputeConfig, OptimConfig, Runtime, Split
from hcml.objectives.curriculum import Turn
from hcml.objectives.self_supervision import Losses
from hcml.training.checkpoint import CheckpointError, load_latest
from hcml.training.collectives import Group
from hcml.training.distributed import World
from hcml.training.journal import read_journal
from hcml.training.loop import NonFiniteLoss, Share, train_loop
from hcml.training.preemption import Preempted
from hcml.training.tally import Tally, UnreadableVideos


class Stream:
    """A batch stream from `start` on, whose content depends on the step alone."""

    def __init__(self, start: int, replaced: dict[int, list[str]]) -> None:
        self.step, self.replaced, self.closed = start, replaced, False

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> dict[str, Any]:
        step, self.step = self.step, self.step + 1
        generator = torch.Generator().manual_seed(step)
        return {
            "clip": torch.rand(2, 2, 3, 2, 2, generator=generator),
            "video_id": [f"v{step}", f"w{step}"],
            "replaced": self.replaced.get(step, []),
            "epoch": step / 10,
        }


class ToyTask:
    """A linear layer with dropout; `poison` maps a step to what its loss is multiplied with."""

    label = "toy"

    def __init__(self, poison: dict[int, float] | None = None) -> None:
        torch.manual_seed(0)
        self.modules = nn.Sequential(nn.Dropout(0.5), nn.Linear(24, 1))
        self.turns = [Turn(0, 4, 1), Turn(4, 6, 2)]
        self.poison = poison or {}
        self.begun: list[int] = []
        self.seen: list[tuple[int, float]] = []
        self.step = 0

    def trained_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.modules.named_parameters())

    def begin(self, turn: Turn) -> None:
        self.begun.append(turn.active_levels)

    def losses(self, clip: Tensor, batch: Any, turn: Turn, generator: torch.Generator) -> Losses:
        step = int(batch["video_id"][0][1:])
        noise = torch.rand((), generator=generator)
        self.seen.append((step, float(noise)))
        loss = (self.modules(clip.flatten(1)) - noise).square().mean() * self.poison.get(step, 1.0)
        return Losses(2 * loss, {"square": loss}, {"noise": noise})


def train(task: ToyTask, folder: Path, **changes: Any) -> tuple[Tally, list[Stream]]:
    streams: list[Stream] = []
    replaced = changes.pop("replaced", {})

    def batches(start: int) -> Any:
        streams.append(Stream(start, replaced))
        return streams[-1]

    arguments: dict[str, Any] = {
        "share": Share(Group(World(), torch.device("cpu")), Split(2, 1), 2),
        "optim": OptimConfig(lr=0.1, warmup=0.5),
        "compute": ComputeConfig(),
        "runtime": Runtime(log_every=3, save_every=4),
        "seed": 1,
        "folder": folder,
        "identity": {"seed": 1},
    }
    return train_loop(task, batches, **(arguments | changes)), streams


def test_a_run_counts_logs_and_saves(tmp_path: Path) -> None:
    task, steps = ToyTask(), []
    tally, (stream,) = train(task, tmp_path, on_step=lambda done, total: steps.append((done, total)))
    assert (tally.step, tally.clips) == (10, 20)
    assert task.begun == [1, 2]
    assert steps == [(i, 10) for i in range(1, 11)]
    assert stream.closed
    lines = read_journal(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [3, 4, 6, 9, 10]  # a turn's end closes an interval
    assert [line["active_levels"] for line in lines] == [1, 1, 2, 2, 2]
    assert lines[0]["loss"] == pytest.approx(2 * lines[0]["loss_square"])
    assert {"lr", "epoch", "grad_norm", "noise", "data_time", "step_time", "clips_per_second"} <= lines[0].keys()
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "step-00000008.pt",
        "step-00000010.pt",
    ]


def test_the_learning_rate_restarts_at_each_turn(tmp_path: Path) -> None:
    train(ToyTask(), tmp_path, runtime=Runtime(log_every=1))
    rates = [line["lr"] for line in read_journal(tmp_path / "metrics.jsonl")]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.05, 0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.075, 0.025])


def test_two_runs_are_identical_and_another_seed_is_not(tmp_path: Path) -> None:
    tasks = [ToyTask(), ToyTask(), ToyTask()]
    for i, task in enumerate(tasks):
        train(task, tmp_path / str(i), seed=1 + i // 2)
    assert tasks[0].seen == tasks[1].seen != tasks[2].seen
    assert torch.equal(tasks[0].modules[1].weight, tasks[1].modules[1].weight)
    assert not torch.equal(tasks[0].modules[1].weight, tasks[2].modules[1].weight)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_saves_and_stops_and_the_rest_follows_bit_for_bit(tmp_path: Path, number: signal.Signals) -> None:
    alone = ToyTask()
    train(alone, tmp_path / "alone")

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            os.kill(os.getpid(), number)

    first, second = ToyTask(), ToyTask()
    with pytest.raises(Preempted, match=f"{number.name} after step 6"):
        train(first, tmp_path / "stopped", on_step=interrupt)
    torch.rand(7)  # what happens to the global generator in between changes nothing
    _, (stream,) = train(second, tmp_path / "stopped")
    assert [step for step, _ in second.seen] == [6, 7, 8, 9]
    assert second.begun == [2]
    assert first.seen + second.seen == alone.seen
    for a, b in zip(alone.modules.parameters(), second.modules.parameters(), strict=True):
        assert torch.equal(a, b)
    timeless = [
        [{k: v for k, v in line.items() if "time" not in k and k != "clips_per_second"} for line in read_journal(path)]
        for path in (tmp_path / "alone" / "metrics.jsonl", tmp_path / "stopped" / "metrics.jsonl")
    ]
    assert timeless[0] == timeless[1]


def test_a_finished_run_reads_no_batch(tmp_path: Path) -> None:
    done, _ = train(ToyTask(), tmp_path)
    task = ToyTask()
    again, streams = train(task, tmp_path)
    assert streams == [] and task.seen == []
    assert again == done


def test_another_identity_is_refused(tmp_path: Path) -> None:
    train(ToyTask(), tmp_path)
    with pytest.raises(CheckpointError, match="seed: checkpoint has 1, this run has 2"):
        train(ToyTask(), tmp_path, identity={"seed": 2})


def test_a_checkpoint_is_written_after_some_minutes_too(tmp_path: Path) -> None:
    written = []
    folder = tmp_path / "checkpoints"
    train(
        ToyTask(),
        tmp_path,
        runtime=Runtime(save_every=1000, save_minutes=0.0),
        on_step=lambda done, total: written.append((folder / f"step-{done:08d}.pt").exists()),
    )
    assert written == [True] * 10


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_loss_stops_before_the_optimiser_step(tmp_path: Path, bad: float) -> None:
    task = ToyTask({6: bad})
    before: dict[int, Tensor] = {}
    with pytest.raises(NonFiniteLoss) as caught:
        train(
            task,
            tmp_path,
            on_step=lambda done, total: before.update({done: task.modules[1].weight.detach().clone()}),
        )
    message = str(caught.value)
    assert "step 6" in message and "loss_square=" in message and "v6, w6" in message
    assert max(before) == 6 and torch.equal(task.modules[1].weight, before[6])
    saved = load_latest(tmp_path / "checkpoints", {"seed": 1})
    assert saved is not None and saved["step"] == 4


def test_a_non_finite_gradient_stops_too(tmp_path: Path) -> None:
    class Steep(ToyTask):
        def losses(self, clip: Tensor, batch: Any, turn: Turn, generator: torch.Generator) -> Losses:
            loss = (self.modules[1].weight - self.modules[1].weight.detach()).abs().sqrt().sum()  # 0, slope infinite
            return Losses(loss)

    task = Steep()
    start = task.modules[1].weight.detach().clone()
    with pytest.raises(NonFiniteLoss, match="the gradient of step 0"):
        train(task, tmp_path)
    assert torch.equal(task.modules[1].weight, start)


def test_gradients_are_clipped_and_their_norm_is_logged_unclipped(tmp_path: Path) -> None:
    moved = {}
    for clip_norm in (0.0, 1e-3):
        task = ToyTask({0: 1e3})
        start = task.modules[1].weight.detach().clone()
        optim = OptimConfig(name="sgd", momentum=0.0, lr=1e-3, warmup=0.0, weight_decay=0.0, clip_norm=clip_norm)
        after: dict[int, Tensor] = {}
        train(
            task,
            tmp_path / str(clip_norm),
            optim=optim,
            runtime=Runtime(log_every=1),
            on_step=lambda done, total, task=task, after=after: after.update(
                {done: task.modules[1].weight.detach().clone()}
            ),
        )
        moved[clip_norm] = float((after[1] - start).norm())
        assert read_journal(tmp_path / str(clip_norm) / "metrics.jsonl")[0]["grad_norm"] > 100
    assert moved[1e-3] <= 1.001e-6 < 1e-2 < moved[0.0]


def test_unreadable_videos_are_counted_and_too_many_fail(tmp_path: Path) -> None:
    tally, _ = train(ToyTask(), tmp_path / "one", replaced={3: ["bad"]})
    assert tally.replaced == {"bad": 1}
    with pytest.raises(UnreadableVideos, match="2 of 20 training clips.*bad, worse"):
        train(ToyTask(), tmp_path / "two", replaced={3: ["bad"], 7: ["worse"]})
