"""Reading: what is there comes out as it was printed, and a damaged file is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.reference import ReferenceError, load
from results.reference.files import parse, rows_of, text_of
from results.reference.schema import COLUMNS
from results.table import Published
from tests.results.reference.samples import FILLED, HEAD, SLOT, make_row

CSV, YAML = "published.csv", "hcml.yaml"


def problems(folder: Path) -> str:
    with pytest.raises(ReferenceError) as caught:
        load(folder)
    return "\n".join(caught.value.problems)


def test_a_row_comes_out_as_printed(folder: Path) -> None:
    (row,) = load(folder).published
    assert (row.value, row.text, row.paper_year, row.source_line) == (1.5, "1.50", 2016, 7)
    assert row.ours == {"backbone": "resnet50", "levels": 0, "temporal": "none"}
    assert row.source == "owner/name, docs/README.md, commit 0123456789abcdef0123456789abcdef01234567, line 7"
    assert row.link.endswith("owner/name/blob/0123456789abcdef0123456789abcdef01234567/docs/README.md#L7")
    published = row.published()
    assert (published.key, published.text, published.source) == ("a-row", "1.50", row.source)
    assert ("frames", "8") in published.conditions and "pretrain" not in dict(published.conditions)


def test_cells_come_out_transcribed_or_not(folder: Path) -> None:
    references = load(folder)
    slot, filled = references.paper
    assert slot.published() is None and (slot.source, slot.link) == ("", "")
    assert (slot.benchmark, slot.setting, filled.setting) == ("sthv1", "supervised", "retrieval")
    source = 'arXiv 2007.10321v2, Table 0, row "a row", column "a column"'
    conditions = dict(benchmark="ucf101", setting="retrieval", metric="r1", backbone="resnet50", levels="3")
    conditions |= dict(pretraining="progressive", frames="8", protocol_name="tsm_efficient")
    assert filled.published() == Published(filled.key, 1.5, "1.50", source, tuple(conditions.items()))
    assert references.transcribed == 1


def test_a_cell_is_found_by_exactly_its_axes(folder: Path) -> None:
    references = load(folder)
    ours = dict(benchmark="sthv1", backbone="resnet50", levels=3, pretraining="progressive", metric="top1")
    assert references.paper_cell(**ours) == references.paper[0] == references.paper_cell(**ours, setting="supervised")
    assert references.paper_cell(**ours, setting="linear") is None
    assert references.paper_cell(benchmark="sthv1") is None


def test_every_problem_of_both_files_is_named_with_its_line(folder: Path) -> None:
    rows = [make_row(), make_row(key="b", text="9"), make_row(key="c", source_line="8", source_commit="main")]
    (folder / CSV).write_text(text_of(rows))
    (folder / YAML).write_text(HEAD + SLOT + FILLED.replace('"1.50"', "1.50"))
    found = problems(folder)
    assert "published.csv:3 (b): value is 1.5, but text is '9'" in found
    assert "published.csv:3: is the same figure as line 2" in found
    assert "published.csv:4 (c): source_commit is 'main'" in found
    assert "hcml.yaml:14 (ucf101-resnet50-levels3-progressive-retrieval-r1): text is 1.5, not a text" in found


def test_what_comes_twice_is_named(folder: Path) -> None:
    (folder / CSV).write_text(text_of([make_row(), make_row(source_line="8")]))
    (folder / YAML).write_text(HEAD + SLOT + SLOT)
    found = problems(folder)
    assert "published.csv:3: has the key of line 2" in found
    assert "hcml.yaml:16: has the key of line 5" in found
    assert "hcml.yaml:16: is for the same cell of ours as line 5" in found


def test_one_place_in_the_paper_prints_one_figure(folder: Path) -> None:
    other = FILLED.replace("ucf101", "hmdb51")
    (folder / YAML).write_text(HEAD + FILLED + other)
    assert len(load(folder).paper) == 2
    (folder / YAML).write_text(HEAD + FILLED + other.replace('"1.50"', '"1.5"'))
    assert "prints 1.5, but ucf101-resnet50-levels3-progressive-retrieval-r1 says 1.50" in problems(folder)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "published.csv:1: has no column key"),
        ("\ufeff" + text_of([]), "byte order mark"),
        (text_of([]).replace("note,", "", 1), "has no column note"),
        (text_of([]).replace("note", "notes", 1), "has the column 'notes', which is unknown"),
        (text_of([]).replace("key,method", "method,key", 1), "another order"),
        (text_of([]) + "a,b\n", "published.csv:2: has 2 columns, not 27"),
        (text_of([make_row()]) + '"a\n', "published.csv:3: cannot be read as CSV"),
        (text_of([make_row()]) + "," * 26 + "\n", "published.csv:3 (no key): key is empty"),
        (text_of([make_row()]) + "a" * 200_000 + "," * 26, "published.csv:3: cannot be read as CSV"),
    ],
)
def test_a_damaged_table_is_named(folder: Path, text: str, word: str) -> None:
    (folder / CSV).write_bytes(text.encode())
    assert word in problems(folder)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "must hold one key, cells"),
        ("cells:\n", "must hold one key, cells"),
        ("cells: {}\n", "must hold one key, cells"),
        ("- 1\n", "must hold one key, cells"),
        (HEAD + "- x\n", "hcml.yaml:3 (no key): is a str"),
        (HEAD + "- {a: 1\n", "hcml.yaml:4: is not YAML"),
        (HEAD + "- {a: 2001-99-99}\n", "is not YAML: month must be in"),
        (HEAD + "- !!python/name:os.system\n", "is not YAML"),
        (HEAD + "- \x07\n", "is not YAML"),
        (HEAD + "- " + "[" * 5000, "is not YAML"),
        (HEAD + SLOT.replace('column: ""', 'column: ""\n  row: ""'), "hcml.yaml:12: has the key 'row' twice"),
        (HEAD + SLOT.replace("{benchmark", "{levels: 2, benchmark"), "hcml.yaml:6: has the key 'levels' twice"),
        (HEAD + SLOT.replace("  value: null\n", ""), "value is missing"),
    ],
)
def test_a_damaged_list_of_cells_is_named(folder: Path, text: str, word: str) -> None:
    (folder / YAML).write_text(text)
    assert word in problems(folder)


def test_files_that_cannot_be_read_are_named(folder: Path) -> None:
    (folder / CSV).write_bytes(text_of([make_row()]).encode() + b"\xff")
    (folder / YAML).unlink()
    found = problems(folder)
    assert "published.csv:3: is not UTF-8" in found
    assert "hcml.yaml: cannot be read: No such file" in found and str(folder) in found


def test_line_ends_of_other_systems_are_read(folder: Path) -> None:
    for name in (CSV, YAML):
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    assert len(load(folder).paper) == 2 and load(folder).published[0].ours


# a lone carriage return is refused before a row is written: csv would not quote it
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\r"))


@given(st.lists(st.fixed_dictionaries({name: PLAIN for name in COLUMNS}), max_size=3))
def test_rows_survive_being_written(rows: list[dict[str, str]]) -> None:
    found, broken = rows_of(text_of(rows))
    assert [row for _, row in found] == rows and not broken


@given(st.text(), st.text())
def test_no_text_can_make_the_reading_fail(table: str, cells: str) -> None:
    references, found = parse({"published.csv": table, "hcml.yaml": cells})
    assert found and not references.published and not references.paper
