"""Which cell of one set of tables is which cell of another, and how each pair differs.

A row is known by what its label columns say (those left of the figures that both tables have, but not by notes). Of
several rows with the same labels those belong together that rest on the same runs (a run's id is its configuration),
then those whose runs differ least: a table hides a column in which its rows do not differ, and names blocks after what
differs within one set of records, so the other set may do otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from results.copies import Behind
from results.grouping import NOTE_COLUMN
from results.table import Cell, Interval, Row, Table

Change = Literal["same", "moved", "changed", "filled", "emptied", "appeared", "disappeared"]
Distance = Callable[[Behind, Behind], int]
SLACK = 1e-9
"""Two ways to add the same numbers up differ by less."""

NOTHING = Cell("", "label")
_NO_FIGURE = ("label", "missing", "not transcribed", "not applicable")


@dataclass(frozen=True)
class Place:
    """Where a cell stands, to be read and to be sorted by."""

    table: str
    row: tuple[tuple[str, str], ...]
    """(label column, text)."""
    column: str
    number: int
    """0, or which of several rows with the same labels it is, in the order of the first table."""

    @property
    def row_text(self) -> str:
        row = ", ".join(f"{name} {text}" for name, text in self.row if text)
        return f"[{row}{f' ({self.number + 1})' if self.number else ''}]"


@dataclass(frozen=True)
class Pair:
    """A cell on both sides; None where a side has none."""

    place: Place
    a: Cell | None
    b: Cell | None
    blocks: tuple[str, str] = ("", "")
    """Of the rows that they stand in."""

    @property
    def behind(self) -> tuple[Behind, Behind]:
        mine, theirs = (() if cell is None else cell.runs for cell in (self.a, self.b))
        return (mine, self.blocks[0]), (theirs, self.blocks[1])

    def change(self, tolerance: float = 0.0) -> Change:
        """moved: another figure, by more than `tolerance`. changed: the same figure, but something else about it.
        filled, emptied: from or to `missing`. appeared, disappeared: one side has no such cell."""
        if self.a is None or self.b is None:
            if (self.a or self.b or NOTHING).kind in _NO_FIGURE:
                return "same"  # a gap more is no result more
            return "appeared" if self.a is None else "disappeared"
        gaps = [cell.kind in ("missing", "not transcribed") for cell in (self.a, self.b)]
        if gaps[0] != gaps[1] and (self.b if gaps[0] else self.a).kind not in _NO_FIGURE:
            return "filled" if gaps[0] else "emptied"
        d = self.difference
        if d is not None and abs(d) > tolerance + SLACK:
            return "moved"
        if d is None and not all(gaps) and self.a.text != self.b.text:
            return "changed"
        return "changed" if self.details(tolerance) else "same"

    @property
    def difference(self) -> float | None:
        """b - a, where both are figures."""
        values = [None if cell is None else value_of(cell) for cell in (self.a, self.b)]
        return None if None in values else values[1] - values[0]  # type: ignore[operator]

    @property
    def noise(self) -> float | None:
        """Half-width of the 95 % interval of the difference, the two sides taken as independent; None where a side
        has no interval."""
        halves = [_half_width(interval) for interval in self._intervals]
        return math.hypot(*halves) if len(halves) == 2 else None

    @property
    def noise_over(self) -> str:
        """What varies in the two intervals: seeds, videos, or one on each side."""
        kinds = {"seeds" if interval.kind == "seeds" else "videos alone" for interval in self._intervals}
        return " and ".join(sorted(kinds, reverse=True))

    @property
    def _intervals(self) -> list[Interval]:
        found = [_interval(cell) for cell in (self.a, self.b) if cell is not None]
        return [interval for interval in found if interval is not None]

    def details(self, tolerance: float = 0.0) -> list[str]:
        """What else of the figure is another, beside its value; a standard deviation by more than `tolerance`."""
        if self.a is None or self.b is None:
            return []
        found = []
        mine, theirs = self.a.estimate, self.b.estimate
        if mine is not None and theirs is not None:
            for name in ("runs", "independent"):
                if getattr(mine, name) != getattr(theirs, name):
                    found.append(f"{name} {getattr(mine, name)} -> {getattr(theirs, name)}")
            if _apart(mine.sd, theirs.sd, tolerance):
                found.append(f"sd {_short(mine.sd)} -> {_short(theirs.sd)}")
        verdicts = [cell.comparison.verdict if cell.comparison else "" for cell in (self.a, self.b)]
        if verdicts[0] != verdicts[1]:
            found.append(f"verdict {verdicts[0] or 'none'} -> {verdicts[1] or 'none'}")
        return found


def pairs_of(first: Sequence[Table], second: Sequence[Table], distance: Distance = lambda *_: 0) -> Iterator[Pair]:
    """Every figure of both sets (cells of label columns left of the figures are what rows are known by), in the order
    of the first set; what only the second has follows its table, tables that only it has come last.

    distance: of what stands behind a row and behind another one: in how many ways they are other experiments.
    """
    others = {table.name: table for table in second}
    for table in first:
        yield from _pairs(table, others.pop(table.name, None), distance)
    for table in second:
        if table.name in others:
            yield from _pairs(None, table, distance)


def _pairs(first: Table | None, second: Table | None, distance: Distance) -> Iterator[Pair]:
    table = first or second
    assert table is not None
    sides = [side for side in (first, second) if side is not None]
    keys = [name for name in _keys(sides[0]) if all(name in _keys(side) for side in sides)]
    columns = list(dict.fromkeys(column.name for side in sides for column in side.columns))
    columns = [name for name in columns if not any(name in _keys(side) for side in sides) and name != NOTE_COLUMN]
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for labels, mine, theirs in _rows(first, second, keys, distance):
        where = tuple(zip(keys, labels, strict=True))
        alone = (first, mine) if theirs is None else (second, theirs) if mine is None else None
        if alone is not None and alone[0] is not None and alone[1] is not None:  # all that tells it from its neighbours
            where = tuple((name, alone[1].cells[alone[0].header.index(name)].text) for name in _keys(alone[0]))
        number = counts[where] = counts.get(where, -1) + 1
        blocks = ("" if mine is None else mine.block, "" if theirs is None else theirs.block)
        for name in columns:
            a, b = _cell(first, mine, name), _cell(second, theirs, name)
            if a is not None or b is not None:
                yield Pair(Place(table.name, where, name, number), a, b, blocks)


def _keys(table: Table) -> list[str]:
    """The label columns left of the first figure, but not notes."""
    found = []
    for column in table.columns:
        if column.kind != "label":
            break
        found.append(column.name)
    return [name for name in found if name != NOTE_COLUMN]


def _rows(
    first: Table | None, second: Table | None, keys: list[str], distance: Distance
) -> Iterator[tuple[tuple[str, ...], Row | None, Row | None]]:
    left, right = _by_labels(first, keys), _by_labels(second, keys)
    header = [column for column in first.header if column in second.header] if first and second else []
    places = [(first.header.index(name), second.header.index(name)) for name in header] if first and second else []
    for labels in dict.fromkeys([*left, *right]):
        mine, theirs = left.get(labels, []), right.get(labels, [])
        partner = _partners(mine, theirs, places, distance)
        for index, row in enumerate(mine):
            yield labels, row, theirs[partner[index]] if index in partner else None
        taken = set(partner.values())
        yield from ((labels, None, row) for index, row in enumerate(theirs) if index not in taken)


def _partners(mine: list[Row], theirs: list[Row], places: list[tuple[int, int]], distance: Distance) -> dict[int, int]:
    """Index in `mine` -> index in `theirs`, of rows with the same labels: the most alike first.

    places: where the columns that both tables have stand in either.
    """
    if len(mine) == len(theirs) == 1:
        return {0: 0}
    scored = []
    for i, a in enumerate(mine):
        for j, b in enumerate(theirs):
            shared = len(set(a.runs) & set(b.runs))
            if not shared and a.block != b.block:
                continue  # nothing says that they are the same
            alike = sum(a.cells[here].text == b.cells[there].text for here, there in places)
            apart = distance((a.runs, a.block), (b.runs, b.block))  # of one id, too: two codes may have done it
            scored.append((-shared, apart, a.block != b.block, -alike, abs(i - j), i, j))
    found: dict[int, int] = {}
    for *_, i, j in sorted(scored):
        if i not in found and j not in found.values():
            found[i] = j
    return found


def _by_labels(table: Table | None, keys: list[str]) -> dict[tuple[str, ...], list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    if table is not None:
        places = [table.header.index(name) for name in keys]
        for row in table.rows:
            found.setdefault(tuple(row.cells[place].text for place in places), []).append(row)
    return found


def _cell(table: Table | None, row: Row | None, name: str) -> Cell | None:
    """None where there is no such row or column, or nothing in it."""
    if table is None or row is None or name not in table.header:
        return None
    cell = row.cells[table.header.index(name)]
    return None if cell.kind == "label" and not cell.text else cell


def value_of(cell: Cell) -> float | None:
    """The figure that a cell shows; None for one that shows none."""
    if cell.estimate is not None:
        return cell.estimate.mean
    if cell.comparison is not None:
        return cell.comparison.difference
    return cell.published.value if cell.published is not None else None


def _interval(cell: Cell) -> Interval | None:
    if cell.estimate is not None:
        return cell.estimate.interval
    return cell.comparison.interval if cell.comparison is not None else None


def _half_width(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def _apart(a: float | None, b: float | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is not b
    return abs(a - b) > tolerance + SLACK


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
