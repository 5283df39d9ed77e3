"""LaTeX, HTML and JSON of the same tables, with every character that means something to one of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.render import html, latex, rendered, results_json, write_tables
from results.render.latex import escape
from results.table import (
    Cell,
    Column,
    Comparison,
    Estimate,
    Interval,
    Published,
    Row,
    Table,
    label,
    missing,
    not_applicable,
)

HOSTILE = r"a_b % & < > ± | ` $ \ # { } ~ ^ -- ' \" <script>alert(1)</script> \input{x} naïve 動"


def table_of(texts: list[str]) -> Table:
    interval = Interval(40.1, 60.2, "seeds")
    measured = Estimate(50.15, 1.2, 3, 3, interval)
    printed = Published("key", 51.0, "51.00", f"arXiv 1v1, Table 1, {HOSTILE}", (("frames", "8"),))
    judged = Comparison("51.00", -0.85, interval, "incomparable", f"protocol {HOSTILE}")
    figures = (
        Cell("50.2 ± 1.2 (n=3)", "measured", measured, runs=("r1",)),
        Cell("51.00", "published", published=printed),
        Cell("incomparable", "measured", comparison=judged),
    )
    rows = [Row((label(text), *figures), f"block {n % 2}") for n, text in enumerate(texts)]
    rows.append(
        Row((label("gap"), missing(f"python sweeps/run.py -m '{HOSTILE}'"), not_applicable(), not_applicable()))
    )
    columns = (Column(HOSTILE, "label"), Column("top-1", better="higher"), Column("printed"), Column("verdict"))
    notes = (HOSTILE,)
    return Table("t_1", HOSTILE, HOSTILE, columns, tuple(rows), notes, rule=HOSTILE, names=(("r1", "run-1"),))


class Reader(HTMLParser):
    """The texts of all cells, and every element that was opened."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: list[str] = []
        self.rows: list[list[str]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.opened.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=4))
def test_html_gives_every_text_back_and_nothing_in_it_is_markup(texts: list[str]) -> None:
    table = table_of([*texts, HOSTILE])
    reader = Reader()
    reader.feed(html(table))
    assert [row[0] for row in reader.rows[1:]] == [*(" ".join(text.split()) for text in [*texts, HOSTILE]), "gap"]
    assert set(reader.opened) <= set("figure figcaption strong table thead tbody tr th td ul li b".split())


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_latex_keeps_rows_and_columns_whatever_is_in_them(text: str) -> None:
    lines = latex(table_of([text, HOSTILE])).split("\n")
    start, end = lines.index(r"\toprule"), lines.index(r"\bottomrule")
    rows = [line for line in lines[start + 1 : end] if line != r"\midrule"]
    assert len(rows) == 4
    for row in rows:
        assert row.endswith(r" \\") and len(re.findall(r"(?<!\\)&", row)) == 3
    plain = re.sub(r"\\[\\{}$&#%_]", "", "\n".join(lines))
    assert plain.count("{") == plain.count("}")
    assert escape(text).isascii()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b", r"a\_b"),
        ("50 %", r"50 \%"),
        ("x & y", r"x \& y"),
        ("1.0 ± 0.2", r"1.0 $\pm$ 0.2"),
        ("<b>", r"\textless{}b\textgreater{}"),
        ("\\", r"\textbackslash{}"),
        ("a -- b - c", "a -{}- b - c"),
        ("動", r"\texttt{U+52D5}"),
        ("two\n lines", "two lines"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_the_best_is_bold_blocks_are_ruled_and_notes_follow() -> None:
    table = table_of(["a", "b"])
    best = replace(table.rows[0].cells[1], best=True)
    first = replace(table.rows[0], cells=(table.rows[0].cells[0], best, *table.rows[0].cells[2:]))
    text = latex(replace(table, rows=(first, *table.rows[1:])))
    assert text.count(r"\textbf{") == 1 and text.count(r"\midrule") == 3
    notes = text[text.index(r"\bottomrule") :]
    assert "Incomparable with 51.00: protocol" in notes and "What is missing is made by" in notes
    assert "<b>50.2" in html(replace(table, rows=(first, *table.rows[1:])))


def test_json_has_every_number_and_its_source() -> None:
    content = json.loads(results_json([table_of(["a"])]))
    figure = content["tables"][0]["figures"][0]
    assert figure["row"] == {HOSTILE: "a"} and figure["column"] == "top-1" and figure["runs"] == ["r1"]
    assert figure["estimate"]["mean"] == 50.15 and figure["estimate"]["interval"]["kind"] == "seeds"
    printed = content["tables"][0]["figures"][1]["published"]
    assert (
        printed["text"] == "51.00"
        and printed["source"].startswith("arXiv")
        and printed["conditions"] == {"frames": "8"}
    )
    assert content["tables"][0]["figures"][2]["comparison"]["verdict"] == "incomparable"
    assert content["runs"] == {"r1": "run-1"}


def test_everything_is_written_and_twice_the_same(tmp_path: Path) -> None:
    tables = [table_of(["a", HOSTILE])]
    paths = write_tables(tables, tmp_path)
    assert [path.name for path in paths] == ["t_1.md", "t_1.csv", "t_1.tex", "t_1.html", "tables.tex", "results.json"]
    assert rendered(tables) == {path.name: path.read_bytes().decode() for path in paths}


def test_a_real_latex_compiles_it(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        assert not os.environ.get("CI"), "CI installs LaTeX (.ci/run)"
        pytest.skip("no pdflatex here")
    write_tables([table_of(["a", HOSTILE, "[x]", "*"]), replace(table_of(["b"]), name="t_2")], tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000 and "Missing character" not in done.stdout
