"""What a sweep prints: its plan before, its outcomes after. Plain text, the same on a terminal and in a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sweeps.execute import OUTCOMES, Outcome
from sweeps.launchers import Request
from sweeps.plan import Plan
from sweeps.slurm.arrays import ArrayJob

_MEANING = {
    "new": "run",
    "interrupted": "resume",
    "changed": "run anew (was interrupted or failed under other code or on other data)",
    "failed": "retry",
    "running": "in use by another process",
    "queued": "in SLURM's queue already",
    "done": "skip",
    "stale": "skip (finished by other code or on other data)",
}


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned by spaces, a line below the head."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([text[0], "  ".join("-" * width for width in widths), *text[1:]])


def plan_table(plan: Plan, seconds: Mapping[str, float]) -> str:
    """One line a run; `seconds` by run_id, absent = unknown."""
    rows = []
    for entry in plan.entries:
        run = entry.run
        action = "run anew" if entry.anew and entry.state != "changed" else _MEANING[entry.state]
        guess = clock(seconds[run.run_id]) if run.run_id in seconds else "?"
        after = (run.parent or "")[:12]  # as it ends the parent's name
        rows.append([run.phase, run.name, action, guess if entry.execute else "", str(len(entry.jobs)), after])
    return text_table(["phase", "run", "action", "estimate", "jobs", "after"], rows)


def array_table(arrays: Sequence[ArrayJob]) -> str:
    """One line an array job; dependencies by the numbers of the first column."""
    rows = []
    for number, array in enumerate(arrays, start=1):
        ids = [str(earlier) for earlier in range(1, number)]
        after = array.after.text(ids) if array.after else ""
        rows.append([str(number), array.phase, str(len(array.elements)), request_text(array.request), after])
    return text_table(["array", "phase", "runs", "each asks for", "after"], rows)


def request_text(request: Request) -> str:
    """`1 node, 4 tasks, 4 GPUs, 12 CPUs a task, 24 h, partition gpu`."""
    values = request.values
    parts = [f"{values['nodes']} node{'s' if values['nodes'] > 1 else ''}"]
    if request.world > 1:
        parts.append(f"{request.world} tasks")
    if request.gpus:
        parts.append(f"{request.gpus} GPU{'s' if request.gpus > 1 else ''}")
    parts += [f"{values['cpus_per_task']} CPUs a task", clock(60 * values["timeout_min"])]
    parts += [f"{key} {values[key]}" for key in ("partition", "qos", "account", "constraint") if values[key]]
    return ", ".join(parts)


def outcome_table(plan: Plan, outcomes: Mapping[str, Outcome]) -> str:
    """One line a run, and the counts below."""
    rows = []
    for entry in plan.entries:
        outcome = outcomes[entry.run.run_id]
        message = outcome.message.splitlines()[0] if outcome.message else ""
        rows.append([entry.run.phase, entry.run.name, outcome.state, message[:120]])
    counts = Counter(outcome.state for outcome in outcomes.values())
    summary = ", ".join(f"{counts[state]} {state}" for state in OUTCOMES if counts[state] or state in OUTCOMES[:3])
    return text_table(["phase", "run", "outcome", ""], rows) + "\n" + summary


def clock(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
