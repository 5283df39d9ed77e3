"""Executing a plan. The seam for clusters: an :class:`Executor` gets the whole plan and reports each run's outcome."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sweeps.job import DONE, IN_USE, PREEMPTED
from sweeps.lock import write_json
from sweeps.plan import Entry, Plan
from sweeps.store import now, read_json

OUTCOMES = ("done", "skipped", "failed", "blocked", "preempted", "running", "queued", "lost", "cancelled")
"""running and queued: when a sweep is left while its jobs go on. lost: it died without a word."""


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


def outcome_of(folder: Path, code: int) -> Outcome:
    """How a run ended, from its folder and its process's exit code (negative: the signal that killed it).

    A run that had no time to say that it failed is said to have."""
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
    if code < 0:
        name = signal.Signals(-code).name
        message = f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        write_json(folder / "status.json", status | {"state": "failed", "message": message, "time": now()})
        return Outcome("failed", message)
    return Outcome("failed", f"exit code {code}" + (f": {message}" if message else ""))
