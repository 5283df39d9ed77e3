"""What a task of an array job does around its run: its place, its way back into the queue, the number of tries."""

from __future__ import annotations

import json
import os

import pytest

from hcml.training.watcher import Failure
from sweeps import job
from sweeps.slurm import queue, task
from sweeps.store import read_json
from sweeps.sweep_file import Submission, queued_runs, read_submission, submissions, sweep_id, write_submission


@pytest.fixture
def submitted(tmp_path, monkeypatch, settings):
    """A submission of one frozen run as element 3 of array 86; returns (its file, the run's folder)."""
    from hcml.config import Runtime
    from sweeps.resolve import resolve
    from sweeps.store import Store

    run = resolve(settings("levels=0"))[0]
    folder = Store(tmp_path).prepare(run, Runtime(), {"fingerprint": "a"}, data_root="", manifests={})
    made = Submission("0123456789ab", "s", "hcml-finetune-0123456789ab", "code", {"3": f"finetune/{folder.name}"},
                      {}, "", "t", max_requeues=2)  # fmt: skip
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "HCML_RENDEZVOUS", "SLURM_RESTART_COUNT", "HCML_LOCK_WAIT"):
        monkeypatch.setenv(name, "")  # else what the task sets would outlive the test: nothing to be put back
        monkeypatch.delenv(name)
    for name, value in {
        "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "90", "SLURM_ARRAY_JOB_ID": "86", "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NUM_NODES": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(task, "REQUEUE_WAIT", 0.0)
    monkeypatch.setattr(task, "_listen_early", lambda: None)
    monkeypatch.setattr(task.signal, "signal", lambda *_: None)
    return write_submission(tmp_path, made), folder


@pytest.fixture
def requeued(monkeypatch):
    asked = []
    monkeypatch.setattr(queue, "requeue", lambda job_id: asked.append(job_id) or True)
    monkeypatch.setattr(queue, "job_state", lambda job_id: "RUNNING")
    return asked


def ends_with(monkeypatch, code):
    started = []
    monkeypatch.setattr(job, "main", lambda arguments, **_: started.append(arguments[0]) or code)
    return started


def test_the_element_finds_its_run(submitted, requeued, monkeypatch):
    path, folder = submitted
    started = ends_with(monkeypatch, job.DONE)
    assert task.main([str(path)]) == 0
    assert started == [str(folder)] and requeued == []
    assert os.environ["HCML_LOCK_WAIT"] == "inf" and "RANK" not in os.environ


@pytest.mark.parametrize("code", [job.FAILED, job.IN_USE, 74])
def test_a_failure_is_a_failure_to_slurm(submitted, requeued, monkeypatch, code):
    ends_with(monkeypatch, code)
    assert task.main([str(submitted[0])]) == code and requeued == []


def test_a_preempted_run_goes_back_into_the_queue(submitted, requeued, monkeypatch):
    ends_with(monkeypatch, job.PREEMPTED)
    assert task.main([str(submitted[0])]) == job.PREEMPTED
    assert requeued == ["86_3"]


def test_the_other_tasks_of_a_stopped_run_wait_for_the_first(submitted, requeued, monkeypatch):
    """Ending first, they would make srun kill the one that has yet to put the job back into the queue."""
    ends_with(monkeypatch, job.PREEMPTED)
    slept = []
    monkeypatch.setattr(task.time, "sleep", slept.append)
    monkeypatch.setattr(task, "take_place", lambda *_: (1, 2))
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert task.main([str(submitted[0])]) == job.PREEMPTED
    assert slept == [task.FIRST_WAIT] and requeued == []


def test_a_run_that_another_task_stops_goes_back_too(submitted, requeued, monkeypatch):
    """The first task waits in a collective that will never end: its watching thread ends it."""
    path, folder = submitted

    def work(assignment):
        assert assignment.abandon(Failure("interrupted: rank 1 of 2 was asked to stop")) == job.PREEMPTED
        assert requeued == ["86_3"] and read_json(folder / "status.json")["state"] == "preempted"
        assert assignment.abandon(Failure("rank 1 of 2 failed:\nValueError: x")) == job.FAILED
        return {}

    monkeypatch.setattr(job, "carry_out", work)
    monkeypatch.setattr(job, "_listen", lambda: None)
    task.main([str(path)])
    assert requeued == ["86_3"]


def test_a_cancelled_job_stays_out_of_the_queue(submitted, requeued, monkeypatch, capsys):
    ends_with(monkeypatch, job.PREEMPTED)
    monkeypatch.setattr(queue, "job_state", lambda job_id: "CANCELLED")
    task.main([str(submitted[0])])
    assert requeued == [] and "was cancelled" in capsys.readouterr().out


def test_the_number_of_requeues_is_bounded(submitted, requeued, monkeypatch):
    path, folder = submitted
    started = ends_with(monkeypatch, job.PREEMPTED)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    task.main([str(path)])
    assert requeued == ["86_3"] and not (folder / "status.json").exists()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert task.main([str(path)]) == job.FAILED
    status = read_json(folder / "status.json")
    assert requeued == ["86_3"] and len(started) == 2
    assert status["state"] == "failed" and "launcher.max_requeues above 2" in status["message"]
    assert (status["job"], status["restarts"]) == ("86_3", 2)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")  # a node died: SLURM requeues without asking
    assert task.main([str(path)]) == job.FAILED and len(started) == 2


def test_a_scheduler_that_does_not_answer_loses_nothing(submitted, monkeypatch, capsys):
    ends_with(monkeypatch, job.PREEMPTED)

    def silent(job_id):
        raise queue.SchedulerError("scontrol gave no answer")

    monkeypatch.setattr(queue, "job_state", silent)
    assert task.main([str(submitted[0])]) == job.PREEMPTED
    assert "type the sweep's command again" in capsys.readouterr().err


def test_every_process_of_a_run_learns_its_place(submitted, monkeypatch):
    path, folder = submitted
    for name, value in {"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "HCML_RENDEZVOUS"):
        monkeypatch.setenv(name, "")  # undone at the end
    assert task.take_place(folder, os.environ) == (3, 4)
    assert [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")] == ["3", "4", "1"]
    assert os.environ["HCML_RENDEZVOUS"] == str(folder / ".meeting-90-2")


def test_a_finished_run_is_not_run_again(submitted):
    """Requeued although it had ended well, as SLURM does when it kills too late."""
    path, folder = submitted
    (folder / "status.json").write_text('{"state": "done"}')
    (folder / "record.json").write_text("{}")

    def work(assignment):
        raise AssertionError("it was done")

    assert job.main([str(folder)], work=work) == job.DONE


def test_submissions_are_read_back_and_damaged_ones_left_out(submitted, tmp_path):
    path, _ = submitted
    first = read_submission(path)
    later = Submission(**{**json.loads(path.read_text()), "submission": "ba9876543210", "time": "u"})
    write_submission(tmp_path, later)
    (tmp_path / "_submissions" / "broken").mkdir()
    (tmp_path / "_submissions" / "broken" / "submission.json").write_text('{"submission"')
    assert list(submissions(tmp_path)) == [first, later]
    folder = first.tasks["3"]
    # the job is known by its name, though the number was never written down
    assert queued_runs([first], {"86_3": "hcml-finetune-0123456789ab"}) == {folder: "86_3"}
    assert queued_runs([first], {"86_4": "hcml-finetune-0123456789ab", "7": "other", "8_3": "x-unknown"}) == {}
    assert first.job_of(folder) is None
    first.job_id = "86"
    assert (first.job_of(folder), first.job_of("test/x")) == ("86_3", None)


def test_a_sweep_is_named_by_its_runs():
    assert sweep_id(["a", "b"]) == sweep_id(["b", "a"]) != sweep_id(["a"])
    assert len(sweep_id([])) == 12
