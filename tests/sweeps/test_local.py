"""Failure isolation, states and resuming, with real processes around a job that only pretends to train."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from hcml.config import Runtime
from sweeps.execute import Outcome
from sweeps.job import Assignment, execute
from sweeps.local import LocalExecutor
from sweeps.lock import FolderLock
from sweeps.plan import make_plan
from sweeps.provenance import ROOT
from sweeps.resolve import resolve
from sweeps.show import outcome_table
from sweeps.store import FolderError, Store, read_json

CODE = {"fingerprint": "code-a", "commit": "", "dirty": ""}

# a job that hangs says where, and ends: its parent would wait for it for ever
FAKE_JOB = """
import faulthandler
faulthandler.dump_traceback_later(120, exit=True)
import os, signal, sys
from hcml.training.preemption import Preempted
import sweeps.job
from sweeps.job import main

sweeps.job.LOCK_WAIT = 0.1

def work(job):
    what = os.environ["FAKE_" + job.config.phase]
    if what == "raise":
        raise RuntimeError("no luck")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "preempt":
        raise Preempted(3, "SIGTERM")
    if what == "full":
        def full(*_):
            raise OSError(28, "No space left on device")
        sweeps.job.write_json = full
        full()
    if what == "wait":
        (job.folder / "waiting").touch()
        signal.pause()
    job.count(5, 10)
    (job.folder / "record.json").write_text("{}")  # work gives no record, so that no schema is needed here
    return {}

