from __future__ import annotations

from results.report.plots import forest
from results.table import Cell, Column, Comparison, Estimate, Interval, Row, Table, label

COLUMNS = (Column("levels", "label"), Column("kept apart by", "label"), Column("top-1"), Column("difference"))


def row(levels: int, mean: float, low: float, high: float, block: str = "") -> Row:
    interval = Interval(low, high, "seeds")
    top1 = Cell(f"{mean}", "measured", Estimate(mean, 1.0, 2, 2, interval))
    apart = Comparison("the baseline", mean - 20, Interval(low - 20, high - 20, "seeds"))
    return Row((label(levels), label(f"code {block}"), top1, Cell("+", "measured", comparison=apart)), block)


def table(*rows: Row) -> Table:
    return Table("t", "<T>", "", COLUMNS, rows)


def test_both_figures_are_drawn_and_what_goes_beyond_the_plot_is_marked() -> None:
    inside, beyond = (
        forest(table(row(0, 20, 10, 30), row(1, 60, 40, 80))),
        forest(table(row(0, 20, 10, 30), row(1, 60, -9, 140))),
    )
    assert inside.count("<circle") == 4 and "difference to the baseline (points)" in inside
    assert "▸" not in inside and "◂" not in inside
    assert beyond.count("▸") == 2 and beyond.count("◂") == 1
    assert "<T>" not in inside and "<desc>" in inside


def test_blocks_are_named_only_where_there_are_several() -> None:
    assert "code a" not in forest(table(row(0, 20, 10, 30, "a"), row(1, 60, 40, 80, "a")))
    several = forest(table(row(0, 20, 10, 30, "a"), row(0, 60, 40, 80, "b")))
    assert several.count("code a") == several.count("code b") == 1


def test_one_figure_alone_gives_no_plot() -> None:
    assert forest(table(row(0, 20, 10, 30))) == ""
