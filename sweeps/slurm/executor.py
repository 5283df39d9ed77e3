"""Executing a plan on SLURM: submit what is not in the queue yet, watch it, and be able to leave at any time."""

from __future__ import annotations

import logging
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hcml.config import ConfigError
from sweeps import overview
from sweeps.execute import Outcome
from sweeps.freeze import run_from_dict
from sweeps.identity import PlannedRun
from sweeps.launchers import Request
from sweeps.plan import Entry, Plan
from sweeps.slurm import queue, submit
from sweeps.slurm.arrays import make_arrays
from sweeps.store import Store, now, read_json
from sweeps.sweep_file import (
    Submission,
    new_submission_id,
    queued_runs,
    submissions,
    write_submission,
)

log = logging.getLogger(__name__)

NEVER = "DependencyNeverSatisfied"
Report = Callable[[str], None]


class Left(Exception):
    """Ctrl-C: the person leaves, the jobs stay."""


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

    Jobs whose parent has failed can never start: they are cancelled, and so planned anew. Raises SchedulerError.
    """
    found = queue.queued()
    names = {job.job_id: job.name for job in found if job.state != "COMPLETING"}
    mine = queued_runs(list(submissions(root)), names)
    never = {job.job_id for job in found if job.reason == NEVER} & set(mine.values())
    if never:
        queue.cancel(sorted(never))
    return {folder: job_id for folder, job_id in mine.items() if job_id not in never}


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
        except BaseException as error:
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


class SlurmExecutor:
    """Submits a plan's runs and, unless `launcher.detach`, shows how they do until all have ended.

    `sweep` is the content of the sweep's file. `left` is '' in the end, or why runs go on unwatched.
    """

    def __init__(
        self, site: Site, sweep: Mapping[str, Any], request_of: Callable[[Entry], Request], report: Report = print
    ) -> None:
        self.site, self.sweep, self.request_of, self.report = site, sweep, request_of, report
        self.store = Store(site.root)
        self.left = ""

    def execute(self, plan: Plan, prepare: Callable[[Entry], Path]) -> dict[str, Outcome]:
        """As :class:`sweeps.execute.Executor`; queued runs of the plan are watched, not submitted. Raises
        SchedulerError and ConfigError before anything is in the queue or with what was refused."""
        entries = {entry.run.run_id: entry for entry in plan.entries}
        for entry in plan.todo:
            prepare(entry)
        requests = {run_id: self.request_of(entry) for run_id, entry in entries.items()}
        self.requests = requests
        self.waiting = [entry.run for entry in plan.todo]
        self._submit_more(plan)
        if self.site.launcher["detach"]:
            self.left = "detached"
            if self.waiting:
                self.report(
                    f"{len(self.waiting)} runs found no room in the queue: type the command again when there is some"
                )
        try:
            rows = self._watch(plan) if not self.left else self._rows(self._queue())
        except Left:
            self.left, rows = "interrupted", self._rows(self._queue())
        outcomes = {row.run_id: _outcome(row) for row in rows}
        return {
            run_id: outcomes[run_id]
            if entry.execute or entry.state in ("queued", "running")
            else Outcome("skipped", entry.state)
            for run_id, entry in entries.items()
        }

    def _folder(self, run: PlannedRun) -> str:
        return self.store.folder(run).relative_to(self.store.root).as_posix()

    def _submit_more(self, plan: Plan) -> None:
        """What is not submitted yet and can be. A run whose parent failed stays where it is: blocked."""
        if not self.waiting:
            return
        alive = jobs_in_queue(self.site.root)
        queued = {e.run.run_id: alive[f] for e in plan.entries if (f := self._folder(e.run)) in alive}
        pending = {run.run_id for run in self.waiting}
        ready: list[PlannedRun] = []
        for run in self.waiting:
            coming = run.parent in queued or run.parent in {r.run_id for r in ready}
            if run.parent is None or coming or (run.parent not in pending and self._done(plan, run.parent)):
                ready.append(run)
        done = submit_runs(ready, self._folder, lambda run: self.requests[run.run_id], queued, self.site, self.report)
        self.waiting = [run for run in self.waiting if run.run_id not in done]

    def _done(self, plan: Plan, run_id: str) -> bool:
        entry = next(entry for entry in plan.entries if entry.run.run_id == run_id)
        if not entry.execute and entry.state in ("done", "stale"):
            return True
        status = read_json(self.store.folder(entry.run) / "status.json") or {}
        return status.get("state") == "done"

    def _queue(self) -> list[queue.QueuedJob] | None:
        try:
            return queue.queued()
        except queue.SchedulerError as error:
            log.warning("%s", error)  # a controller that restarts: the run folders still tell
            return None

    def _rows(self, jobs: list[queue.QueuedJob] | None) -> list[overview.Row]:
        return overview.rows(self.site.root, self.sweep, jobs, queue.ended, time.time())

    def _watch(self, plan: Plan) -> list[overview.Row]:
        waiting_for = {e.run.run_id for e in plan.entries if e.execute or e.state in ("queued", "running")}
        with _Leaving() as leaving, overview.Live() as live:
            while True:
                jobs = self._queue()
                rows = self._rows(jobs)
                live.show(rows)
                left = [row for row in rows if row.run_id in waiting_for and row.state not in overview.TERMINAL]
                submitted = {row.run_id for row in left} - {run.run_id for run in self.waiting}
                if jobs is not None and not submitted:
                    before = len(self.waiting)
                    self._submit_more(plan)
                    if len(self.waiting) == before:  # nothing runs, and nothing can be submitted
                        return rows
                elif jobs is not None and self.waiting:
                    self._submit_more(plan)
                leaving.wait(float(self.site.launcher["poll_s"]))


def resubmit(root: Path, sweep: Mapping[str, Any], run_ids: Sequence[str], report: Report = print) -> int:
    """Submit runs of a sweep again as they are frozen: the same configuration, the same code, nothing resolved anew.

    Returns an exit code. `sweep` is the content of the sweep's file.
    """
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


def _outcome(row: overview.Row) -> Outcome:
    state = {"pending": "queued", "requeued": "queued", "waiting": "queued"}.get(row.state, row.state)
    return Outcome(state, row.message)


class _Leaving:
    """While the table is shown, Ctrl-C and SIGTERM mean: leave, the jobs go on."""

    def __enter__(self) -> _Leaving:
        self.asked = False
        self.previous = {n: signal.signal(n, self._leave) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.asked and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.asked:
            raise Left
