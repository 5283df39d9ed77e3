"""What tells the rows of a table from each other, in columns beside a plot, so that no name has to be cut."""

from __future__ import annotations

from collections.abc import Sequence

from results.grouping import NOTE_COLUMN
from results.report.svg import text
from results.table import Row, Table

LETTER, LONGEST = 6.8, 64
"""Width of a letter at 12 px; letters of a name."""
ELSEWHERE = (NOTE_COLUMN, "question", "shown")
"""Label columns that a plot shows as the head of a block or by its marks."""


def same_columns(table: Table) -> list[int]:
    """The label columns that say one thing in all rows: of two rows or more, but never all label columns."""
    labels = [i for i, column in enumerate(table.columns) if column.kind == "label"]
    same = [i for i in labels if len({row.cells[i].text for row in table.rows}) == 1]
    return same if len(table.rows) > 1 and len(same) < len(labels) else []


def apart(table: Table, row: Row, rows: Sequence[Row]) -> str:
    """What the row's block has of its own, where there are several blocks."""
    if len({other.block for other in rows}) < 2 or NOTE_COLUMN not in table.header:
        return ""
    return row.cells[table.header.index(NOTE_COLUMN)].text


class Names:
    """Those of the rows of a plot: of the label columns only the ones in which the rows differ."""

    def __init__(self, table: Table, rows: Sequence[Row]) -> None:
        self._header = table.header
        self._labels = [
            i for i, column in enumerate(table.columns) if column.kind == "label" and column.name not in ELSEWHERE
        ]
        varying = [i for i in self._labels if len({row.cells[i].text for row in rows}) > 1]
        self._places: list[tuple[int, float]] = []
        self.width = 4.0
        """Of all columns together, in px."""
        for i in varying or self._labels[-1:]:
            self._places.append((i, self.width))
            longest = max(len(_short(name)) for name in (self._header[i], *(row.cells[i].text for row in rows)))
            self.width += LETTER * longest + 14

    def head(self, y: float) -> list[str]:
        return [text(x, y, _short(self._header[i]), "plot-tick") for i, x in self._places]

    def row(self, row: Row, y: float) -> list[str]:
        return [text(x, y, _short(row.cells[i].text), "plot-label") for i, x in self._places]

    def whole(self, row: Row) -> str:
        """The name in one line, of all label columns."""
        parts = [(self._header[i], row.cells[i].text) for i in self._labels]
        return ", ".join(f"{name} {value}" for name, value in parts if value not in ("", "-"))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
