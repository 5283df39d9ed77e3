"""What the page knows of runs and cells: read once from the records, embedded once as JSON."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from results.copies import Copies
from results.flatten import flat
from results.record import RecordError, read_record
from results.report.reproduce import narrowed
from results.table import Cell, Table

POINTS = 150
"""A curve keeps at most so many of its points."""
UNREADABLE = 100
"""Ids of unreadable videos that are listed; they are counted in any case."""
TRAINED = ("pretrain", "finetune")
"""Phases that keep a journal; the others train no network."""
NOT_CURVES = ("step", "epoch", "active_levels", "data_time", "step_time", "clips_per_second", "lr", "at_bound")


@dataclass(frozen=True)
class RunDetails:
    name: str
    """Of its folder, and its code where two codes have done the run."""
    folder: Path
    record: Mapping[str, Any]
    curves: Mapping[str, list[tuple[float, float]]]
    """Metric -> (step, value), thinned."""
    trouble: str
    """Why there are no curves; '' if there are."""
    ancestors: tuple[str, ...]
    """Their keys, nearest first."""


@dataclass(frozen=True)
class Details:
    runs: dict[str, RunDetails]
    """Key -> details, of every run behind a cell and of its ancestors, in the order of their names."""
    copies: Copies

    def behind(self, table: Table) -> list[RunDetails]:
        keys = [key for row in table.rows for key in self.copies.keys((row.runs, row.block))]
        return [self.runs[key] for key in keys if key in self.runs]


def read_details(frame: pd.DataFrame, tables: Sequence[Table]) -> Details:
    """Of all runs behind the tables. A record or journal that can no longer be read is said, never fatal."""
    plain = frame.copy(deep=False)
    plain.attrs = {}  # pandas copies them, problems and all, with every column it hands out
    copies = Copies(plain)
    wanted = {place for table in tables for row in table.rows for place in copies.of((row.runs, row.block))}
    lineages = {} if plain.empty else dict(enumerate(str(lineage or "").split() for lineage in plain["lineage"]))
    wanted |= {ancestor for place in wanted for ancestor in copies.beside(place, lineages[place])}
    found: dict[str, RunDetails] = {}
    for place in wanted:
        path = Path(str(plain["path"].iat[place]))
        try:
            record = read_record(path)
        except RecordError:  # it was there when it was collected
            continue
        key = copies.key(place)
        run_id, *code = key.split(" ")
        name = ", code ".join([f"{record['slug']}-{run_id[:12]}", *(one[:12] for one in code)])
        trains = record["phase"] in TRAINED
        curves, trouble = read_curves(path.parent / "metrics.jsonl") if trains else ({}, "")
        ancestors = tuple(map(copies.key, copies.beside(place, lineages[place])))
        found[key] = RunDetails(name, path.parent, record, curves, trouble, ancestors)
    return Details(dict(sorted(found.items(), key=lambda item: (item[1].name, item[0]))), copies)


def read_curves(path: Path) -> tuple[dict[str, list[tuple[float, float]]], str]:
    """(metric -> points, '') or ({}, what is wrong). Damaged lines are passed over and counted."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return (
            {},
            f"no curves: {path.name} {'is not there' if isinstance(error, FileNotFoundError) else 'cannot be read'}",
        )
    found: dict[str, list[tuple[float, float]]] = {}
    damaged = 0
    for line in lines:
        try:
            values = json.loads(line)
            step = float(values["step"])
        except (ValueError, TypeError, KeyError):
            damaged += 1
            continue
        for name, value in values.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if number and name not in NOT_CURVES:
                found.setdefault(name, []).append((step, float(f"{value:.6g}")))
    trouble = f"{damaged} damaged lines of {path.name} are left out" if damaged else ""
    return {name: thin(points) for name, points in sorted(found.items())}, trouble


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them, the first and the last among them."""
    if len(points) <= POINTS:
        return list(points)
    places = sorted({round(index * (len(points) - 1) / (POINTS - 1)) for index in range(POINTS)})
    return [points[place] for place in places]


def embedded(tables: Sequence[Table], details: Details) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element."""
    content = {
        "runs": {key: _run(run) for key, run in details.runs.items()},
        "cells": {
            f"{table.name}-{i}-{j}": _cell(table, i, j, cell) | {"runs": details.copies.keys((cell.runs, row.block))}
            for table in tables
            for i, row in enumerate(table.rows)
            for j, cell in enumerate(row.cells)
            if opens(cell)
        },
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\u2028", "\\u2028")


def opens(cell: Cell) -> bool:
    """Whether there is more to say of a cell than its text."""
    return bool(cell.runs or cell.command or cell.published or (cell.comparison and cell.comparison.verdict))


def _cell(table: Table, row: int, column: int, cell: Cell) -> dict[str, Any]:
    names = [f"{name.name}: {part.text}" for name, part in zip(table.columns, table.rows[row].cells, strict=True)
             if name.kind == "label" and part.text]  # fmt: skip
    found: dict[str, Any] = {
        "title": table.title,
        "column": table.columns[column].name,
        "row": names,
        "text": cell.text,
    }
    found["command"] = cell.command
    for name, part in (("estimate", cell.estimate), ("comparison", cell.comparison), ("published", cell.published)):
        if part is not None:
            found[name] = asdict(part)
    if cell.comparison and not cell.comparison.verdict and (base := _baseline(table, row, column)):
        found["comparison"]["other"] = f"{base}; the same seeds"
    return found


def _baseline(table: Table, row: int, column: int) -> str:
    """The labels of the row that a difference is to: of its block's baselines, the one whose runs are behind it."""
    block, runs = table.rows[row].block, set(table.rows[row].cells[column].runs)
    base = next(
        (
            other
            for other in table.rows
            if other.block == block and other.cells[column].text == "baseline" and runs & set(other.runs)
        ),
        None,
    )
    if base is None:
        return ""
    labels = [(column.name, cell.text) for column, cell in zip(table.columns, base.cells, strict=True)
              if column.kind == "label" and cell.text not in ("", "-")]  # fmt: skip
    return ", ".join(f"{name} {text}" for name, text in labels)


def _run(run: RunDetails) -> dict[str, Any]:
    record = run.record
    return {
        "name": run.name,
        "phase": record["phase"],
        "config": {key: value for key, value in flat(record["config"]).items() if key != "phase"},
        "seed": record["seed"],
        "lineage": run.ancestors,
        "environment": flat(record["environment"]),
        "code": record["code"],
        "data": flat(record["data"]),
        "unreadable": record["unreadable"] | {"ids": record["unreadable"]["ids"][:UNREADABLE]},
        "metrics": record["metrics"],
        "groups": flat(record["groups"]),
        "cost": record["cost"],
        "alarms": record["alarms"],
        "command": shlex.join(record["command"]),
        "narrowed": narrowed(record),
        "started": record["started"],
        "finished": record["finished"],
        "curves": run.curves,
        "trouble": run.trouble,
    }
