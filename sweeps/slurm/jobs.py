"""Jobs of runs: which are in the queue, submitting those that are not, and submitting some again as they are frozen."""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hcml.config import ConfigError
from sweeps.freeze import run_from_dict
from sweeps.identity import PlannedRun
from sweeps.launchers import Request
from sweeps.slurm import queue, submit
from sweeps.slurm.arrays import make_arrays
from sweeps.store import Store, now, read_json
from sweeps.sweep_file import SUBMISSIONS, Submission, new_submission_id, queued_runs, submissions, write_submission

log = logging.getLogger(__name__)

NEVER = "DependencyNeverSatisfied"
Report = Callable[[str], None]


@contextmanager
def submitting(root: Path) -> Iterator[None]:
    """One command at a time looks into the queue and submits what it does not find there: of two that are typed at
    once, the second finds the jobs of the first."""
    folder = root / SUBMISSIONS
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".guard", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks
            log.warning("%s cannot be locked (%s): type no second command at the same moment", folder, error)
        yield


@dataclass
class Site:
    """What submitting needs to know beside the runs."""

    root: Path
    """Of the run folders."""
    sweep: str
    code: str
    launcher: Mapping[str, Any]
    """`launcher.*` as plain types."""
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: queue.Limits | None = None

    def max_array(self) -> int:
        """Elements of an array: the user's number, below what the cluster and the number of jobs allow."""
        if self.limits is None:
            self.limits = queue.limits()
        known = [self.launcher["max_array"], self.limits.max_array_size, self.launcher["max_submit"]]
        return min(number for number in known if number)


def jobs_in_queue(root: Path) -> dict[str, str]:
    """Run folder (relative to `root`) -> id of its job that is waiting or running, whoever submitted it.

    Jobs whose parent has failed can never start, though SLURM may take a minute to say so: they are cancelled, and so
    planned anew. Raises SchedulerError.
    """
    found = queue.queued()
    known = list(submissions(root))
    mine = queued_runs(known, {job.job_id: job.name for job in found})
    # a job that ends is out of the queue already, unless it is on its way back
    ending = {job.job_id for job in found if job.state == "COMPLETING"} & set(mine.values())
    ending -= {job_id for job_id in ending if queue.job_state(job_id) == "REQUEUED"}
    folders = {job_id: folder for folder, job_id in mine.items()}
    ending |= {job.job_id for job in found if job.job_id in folders and _has_failed(root / folders[job.job_id], job)}
    never = _never_to_start(root, known, [job for job in found if job.job_id not in ending], mine)
    if never:
        queue.cancel(sorted(never))
    return {folder: job_id for folder, job_id in mine.items() if job_id not in never | ending}


def _has_failed(folder: Path, job: queue.QueuedJob) -> bool:
    """Its run has ended by an error, and its processes are about to."""
    if job.state != "RUNNING":
        return False
    status = read_json(folder / "status.json") or {}
    this_start = status.get("job") == job.job_id and status.get("restarts") == job.restarts
    return status.get("state") == "failed" and this_start


def _never_to_start(
    root: Path, known: Sequence[Submission], found: Sequence[queue.QueuedJob], mine: Mapping[str, str]
) -> set[str]:
    """Jobs that wait for a job which is gone without success, and those that wait for them."""
    ours, there = set(mine.values()), {job.job_id for job in found}
    never = {job.job_id for job in found if job.reason == NEVER} & ours
    by_id, by_number = {s.submission: s for s in known}, {s.job_id: s for s in known}
    parents = {}
    for job in found:
        if job.job_id in ours and job.reason == "Dependency":
            behind = by_id[job.submission].dependency.partition(":")[2]
            parents[job.job_id] = behind if "_" in behind else f"{behind}_{job.job_id.partition('_')[2]}"
    for parent in set(parents.values()) - there:
        number, _, index = parent.partition("_")
        folder = by_number[number].tasks.get(index) if number in by_number else None
        if folder is not None and (read_json(root / folder / "status.json") or {}).get("state") != "done":
            never |= {job_id for job_id, behind in parents.items() if behind == parent}
    while more := {job_id for job_id, behind in parents.items() if behind in never} - never:
        never |= more
    return never


