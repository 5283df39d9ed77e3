from __future__ import annotations

import re
from dataclasses import replace

from results.report.names import LETTER, same_columns
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


def test_names_are_whole_and_beside_the_plot_not_on_it() -> None:
    long = "temporal shift, motion input video, progressive, 720 steps in all"[:46]
    names = (Column("motion", "label"), Column("levels", "label"), *COLUMNS[2:])
    rows = tuple(Row((label(f"{long[:-1]}{k}"), label(k), *row(k, 20 + k, 10, 30).cells[2:])) for k in range(3))
    drawn = forest(Table("t", "T", "", names, rows))
    texts = re.findall(r'<text x="([\d.]+)"[^>]*class="plot-label">([^<]*)<', drawn)
    assert [text for _, text in texts if len(text) > 1] == [f"{long[:-1]}{k}" for k in range(3)]
    dots = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawn)]
    assert all(float(x) + LETTER * len(text) < min(dots) for x, text in texts)


def test_what_all_rows_say_is_no_name() -> None:
    rows = [row(k, 20, 10, 30) for k in range(2)]
    drawn = forest(Table("t", "T", "", COLUMNS, tuple(rows)))
    assert "code " not in re.sub("<title>.*?</title>", "", drawn)
    assert same_columns(Table("t", "T", "", COLUMNS, tuple(rows))) == [1]
    assert same_columns(Table("t", "T", "", COLUMNS, (rows[0],))) == [], "one row alone says everything itself"


def test_chance_and_the_baseline_have_their_own_place() -> None:
    baseline = row(0, 25, 20, 30)
    baseline = replace(baseline, cells=(*baseline.cells[:3], Cell("baseline")))
    drawn = forest(table(baseline, row(1, 60, -20, 80)), chance=25.0)
    assert (
        "chance 25" in drawn
        and 'class="curve chance"' in drawn
        and "chance" not in forest(table(baseline, row(1, 60, 40, 80)))
    )
    zero = float(re.findall(r'<line x1="([\d.]+)"[^>]*class="zero"', drawn)[0])
    x, anchor = re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="(\w+)" class="plot-missing">baseline', drawn)[0]
    assert anchor == "start" and float(x) > zero


def test_differences_that_are_all_nothing_have_an_axis() -> None:
    rows = [row(k, 20, 20, 20) for k in range(2)]
    nothing = Comparison("the baseline", 0.0, None)
    alike = [replace(one, cells=(*one.cells[:3], replace(one.cells[3], comparison=nothing))) for one in rows]
    assert forest(table(*alike)).count("<circle") == 4


def test_a_block_of_questions_has_its_question_for_a_name_not_what_is_comparable() -> None:
    rows = [row(k, 20, 10, 30, f"question; {'a' * 64}") for k in range(2)]
    drawn = forest(table(*rows), heads=True)
    assert "a" * 64 not in drawn and drawn.count('class="plot-block">0<') == drawn.count('class="plot-block">1<') == 1