sys.exit(main(work=work))
"""


class FakeExecutor(LocalExecutor):
    def command(self, folder: Path) -> list[str]:
        return [sys.executable, "-P", "-c", FAKE_JOB, str(folder)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def sweep(settings, store, monkeypatch):
    """sweep(pretrain="ok", ...) -> (outcomes by phase-and-levels, plan) of levels 0 and 1."""
    jobs = [resolve(settings("levels=1")), resolve(settings("levels=0"))]

    def go(code="code-a", rerun_stale=False, **what):
        for phase in ("pretrain", "finetune", "test"):
            monkeypatch.setenv(f"FAKE_{phase}", what.get(phase, "ok"))
        plan = make_plan(jobs, lambda run: store.state(run, code), rerun_stale)
        frozen = CODE | {"fingerprint": code}
        outcomes = FakeExecutor(ROOT, report=lambda line: None).execute(
            plan, lambda entry: store.prepare(entry.run, Runtime(heartbeat=0.05), frozen, anew=entry.anew)
        )
        assert outcome_table(plan, outcomes).count("\n") == len(plan.entries) + 2
        names = {f"{e.run.phase}{e.run.config.model.levels}": outcomes[e.run.run_id] for e in plan.entries}
        return {name: outcome.state for name, outcome in names.items()}, names

    return go


ALL = ("pretrain1", "finetune1", "test1", "finetune0", "test0")


def test_a_finished_sweep_is_skipped(sweep, store):
    assert sweep()[0] == dict.fromkeys(ALL, "done")
    status = read_json(next(store.root.glob("test/*-l1-*")) / "status.json")
    assert (status["state"], status["step"], status["total_steps"]) == ("done", 5, 10)
    assert sweep(pretrain="raise", finetune="raise", test="raise")[0] == dict.fromkeys(ALL, "skipped")


@pytest.mark.parametrize(
    "how, state, message",
    [("raise", "failed", "no luck"), ("kill", "failed", "SIGKILL"), ("preempt", "preempted", "after step 3")],
)
def test_a_failing_run_blocks_its_children_and_nothing_else(sweep, store, how, state, message):
    states, outcomes = sweep(pretrain=how)
    assert states == {
        "pretrain1": state,
        "finetune1": "blocked",
        "test1": "blocked",
        "finetune0": "done",
        "test0": "done",
    }
    assert message in outcomes["pretrain1"].message
    (folder,) = store.root.glob("pretrain/*")
    assert read_json(folder / "status.json")["state"] == state
    if how == "raise":
        assert "RuntimeError: no luck" in (folder / "log.txt").read_text()
    assert sweep()[0] == dict.fromkeys(("pretrain1", "finetune1", "test1"), "done") | dict.fromkeys(
        ("finetune0", "test0"), "skipped"
    )


def test_runs_of_other_code_are_kept_until_asked(sweep, store):
    sweep()
    states, outcomes = sweep(code="code-b")
    assert states == dict.fromkeys(ALL, "skipped") and outcomes["test0"].message == "stale"
    assert sweep(code="code-b", rerun_stale=True)[0] == dict.fromkeys(ALL, "done")
    assert len(list(store.root.glob("_stale/*/*/record.json"))) == 5
    assert sweep(code="code-b")[0] == dict.fromkeys(ALL, "skipped")
    assert sweep(code="code-b")[1]["test0"].message == "done"


def test_an_interrupted_run_goes_on_or_starts_anew_when_the_code_changed(sweep, store):
    sweep(pretrain="preempt")
    (folder,) = store.root.glob("pretrain/*")
    (folder / "kept").touch()
    sweep(pretrain="preempt")
    assert (folder / "kept").exists()
    assert sweep(code="code-b", pretrain="ok")[0]["pretrain1"] == "done"
    assert not (folder / "kept").exists() and len(list(store.root.glob("_stale/pretrain/*/kept"))) == 1


def test_stopping_the_sweep_stops_the_run_and_starts_no_other(sweep, store):
    import threading
    import time

    def stop():
        while not list(store.root.glob("pretrain/*/waiting")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    states = sweep(pretrain="wait")[0]
    thread.join()
    assert states == {"pretrain1": "preempted"} | dict.fromkeys(ALL[1:], "blocked")
    (folder,) = store.root.glob("pretrain/*")
    assert read_json(folder / "status.json")["state"] == "preempted"
    assert not (folder / "lock.json").exists()


def test_a_folder_in_use_is_left_alone(sweep, store):
    sweep(pretrain="preempt")
    (folder,) = store.root.glob("pretrain/*")
    with FolderLock(folder):
        states = sweep()[0]
    assert states == {"pretrain1": "running", "finetune1": "blocked", "test1": "blocked"} | dict.fromkeys(
        ("finetune0", "test0"), "skipped"
    )
    assert read_json(folder / "status.json")["state"] == "preempted"


def test_a_full_disk_fails_the_run_and_not_the_sweep(settings, store):
    plan = make_plan([resolve(settings("levels=0"))], lambda run: "new")

    def prepare(entry):
        raise OSError(28, "No space left on device")

    outcomes = LocalExecutor(ROOT, report=lambda line: None).execute(plan, prepare)
    assert [outcome.state for outcome in outcomes.values()] == ["failed", "blocked"]


def test_a_run_that_cannot_even_write_its_status_goes_on_later(sweep, store):
    states, _ = sweep(pretrain="full")
    assert states["pretrain1"] == "failed" and states["test0"] == "done"
    (folder,) = store.root.glob("pretrain/*")
    assert "No space left on device" in (folder / "log.txt").read_text()
    assert not (folder / "lock.json").exists()
    assert sweep()[0]["test1"] == "done"


def test_only_done_and_skipped_are_good():
    good = [s for s in ("done", "skipped", "failed", "blocked", "preempted", "running") if not Outcome(s).bad]
    assert good == ["done", "skipped"]


def test_freezing_keeps_what_a_started_run_was_frozen_with(settings, store):
    small, big = (resolve(settings("levels=0", f"benchmark.test_per_class={n}"))[0] for n in (3, 4))
    assert small.run_id == big.run_id
    folder = store.prepare(small, Runtime(), CODE, profile="quick")
    assert store.state(small, "code-a") == "new"
    (folder / "status.json").write_text('{"state": "preempted"}')
    assert store.prepare(big, Runtime(workers=2), CODE | {"fingerprint": "code-b"}, profile="full") == folder
    frozen = json.loads((folder / "config.json").read_text())
    assert frozen["config"]["benchmark"]["test_per_class"] == 3
    assert frozen["frozen"]["fingerprint"] == "code-a"
    assert (frozen["runtime"]["workers"], frozen["profile"]) == (2, "full")


def test_the_full_id_is_compared(settings, store):
    run = resolve(settings("levels=0"))[0]
    folder = store.prepare(run, Runtime(), CODE)
    frozen = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(frozen | {"run_id": run.run_id[:12] + "0" * 52}))
    with pytest.raises(FolderError, match="move that folder away"):
        store.state(run, "code-a")
    (folder / "config.json").write_text('{"run_id": ')
    with pytest.raises(FolderError, match="damaged"):
        store.state(run, "code-a")


def test_a_late_heartbeat_does_not_take_back_that_a_run_is_done(settings, store):
    """It would be executed once more by the next command."""
    run = resolve(settings("levels=0"))[0]
    folder = store.prepare(run, Runtime(heartbeat=0.001), CODE)

    def work(job):
        job.write_status("running")
        (folder / "record.json").write_text("{}")
        return {}

    for _ in range(5):
        (folder / "status.json").unlink(missing_ok=True)
        assignment = Assignment(folder)
        with FolderLock(folder, 0.001, beat=lambda a=assignment: a.write_status("running")):
            assert execute(assignment, work) == 0
            time.sleep(0.05)  # as the checkpoints are deleted
        assert read_json(folder / "status.json")["state"] == "done"
