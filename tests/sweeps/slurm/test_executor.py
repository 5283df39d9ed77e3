"""Submitting when somebody else does so too, when sbatch does not answer, and when the person leaves meanwhile."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from hcml.config import Runtime
from sweeps.dispatch import describe, requests_of
from sweeps.launch import Job
from sweeps.lock import FolderLock, write_json
from sweeps.plan import make_plan
from sweeps.resolve import resolve
from sweeps.slurm import jobs, queue, submit
from sweeps.slurm.executor import SlurmExecutor
from sweeps.slurm.jobs import Site
from sweeps.store import FolderError, Store
from sweeps.sweep_file import submissions

CODE = {"fingerprint": "a", "commit": "", "dirty": ""}


class Cluster:
    """sbatch and squeue of a cluster on which nothing ever starts."""

    def __init__(self) -> None:
        self.jobs: list[queue.QueuedJob] = []
        self.answers = True

    def sbatch(self, root, submission, array_parallelism):
        number = str(86 + len(self.jobs))
        self.jobs += [queue.QueuedJob(f"{number}_{i}", submission.job_name, "PENDING") for i in submission.tasks]
        if not self.answers:
            raise queue.SchedulerError("sbatch gave no answer within 120 s")
        return number


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setattr(queue, "queued", lambda: list(made.jobs))
    monkeypatch.setattr(queue, "limits", lambda: queue.Limits(max_array_size=1001))
    monkeypatch.setattr(submit, "sbatch", made.sbatch)
    return made


@pytest.fixture
def typed(settings, tmp_path):
    """A sweep of two runs, planned when the queue was empty: (its executor, its plan, folders prepared)."""

    def make(*overrides: str):
        given = settings("launcher=slurm", "levels=1", "phase=finetune", "launcher.detach=true", *overrides)
        made = [Job((), given, Runtime(), tuple(resolve(given)))]
        store = Store(tmp_path / "runs")
        plan = make_plan([made[0].runs], lambda run: store.state(run, "a"))
        requests = requests_of(made, plan)
        sweep = describe(plan, store, requests, {}, given)
        site = Site(store.root, sweep["sweep"], "code", given["launcher"])
        said: list[str] = []
        executor = SlurmExecutor(site, sweep, lambda entry: requests[entry.run.run_id], said.append)
        prepared: list[str] = []

        def prepare(entry):
            prepared.append(entry.run.run_id)
            return store.prepare(entry.run, Runtime(), CODE, anew=entry.anew)

        return executor, plan, prepare, prepared, said

    return make


def test_of_two_commands_typed_at_once_one_submits(cluster, typed):
    first, plan, prepare, prepared, _ = typed()
    second, *_ = typed()
    for executor in (first, second):
        outcomes = executor.execute(plan, prepare)
        assert {outcome.state for outcome in outcomes.values()} == {"queued"}
    assert len(cluster.jobs) == len(prepared) == 2


def test_a_job_whose_number_was_never_heard_is_known_all_the_same(cluster, typed, tmp_path):
    executor, plan, prepare, *_ = typed()
    cluster.answers = False
    with pytest.raises(queue.SchedulerError, match="no answer"):
        executor.execute(plan, prepare)
    assert len(cluster.jobs) == 1 and len(jobs.jobs_in_queue(tmp_path / "runs")) == 1
    cluster.answers = True
    typed()[0].execute(plan, prepare)
    tasks = [task for submission in submissions(tmp_path / "runs") for task in submission.tasks.values()]
    assert len(cluster.jobs) == len(set(tasks)) == len(tasks) == 2


def test_leaving_while_jobs_are_submitted_leaves_none_out(cluster, typed, monkeypatch):
    executor, plan, prepare, *_ = typed("launcher.detach=false")

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return cluster.sbatch(*arguments)

    monkeypatch.setattr(submit, "sbatch", interrupted)
    executor.execute(plan, prepare)
    assert executor.left == "interrupted" and len(cluster.jobs) == 2


def test_what_waits_for_a_job_that_is_gone_is_submitted_anew(cluster, typed, monkeypatch, tmp_path):
    """SLURM says DependencyNeverSatisfied only at its next look at the queue, up to a minute later."""
    executor, plan, prepare, *_ = typed()
    executor.execute(plan, prepare)
    parent, child = cluster.jobs
    waits = replace(child, reason="Dependency")
    monkeypatch.setattr(queue, "cancel", lambda ids: cluster.jobs.clear() if list(ids) == [child.job_id] else None)
    cluster.jobs = [parent, waits]
    assert set(jobs.jobs_in_queue(tmp_path / "runs").values()) == {parent.job_id, child.job_id}
    folder = Store(tmp_path / "runs").folder(plan.entries[0].run)
    cluster.jobs = [waits]
    write_json(folder / "status.json", {"state": "done"})
    assert set(jobs.jobs_in_queue(tmp_path / "runs").values()) == {child.job_id}, "it is about to start"
    write_json(folder / "status.json", {"state": "failed"})
    assert jobs.jobs_in_queue(tmp_path / "runs") == {} and cluster.jobs == []


@pytest.mark.parametrize("becomes, there", [("REQUEUED", 1), ("COMPLETED", 0)])
def test_a_job_on_its_way_back_is_in_the_queue(cluster, typed, monkeypatch, tmp_path, becomes, there):
    executor, plan, prepare, *_ = typed()
    executor.execute(plan, prepare)
    cluster.jobs = [replace(cluster.jobs[0], state="COMPLETING")]
    monkeypatch.setattr(queue, "job_state", lambda job_id: becomes)
    assert len(jobs.jobs_in_queue(tmp_path / "runs")) == there


def test_a_job_whose_run_has_failed_is_as_good_as_gone(cluster, typed, monkeypatch, tmp_path):
    executor, plan, prepare, *_ = typed()
    executor.execute(plan, prepare)
    parent, child = cluster.jobs
    cluster.jobs = [replace(parent, state="RUNNING", restarts=1), replace(child, reason="Dependency")]
    cancelled: list[str] = []
    monkeypatch.setattr(queue, "cancel", cancelled.extend)
    folder = Store(tmp_path / "runs").folder(plan.entries[0].run)
    write_json(folder / "status.json", {"state": "failed", "job": parent.job_id, "restarts": 0})
    assert len(jobs.jobs_in_queue(tmp_path / "runs")) == 2 and not cancelled, "it is being tried again"
    write_json(folder / "status.json", {"state": "failed", "job": parent.job_id, "restarts": 1})
    assert jobs.jobs_in_queue(tmp_path / "runs") == {} and cancelled == [child.job_id]


def test_a_folder_that_has_come_into_use_is_not_moved_aside(typed, tmp_path):
    """Two local sweeps share a run that both have planned to begin anew: one of them has started it."""
    _, plan, prepare, *_ = typed()
    folder = prepare(plan.entries[0])
    with FolderLock(folder):
        with pytest.raises(FolderError, match="is in use"):
            Store(tmp_path / "runs").prepare(plan.entries[0].run, Runtime(), CODE, anew=True)
        assert (folder / "lock.json").is_file()
