"""The state of every run of a sweep, from its run folders and, where there is one, SLURM's queue and accounting.

One overview serves `python sweeps/status.py`, its `--watch`, and the table that a launcher shows while it waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.live import Live, render, summary
from sweeps.states import BAD, STATES, TERMINAL, Evidence, Row, decide
from sweeps.sweep_file import SUBMISSIONS, Submission, submissions
from sweeps.traces import (
    Traces,
    find_folders,
    last_lines,
    last_metrics,
    last_write,
    number,
    printable,
    read_traces,
    unix_time,
)

if TYPE_CHECKING:
    from sweeps.slurm.queue import EndedJob, QueuedJob

__all__ = ["BAD", "STATES", "TERMINAL", "Live", "Row", "printable", "render", "rows", "summary"]

Accounting = Callable[[list[str]], "dict[str, EndedJob]"]
STANDSTILL = 1800.0
"""Seconds without a line of metrics.jsonl after which a run that has steps to do may hang, though its heart beats."""
Key = tuple[str, str]
"""Phase and the first 12 digits of the run_id: what the folder of a run is found by."""


def rows(
    root: Path,
    sweep: Mapping[str, Any],
    queue: Iterable[QueuedJob] | None,
    accounting: Accounting | None,
    now: float | None = None,
) -> list[Row]:
    """One row for each run of the sweep, in its order.

    Args:
        root: of the run folders.
        sweep: content of the sweep's file.
        queue: what squeue said, from before this call; None if there is no queue or it did not answer.
        accounting: job ids -> those that are over (as `sweeps.slurm.queue.ended`); asked at most once, and only for
            jobs that neither their folder nor the queue explains. None = there is none.
        now: Unix time in seconds.

    Nothing is raised for files that are missing or damaged: they are shown as such.
    """
    now = time.time() if now is None else now
    planned = [run for run in sweep.get("runs", []) if isinstance(run, Mapping) and run.get("run_id")]
    folders = find_folders(root, dict.fromkeys(str(run.get("phase")) for run in planned))
    known = list(submissions(root))
    last = {_key_of(task): (one, f"{one.job_id}_{i}") for one in known if one.job_id for i, task in one.tasks.items()}
    jobs = _by_run(known, queue or ())
    found: list[tuple[Mapping[str, Any], Traces, Evidence, Submission | None]] = []
    for run in planned:
        key = (str(run.get("phase")), str(run["run_id"])[:12])
        traces = read_traces(root / folders.get(key, f"{key[0]}/{run.get('name')}"), now)
        submission, job = last.get(key, (None, ""))
        since = unix_time(submission.time) if submission else None
        evidence = Evidence(
            status=traces.status,
            damage=traces.damage,
            recorded=traces.recorded,
            owner=traces.owner,
            alive=traces.alive,
            silent=traces.silent,
            queue_known=queue is not None,
            queued=jobs.get(key),
            submitted=job,
            submitted_ago=None if since is None else now - since,
        )
        found.append((run, traces, evidence, submission))
    if accounting is not None and queue is not None:
        asked = [evidence.submitted for _, _, evidence, _ in found if _unexplained(evidence)]
        over = accounting(asked) if asked else {}
        for _, _, evidence, _ in found:
            evidence.ended = over.get(evidence.submitted)
    states: dict[str, tuple[str, str]] = {}
    result = []
    for run, traces, evidence, submission in found:  # parents come before their children
        evidence.parent = states.get(str(run.get("parent")))
        state, message = decide(evidence)
        states[str(run["run_id"])] = (str(run.get("name")), state)
        result.append(_row(root, now, run, traces, evidence, submission, state, message))
    return result


def _key_of(folder: str) -> Key:
    return folder.partition("/")[0], folder.rpartition("-")[2]


def _by_run(known: Iterable[Submission], queue: Iterable[QueuedJob]) -> dict[Key, QueuedJob]:
    """The job of each run in the queue. A job is known by its name, which is there before anybody could write down its
    number, or else by its number. Of two for the same run, the one that runs."""
    known = list(known)
    by_name = {one.submission: one for one in known}
    by_number = {one.job_id: one for one in known if one.job_id}
    found: dict[Key, QueuedJob] = {}
    for job in queue:
        array, _, index = job.job_id.partition("_")
        submission = by_name.get(job.submission) or by_number.get(array)
        task = submission.tasks.get(index) if submission else None
        if task is None:
            continue
        before = found.get(_key_of(task))
        if before is None or (before.state != "RUNNING" and job.state == "RUNNING"):
            found[_key_of(task)] = job
    return found


def _unexplained(run: Evidence) -> bool:
    """Only accounting can tell how its job ended."""
    if not run.submitted or run.queued is not None or run.alive or run.recorded:
        return False
    return run.status.get("state") != "failed" or run.status.get("job") != run.submitted


def _row(
    root: Path,
    now: float,
    run: Mapping[str, Any],
    traces: Traces,
    evidence: Evidence,
    submission: Submission | None,
    state: str,
    message: str,
) -> Row:
    status, job = traces.status, evidence.queued
    row = Row(str(run["run_id"]), str(run.get("phase")), printable(str(run.get("name"))), state)
    row.message = printable(message)
    metrics = last_metrics(traces.folder) if status else {}
    steps = [value for value in (number(status, "step"), number(metrics, "step")) if value is not None]
    row.step = int(max(steps)) if steps else None
    total = number(status, "total_steps")
    row.total_steps = int(total) if total else None
    row.loss = number(metrics, "loss")
    if state == "done" or (state == "running" and row.total_steps):  # a run that has just begun has no speed yet
        row.clips_per_second = number(metrics, "clips_per_second")
    if state in ("running", "done"):
        row.node = str(traces.owner.get("host") or status.get("host") or "")
        row.job = str(traces.owner.get("job") or status.get("job") or "")
    if state == "running":
        row.seconds_left = _seconds_left(row, metrics, number(run, "seconds"))
        quiet = last_write(traces.folder / "metrics.jsonl", now)
        if quiet > STANDSTILL and row.step is not None and row.step < (row.total_steps or 0) and not row.message:
            row.message = f"no step logged for {quiet / 60:.0f} min: does it hang?"
    if job is not None and state != "done":
        row.job = job.job_id
        row.node = job.nodes if state == "running" else ""
    elif state in BAD and state != "blocked":
        row.job = evidence.submitted or str(status.get("job") or "")
        row.node = (evidence.ended.nodes if evidence.ended else "") or str(status.get("host") or "")
    row.node, row.job = printable(row.node), printable(row.job)
    if state in ("failed", "lost"):
        row.log = _log(root, traces, submission, evidence.submitted)
    return row


def _seconds_left(row: Row, metrics: Mapping[str, Any], planned: float | None) -> float | None:
    """From the speed of the last interval or, for phases that write no metrics, from the plan's estimate."""
    if row.step is None or not row.total_steps:
        return None
    times = [number(metrics, "data_time"), number(metrics, "step_time")]
    if None not in times:
        return (row.total_steps - row.step) * sum(value for value in times if value is not None)
    return planned * (1 - row.step / row.total_steps) if planned is not None else None


def _log(root: Path, traces: Traces, submission: Submission | None, job: str) -> list[str]:
    """The end of the run's own log or, if it died without a word, of what its job has printed (which holds the same
    lines, and what SLURM and the system said)."""
    own = traces.folder / "log.txt"
    spoke = traces.status.get("state") == "failed" and traces.status.get("job") in (None, "", job)
    if submission is not None and job:
        printed = last_lines(root / SUBMISSIONS / submission.submission / f"{job}_0_log.out")
        if printed and not (spoke and own.is_file()):
            return printed
    return last_lines(own)
