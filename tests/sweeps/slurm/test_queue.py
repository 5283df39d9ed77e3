"""What is read from SLURM's commands, also when they fail, hang or are not there.

The texts are those of SLURM 22.05.8 on a cluster of two nodes."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import pytest

from sweeps.slurm import queue
from sweeps.slurm.queue import EndedJob, QueuedJob, SchedulerError

WIDTHS = (48, 24, 12, 24, 128, 96, 256)


def line(*cells: str) -> str:
    return "".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)) + "\n"


def calls_of(file: Path) -> list[list[str]]:
    return [json.loads(text) for text in file.read_text().splitlines()]


@pytest.fixture(autouse=True)
def log_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_bypassed", False)


def test_the_queue_is_read_in_one_call(fake_command, monkeypatch) -> None:
    reason = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
    text = line("86_3", "RUNNING", "2", "2026-11-23T22:11:33", "n[1-2]", "None", "hcml-pretrain-0123456789ab")
    text += line("87", "PENDING", "0", "2026-11-23T22:11:34", "", reason, "a | b  c")
    calls = fake_command("squeue", text)
    assert queue.queued() == [
        QueuedJob("86_3", "hcml-pretrain-0123456789ab", "RUNNING", "", "n[1-2]", 2, "2026-11-23T22:11:33"),
        QueuedJob("87", "a | b  c", "PENDING", reason, "", 0, "2026-11-23T22:11:34"),
    ]
    assert queue.queued()[0].submission == "0123456789ab"
    (first, _) = calls_of(calls)
    assert first[:4] == ["--noheader", "--array", "--user", str(os.getuid())]


def test_an_empty_queue(fake_command) -> None:
    fake_command("squeue", "\n")
    assert queue.queued() == []


def test_a_name_that_is_no_text(fake_command) -> None:
    fake_command("squeue", line("1", "PENDING", "0", "", "", "None", "t\xe4st"))
    assert queue.queued()[0].job_id == "1"


def test_the_users_own_formats_and_filters_change_nothing(fake_command, monkeypatch, tmp_path) -> None:
    for name in ("SQUEUE_FORMAT", "SQUEUE_PARTITION", "SACCT_FORMAT", "SLURM_TIME_FORMAT", "SLURM_CONF"):
        monkeypatch.setenv(name, "mine")
    (tmp_path / "bin" / "env").write_text("#!/bin/sh\nexport -p\n")
    (tmp_path / "bin" / "env").chmod(0o755)
    shown = queue.run_command(["env"]).stdout
    assert "SLURM_CONF" in shown
    assert "SQUEUE_" not in shown and "SACCT_" not in shown and "SLURM_TIME_FORMAT" not in shown


def test_a_missing_command(fake_command) -> None:
    with pytest.raises(SchedulerError, match="no command squeue here: type this on a login node"):
        queue.queued()


def test_a_failing_command(fake_command) -> None:
    fake_command("squeue", err="slurm_load_jobs error: Unable to contact slurm controller (connect failure)", code=1)
    with pytest.raises(SchedulerError, match="squeue failed with exit code 1: .*Unable to contact"):
        queue.queued()


def test_a_hanging_command(fake_command, monkeypatch) -> None:
    fake_command("squeue", seconds=30)
    monkeypatch.setattr(queue, "TIMEOUT", 1.0)
    began = time.monotonic()
    with pytest.raises(SchedulerError, match="squeue gave no answer within 1 s.*try again later"):
        queue.queued()
    assert time.monotonic() - began < 10


def test_arguments_reach_the_command_as_they_are(fake_command, tmp_path) -> None:
    calls = fake_command("sbatch")
    odd = ["--job-name=a b; touch x", "$(touch y)", "new\nline", "../..", "*"]
    queue.run_command(["sbatch", *odd])
    assert calls_of(calls) == [odd]
    assert not (tmp_path / "x").exists()


def test_accounting(fake_command) -> None:
    calls = fake_command(
        "sacct",
        "86_0|COMPLETED|0:0|n1\n86_1|FAILED|1:0|n1\n86_2|RUNNING|0:0|n2\n86_3|CANCELLED by 1000|0:0|n2\n"
        "86_[4-6,8%2]|CANCELLED by 0|0:0|None assigned\n87|OUT_OF_MEMORY|0:125|n1\n90_[0-4:2]|PENDING|0:0|\n",
    )
    ids = [f"86_{i}" for i in range(9)] + ["87", "90_0", "99"]
    found = queue.ended(ids)
    assert found == {
        "86_0": EndedJob("86_0", "COMPLETED", 0, 0, "n1"),
        "86_1": EndedJob("86_1", "FAILED", 1, 0, "n1"),
        "86_3": EndedJob("86_3", "CANCELLED", 0, 0, "n2"),
        **{f"86_{i}": EndedJob(f"86_{i}", "CANCELLED") for i in (4, 5, 6, 8)},
        "87": EndedJob("87", "OUT_OF_MEMORY", 0, 125, "n1"),
    }
    (call,) = calls_of(calls)
    assert call[-1] == "86,87,90,99"


def test_elements_of_an_array_that_never_started() -> None:
    assert list(queue._elements("5_[0-4:2,7%3]")) == ["5_0", "5_2", "5_4", "5_7"]
    assert list(queue._elements("5_1")) == ["5_1"]
    assert list(queue._elements("5_[0-3,...]")) == ["5_0", "5_1", "5_2", "5_3"]


def test_no_accounting_is_said_once(fake_command, caplog) -> None:
    fake_command("sacct", err="Slurm accounting storage is disabled", code=1)
    with caplog.at_level(logging.WARNING):
        assert queue.ended(["1"]) == {} and queue.ended(["1"]) == {}
    assert caplog.text.count("without accounting") == 1


def test_nothing_asked_is_no_call(fake_command) -> None:
    calls = fake_command("sacct")
    assert queue.ended([]) == {}
    queue.cancel([])
    assert not calls.exists()


def test_cancelling(fake_command) -> None:
    calls = fake_command("scancel")
    queue.cancel(str(number) for number in range(450))
    assert [len(call) for call in calls_of(calls)] == [200, 200, 50]


def test_cancelling_what_is_over_is_no_error(fake_command) -> None:
    over = "scancel: error: Kill job error on job id 9_0: Invalid job id specified\n"
    fake_command("scancel", err=over, code=1)
    queue.cancel(["9_0"])
    fake_command(
        "scancel", err=over + "scancel: error: Kill job error on job id 10: Access/permission denied\n", code=1
    )
    with pytest.raises(SchedulerError, match="permission denied"):
        queue.cancel(["9_0", "10"])


SHOWN = "JobId=4 ArrayJobId=2 ArrayTaskId=0 JobState={} Reason=None Restarts=0 ExitCode={} EndTime={} Deadline=N/A"


@pytest.mark.parametrize(
    ("shown", "accounting", "state"),
    [
        (SHOWN.format("RUNNING", "0:0", "2026-11-23T22:11:37"), "", "RUNNING"),
        (SHOWN.format("COMPLETING", "0:0", "Unknown"), "", "REQUEUED"),
        (SHOWN.format("COMPLETING", "0:15", "2026-11-23T22:11:37"), "", "CANCELLED"),
        (SHOWN.format("COMPLETING", "0:0", "2026-11-23T22:11:37"), "2_0|PREEMPTED|0:0|n1\n", "PREEMPTED"),
        (SHOWN.format("COMPLETING", "1:0", "2026-11-23T22:11:37"), "2_0|RUNNING|0:0|n1\n", "COMPLETING"),
        ("", "", ""),
    ],
)
def test_the_state_of_a_job(fake_command, shown: str, accounting: str, state: str) -> None:
    fake_command("scontrol", shown, code=0 if shown else 1)
    fake_command("sacct", accounting)
    assert queue.job_state("2_0") == state


def test_the_state_of_a_job_where_slurm_does_not_answer(fake_command) -> None:
    assert queue.job_state("2_0") == ""


def test_requeueing(fake_command) -> None:
    calls = fake_command("scontrol", [SHOWN.format("RUNNING", "0:0", "Unknown"), ""])
    assert queue.requeue("2_0")
    assert calls_of(calls)[1] == ["requeue", "2_0"]


def test_requeueing_what_slurm_has_requeued_itself(fake_command) -> None:
    fake_command("scontrol", SHOWN.format("PENDING", "0:0", "Unknown"), "2_0: Job is pending execution\n", code=1)
    assert queue.requeue("2_0", pause=0)


def test_requeueing_does_not_undo_a_cancellation(fake_command) -> None:
    calls = fake_command("scontrol", SHOWN.format("COMPLETING", "0:15", "2026-11-23T22:11:37"))
    assert not queue.requeue("2_0")
    assert [call[0] for call in calls_of(calls)] == ["--oneliner"]


def test_requeueing_that_is_forbidden(fake_command) -> None:
    fake_command("scontrol", SHOWN.format("RUNNING", "0:0", "x"), "Requested operation is presently disabled", code=1)
    assert not queue.requeue("2_0", tries=2, pause=0)


def test_the_limits_of_the_cluster(fake_command) -> None:
    fake_command(
        "scontrol",
        "Configuration data as of 2026-11-23T22:00:00\nAccountingStorageType   = accounting_storage/slurmdbd\n"
        "ClusterName             = here\nDependencyParameters    = kill_invalid_depend\nJobRequeue              = 0\n"
        "KillWait                = 5 sec\nMaxArraySize            = 1001\nMaxJobCount             = 10000\n"
        "SchedulerParameters     = bf_interval=5\nSlurmctldParameters     = configless,preempt_send_user_signal\n"
        "SLURM_VERSION           = 22.05.8\n\nSlurmctld(primary) at x is UP\n",
    )
    assert queue.limits() == queue.Limits(1001, 10000, True, 5, False, True, True, "22.05.8", "here")
