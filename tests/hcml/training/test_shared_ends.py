"""Shared trainings in which a process fails, hangs or is killed end in all, with the reason."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hcml.config import LengthConfig, Runtime
from hcml.data.manifest import Data
from hcml.training import watcher
from hcml.training.distributed import joined
from tests.hcml.training.processes import run_processes, train

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fails", [0, 1])
def test_a_process_that_fails_ends_all_with_its_traceback(
    configs: Callable, data: Data, runtime: Runtime, tmp_path: Path, fails: int
) -> None:
    config = configs("finetune")

    def work(rank: int) -> None:
        def break_down(done: int, total: int) -> None:
            if rank == fails and done == 3:
                raise ZeroDivisionError("this rank cannot go on")

        with joined() as world:
            train(config, data, tmp_path / "run", runtime, world, on_step=break_down)

    ends = run_processes(2, tmp_path, work)
    assert "ZeroDivisionError: this rank cannot go on" in ends[fails] and "RankFailed" not in ends[fails]
    assert f"RankFailed: rank {fails} of 2 failed:\nTraceback" in ends[1 - fails]
    assert "in break_down" in ends[1 - fails] and "ZeroDivisionError: this rank cannot go on" in ends[1 - fails]


@pytest.mark.parametrize("reason", [ZeroDivisionError("this rank cannot go on"), KeyboardInterrupt()])
def test_a_process_that_hangs_is_ended_from_beside(
    tmp_path: Path, reason: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collective of NCCL waits for ever, and no signal reaches it."""
    monkeypatch.setattr(watcher, "GRACE_SECONDS", 0.5)

    def work(rank: int) -> None:
        def on_failure(failure: watcher.Failure) -> int:
            (tmp_path / "left.json").write_text(json.dumps([failure.text, failure.summary, failure.interrupted]))
            return 0

        with joined(on_failure=on_failure):
            if rank == 1:
                raise reason
            time.sleep(600)

    ends = run_processes(2, tmp_path, work, killed=0)
    assert sorted(ends) == [1]
    text, summary, interrupted = json.loads((tmp_path / "left.json").read_text())
    if interrupted:
        assert isinstance(reason, KeyboardInterrupt) and summary == "rank 1 of 2 was asked to stop"
    else:
        assert text.startswith("rank 1 of 2 failed:\nTraceback") and "in work" in text
        assert summary == "rank 1 of 2 failed: ZeroDivisionError: this rank cannot go on"


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_the_others(
    configs: Callable, data: Data, runtime: Runtime, tmp_path: Path, killed: int
) -> None:
    config = configs("finetune")
    began = time.monotonic()

    def work(rank: int) -> None:
        def die(done: int, total: int) -> None:
            if rank == killed and done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        with joined() as world:
            train(config, data, tmp_path / "run", runtime, world, on_step=die)

    ends = run_processes(2, tmp_path, work, killed=killed)
    assert sorted(ends) == [1 - killed] and time.monotonic() - began < 60
    assert re.search("RankLost: the connection to another process|RankFailed: rank 0 of 2", ends[1 - killed])


def test_unreadable_videos_of_all_processes_are_counted(
    configs: Callable, data: Data, runtime: Runtime, tmp_path: Path
) -> None:
    broken = [replace(e, path="gone.mp4") if i in (2, 3) else e for i, e in enumerate(data.train.entries)]
    lost = Data(replace(data.train, entries=broken), data.test)

    def work(_: int) -> None:
        with joined() as world:
            train(configs("finetune"), lost, tmp_path / "run", runtime, world)

    ends = run_processes(2, tmp_path, work)
    assert len(ends) == 2 and all("UnreadableVideos: " in text and "train-02" in text for text in ends.values())


def test_a_split_that_does_not_fit_is_refused_with_the_numbers(
    configs: Callable, data: Data, runtime: Runtime, tmp_path: Path
) -> None:
    config = configs("finetune", length=LengthConfig(steps=2, batch_size=8, micro_batch=8))

    def work(_: int) -> None:
        with joined() as world:
            train(config, data, tmp_path / "run", runtime, world)

    ends = run_processes(2, tmp_path, work)
    assert "2 processes x finetune.length.micro_batch=8 x finetune.length.accumulation=1 = 16 clips" in ends[0]
