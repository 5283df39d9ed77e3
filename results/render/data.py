"""All tables as one JSON text, results.json: every figure with its spread, its comparison and the runs behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from results.table import Cell, Column, Row, Table

SCHEMA_VERSION = 1


def results_json(tables: Sequence[Table]) -> str:
    """Keys are sorted, so equal tables give equal bytes.

    A figure: table, row (labels by column), column, unit, better, text, kind, and where they apply mean, sd, runs,
    independent, interval, published (value, text, source, conditions), comparison, run ids, command.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "tables": [_table(table) for table in tables],
        "runs": {run: name for table in tables for run, name in table.names},
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _table(table: Table) -> dict[str, Any]:
    figures = [
        _figure(table.columns, row, cell, column)
        for row in table.rows
        for cell, column in zip(row.cells, table.columns, strict=True)
        if column.kind == "figure"
    ]
    head = {"name": table.name, "title": table.title, "caption": table.caption, "footnotes": list(table.footnotes)}
    return head | {"rule": table.rule, "experiment": table.experiment, "figures": figures}


def _figure(columns: Sequence[Column], row: Row, cell: Cell, column: Column) -> dict[str, Any]:
    labels = {name.name: part.text for name, part in zip(columns, row.cells, strict=True) if name.kind == "label"}
    found: dict[str, Any] = {"row": labels, "block": row.block, "column": column.name, "text": cell.text}
    found |= {"kind": cell.kind, "unit": column.unit, "better": column.better}
    if cell.estimate is not None:
        found["estimate"] = asdict(cell.estimate)
    if cell.published is not None:
        found["published"] = asdict(cell.published) | {"conditions": dict(cell.published.conditions)}
    if cell.comparison is not None:
        found["comparison"] = asdict(cell.comparison)
    if cell.runs:
        found["runs"] = list(cell.runs)
    if cell.command:
        found["command"] = cell.command
    return found
