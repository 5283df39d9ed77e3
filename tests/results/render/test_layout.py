"""Wide and high tables on paper: what they leave out of the grid stands elsewhere, and nothing is cut at an edge."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from results.collect import collect
from results.reference import load
from results.render import latex, write_tables
from results.render.layout import layout
from results.table import Cell, Column, Row, Table, label
from results.tables import all_tables

RECORDS = Path(__file__).resolve().parents[3] / "results" / "records"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def source(number: int) -> str:
    path = f"configs/recognition/some_method/a_longer_name/README_{number // 2}.md"
    return f"owner/repository, {path}, commit {COMMIT}, line {number} (authors)"


def table_of(count: int, wide: int = 1, name: str = "t") -> Table:
    rows = tuple(
        Row(
            (
                label("resnet50"),
                label("-"),
                label(f"method {n}"),
                label(source(n)),
                *[Cell(f"{n}.0 ± 0.1 (n=3)")] * wide,
            )
        )
        for n in range(count)
    )
    labels = [Column(text, "label") for text in ("backbone", "frames", "method", "source")]
    return Table(name, "Is it?", "Top-1.", (*labels, *(Column(f"top-1 {n}") for n in range(wide))), rows)


def test_what_all_rows_share_is_said_once_and_sources_are_numbered_by_file() -> None:
    plan = layout(table_of(4), 0)
    assert plan.shared == "In all rows: backbone resnet50. Empty in all rows: frames."
    assert plan.table.header == ["method", "source", "top-1 0"]
    assert [row[1] for row in plan.table.texts()] == [
        "[1] line 0 (authors)",
        "[1] line 1 (authors)",
        "[2] line 2 (authors)",
        "[2] line 3 (authors)",
    ]
    assert len(plan.sources) == 2 and plan.sources[1].startswith("[2] owner/repository, configs/")
    assert plan.sources[1].endswith("README_1.md, commit 0123456789ab")
    text = latex(table_of(4))
    assert r"\caption{Is it? Top-1. In all rows: backbone resnet50." in text and COMMIT not in text
    assert "{[1] line 0 (authors)}" in text and r"[2] owner/repository" in text[text.index(r"\bottomrule") :]


def test_one_row_and_figures_that_are_equal_are_left_alone() -> None:
    assert layout(table_of(1), 0).shared == ""
    same = table_of(3)
    rows = tuple(Row((*row.cells[:4], Cell("1.0"))) for row in same.rows)
    plan = layout(Table("t", "T", "C", same.columns, rows), 0)
    assert [row[2] for row in plan.table.texts()] == ["1.0"] * 3
    only = Table("t", "T", "C", same.columns[:1], (Row((label("a"),)), Row((label("a"),))))
    assert layout(only, 0).table == only


@pytest.mark.parametrize(
    ("count", "wide", "turned", "behind"),
    [(10, 1, False, False), (10, 6, True, False), (60, 6, False, True), (100, 1, False, True)],
)
def test_wide_tables_are_turned_unless_they_are_high(count: int, wide: int, turned: bool, behind: bool) -> None:
    plan = layout(table_of(count, wide), 2)
    assert (plan.turned, plan.notes_behind) == (turned, behind)
    assert (r"\begin{sidewaystable}" in latex(table_of(count, wide))) is turned


def test_nothing_is_cut_at_the_edge_of_a_page(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        assert not os.environ.get("CI"), "CI installs LaTeX (.ci/run)"
        pytest.skip("no pdflatex here")
    sizes = [(10, 1), (10, 6), (25, 6), (60, 6), (40, 1), (50, 1), (100, 1), (50, 3)]
    made = [table_of(count, wide, f"t_{count}_{wide}") for count, wide in sizes]
    tables = [*made, *all_tables(collect(RECORDS), load())]
    write_tables(tables, tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert not re.findall(r"Overfull .*|.*Float too large.*", (tmp_path / "tables.log").read_text(errors="replace"))
