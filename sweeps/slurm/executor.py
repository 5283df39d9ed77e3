"""Executing a plan on SLURM: submit what is not in the queue yet, watch it, and be able to leave at any time."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from sweeps import overview
from sweeps.execute import Outcome
from sweeps.identity import PlannedRun
from sweeps.launchers import Request
from sweeps.plan import Entry, Plan
from sweeps.slurm import queue
from sweeps.slurm.jobs import Report, Site, jobs_in_queue, submit_runs, submitting
from sweeps.store import Store, read_json

log = logging.getLogger(__name__)


class Left(Exception):
    """Ctrl-C: the person leaves, the jobs stay."""


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
        self.requests = {run_id: self.request_of(entry) for run_id, entry in entries.items()}
        with submitting(self.site.root):
            alive = jobs_in_queue(self.site.root)  # another command may have been typed since the plan was made
            todo = [entry for entry in plan.todo if self._folder(entry.run) not in alive]
            for entry in todo:
                prepare(entry)
            self.waiting = [entry.run for entry in todo]
            with _Leaving() as leaving:  # Ctrl-C amidst the arrays would leave some of them out
                self._submit(plan, alive)
        if self.site.launcher["detach"]:
            self.left = "detached"
            if self.waiting:
                self.report(
                    f"{len(self.waiting)} runs found no room in the queue: type the command again when there is some"
                )
            return {
                run_id: Outcome("queued") if entry.execute else Outcome("skipped", entry.state)
                for run_id, entry in entries.items()
            }
        try:
            if leaving.asked:
                raise Left
            rows = self._watch(plan)
        except Left:
            self.left, rows = "interrupted", self._rows(self._queue())
            if self.waiting:
                self.report(f"{len(self.waiting)} runs are not submitted yet: type the command again for them to be")
        outcomes = {row.run_id: _outcome(row) for row in rows}
        return {
            run_id: outcomes[run_id] if _concerns(entry) else Outcome("skipped", entry.state)
            for run_id, entry in entries.items()
        }

    def _folder(self, run: PlannedRun) -> str:
        return self.store.folder(run).relative_to(self.store.root).as_posix()

    def _submit_more(self, plan: Plan) -> None:
        """What is not submitted yet and can be."""
        if not self.waiting:
            return
        with submitting(self.site.root):
            alive = jobs_in_queue(self.site.root)
            self.waiting = [run for run in self.waiting if self._folder(run) not in alive]
            self._submit(plan, alive)

    def _submit(self, plan: Plan, alive: Mapping[str, str]) -> None:
        """A run whose parent failed stays where it is: blocked. `alive`: run folders -> jobs in the queue."""
        queued = {e.run.run_id: alive[f] for e in plan.entries if (f := self._folder(e.run)) in alive}
        pending = {run.run_id for run in self.waiting}
        ready: dict[str, PlannedRun] = {}
        for run in self.waiting:
            coming = run.parent in queued or run.parent in ready
            if run.parent is None or coming or (run.parent not in pending and self._done(plan, run.parent)):
                ready[run.run_id] = run
        done = submit_runs(
            list(ready.values()),
            self._folder,
            lambda run: self.requests[run.run_id],
            queued,
            self.site,
            self.report,
        )
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
        waiting_for = {entry.run.run_id for entry in plan.entries if _concerns(entry)}
        with _Leaving() as leaving, overview.Live() as live:
            while True:
                jobs = self._queue()
                rows = self._rows(jobs)
                live.show(rows)
                left = [row for row in rows if row.run_id in waiting_for and row.state not in overview.TERMINAL]
                submitted = {row.run_id for row in left} - {run.run_id for run in self.waiting}
                before = len(self.waiting)
                if jobs is not None and self.waiting:
                    try:
                        self._submit_more(plan)
                    except queue.SchedulerError as error:
                        log.warning("%s", error)  # tried again at the next look, while anything is in the queue
                if jobs is not None and not submitted and len(self.waiting) == before:
                    return rows  # nothing is in the queue, and nothing can be added to it
                leaving.wait(float(self.site.launcher["poll_s"]))


def _concerns(entry: Entry) -> bool:
    """Whether a sweep waits for a run: it executes it, or somebody else is about to."""
    return entry.execute or entry.state in ("queued", "running")


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
