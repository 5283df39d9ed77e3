import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.collect import collect
from results.render import csv_text, markdown, write_tables
from results.render.markdown import escape, grid
from results.render.words import sources_of
from results.table import Cell, Column, Row, Table, label
from results.tables import all_tables

NAMES = [
    "a|b",
    "x\ny",
    "`code`",
    "*bold*",
    "_under_",
    "<b>",
    "back\\slash",
    "[link](url)",
    "~~no~~",
    "&amp;",
    "naïve ±",
]


def table_of(cells: list[str]) -> Table:
    rows = tuple(Row((label(cell), Cell("1.0", "measured", runs=(f"{n}",)))) for n, cell in enumerate(cells))
    columns = (Column("name", "label"), Column("top-1"))
    names = tuple((f"{n}", f"run-{n}") for n in range(len(cells)))
    return Table("t", "T", "C", columns, rows, ("A note on `missing`.",), names=names)


def unescaped_bars(line: str) -> int:
    return line.replace("\\\\", "").replace("\\|", "").count("|")


@given(cells=st.lists(st.text(), min_size=1, max_size=5))
def test_no_cell_breaks_the_grid(cells: list[str]) -> None:
    lines = grid(table_of(cells)).split("\n")
    assert len(lines) == len(cells) + 2
    assert {unescaped_bars(line) for line in lines} == {3}
    assert len("\n".join(lines).splitlines()) == len(lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("x\n y", "x y"),
        ("resnet50_a1", "resnet50_a1"),
        ("_under_", "\\_under\\_"),
        ("*b*", "\\*b\\*"),
        ("<i>", "\\<i\\>"),
        ("back\\|", "back\\\\\\|"),
        ("[a](b)", "[a]\\(b)"),
        ("$x$", "\\$x\\$"),  # GitHub sets it as mathematics
        ("45.8 [41.3, 50.4]", "45.8 [41.3, 50.4]"),
        ("50.0 ± 0.1 (n=2)", "50.0 ± 0.1 (n=2)"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(cells=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_csv_gives_the_cells_back_each_on_one_line(cells: list[str]) -> None:
    table = table_of(cells)
    text = csv_text(table)
    assert text.count("\n") == len(cells) + 1 and "\r" not in text
    found = list(csv.reader(io.StringIO(text)))
    assert found[0] == ["name", "top-1", "runs"]
    wanted = [[" ".join(name.split()), figure] for name, figure in table.texts()]
    assert [[row[0].removeprefix("'") if row[0][1:2] in set("=+-@") else row[0], row[1]] for row in found[1:]] == wanted
    assert [row[2] for row in found[1:]] == sources_of(table)


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@sum(a1)", " =1", "\t=1", "\r=1"])
def test_no_name_is_a_formula_in_a_spreadsheet(name: str) -> None:
    row = Row(
        (label(name), Cell("+0.4 [-3.3, +4.1]", "measured", runs=("r",)), Cell("-", "not applicable"), label("-"))
    )
    columns = (Column("name", "label"), Column(name), Column("top-1"), Column("other", "label"))
    table = Table("t", "T", "C", columns, (row,), names=(("r", name),))
    head, cells = csv.reader(io.StringIO(csv_text(table)))
    plain = f"'{name.strip()}"
    assert (head[1], cells[0], cells[4]) == (plain, plain, plain)
    assert cells[1:4] == ["+0.4 [-3.3, +4.1]", "-", "-"]


def test_markdown_has_title_caption_notes_and_runs() -> None:
    cells = [Cell("1", "measured", runs=("r",)), Cell("2", "measured", runs=("r",)), Cell("3")]
    rows = tuple(Row((cell,)) for cell in cells)
    table = Table("t", "Top-1", "All | rows.", (Column("a"),), rows, ("A `missing` cell.",), names=(("r", "r_1-x"),))
    text = markdown(table)
    assert text.startswith("# Top-1\n\nAll \\| rows.\n\n| a   |\n| --- |\n| 1   |\n")
    assert "- A `missing` cell.\n" in text
    assert text.endswith("Runs behind the rows:\n\n- rows 1 to 2: r_1-x\n")
    assert "Runs behind" not in markdown(table, runs=False)


def test_rendering_twice_gives_the_same_bytes(make: Any, tmp_path: Path) -> None:
    chains = [make.runs(name, levels) for name in NAMES[:3] for levels in (1, 2)]
    make.save(tmp_path / "a", *[{k: v | {"slug": "r-l1"} for k, v in chain.items()} for chain in chains])
    make.save(tmp_path / "b", *[{k: v | {"slug": "r-l1"} for k, v in chain.items()} for chain in reversed(chains)])
    written = [write_tables(all_tables(collect(tmp_path / run)), tmp_path / run / "tables") for run in ("a", "b")]
    assert len(written[0]) > 8
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert str(tmp_path) not in one.read_text()