def submit_runs(
    runs: Sequence[PlannedRun],
    folder_of: Callable[[PlannedRun], str],
    request_of: Callable[[PlannedRun], Request],
    queued: Mapping[str, str],
    site: Site,
    report: Report = print,
) -> dict[str, str]:
    """Submit runs (parents first) and return run_id -> job id of those for which there was room; the others are to be
    submitted later, by another call with what is in the queue then.

    `folder_of` gives a run's folder relative to the root, `queued` the jobs of runs that are in the queue.
    Raises SchedulerError when sbatch refuses, ConfigError for what it cannot be given.
    """
    arrays = make_arrays(runs, request_of, queued, site.max_array())
    room = site.launcher["max_submit"] - len(queued) if site.launcher["max_submit"] else None
    ids: list[str] = []
    submitted: dict[str, str] = {}
    for array in arrays:
        if room is not None and len(submitted) + len(array.elements) > room:
            break
        request = array.request
        identity = new_submission_id()
        submission = Submission(
            submission=identity,
            sweep=site.sweep,
            job_name=f"{site.launcher['name']}-{array.phase}-{identity}",
            code=site.code,
            tasks={str(index): folder_of(run) for index, run in array.elements.items()},
            request=dict(request.values),
            dependency=array.after.text(ids) if array.after else "",
            time=now(),
            max_requeues=request.values["max_requeues"],
            environment=dict(site.environment),
        )
        path = write_submission(site.root, submission)
        try:
            submission.job_id = submit.sbatch(site.root, submission, request.values["array_parallelism"])
        except (submit.Refused, ConfigError) as error:
            # only then: without an answer (a time limit, Ctrl-C) the job may be in the queue, known by its name
            shutil.rmtree(path.parent)
            if isinstance(error, submit.NoRoom):
                report(f"no room for more jobs at present: {error}")
                break
            raise
        write_submission(site.root, submission)
        ids.append(submission.job_id)
        submitted |= {run.run_id: f"{submission.job_id}_{index}" for index, run in array.elements.items()}
        behind = f", {submission.dependency}" if submission.dependency else ""
        report(f"submitted {submission.job_id} {submission.job_name}: {len(array.elements)} runs{behind}")
    return submitted


def resubmit(root: Path, sweep: Mapping[str, Any], run_ids: Sequence[str], report: Report = print) -> int:
    """Submit runs of a sweep again as they are frozen: the same configuration, the same code, nothing resolved anew.

    Returns an exit code. `sweep` is the content of the sweep's file.
    """
    with submitting(root):
        return _resubmit(root, sweep, run_ids, report)


def _resubmit(root: Path, sweep: Mapping[str, Any], run_ids: Sequence[str], report: Report) -> int:
    store = Store(root)
    alive = jobs_in_queue(root)
    runs: list[PlannedRun] = []
    requests: dict[str, Request] = {}
    queued: dict[str, str] = {}
    codes: dict[str, str] = {}
    earlier = list(submissions(root))
    known = {planned["run_id"]: planned for planned in sweep["runs"]}
    for run_id, planned in known.items():
        folder = f"{planned['phase']}/{planned['name']}"
        if folder in alive:
            queued[run_id] = alive[folder]
        elif run_id in run_ids:
            frozen = read_json(root / folder / "config.json")
            if frozen is None:
                report(f"{folder} has no config.json: type the sweep's command again: {sweep['command']}")
                return 1
            codes[run_id] = next((s.code for s in reversed(earlier) if folder in s.tasks.values()), sweep["code"])
            given = (frozen["parent"], frozen["weights"], frozen["weights_sha256"])
            runs.append(PlannedRun(run_id, frozen["slug"], run_from_dict(frozen["config"]), *given))
            requests[run_id] = Request.of(sweep["requests"][planned["request"]])
    done: dict[str, str] = {}
    try:
        for code in dict.fromkeys(codes.values()):
            site = Site(root, sweep["sweep"], code, sweep["launcher_config"], sweep["environment"])
            done |= submit_runs(
                [run for run in runs if codes[run.run_id] == code],
                lambda run: store.folder(run).relative_to(root).as_posix(),
                lambda run: requests[run.run_id],
                queued | done,
                site,
                report,
            )
    except (queue.SchedulerError, ConfigError) as error:
        report(str(error))
        return 1
    report(f"{len(done)} of {len(runs)} runs are in the queue again")
    return 0 if len(done) == len(runs) else 1
