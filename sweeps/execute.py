"""Executing a plan. The seam for clusters: an :class:`Executor` gets the whole plan and reports each run's outcome."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from sweeps.job import DONE, IN_USE, PREEMPTED
from sweeps.lock import write_json
from sweeps.plan import Entry, Plan
from sweeps.store import now, read_json

OUTCOMES = ("done", "skipped", "failed", "blocked", "preempted", "running")


@dataclass(frozen=True)
class Outcome:
    """How a run of the plan ended: one of `OUTCOMES`, and why."""

    state: str
    message: str = ""

    @property
    def bad(self) -> bool:
        return self.state not in ("done", "skipped")


class Executor(Protocol):
    """Executes a plan's runs, parents before children, and survives the failure of any of them."""

    def execute(self, plan: Plan, prepare: Callable[[Entry], Path]) -> dict[str, Outcome]:
        """run_id -> outcome for every entry. `prepare` freezes an entry into its folder and returns that."""
        ...


class LocalExecutor:
    """One run after the other, each in a process of its own: a crash, or memory that is not given back, stays there."""

    def __init__(self, code: Path, report: Callable[[str], None] = print) -> None:
        """`code`: the folder that our packages are imported from."""
        self.code = code
        self.report = report

    def execute(self, plan: Plan, prepare: Callable[[Entry], Path]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        number, total, stopped = 0, len(plan.todo), ""
        for entry in plan.entries:
            run = entry.run
            if not entry.execute:
                outcomes[run.run_id] = Outcome("skipped", entry.state)
                continue
            number += 1
            parent = outcomes[run.parent] if run.parent else None
            if stopped:
                outcomes[run.run_id] = Outcome("blocked", stopped)
            elif parent is not None and parent.bad:
                outcomes[run.run_id] = Outcome("blocked", f"its parent {(run.parent or '')[:12]} is {parent.state}")
            else:
                self.report(f"[{number}/{total}] {run.phase} {run.name}")
                try:
                    outcomes[run.run_id] = self._run(prepare(entry))
                except (OSError, RuntimeError) as error:  # a full disk, a damaged folder: the other runs go on
                    outcomes[run.run_id] = Outcome("failed", f"{type(error).__name__}: {error}")
                except _Stop as stop:
                    stopped = f"the sweep was stopped by {stop}"
                    outcomes[run.run_id] = Outcome("preempted", stopped)
            outcome = outcomes[run.run_id]
            if outcome.bad:
                self.report(f"    {outcome.state}: {outcome.message}")
        return outcomes

    def command(self, folder: Path) -> list[str]:
        # -P: not from the current folder, which may be the checkout itself, but from `code`
        return [sys.executable, "-P", "-m", "sweeps.job", str(folder)]

    def _run(self, folder: Path) -> Outcome:
        path = os.pathsep.join(filter(None, [str(self.code), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | {"PYTHONPATH": path, "HCML_LAUNCHER": str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        sys.stdout.flush()
        with _StopSignals() as stop:
            process = subprocess.Popen(self.command(folder), env=environment)
            stop.process = process
            code = process.wait()
        if stop.name:
            raise _Stop(stop.name)
        return self._outcome(folder, code)

    def _outcome(self, folder: Path, code: int) -> Outcome:
        status = read_json(folder / "status.json") or {}
        message = str(status.get("message") or "")
        if code == DONE:
            return Outcome("done")
        if code == PREEMPTED:
            return Outcome("preempted", message)
        if code == IN_USE:
            return Outcome("running", "another process has it")
        if status.get("state") == "failed":
            return Outcome("failed", f"{message} (log: {folder / 'log.txt'})")
        if code < 0:  # killed: the run had no time to say so itself
            name = signal.Signals(-code).name
            message = f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
            write_json(folder / "status.json", status | {"state": "failed", "message": message, "time": now()})
            return Outcome("failed", message)
        return Outcome("failed", f"exit code {code}" + (f": {message}" if message else ""))


class _Stop(Exception):
    """The sweep itself was asked to stop."""


class _StopSignals:
    """While a child runs: Ctrl-C or SIGTERM for us becomes a SIGTERM for it, which makes it save and stop."""

    def __init__(self) -> None:
        self.name = ""
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _StopSignals:
        self.previous = {n: signal.signal(n, self._stop) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
