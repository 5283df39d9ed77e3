"""sweeps.slurm.queue on the real commands: what its unit tests take for granted about their output."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeps.slurm import queue
from tests.slurm.cluster import Cluster, missing, until

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()) and not os.environ.get("CI"), reason="SLURM is not installed"),
]
SLOW_TO_END = "#!/bin/sh\ntrap '' TERM\nfor i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1; done\n"

Submit = Callable[..., str]


@pytest.fixture
def submit(cluster: Cluster, tmp_path: Path) -> Iterator[Submit]:
    """submit(script, *options of sbatch) -> the job's number."""

    def sbatch(script: str, *options: str) -> str:
        file = tmp_path / "job.sh"
        file.write_text(script)
        done = queue.run_command(["sbatch", "--parsable", "--mem=10", f"-D{tmp_path}", *options, str(file)])
        return done.stdout.strip()

    yield sbatch
    cluster.cancel_all()


def in_queue(base: str) -> dict[str, queue.QueuedJob]:
    return {job.job_id: job for job in queue.queued() if job.job_id.partition("_")[0] == base}


def test_elements_of_an_array_from_submission_to_their_ends(submit: Submit) -> None:
    name = "hcml-pre train-0123456789ab"
    job = submit("#!/bin/sh\nexit $SLURM_ARRAY_TASK_ID\n", "--array=0-2", "--hold", f"--job-name={name}")
    held = in_queue(job)
    assert sorted(held) == [f"{job}_{i}" for i in range(3)]
    assert {(one.state, one.name, one.submission, one.restarts) for one in held.values()} == {
        ("PENDING", name, "0123456789ab", 0)
    }
    assert held[f"{job}_0"].reason == "JobHeldUser" and held[f"{job}_0"].submitted[:2] == "20"
    assert queue.job_state(f"{job}_0") == "PENDING" and queue.job_state("999999") == ""
    assert queue.ended(held) == {}
    subprocess.run(["scontrol", "release", job], check=True, timeout=30)
    until(lambda: len(queue.ended(held)) == 3, 60, "three ends in accounting")
    ends = queue.ended(held)
    assert {key: (end.state, end.exit_code) for key, end in ends.items()} == {
        f"{job}_0": ("COMPLETED", 0),
        f"{job}_1": ("FAILED", 1),
        f"{job}_2": ("FAILED", 2),
    }
    assert all(end.nodes in ("n1", "n2") for end in ends.values())


def test_an_array_cancelled_before_it_began(submit: Submit) -> None:
    job = submit("#!/bin/sh\n", "--array=0-3", "--hold")
    queue.cancel([job, "999999"])  # what is not there is no error
    ids = [f"{job}_{i}" for i in range(4)]
    until(lambda: len(queue.ended(ids)) == 4, 60, "four cancelled elements in accounting")
    assert {end.state for end in queue.ended(ids).values()} == {"CANCELLED"}
    assert not in_queue(job)


def test_a_cancelled_job_that_is_still_ending_is_told_from_a_requeued_one(submit: Submit) -> None:
    job = submit(SLOW_TO_END, "--array=0-1", "--requeue")
    both = [f"{job}_0", f"{job}_1"]
    until(lambda: all(queue.job_state(one) == "RUNNING" for one in both), 60, "two jobs that run")
    # SIGTERM is ignored by the script, so both take KillWait to end
    queue.run_command(["scancel", "--full", both[0]])
    assert queue.requeue(both[1])
    assert queue.job_state(both[0]) in ("CANCELLED", "COMPLETING")
    until(lambda: queue.job_state(both[0]) == "CANCELLED", 30, "the cancelled job")
    assert not queue.requeue(both[0])
    assert queue.job_state(both[1]) in ("REQUEUED", "PENDING")
    assert queue.requeue(both[1])  # it is in the queue again already
    until(lambda: in_queue(job)[both[1]].restarts == 1, 30, "the requeued job in the queue")
    assert queue.ended(both).keys() == {both[0]}


def test_the_limits(cluster: Cluster) -> None:
    found = queue.limits()
    assert found.max_array_size > 1 and found.max_job_count > 1 and found.kill_wait > 0
    assert found.accounting and found.job_requeue and found.version
