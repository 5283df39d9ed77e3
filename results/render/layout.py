"""How a table that is wider than a page stays readable on paper: what all rows share goes to the caption, long texts
(sources) become numbered notes, and what is wide after that is turned. Nothing is left out but digits of commits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from results.table import NOT_APPLICABLE, Column, Row, Table, label

LONG = 80
"""Characters of a label from which it becomes a note."""
LINE_UPRIGHT, LINE_TURNED, LINE_NOTES = 100, 150, 115
"""Characters on a line of the text, as it is and of a turned page; of the smaller notes."""
ROWS_UPRIGHT, ROWS_TURNED = 54, 36
"""Lines that such a page has."""
_PLACE = re.compile(r"(.+), (line \d+.*)")
_COMMIT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")


@dataclass(frozen=True)
class Layout:
    table: Table
    """Without what was lifted, long texts replaced by the numbers of their notes."""
    shared: str
    """For the caption: what all rows share; ''."""
    sources: tuple[str, ...]
    """The numbered notes."""
    turned: bool
    notes_behind: bool
    """Whether table and notes together are higher than a page, so that the notes must be free to go on to the next."""
    high: bool
    """Whether the table alone is, so that its height must be limited, not its width."""


def layout(table: Table, notes: int) -> Layout:
    """`notes`: lines below the table besides the numbered ones."""
    lifted, shared = _lifted(table)
    cited, sources = _cited(lifted)
    texts = [cited.header, *cited.texts()]
    width = sum(max(len(row[n]) for row in texts) + 2 for n in range(len(cited.columns)))
    caption = math.ceil(len(f"{table.title}{table.caption}{shared}") / LINE_UPRIGHT)
    below = notes + sum(math.ceil(len(source) / LINE_NOTES) for source in sources)

    def height(line: int) -> float:
        return caption + (len(texts) + 1) * min(1.0, line / width)

    turned = width > 1.3 * LINE_UPRIGHT and height(LINE_TURNED) + 0.8 * below <= ROWS_TURNED
    behind = not turned and height(LINE_UPRIGHT) + 0.8 * below > ROWS_UPRIGHT
    return Layout(cited, shared, sources, turned, behind, not turned and height(LINE_UPRIGHT) > ROWS_UPRIGHT)


def _lifted(table: Table) -> tuple[Table, str]:
    """Without the labels that are the same in all of several rows."""
    same = {
        number: texts.pop()
        for number, column in enumerate(table.columns)
        if column.kind == "label" and len(texts := {row.cells[number].text for row in table.rows}) == 1
    }
    if len(table.rows) < 2 or len(same) == len(table.columns):
        return table, ""
    none = [table.columns[n].name for n, text in same.items() if text in ("", NOT_APPLICABLE)]
    said = [f"{table.columns[n].name} {text}" for n, text in same.items() if text not in ("", NOT_APPLICABLE)]
    parts = [f"In all rows: {'; '.join(said)}."] if said else []
    parts += [f"Empty in all rows: {'; '.join(none)}."] if none else []
    left = [n for n in range(len(table.columns)) if n not in same]
    rows = tuple(replace(row, cells=tuple(row.cells[n] for n in left)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[n] for n in left), rows=rows), " ".join(parts)


def _cited(table: Table) -> tuple[Table, tuple[str, ...]]:
    """Long labels as numbers, and what the numbers stand for; lines of one file share a number."""
    numbers: dict[str, int] = {}

    def short(text: str) -> str:
        if len(text) <= LONG:
            return text
        whole, place = found.groups() if (found := _PLACE.fullmatch(text)) else (text, "")
        number = numbers.setdefault(_COMMIT.sub(r"\1", whole), len(numbers) + 1)
        return f"[{number}] {place}".rstrip()

    return _labels(table, short), tuple(f"[{number}] {text}" for text, number in numbers.items())


def _labels(table: Table, change: Callable[[str], str]) -> Table:
    def row_of(row: Row, columns: tuple[Column, ...]) -> Row:
        pairs = zip(row.cells, columns, strict=True)
        return replace(
            row, cells=tuple(label(change(cell.text)) if column.kind == "label" else cell for cell, column in pairs)
        )

    return replace(table, rows=tuple(row_of(row, table.columns) for row in table.rows))
