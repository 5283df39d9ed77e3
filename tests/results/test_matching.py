"""Cells of two sets of tables find each other whatever the order, the blocks and the neighbours are."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.grouping import NOTE_COLUMN
from results.matching import Pair, pairs_of
from results.table import Cell, Column, Comparison, Estimate, Interval, Row, Table, label, missing, not_applicable

HOSTILE = ["a_b", "<script>", "50 %", "x | y", "±", "", "\\$#{}~^`", "0"]


def figure(value: float, half: float | None = 1.0, runs: tuple[str, ...] = (), sd: float | None = 0.5) -> Cell:
    interval = None if half is None else Interval(value - half, value + half, "seeds")
    return Cell(f"{value:.1f}", "measured", Estimate(value, sd, 3, 3, interval), runs=runs)


def table(*rows: Row, name: str = "t", columns: tuple[str, ...] = ("levels", "top-1"), labels: int = 1) -> Table:
    kinds = ["label"] * labels + ["figure"] * (len(columns) - labels)
    return Table(name, "T", "", tuple(Column(*pair) for pair in zip(columns, kinds, strict=True)), rows)  # type: ignore[arg-type]


def row(name: str, *cells: Cell, block: str = "") -> Row:
    return Row((label(name), *cells), block)


def changes(first: Table | None, second: Table | None, tolerance: float = 0.0) -> list[tuple[str, str]]:
    pairs = pairs_of([first] if first else [], [second] if second else [])
    found = [(f"{dict(pair.place.row)}/{pair.place.column}", pair.change(tolerance)) for pair in pairs]
    return [item for item in found if item[1] != "same"]


def one(a: Cell, b: Cell) -> Pair:
    (pair,) = pairs_of([table(row("1", a))], [table(row("1", b))])
    return pair


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Rows with different labels or different runs, in some blocks."""
    names = draw(st.lists(st.tuples(st.sampled_from(HOSTILE), st.integers(0, 2)), unique=True, max_size=8))
    rows = []
    for index, (name, block) in enumerate(names):
        cell = draw(
            st.sampled_from([missing("do it"), not_applicable(), figure(50.0 + index, runs=(f"r{index}", "shared"))])
        )
        rows.append(row(name, cell, figure(7.0, runs=(f"r{index}",)), block=f"b{block}"))
    return table(*rows, columns=("levels", "top-1", "top-5"))


@given(tables())
def test_a_table_does_not_differ_from_itself(one_table: Table) -> None:
    pairs = list(pairs_of([one_table], [one_table]))
    assert {pair.change() for pair in pairs} <= {"same"}
    assert all(pair.a is pair.b for pair in pairs) or not pairs


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_blocks_do_not_matter(one_table: Table, random: object) -> None:
    rows = [dataclasses.replace(item, block=f"other {item.block}") for item in one_table.rows]
    random.shuffle(rows)  # type: ignore[attr-defined]
    moved = dataclasses.replace(one_table, rows=tuple(rows))
    assert changes(one_table, moved) == []


@given(tables(), tables())
@settings(max_examples=200)
def test_every_cell_is_in_exactly_one_pair(first: Table, second: Table) -> None:
    pairs = list(pairs_of([first], [second]))
    for side, one_table in (("a", first), ("b", second)):
        cells = [id(cell) for item in one_table.rows for cell in item.cells[1:]]
        assert Counter(cells) == Counter(id(cell) for pair in pairs if (cell := getattr(pair, side)) is not None)
    places = [pair.place for pair in pairs]
    assert len(set(places)) == len(places)


@given(tables(), tables())
def test_swapping_the_sides_swaps_the_changes(first: Table, second: Table) -> None:
    swap = {"appeared": "disappeared", "disappeared": "appeared", "filled": "emptied", "emptied": "filled"}
    there = Counter(pair.change() for pair in pairs_of([first], [second]))
    back = Counter(swap.get(pair.change(), pair.change()) for pair in pairs_of([second], [first]))
    assert sum(there.values()) == sum(back.values())
    if len({item.cells[0].text for item in first.rows}) == len(first.rows):  # no choice between several partners
        assert there == back


@given(tables(), st.data())
def test_a_row_that_is_taken_out_is_all_that_disappears(one_table: Table, data: st.DataObject) -> None:
    if not one_table.rows:
        return
    gone = data.draw(st.integers(0, len(one_table.rows) - 1))
    fewer = dataclasses.replace(one_table, rows=one_table.rows[:gone] + one_table.rows[gone + 1 :])
    lost = [cell for cell in one_table.rows[gone].cells[1:] if cell.kind == "measured"]
    assert [change for _, change in changes(one_table, fewer)] == ["disappeared"] * len(lost)
    assert [change for _, change in changes(fewer, one_table)] == ["appeared"] * len(lost)


