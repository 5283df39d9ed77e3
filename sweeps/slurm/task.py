"""`python -m sweeps.slurm.task SUBMISSION.json`: what a task of an array job does.

It finds its run by the element's index, takes its place among the run's processes, and executes the run. Asked to stop
(time limit, preemption), the run has saved when it returns here, and the job goes back into the queue. The exit code is
0 only if the run is done, so that SLURM's states and dependencies are true.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sweeps.slurm import queue
from sweeps.sweep_file import Submission, read_submission

REQUEUE_WAIT = 120.0
"""Seconds to wait for SLURM to end this process after it has taken the job back into the queue."""
FIRST_WAIT = 900.0
"""Seconds that the other tasks of a stopped run leave the first one to save and to ask SLURM; its end is theirs."""


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    _listen_early()
    submission = folder = None
    try:
        from sweeps import job

        path = Path(arguments[0]).resolve()
        submission = read_submission(path)
        folder = path.parents[2] / submission.tasks[os.environ["SLURM_ARRAY_TASK_ID"]]
        rank, size = take_place(folder, os.environ)
        job_id, restarts = job.scheduler_job()
        if restarts > submission.max_requeues:
            return _give_up(folder, submission, restarts, "")
        # whoever holds the folder is waited for as long as the job may last: a second job of a run is no failure
        os.environ.setdefault("HCML_LOCK_WAIT", "inf")
        print(f"job {job_id}, start {restarts + 1}, rank {rank} of {size}: {folder}", flush=True)

        def parting(code: int) -> int:
            return _part(code, folder, submission)

        code = job.main([str(folder)], parting=parting)
    except KeyboardInterrupt:  # asked to stop before the run had begun to listen
        from sweeps import job

        code = job.PREEMPTED
    if code == job.PREEMPTED:
        for number in (signal.SIGTERM, signal.SIGUSR2):  # what comes now ends what has nothing more to save
            other = int(os.environ.get("SLURM_PROCID", "0")) > 0  # the first may be saving still
            signal.signal(number, signal.SIG_IGN if other else lambda *_: os._exit(job.PREEMPTED))
    return _part(code, folder, submission)


def _part(code: int, folder: Path | None, submission: Submission | None) -> int:
    """The last thing that a task does: a stopped run goes back into the queue. Returns the exit code."""
    from sweeps import job

    if code != job.PREEMPTED:
        return code
    if int(os.environ.get("SLURM_PROCID", "0")):
        time.sleep(FIRST_WAIT)  # srun ends all tasks when one of them ends with an error, the first one, too
        return code
    job_id, restarts = job.scheduler_job()
    if folder is not None and submission is not None and restarts >= submission.max_requeues:
        return _give_up(folder, submission, restarts, "it was stopped once more")
    go_back(job_id)
    return code


def take_place(folder: Path, environment: Mapping[str, str]) -> tuple[int, int]:
    """(rank, number of processes) of this task, from submitit's reading of SLURM's variables; the run is told by RANK
    and its like.

    Processes meet by a file in the run's folder, named by the job and its start, so that neither two jobs nor two
    starts of one can be confused, and no port is agreed upon beforehand.
    """
    import submitit

    place = submitit.JobEnvironment()
    if place.num_tasks > 1:
        start = environment.get("SLURM_RESTART_COUNT") or "0"
        meeting = f".meeting-{environment['SLURM_JOB_ID']}-{start}"
        os.environ.update(
            RANK=str(place.global_rank),
            WORLD_SIZE=str(place.num_tasks),
            LOCAL_RANK=str(place.local_rank),
            HCML_RENDEZVOUS=str(folder / meeting),
        )
    return place.global_rank, place.num_tasks


def go_back(job_id: str) -> None:
    """Into the queue, unless somebody cancelled the job; SLURM may have put it there already."""
    try:
        if "CANCELLED" in queue.job_state(job_id):
            print(f"job {job_id} was cancelled: it stays out of the queue, the checkpoint is there", flush=True)
            return
        if queue.requeue(job_id):
            print(f"job {job_id} is in the queue again", flush=True)
            time.sleep(REQUEUE_WAIT)  # SLURM ends the job; an exit of ours would look like a failure for a moment
            return
    except queue.SchedulerError as error:
        print(f"{error}", file=sys.stderr, flush=True)
    print(f"job {job_id} could not be put into the queue again: type the sweep's command again", file=sys.stderr)


def _give_up(folder: Path, submission: Submission, restarts: int, why: str) -> int:
    from sweeps.job import FAILED, Assignment

    message = (
        f"started {restarts + 1} times ({why or 'SLURM requeued it again'}): type the sweep's command again to go on "
        f"from the checkpoint, with launcher.max_requeues above {submission.max_requeues}"
    )
    print(message, file=sys.stderr, flush=True)
    if int(os.environ.get("SLURM_PROCID", "0")) == 0:
        Assignment(folder).close("failed", message)
    return FAILED


def _listen_early() -> None:
    """Until the run listens itself, a signal stops the process; nothing is lost, and the job goes back."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, stop)


if __name__ == "__main__":
    sys.exit(main())
