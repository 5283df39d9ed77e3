"""Checks of the files beside a record: journal, unreadable.csv, what must be there at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from results.checks import dig
from results.rules.folder import FILES, RunFolder
from results.rules.model import check
from results.rules.runs import Runs


@check
def there(run: RunFolder, runs: Runs, *, file: str) -> Iterator[str]:
    """A finished run has the file."""
    if run.file("record") is not None and run.file(file) is None:
        yield f"there is no {' or '.join(FILES[file])}"


@check
def journal_whole(run: RunFolder, runs: Runs) -> Iterator[str]:
    yield from (f"metrics.jsonl: {problem}" for problem in (run.journal.problems if run.journal else [])[:5])


@check
def steps_increase(run: RunFolder, runs: Runs) -> Iterator[str]:
    steps = _steps(run)
    for before, after in zip(steps, steps[1:], strict=False):
        if not (_is_number(before) and _is_number(after) and after > before):
            yield f"metrics.jsonl: step {after!r} behind step {before!r}"
            return


@check
def ends_at_last_step(run: RunFolder, runs: Runs) -> Iterator[str]:
    steps, wanted = _steps(run), _total_steps(run)
    if wanted is not None and (steps[-1] if steps else 0) != wanted:
        yield f"metrics.jsonl ends at step {steps[-1] if steps else 0!r}, the run had {wanted}"


@check
def finite_numbers(run: RunFolder, runs: Runs, *, prefix: str) -> Iterator[str]:
    """Every number whose name begins with `prefix` is there and finite, at every step."""
    for row in run.journal.rows if run.journal else []:
        names = [name for name in row if name.startswith(prefix)]
        bad = [name for name in names if not _is_number(row[name]) or not math.isfinite(row[name])]
        if bad or not names:
            what = f"{bad[0]} is {row[bad[0]]!r}" if bad else f"there is no {prefix}"
            yield f"metrics.jsonl: {what} at step {row.get('step')!r}"
            return


@check
def alarms_carried_over(run: RunFolder, runs: Runs) -> Iterator[str]:
    """A run whose journal raised an alarm has alarms in its record."""
    raised = [(row.get("step"), alarm) for row in (run.journal.rows if run.journal else []) for alarm in _alarms(row)]
    if raised and not (run.record or {})["alarms"]:
        step, alarm = raised[0]
        yield f"metrics.jsonl raises the alarm {alarm} at step {step}, the record lists none"


@check
def unreadable_as_recorded(run: RunFolder, runs: Runs) -> Iterator[str]:
    """unreadable.csv lists the videos that the record counts, each once."""
    record, listed = run.record or {}, run.unreadable or []
    if len(set(listed)) != len(listed):
        yield f"unreadable.csv lists {len(listed) - len(set(listed))} videos twice"
    ids = set(record["unreadable"]["ids"])
    if set(listed) != ids:
        apart = sorted(ids.symmetric_difference(listed))
        yield f"unreadable.csv and the record differ in {len(apart)} unreadable videos: {', '.join(apart[:3])}"
    counted = record["unreadable"]["test"] + record["unreadable"]["train"]
    if counted != len(ids):
        yield f"the record counts {counted} unreadable videos and names {len(ids)}"


def _steps(run: RunFolder) -> list[Any]:
    return [row.get("step") for row in run.journal.rows] if run.journal else []


def _alarms(row: dict[str, Any]) -> list[Any]:
    found = row.get("alarms")
    return found if isinstance(found, list) else []


def _total_steps(run: RunFolder) -> int | None:
    """By the configuration; of a length in epochs by the clips that were trained on (the quarantined videos, which no
    epoch has, are not known here). None if neither says."""
    record = run.record or {}
    steps, batch, clips = (
        dig(record, key) for key in ("config.length.steps", "config.length.batch_size", "cost.clips")
    )
    if _is_number(steps) and steps:
        return int(steps)
    return round(clips / batch) if _is_number(clips) and _is_number(batch) and batch else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