@given(tables(), st.data())
def test_a_figure_that_is_changed_is_all_that_moves(one_table: Table, data: st.DataObject) -> None:
    if not one_table.rows:
        return
    at = data.draw(st.integers(0, len(one_table.rows) - 1))
    rows = list(one_table.rows)
    *rest, last = rows[at].cells
    rows[at] = dataclasses.replace(rows[at], cells=(*rest, figure(7.1, runs=last.runs)))
    (found,) = changes(one_table, dataclasses.replace(one_table, rows=tuple(rows)))
    assert found == (f"{{'levels': {rows[at].cells[0].text!r}}}/top-5", "moved")


def test_rows_of_one_label_are_told_apart_by_their_runs_not_by_blocks() -> None:
    old = row("3", figure(70.0, runs=("x",)), block="1")
    new = row("3", figure(60.0, runs=("y",)), block="1")
    assert changes(table(old), table(new, dataclasses.replace(old, block="2"))) == [
        ("{'levels': '3'}/top-1", "appeared")
    ]


def test_new_rows_with_one_label_are_not_taken_for_old_ones_of_another_block() -> None:
    old = row("3", figure(70.0, runs=("x",)), block="1")
    others = [row("3", figure(60.0 + n, runs=(f"y{n}",)), block=f"{n + 2}") for n in range(2)]
    assert [change for _, change in changes(table(old), table(*others))] == ["disappeared", "appeared", "appeared"]


def test_a_sole_row_of_another_configuration_is_the_same_row() -> None:
    pair = one(figure(70.0, runs=("x",)), figure(60.0, runs=("y",)))
    assert (pair.change(), pair.difference) == ("moved", -10.0)


def test_a_column_that_only_one_side_has_and_a_note_do_not_part_rows() -> None:
    first = table(row("1", figure(5.0)))
    wide = Table(
        "t",
        "T",
        "",
        (Column("levels", "label"), Column("temporal", "label"), Column("top-1"), Column(NOTE_COLUMN, "label")),
        (Row((label("1"), label("shift"), figure(5.0), label("code 123"))),),
    )
    assert changes(first, wide) == []


def test_a_table_or_a_column_of_one_side_appears() -> None:
    first, second = table(row("1", figure(5.0))), table(row("1", figure(5.0)), name="u")
    assert [change for _, change in changes(first, None)] == ["disappeared"]
    assert [pair.change() for pair in pairs_of([first], [second])] == ["disappeared", "appeared"]
    wide = table(row("1", figure(5.0), figure(6.0)), columns=("levels", "top-1", "top-5"))
    assert changes(first, wide) == [("{'levels': '1'}/top-5", "appeared")]


def test_gaps_that_come_and_go_are_no_results() -> None:
    first = table(row("1", figure(5.0)))
    assert changes(first, table(row("1", figure(5.0)), row("2", missing("run it")))) == []
    assert one(missing("a"), missing("b")).change() == "same"
    assert one(missing(), figure(5.0)).change() == "filled"
    assert one(figure(5.0), missing()).change() == "emptied"
    assert one(missing(), not_applicable()).change() == "changed"
    assert one(not_applicable(), not_applicable()).change() == "same"


@pytest.mark.parametrize(
    ("a", "b", "noise", "within"),
    [
        (figure(50.0, 3.0), figure(54.0, 4.0), 5.0, True),
        (figure(50.0, 3.0), figure(55.1, 4.0), 5.0, False),
        (figure(50.0, None), figure(50.1, 4.0), None, None),
    ],
)
def test_noise_is_that_of_both_sides(a: Cell, b: Cell, noise: float | None, within: bool | None) -> None:
    pair = one(a, b)
    assert pair.change() == "moved" and pair.noise == noise
    if noise is not None and pair.difference is not None:
        assert (abs(pair.difference) <= noise) is within and pair.noise_over == "seeds"


def test_the_tolerance_holds_for_figures_and_their_spread() -> None:
    pair = one(figure(50.0, sd=0.5), figure(50.3, sd=0.7))
    assert (pair.change(), pair.change(0.3), pair.change(0.25)) == ("moved", "same", "moved")
    assert one(figure(50.0, sd=0.5), figure(50.0, sd=0.7)).change() == "changed"
    assert one(figure(50.0), figure(50.0 + 1e-12)).change() == "same"


def test_a_verdict_that_changes_is_told() -> None:
    cells = [Cell("v", "measured", comparison=Comparison("o", 0.1, None, verdict)) for verdict in ("above", "below")]  # type: ignore[arg-type]
    assert one(*cells).change() == "changed"
    assert one(*cells).details() == ["verdict above -> below"]


def test_a_text_without_a_figure_is_compared_as_text() -> None:
    assert one(Cell("yes", "measured"), Cell("no", "measured")).change() == "changed"
