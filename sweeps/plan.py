"""Jobs -> the ordered, merged list of runs to execute. Pure: states come from a function that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sweeps.identity import PlannedRun

STATES = ("new", "interrupted", "changed", "failed", "running", "queued", "done", "stale")
"""interrupted: goes on from its checkpoint. changed: interrupted or failed under other code or on other data, so it
starts anew. failed: is tried again. running: another process has it. queued: a job of SLURM will have it, or has it.
stale: finished, by other code or on other data."""


@dataclass(frozen=True)
class Entry:
    """A run of the plan."""

    run: PlannedRun
    state: str
    execute: bool
    anew: bool
    """The old folder is moved aside first."""
    jobs: tuple[int, ...]
    """Numbers of the jobs that need it."""


@dataclass(frozen=True)
class Plan:
    """Every run once, parents before children."""

    entries: list[Entry] = field(default_factory=list)

    @property
    def todo(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.execute]


def make_plan(
    jobs: Sequence[Sequence[PlannedRun]], state_of: Callable[[PlannedRun], str], rerun_stale: bool = False
) -> Plan:
    """Merge the jobs' runs by run_id, in the order in which they are first needed.

    Each job lists its runs ancestors first. `state_of` is asked once for each run and returns one of `STATES`
    (ValueError otherwise). A finished run is not executed; a stale one only with `rerun_stale`. What descends from a
    run that starts anew starts anew too, because its parent's weights are about to change.
    """
    users: dict[str, list[int]] = {}
    runs: dict[str, PlannedRun] = {}
    for number, job in enumerate(jobs):
        for run in job:
            if run.parent is not None and run.parent not in runs:
                raise ValueError(f"job {number} lists {run.name} before its parent {run.parent[:12]}")
            runs.setdefault(run.run_id, run)
            users.setdefault(run.run_id, []).append(number)
    entries: list[Entry] = []
    replaced: set[str] = set()
    for run_id, run in runs.items():
        state = state_of(run)
        if state not in STATES:
            raise ValueError(f"{run.name}: state {state!r} is not one of {', '.join(STATES)}")
        anew = state == "changed" or (state == "stale" and rerun_stale)
        if run.parent in replaced and state not in ("new", "running", "queued"):
            anew = True
        if anew:
            replaced.add(run_id)
        execute = anew or state not in ("done", "stale", "queued")
        entries.append(Entry(run, state, execute, anew, tuple(users[run_id])))
    return Plan(entries)
