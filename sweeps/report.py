"""From finished run folders to tables: the only place where sweeps calls results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results.collect import collect
from results.make_tables import make_tables
from results.render import markdown
from results.tables import all_tables

SHOWN = (
    *("levels_by_backbone", "top1_per_tier", "top1_per_split"),
    *("self_supervised_evaluation", "self_supervised_by_tier"),
)
"""Tables printed at the end of a sweep; the others are long and are named only, unless there is nothing but them."""


def report(runs: Path, folders: Sequence[Path], expected: Iterable[Mapping[str, Any]] = ()) -> str:
    """Write the tables of everything finished below `runs` to `runs/tables`; return those of `folders` as Markdown.

    `expected` names rows that are shown even if nothing is finished in them (see results.tables.levels_by_backbone).
    Returns '' where none of `folders` has a table.
    """
    _, problems = make_tables([runs], runs / "tables")
    tables = all_tables(collect(*folders), expected=expected) if folders else []
    accuracy = [table for table in tables if table.name in SHOWN]
    text = "\n".join(markdown(table, runs=False) for table in accuracy or tables)
    if not text:
        return ""
    lines = [text.rstrip(), "", f"tables of all runs: {runs / 'tables'}"]
    unusable = [problem for problem in problems if not problem.startswith("unfinished")]
    lines += [f"not in the tables: {problem}" for problem in unusable]
    return "\n".join(lines)
