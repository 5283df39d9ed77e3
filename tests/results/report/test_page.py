from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.collect import collect
from results.reference import load
from results.report import page, prose, write_report
from results.report.data import POINTS, embedded, read_curves, read_details, thin
from results.report.pictures import picture_sections
from results.report.svg import ticks
from results.table import Cell, Column, Row, Table
from results.tables import all_tables
from tests.results.report.conftest import draw


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(text)
    return parser.found


def test_the_same_runs_give_the_same_bytes(runs: Path, report: Path, tmp_path: Path) -> None:
    frame = collect(runs)
    write_report(tmp_path / "again.html", all_tables(frame, load()), frame, load())
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()
    assert str(runs.parent).encode() not in report.read_bytes(), "where the runs lay is nobody's business"


def test_nothing_on_the_page_is_fetched(report: Path) -> None:
    for tag, attributes in elements(report.read_text()):
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, name, value)
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")], (
            tag,
            attributes,
        )
    text = report.read_text()
    assert "url(" not in text and "@import" not in text
    policy = next(a["content"] for tag, a in elements(text) if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "unsafe" not in policy


def test_labels_that_look_like_markup_stay_text(report: Path) -> None:
    text = report.read_text()
    assert "window.hit" in text
    assert [tag for tag, _ in elements(text)].count("script") == 2
    assert not [a for tag, a in elements(text) if tag == "img" and not str(a.get("src")).startswith("data:")]


def test_every_cell_leads_to_its_runs(report: Path) -> None:
    text = report.read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    buttons = [a["data-cell"] for tag, a in elements(text) if tag == "button" and "data-cell" in a]
    assert set(buttons) == set(data["cells"]) and len(buttons) > 300
    assert all(run in data["runs"] for cell in data["cells"].values() for run in cell["runs"])
    assert all(run in data["runs"] for one in data["runs"].values() for run in one["lineage"])
    measured = [cell for cell in data["cells"].values() if cell["title"].startswith("How many") and cell["runs"]]
    assert {len(cell["runs"]) for cell in measured if cell["column"] == "top-1"} == {3, 1}
    assert any("experiment=hierarchy" in cell["command"] for cell in data["cells"].values())


def test_a_difference_names_the_row_it_is_to(runs: Path) -> None:
    frame = collect(runs)
    tables = all_tables(frame)
    data = json.loads(embedded(tables, read_details(frame, tables)))
    found = {}
    for table in [table for table in tables if table.name in ("hierarchy_depth", "equal_labels")]:
        for i, row in enumerate(table.rows):
            cell = data["cells"].get(f"{table.name}-{i}-{table.header.index('difference')}", {})
            if "comparison" in cell:
                labels = dict(zip(table.header, [part.text for part in row.cells], strict=True))
                found[table.name, labels["levels"]] = cell["comparison"]["other"]
    assert "levels 1, pretraining none" in found["equal_labels", "1"], "its own baseline, not that of another"
    assert "levels 2, pretraining none" in found["equal_labels", "2"]
    assert all("levels 0" in other for (name, _), other in found.items() if name == "hierarchy_depth")


def test_a_planted_error_is_seen_behind_its_cell(runs: Path, make: Any, tmp_path: Path) -> None:
    chain = make.runs(levels=1)
    make.save(tmp_path, chain)
    path = next(tmp_path.glob("test/*/record.json"))
    record = json.loads(path.read_text())
    record["metrics"]["top1"] += 0.1
    path.write_text(json.dumps(record))
    frame = collect(tmp_path)
    tables = all_tables(frame)
    data = json.loads(embedded(tables, read_details(frame, tables)))
    cells = [cell for cell in data["cells"].values() if cell["column"] == "top-1" and cell["runs"]]
    assert cells and all(cell["text"].startswith("50.1") for cell in cells)
    assert all(data["runs"][run]["metrics"]["top1"] == pytest.approx(50.1) for cell in cells for run in cell["runs"])


def test_what_is_not_there_is_said(runs: Path, report: Path) -> None:
    text = report.read_text()
    assert "1 folders gave no row" in text and "is not JSON" in text
    assert "no curves: metrics.jsonl is not there" in text


def test_a_frame_without_runs_and_tables_without_rows(tmp_path: Path) -> None:
    assert "0 tables" in page([], collect(tmp_path), load())
    lone = Table("t", "<b>T</b>", "c", (Column("a", "label"),), (Row((Cell("x"),)),))
    assert "&lt;b&gt;T&lt;/b&gt;" in page([lone], collect(tmp_path), load())


@given(text=st.text())
def test_prose_adds_nothing_but_code(text: str) -> None:
    opened = [tag for tag, _ in elements(str(prose(text)))]
    assert set(opened) <= {"code"}


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_embedded_json_cannot_end_its_element(texts: list[str]) -> None:
    rows = tuple(Row((Cell(text, command=text + "</script><!--"),)) for text in texts)
    table = Table("t", "T", "", (Column("a"),), rows)
    text = embedded([table], read_details(collect(), [table]))
    assert "<" not in text and ">" not in text
    assert [json.loads(text)["cells"][f"t-{i}-0"]["text"] for i in range(len(texts))] == texts


def test_curves_are_thinned_and_damage_is_counted(tmp_path: Path) -> None:
    points = [(float(step), float(step)) for step in range(1000)]
    assert len(thin(points)) == POINTS and thin(points)[0] == points[0] and thin(points)[-1] == points[-1]
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0, "ok": true, "bad": NaN}\n{"step": 2, "loss": 1.0}\n{"st\n[1]\n')
    assert read_curves(path) == ({"loss": [(1.0, 2.0), (2.0, 1.0)]}, "2 damaged lines of metrics.jsonl are left out")
    path.write_bytes(b"\xff\xfe")
    assert read_curves(path)[1] == "no curves: metrics.jsonl cannot be read"


def test_pictures_that_cannot_be_shown_say_why(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path, make.runs(levels=1))
    folder = next(tmp_path.glob("pretrain/*")) / "pictures"
    folder.mkdir()
    for content, said in (
        ("{", "cannot be shown"),
        ('{"videos": [], "scale": "", "wheel": "../../x.png"}', "not the name of"),
    ):
        (folder / "pictures.json").write_text(content)
        frame = collect(tmp_path)
        assert said in page(all_tables(frame), frame, load())


@given(low=st.floats(-5, 5), span=st.floats(0.01, 5000))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 7 and all(low - 1e-3 <= tick <= low + span + 1e-3 for tick in found)


def test_of_a_run_that_two_codes_have_done_a_cell_leads_to_its_own(make: Any, tmp_path: Path) -> None:
    for code, correct in (("a" * 64, 200), ("b" * 64, 300)):
        for levels, kind, seed in ((0, "none", 0), (1, "none", 0), (1, "progressive", 0), (1, "progressive", 1)):
            chain = make.runs(levels=levels, pretraining=kind, seed=seed, correct=correct + seed, fingerprint=code)
            make.save(tmp_path / code[:1], chain)
    frame = collect(tmp_path)
    text = page(all_tables(frame, load()), frame, load())
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    checked = set()
    for cell in data["cells"].values():
        runs = [data["runs"][key] for key in cell["runs"]]
        codes = {run["code"]["fingerprint"] for run in runs}
        assert len(codes) <= 1, cell
        for run in runs:
            assert {data["runs"][key]["code"]["fingerprint"] for key in run["lineage"]} <= codes
            assert run["code"]["fingerprint"][:12] in run["name"]
        if cell["column"] in ("top-1", "resnet50") and runs and "estimate" in cell:
            found = sum(run["metrics"]["top1"] for run in runs) / len(runs)
            assert cell["estimate"]["mean"] == pytest.approx(found), cell
            checked.add(cell["title"])
    assert {"Top-1 by levels and backbone", "What was found"} <= checked and len(checked) > 5, checked


def test_the_pictures_are_those_of_the_lowest_seed(make: Any, tmp_path: Path) -> None:
    for seed in (2, 0, 1):
        chain = make.runs(levels=1, seed=seed)
        chain["pretrain"]["slug"] = f"run-{9 - seed}"  # the first by name is another one
        make.save(tmp_path, chain)
    for path in tmp_path.glob("pretrain/*/record.json"):
        draw(path.parent)
    frame = collect(tmp_path)
    (section,) = picture_sections(read_details(frame, all_tables(frame)))
    assert section.run.startswith("run-9-")
