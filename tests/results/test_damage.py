"""Whatever lies in a run folder: it gives a row or is named, and never stops the tables of all others."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.checks import DEEPEST, LARGEST, Check, is_plain
from results.collect import collect, problems
from results.record import problems_of
from results.tables import all_tables

CASES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just("\ud800"))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text() | st.integers(), inner, max_size=3)),
    max_leaves=8,
)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "-", "1", "uniform", "\ud800"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)),
    max_leaves=4,
)


def read(folder: Path, whole: dict[str, Any], content: bytes) -> tuple[int, list[Any]]:
    """Rows and problems of a folder with two records, one of them `content`; makes all tables of it."""
    for name, data in (("whole", json.dumps(whole).encode()), ("other", content)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "record.json").write_bytes(data)
    frame = collect(folder)
    for table in all_tables(frame):
        assert table.rows
        json.dumps([table.title, table.caption, *table.footnotes]).encode()
    return len(frame), problems(frame)


@CASES
@given(data=st.data())
def test_bytes_damaged_anywhere_are_a_row_or_are_named(data: st.DataObject, make: Any, tmp_path: Path) -> None:
    chain = make.runs()
    content = bytearray(json.dumps(chain["test"], indent=data.draw(st.sampled_from([None, 2]))).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        piece = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"9" * 400, b"1e999", b"NaN", b'"\\ud800"', b"null"])
        )
        content[start : start + data.draw(st.sampled_from([0, 1, 2, 40]))] = piece
    rows, found = read(tmp_path, make.runs(seed=1)["test"], bytes(content))
    assert rows + len(found) == 2
    assert all(str(tmp_path / "other") in problem.path and problem.reason for problem in found)


def places(value: Any, owner: Any = None, key: Any = None) -> Iterator[tuple[Any, Any]]:
    """(owner, key) of everything inside."""
    if owner is not None:
        yield owner, key
    if isinstance(value, dict | list):
        for name in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[name], value, name)


@CASES
@given(place=st.integers(0, 10**6), value=JSON)
def test_any_other_value_in_any_place_is_a_row_or_is_named(place: int, value: Any, make: Any, tmp_path: Path) -> None:
    record = make.runs()["test"]
    found = list(places(record))
    owner, key = found[place % len(found)]
    owner[key] = value
    rows, named = read(tmp_path, make.runs(seed=1)["test"], json.dumps(record).encode())
    assert rows + len(named) == 2


@settings(max_examples=300, deadline=None)
@given(value=ANYTHING)
def test_a_glance_never_passes_what_a_look_would_name(value: Any) -> None:
    record = {"value": value}
    check = Check()
    check.plain("", record)
    assert not (is_plain(record) and check.problems)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ([1, 2.5, "a", None, True, {}, []], True),
        (["é"], False),
        ([math.nan], False),
        ([(1,)], False),
        ([{1: 2}], False),
        ([1e308], True),
    ],
)
def test_a_glance_is_enough_for_what_records_hold(value: Any, plain: bool) -> None:
    assert is_plain({"a": {"b": value}}) is plain


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_bottomless_nesting_is_named(brackets: str, make: Any, tmp_path: Path) -> None:
    record = json.dumps(make.runs()["test"])
    for depth in (DEEPEST - 3, DEEPEST, 400, 5000):
        head = '{"a":' if brackets == "{}" else "["
        deep = head * depth + "1" + brackets[1] * depth
        content = record.replace('"num_clips": 1', f'"num_clips": 1, "deep": {deep}').encode()
        rows, found = read(tmp_path, make.runs(seed=1)["test"], content)
        assert (rows, len(found)) == ((2, 0) if depth < DEEPEST - 2 else (1, 1))
    assert "not JSON" in found[0].reason or "nested more than" in found[0].reason


CHANGES: list[tuple[str, Any, str]] = [
    ("seed", 2**63, "beyond 64 bits"),
    ("metrics.top1", 10**400, "beyond 64 bits"),
    ("metrics.other", 10**400, "beyond 64 bits"),
    ("metrics.other", -1e308, "more than any figure"),
    ("cost.seconds", 1e101, "more than any figure"),
    ("config.model.levels", 10**9, "outside 0..64"),
    ("groups.order.videos", -(10**30), "beyond 64 bits"),
    ("slug", "half \ud800", "half a character"),
    ("config.model.backbone.name", 50, "model.backbone.name"),
]


@pytest.mark.parametrize(("path", "value", "said"), CHANGES)
def test_what_no_column_can_hold_is_named(make: Any, path: str, value: Any, said: str) -> None:
    record = make.runs()["test"]
    *heads, last = path.split(".")
    inner = record
    for head in heads:
        inner = inner[head]
    inner[last] = value
    assert any(said in problem for problem in problems_of(record))


def test_the_largest_figures_can_be_averaged(make: Any, tmp_path: Path) -> None:
    chains = [make.runs(seed=seed) for seed in (0, 1, 2)]
    for seed, chain in enumerate(chains):
        for record in chain.values():
            record["cost"]["seconds"] = (1 - seed / 4) * LARGEST
            record["metrics"] |= {name: -LARGEST for name in record["metrics"] if name not in ("top1", "top5")}
    make.save(tmp_path, *chains)
    frame = collect(tmp_path)
    assert problems(frame) == [] and all(table.rows for table in all_tables(frame))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sampling", ["dense"]),
        ("features", "level"),
        ("model.temporal", {"mode": 3}),
        ("benchmark.decoder", ["av"]),
        ("coverage", "all"),
    ],
)
def test_a_configuration_of_another_shape_is_named(make: Any, key: str, value: Any, tmp_path: Path) -> None:
    record = make.runs()["test"]
    *heads, last = key.split(".")
    inner = record["config"]
    for head in heads:
        inner = inner[head]
    inner[last] = value
    assert problems_of(record) == []
    rows, (found,) = read(tmp_path, make.runs(seed=1)["test"], json.dumps(record).encode())
    assert rows == 1 and found.kind == "unusable"


def test_equal_numbers_of_other_types_are_other_values(make: Any, tmp_path: Path) -> None:
    chains = [make.runs(seed=seed, config={"finetune.optim.lr": lr}) for seed, lr in enumerate((1, 1.0, True, "1"))]
    make.save(tmp_path, *chains)
    rates = collect(tmp_path).query("phase == 'finetune'").sort_values("seed")["finetune.optim.lr"]
    assert [repr(rate) for rate in rates] == ["1", "1.0", "True", "'1'"]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_the_order_of_folders_and_roots_shows_nowhere(
    seed: int, make: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draw = random.Random(seed)
    folder = tmp_path_factory.mktemp("order")
    records = [record for n in range(3) for record in make.runs(seed=n).values()]
    contents = [json.dumps(record).encode() for record in records] + [b"{", b"[]", b""]
    draw.shuffle(contents)
    roots = [folder / name for name in "abc"]
    for number, content in enumerate(contents):
        run = draw.choice(roots) / f"{draw.randrange(10)}" / f"run {number}"
        run.mkdir(parents=True)
        (run / "record.json").write_bytes(content)
    frames = [collect(*draw.sample(roots, 3)), collect(folder)]
    one, other = (frame.drop(columns="path").to_dict("records") for frame in frames)
    assert json.dumps(one) == json.dumps(other) and len(one) == len(records)
    assert {str(p) for p in problems(frames[0]) if p.kind != "no root"} == {str(p) for p in problems(frames[1])}
    assert len(problems(frames[1])) == 3


def test_one_record_reached_by_two_ways_counts_once(make: Any, tmp_path: Path) -> None:
    paths = make.save(tmp_path / "runs", make.runs())
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "record.json").symlink_to(paths[0])
    frame = collect(tmp_path / "runs", tmp_path / "link", tmp_path / "alone", paths[1])
    assert sorted(frame["path"]) == sorted(map(str, paths)) and problems(frame) == []
    assert len(collect(tmp_path)) == 3, "links to folders are not followed"


def test_paths_are_those_that_were_asked_for(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.save(tmp_path, make.runs())
    monkeypatch.chdir(tmp_path)
    here = [path.relative_to(tmp_path) for path in tmp_path.rglob("record.json")]
    assert sorted(collect(".")["path"]) == sorted(map(str, here))
    assert sorted(collect("./test/..")["path"]) == sorted(str(Path("test/..") / path) for path in here)


def test_problems_are_carried_by_the_frame_and_not_copied(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    frame = collect(tmp_path)
    assert frame.copy().attrs["problems"] is frame.attrs["problems"]
    assert len(problems(frame)) == 1
