"""Every kind of problem is found, and named together with all others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.reference.schema import (
    COLUMNS,
    PLACE,
    REQUIRED,
    SOURCE,
    axes_from,
    axes_text,
    problems_of_cell,
    problems_of_row,
)
from tests.results.reference.samples import make_cell, make_row

EMPTY = dict.fromkeys((*PLACE, "text"), "") | {"value": None, "conditions": {}}


def test_a_valid_row_and_a_valid_cell_have_no_problems() -> None:
    assert problems_of_row(make_row()) == []
    assert problems_of_cell(make_cell()) == []
    assert problems_of_cell(make_cell(**EMPTY)) == []


@pytest.mark.parametrize("column", [*REQUIRED, *SOURCE])
def test_a_row_needs_its_figure_and_its_whole_source(column: str) -> None:
    assert f"{column} is empty" in "\n".join(problems_of_row(make_row(**{column: ""})))


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("key", "A Row", "lower-case"),
        ("key", "-a", "lower-case"),
        ("key", "a" * 121, "at most 120"),
        ("paper_year", "16", "a year"),
        ("text", "47.4%", "without unit"),
        ("text", "+47.4", "without unit"),
        ("text", "1e1", "without unit"),
        ("text", "٤٧", "without unit"),
        ("text", "1_0", "without unit"),
        ("gflops", "33G", "without unit"),
        ("params_m", "-1", "without unit"),
        ("value", "1.4", "text is '1.50'"),
        ("value", "nan", "not per cent"),
        ("value", "many", "not a number"),
        ("benchmark", "kinetics600", "not one of kinetics400"),
        ("benchmark", "synthmotion", "not one of kinetics400"),
        ("split", "1", "sthv1 has val"),
        ("setting", "ssl-finetune", "not one of supervised"),
        ("metric", "accuracy", "not one of top1"),
        ("metric", "r1", "supervised is measured by top1"),
        ("setting", "retrieval", "is measured by r1"),
        ("protocol_name", "tsm", "not one of coclr_ten_crop"),
        ("reported_by", "me", "not one of authors"),
        ("source_repo", "https://example.org/a/b", "owner/name"),
        ("source_path", "/README.md", "top of the repository"),
        ("source_path", "a/../b", "top of the repository"),
        ("source_path", "a//b", "top of the repository"),
        ("source_path", "a\\b", "top of the repository"),
        ("source_commit", "v1.0", "a tag or branch can move"),
        ("source_commit", "ABCDEF0123456789abcdef0123456789abcdef01", "40 hexadecimal"),
        ("source_line", "0", "a line number"),
        ("source_line", "7-8", "a line number"),
        ("note", "a\nb", "U+000A"),
        ("note", " a", "white space around"),
        ("method", "TS\u00adN", "U+00AD (SOFT HYPHEN)"),
        ("frames", "8\u00a0x", "U+00A0 (NO-BREAK SPACE)"),
        ("backbone", "a\u202eb", "U+202E"),
        ("ours", "levels", "not axis=value"),
        ("ours", "levels=0; levels=1", "levels twice"),
        ("ours", "levels=five", "not 0, 1, 2, 3 or 4"),
        ("ours", "levels=5", "not 0, 1, 2, 3 or 4"),
        ("ours", "colour=red", "no axis of our tables"),
        ("ours", "benchmark=mnist", "not one of"),
    ],
)
def test_what_is_wrong_with_a_row_is_named(column: str, value: str, word: str) -> None:
    (problem,) = {p for p in problems_of_row(make_row(**{column: value})) if column in p and word in p}
    assert problem


def test_figures_beyond_a_hundred_per_cent_are_none() -> None:
    assert "value is 100.5, not per cent" in problems_of_row(make_row(text="100.5", value="100.5"))
    assert problems_of_row(make_row(text="100.0", value="100.0")) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"text": 1.5}, "text is 1.5, not a text; put it in quotes"),
        ({"table": 2}, "table is 2, not a text; put it in quotes"),
        ({"row": None}, "row is None, not a text"),
        ({"key": ""}, "key is '?'"),
        ({"value": "1.5"}, "value is '1.5', not a number"),
        ({"value": True}, "value is True, not a number"),
        ({"value": None}, "value is null, but text is '1.50'"),
        ({"value": 1.4}, "value is 1.4, but text is '1.50'"),
        ({"value": float("nan")}, "value is nan"),
        ({"text": ""}, "text is empty, but value is 1.5"),
        ({"text": "1.5 %", "value": None}, "text is '1.5 %', not a figure"),
        ({"arxiv": "2007.10321"}, "arxiv is '2007.10321'"),
        ({"arxiv": "2007.10321v0"}, "arxiv is '2007.10321v0'"),
        ({"arxiv": "2007.10321v3 "}, "arxiv is '2007.10321v3 '"),
        ({"arxiv": "1901.00001v1"}, "arxiv is '1901.00001v1'"),
        ({"arxiv": ""}, "arxiv is empty: a figure without a complete source"),
        ({"table": ""}, "table is empty"),
        ({"row": ""}, "row is empty"),
        ({"column": ""}, "column is empty"),
        ({"text": "", "value": None}, "table is 'Table 0', but there is no figure"),
        (EMPTY | {"conditions": {"frames": "8"}}, "conditions are given, but there is no figure"),
        ({"conditions": None}, "conditions is a NoneType"),
        ({"conditions": {"frames": 8}}, "conditions.frames is 8, not a text; put it in quotes"),
        ({"conditions": {"frames": ""}}, "conditions.frames is empty"),
        ({"conditions": {"decoder": None}}, "conditions.decoder is None, not a text"),
        ({"conditions": {"weather": "fine"}}, "conditions.weather is unknown"),
        ({"conditions": {"protocol_name": "own2"}}, "conditions.protocol_name is 'own2'"),
        ({"ours": []}, "ours is a list"),
        ({"ours": {}}, "ours.levels is missing"),
        ({"more": 1}, "more is not a key of a cell"),
    ],
)
def test_what_is_wrong_with_a_cell_is_named(changes: dict[str, Any], word: str) -> None:
    assert word in "\n".join(problems_of_cell(make_cell(**changes)))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"levels": True}, "ours.levels is True"),
        ({"levels": "3"}, "ours.levels is '3'"),
        ({"levels": 7}, "ours.levels is 7"),
        ({"benchmark": "mnist"}, "ours.benchmark is 'mnist'"),
        ({"setting": "supervised"}, "ours.setting is supervised, which is written by leaving it out"),
        ({"setting": "linear"}, "setting linear is measured by"),
        ({"metric": "f1"}, "metric is 'f1'"),
        ({"split": "9"}, "split is '9'"),
        ({"split": 1}, "ours.split is 1, not a text"),
        ({"pretraining": ""}, "ours.pretraining is empty"),
        ({"prime": "a; b"}, "a ; parts axes"),
        ({1: "x"}, "ours.1 is no axis"),
    ],
)
def test_what_is_wrong_with_the_axes_of_a_cell_is_named(changes: dict[Any, Any], word: str) -> None:
    assert word in "\n".join(problems_of_cell(make_cell(ours=make_cell()["ours"] | changes)))


def test_columns_of_a_phases_configuration_are_axes() -> None:
    ours = make_cell()["ours"] | {"pretrain.curriculum.name": "joint"}
    assert problems_of_cell(make_cell(ours=ours)) == []


@pytest.mark.parametrize("cell", [None, 3, "cell", [], {}])
def test_what_is_no_cell_is_said_to_be_none(cell: Any) -> None:
    assert problems_of_cell(cell)


def test_all_problems_are_named_at_once() -> None:
    row = make_row(key="", text="x", source_commit="main", metric="r1", note="\t", ours="?")
    found = "\n".join(problems_of_row(row))
    assert all(f"{name} " in found for name in ("key", "text", "source_commit", "metric", "note", "ours"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["ours", "conditions", "value", "text", "key", "arxiv", "x"]), JSON))
def test_no_cell_can_make_the_check_fail(changes: dict[str, Any]) -> None:
    assert all(isinstance(problem, str) for problem in problems_of_cell(make_cell(**changes)))


@given(st.fixed_dictionaries({name: st.text() for name in COLUMNS}))
def test_no_row_can_make_the_check_fail(row: dict[str, str]) -> None:
    assert problems_of_row(row)


AXIS_VALUE = st.text(st.characters(exclude_characters=";"), min_size=1).filter(lambda text: text == text.strip())


@given(st.integers(0, 4), AXIS_VALUE, AXIS_VALUE)
def test_axes_survive_being_written_as_text(levels: int, backbone: str, temporal: str) -> None:
    axes = {"backbone": backbone, "levels": levels, "temporal": temporal}
    assert axes_from(axes_text(axes)) == axes
