"""A run of two processes, as a launcher starts them: one status, one log, exit codes that agree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hcml.config import Runtime
from sweeps.job import DONE, FAILED, IN_USE, PREEMPTED, UNUSABLE
from sweeps.lock import FolderLock
from sweeps.provenance import ROOT
from sweeps.resolve import resolve
from sweeps.store import Store, read_json

pytestmark = pytest.mark.slow

PROCESS = """
import os, signal, sys, time
import torch, torch.distributed as dist
import sweeps.job
from hcml.training.distributed import joined
from hcml.training.loop import StopFlag
from hcml.training.preemption import Preempted

sweeps.job.LOCK_WAIT = 0.1
what, rank = os.environ["WHAT"], int(os.environ["RANK"])

def work(job):
    with joined(on_failure=job.abandon, patience=job.patience) as world:
        (job.folder / f"here-{rank}").touch()
        if what == "hang":
            if rank == 1:
                raise ValueError("this rank cannot go on")
            time.sleep(600)
        if what == "wait":
            time.sleep(600)
        for step in range(1 if what == "finish" else 10**6):
            if what == "raise" and rank == 1 and step == 3:
                raise ValueError("this rank cannot go on")
            if what == "kill" and rank == 1 and step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "stop" and step == 3:
                raise Preempted(3, "SIGTERM")
            dist.all_reduce(torch.ones(1))
        job.count(5, 10)
        if rank == 0:
            (job.folder / "record.json").write_text("{}")
    return {}

sys.exit(sweeps.job.main(work=work))
"""


@pytest.fixture
def folder(settings, tmp_path):
    (run,) = resolve(settings("phase=finetune", "init=scratch"))
    frozen = {"fingerprint": "code-a", "commit": "", "dirty": ""}
    return Store(tmp_path / "runs").prepare(run, Runtime(heartbeat=0.05), frozen)


def start(folder: Path, what: str) -> list[subprocess.Popen]:
    """Both processes of the run in `folder`, told their place as a launcher tells it."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "WHAT": what,
        "WORLD_SIZE": "2",
        "HCML_RENDEZVOUS": str(folder / ".meeting-1"),
    }
    command = [sys.executable, "-P", "-c", PROCESS, str(folder)]
    places = ({"RANK": str(k), "LOCAL_RANK": str(k)} for k in range(2))
    pipe = subprocess.PIPE
    return [subprocess.Popen(command, env=environment | place, stdout=pipe, stderr=pipe, text=True) for place in places]


def ends(processes: list[subprocess.Popen]) -> list[int]:
    try:
        return [process.wait(60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def status(folder: Path) -> dict:
    return read_json(folder / "status.json") or {}


def test_both_are_done_and_the_first_one_writes(folder):
    assert ends(start(folder, "finish")) == [DONE, DONE]
    assert (status(folder)["state"], status(folder)["step"]) == ("done", 5)
    assert not (folder / ".meeting-1").exists() and not (folder / "lock.json").exists()


def test_started_again_when_all_is_done_both_end_at_once(folder):
    assert ends(start(folder, "finish")) == [DONE, DONE]
    assert ends(start(folder, "raise")) == [DONE, DONE]
    assert status(folder)["state"] == "done"


@pytest.mark.parametrize("how", ["raise", "hang"])
def test_the_failure_of_another_process_is_the_failure_of_the_run(folder, how):
    assert ends(start(folder, how)) == [FAILED, FAILED]
    found = status(folder)
    assert found["state"] == "failed"
    assert found["message"] == "rank 1 of 2 failed: ValueError: this rank cannot go on"
    text = (folder / "log.txt").read_text()
    assert "rank 1 of 2 failed:\nTraceback" in text and "in work" in text


def test_a_process_that_is_killed_fails_the_run(folder):
    assert ends(start(folder, "kill")) == [FAILED, -signal.SIGKILL]
    assert status(folder)["state"] == "failed"
    assert "RankLost: the connection to another process of this run broke" in status(folder)["message"]


def test_all_stop_together_behind_a_step(folder):
    assert ends(start(folder, "stop")) == [PREEMPTED, PREEMPTED]
    assert status(folder)["state"] == "preempted" and "after step 3" in status(folder)["message"]


@pytest.mark.parametrize("asked", [0, 1])
def test_a_signal_outside_of_the_training_loop_stops_all(folder, asked):
    processes = start(folder, "wait")
    deadline = time.monotonic() + 60
    while not all((folder / f"here-{k}").exists() for k in range(2)) and time.monotonic() < deadline:
        time.sleep(0.05)
    processes[asked].send_signal(signal.SIGTERM)
    assert ends(processes) == [PREEMPTED, PREEMPTED]
    assert status(folder)["state"] == "preempted"


def test_a_folder_in_use_ends_both(folder):
    with FolderLock(folder):
        assert ends(start(folder, "finish")) == [IN_USE, IN_USE]
    assert not (folder / "status.json").exists()


def test_a_probe_is_not_shared(settings, tmp_path):
    run = resolve(settings("phase=probe"))[-1]
    folder = Store(tmp_path / "runs").prepare(run, Runtime(), {"fingerprint": "code-a"})
    processes = start(folder, "finish")
    assert ends(processes) == [UNUSABLE, UNUSABLE]
    assert json.loads((folder / "config.json").read_text())["phase"] == "probe"
