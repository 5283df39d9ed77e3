"""Executing a plan on this machine: some runs at a time, each in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from sweeps.execute import Outcome, outcome_of
from sweeps.launchers import Request
from sweeps.plan import Entry, Plan

POLL = 0.1
RANK_GRACE = 90.0
"""Seconds that the other processes of a run have to end by themselves when one of them has failed."""


class LocalExecutor:
    """`max_parallel` runs at a time. A run's own processes mean that a crash, or memory that is not given back, stays
    there.

    Args:
        code: the folder that our packages are imported from.
        slots: names of the GPUs that runs share (CUDA_VISIBLE_DEVICES). Without `max_parallel` > 1 and a request for
            GPUs, runs see all of them.
        request_of: what an entry asks for; None = one process each.
        environment: more variables for the runs.
    """

    def __init__(
        self,
        code: Path,
        report: Callable[[str], None] = print,
        max_parallel: int = 1,
        slots: Sequence[str] = (),
        request_of: Callable[[Entry], Request] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.code, self.report, self.max_parallel = code, report, max_parallel
        self.slots, self.free = tuple(slots), list(slots)
        self.request_of = request_of
        self.environment = dict(environment or {})

    def execute(self, plan: Plan, prepare: Callable[[Entry], Path]) -> dict[str, Outcome]:
        outcomes = {e.run.run_id: Outcome("skipped", e.state) for e in plan.entries if not e.execute}
        waiting = plan.todo
        total, live = len(waiting), list[_Live]()
        with _StopSignals(live) as stop:
            while waiting or live:
                for entry in list(waiting):
                    outcome = self._blocked(entry, outcomes, stop.name)
                    if outcome is None and (len(live) >= self.max_parallel or not self._ready(entry, outcomes)):
                        continue
                    if outcome is None:
                        gpus = self._take(entry)
                        if gpus is None:
                            continue
                        self.report(f"[{total - len(waiting) + 1}/{total}] {entry.run.phase} {entry.run.name}")
                        try:
                            live.append(self._start(entry, prepare(entry), gpus))
                        except (OSError, RuntimeError) as error:  # a full disk, a damaged folder: the others go on
                            self.free += gpus
                            outcome = Outcome("failed", f"{type(error).__name__}: {error}")
                    waiting.remove(entry)
                    if outcome is not None:
                        self._end(entry, outcome, outcomes)
                for run in [run for run in live if run.over()]:
                    live.remove(run)
                    self.free += run.gpus
                    stopped = Outcome("preempted", f"the sweep was stopped by {stop.name}")
                    outcome = outcome_of(run.folder, run.code)
                    self._end(run.entry, stopped if stop.name and outcome.bad else outcome, outcomes)
                if live:
                    stop.tell()  # also those that were being started when the signal came
                    time.sleep(POLL)
        return outcomes

    def command(self, folder: Path) -> list[str]:
        # -P: not from the current folder, which may be the checkout itself, but from `code`
        return [sys.executable, "-P", "-m", "sweeps.job", str(folder)]

    def _blocked(self, entry: Entry, outcomes: Mapping[str, Outcome], stopped: str) -> Outcome | None:
        if stopped:
            return Outcome("blocked", f"the sweep was stopped by {stopped}")
        parent = outcomes.get(entry.run.parent or "")
        if parent is not None and parent.bad:
            return Outcome("blocked", f"its parent {(entry.run.parent or '')[:12]} is {parent.state}")
        return None

    def _ready(self, entry: Entry, outcomes: Mapping[str, Outcome]) -> bool:
        return entry.run.parent is None or entry.run.parent in outcomes

    def _end(self, entry: Entry, outcome: Outcome, outcomes: dict[str, Outcome]) -> None:
        outcomes[entry.run.run_id] = outcome
        name = f" {entry.run.phase} {entry.run.name}" if self.max_parallel > 1 else ""
        if outcome.bad:
            self.report(f"   {name} {outcome.state}: {outcome.message}")
        elif self.max_parallel > 1:
            self.report(f"   {name} {outcome.state}")

    def _take(self, entry: Entry) -> list[str] | None:
        """The GPUs that a run gets, [] for none of its own, None when it must wait for some to be free."""
        request = self.request_of(entry) if self.request_of else None
        wanted = request.gpus if request else 0
        if request and not wanted and self.slots and self.max_parallel > 1:
            wanted = request.world  # they would all crowd the first one
        if len(self.free) < wanted:
            return None
        taken, self.free = self.free[:wanted], self.free[wanted:]
        return taken

    def _start(self, entry: Entry, folder: Path, gpus: list[str]) -> _Live:
        path = os.pathsep.join(filter(None, [str(self.code), os.environ.get("PYTHONPATH", "")]))
        ours = {"PYTHONPATH": path, "HCML_LAUNCHER": str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        environment = os.environ | self.environment | ours
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        world = self.request_of(entry).world if self.request_of else 1
        sys.stdout.flush()
        run = _Live(entry, folder, gpus)
        meeting = {"WORLD_SIZE": str(world), "HCML_RENDEZVOUS": str(folder / f".meeting-{uuid.uuid4().hex[:8]}")}
        for rank in range(world):
            place = meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if world > 1 else {}
            # of several runs at a time only the logs can be read
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if self.max_parallel > 1 else {}
            run.processes.append(subprocess.Popen(self.command(folder), env=environment | place, **quiet))
        return run


@dataclass
class _Live:
    """A run that has been started."""

    entry: Entry
    folder: Path
    gpus: list[str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    failed_at: float = 0.0
    told: bool = False

    def over(self) -> bool:
        codes = [process.poll() for process in self.processes]
        if None not in codes:
            return True
        if any(codes) and not self.failed_at:  # None and 0 are no failure
            self.failed_at = time.monotonic()
        if self.failed_at and time.monotonic() - self.failed_at > RANK_GRACE:
            for process in self.processes:
                process.kill()
        return False

    @property
    def code(self) -> int:
        """That of the process which writes the folder, unless another one failed."""
        codes = [process.returncode for process in self.processes]
        return codes[0] or next(filter(None, codes), 0)


class _StopSignals:
    """Ctrl-C or SIGTERM for us becomes a SIGTERM for the runs, which makes them save and stop."""

    def __init__(self, live: list[_Live]) -> None:
        self.name = ""
        self.live = live

    def __enter__(self) -> _StopSignals:
        self.previous = {n: signal.signal(n, self._stop) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self.tell()

    def tell(self) -> None:
        for run in self.live if self.name else []:
            if not run.told:
                run.told = True
                for process in run.processes:
                    if process.poll() is None:
                        process.terminate()
