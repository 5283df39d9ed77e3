"""Tests shared by processes that know of each other what torchrun would tell them: RANK, WORLD_SIZE, where to meet."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from hcml.config import ComputeConfig, ConfigError, Runtime, to_dict
from hcml.data.manifest import Data
from hcml.model import build_model
from hcml.training import evaluate, watcher
from hcml.training.checkpoint import CheckpointError
from hcml.training.collectives import Group
from hcml.training.distributed import World, _is_connection, joined, rank, world_size
from hcml.training.transfer import save_weights
from tests.hcml.training.processes import run_processes

if TYPE_CHECKING:
    from hcml.config import TestRun

    Make = Callable[..., TestRun]
    Job = tuple[TestRun, Data, Runtime, Path, int]


def work(job: Job, folder: Path) -> None:
    """What each process does."""
    config, data, runtime, weights, fails = job
    with joined() as world:
        if world.rank == fails:
            evaluate.view_logits = broken
        report = evaluate.run_test(config, data, folder, runtime, weights, world=world)
        assert (report == {}) == (world.rank > 0)
        if report:
            (folder / "report.json").write_text(json.dumps(report))


def broken(*_: object) -> None:
    raise ZeroDivisionError("this rank cannot go on")


def child(place: int, size: int, port: int, job: Job, folder: Path, errors: Path) -> None:
    os.environ |= {"RANK": str(place), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        work(job, folder)
    except BaseException:
        (errors / str(place)).write_text(traceback.format_exc())


def start(size: int, job: Job, folder: Path, errors: Path) -> dict[int, str]:
    """One process for each rank, forked (torch is imported by then); rank -> traceback of those that failed."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    errors.mkdir()
    fork = multiprocessing.get_context("fork")
    running = [fork.Process(target=child, args=(k, size, port, job, folder, errors)) for k in range(size)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        if process.is_alive():
            process.kill()
            raise AssertionError("a process hangs")
        assert process.exitcode == 0
    return {int(path.name): path.read_text() for path in errors.iterdir()}


@pytest.fixture
def job(test_config: Make, data: Data, tmp_path: Path) -> Callable[..., Job]:
    """job(fails=-1, **changes) -> a test of seven videos, of which one cannot be read; rank `fails` fails."""
    torch.manual_seed(1)
    model = test_config().model
    config = to_dict(test_config()) | {"phase": "finetune"}
    weights = save_weights(tmp_path / "parent", build_model(model), config, 6)
    entries = [replace(e, path="gone.mp4") if i == 5 else e for i, e in enumerate(data.test.entries[:7])]
    seven = Data(data.train, replace(data.test, entries=entries))

    def make(fails: int = -1, **changes: object) -> Job:
        run = test_config(compute=ComputeConfig(threads=1), **changes)
        return run, seven, Runtime(device="cpu", workers=0), weights, fails

    return make


@pytest.mark.slow
@pytest.mark.parametrize("views", [{"batch_size": 2}, {"num_clips": 3, "num_crops": 3, "batch_size": 6}])
def test_predictions_are_the_same_for_one_two_and_three_processes(
    job: Callable[..., Job], tmp_path: Path, views: dict[str, int]
) -> None:
    files, reports = [], []
    for size in (1, 2, 3):
        folder = tmp_path / str(size)
        assert start(size, job(**views), folder, tmp_path / f"errors-{size}") == {}
        files.append([(folder / name).read_bytes() for name in ("predictions.csv", "unreadable.csv")])
        reports.append(json.loads((folder / "report.json").read_text()))
    assert files[0] == files[1] == files[2]
    lines = files[0][0].decode().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [f"test-{i:02d}" for i in (0, 1, 2, 3, 4, 6)]
    assert reports[0]["metrics"] == reports[1]["metrics"] == reports[2]["metrics"]
    assert reports[0]["metrics"]["videos"] == 7 and reports[0]["metrics"]["readable"] == 6
    assert [report["costs"]["processes"] for report in reports] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("fails", [0, 2])
def test_one_process_that_fails_ends_all_with_its_traceback(
    job: Callable[..., Job], tmp_path: Path, fails: int
) -> None:
    found = start(3, job(fails=fails, batch_size=1), tmp_path / "run", tmp_path / "errors")
    assert sorted(found) == [0, 1, 2]
    for place, text in found.items():
        assert "ZeroDivisionError: this rank cannot go on" in text
        assert (f"RankFailed: rank {fails} of 3 failed:" in text) == (place != fails)
    assert not (tmp_path / "run" / "predictions.csv").exists()


def test_alone_there_is_nothing_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined() as world:
        assert world == World(0, 1) and world.gather("x") == ["x"]
        world.check()
        world.meet("anywhere")
    with pytest.raises(KeyError), joined():
        raise KeyError("passes")


def test_a_bad_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="WORLD_SIZE='two'"):
        world_size()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    assert rank() == 2
    with pytest.raises(ConfigError, match="RANK=2 but WORLD_SIZE=2"), joined():
        raise AssertionError("never joined")


def test_only_errors_of_torch_distributed_are_read_as_a_lost_connection() -> None:
    assert _is_connection(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:4711"))
    assert _is_connection(torch.distributed.DistBackendError("NCCL error: remote process exited"))
    assert not _is_connection(CheckpointError("cannot write step-1.pt: [Errno 110] Connection timed out"))
    assert not _is_connection(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize("gpus", [True, False])
def test_collectives_of_every_backend_wait_as_long_as_the_world_does(
    monkeypatch: pytest.MonkeyPatch, gpus: bool
) -> None:
    """NCCL's own limit, ten minutes, would end a run whose first process waits for a slow disk."""
    made: list[dict[str, object]] = []
    monkeypatch.setattr(torch.distributed, "new_group", lambda **options: made.append(options))
    monkeypatch.setattr("hcml.training.collectives._gpu", lambda _: "one")
    world = World(0, 2, timeout=timedelta(minutes=42))
    monkeypatch.setattr(World, "gather_all", lambda _, own: [own, own and "another"])
    Group(world, torch.device("cuda" if gpus else "cpu"))
    assert made == [{"backend": "nccl" if gpus else "gloo", "timeout": timedelta(minutes=42)}]


@pytest.mark.slow
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_first_process_stays_until_the_others_know_why(tmp_path: Path, error: type[BaseException]) -> None:
    """It keeps the store: were it gone, a process that looks late would report a broken connection, and one that was
    asked to stop would count as failed."""

    def work(place: int) -> None:
        if place == 1:
            watcher.POLL_SECONDS = 3.0
        with joined() as world:
            if place == 2:
                time.sleep(1.0)
                raise error("the reason")
            while True:
                world.check()
                time.sleep(0.05)

    ends = run_processes(3, tmp_path, work)
    last = {place: text.strip().splitlines()[-1] for place, text in ends.items()}
    if error is KeyboardInterrupt:
        assert last[0] == last[1] == "KeyboardInterrupt: rank 2 of 3 was asked to stop"
    else:
        assert last[0] == last[1] == "ZeroDivisionError: the reason" and "rank 2 of 3 failed" in ends[1]
