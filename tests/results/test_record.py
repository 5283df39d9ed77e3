import copy
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results import record as module
from results.checks import LARGEST
from results.record import Record, RecordError, finite, problems_of, read_record, write_record, write_text

TEXT = st.text(min_size=1, max_size=12)
NUMBERS = st.one_of(st.none(), st.integers(-(2**60), 2**60), st.floats(-LARGEST, LARGEST))
METRICS = st.dictionaries(TEXT, NUMBERS, max_size=4)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    phase = draw(st.sampled_from(["pretrain", "finetune", "test"]))
    own = {"phase": phase, "model": {"backbone": {"name": draw(TEXT)}, "levels": draw(st.integers(0, 4))}}
    lineage = draw(st.lists(st.uuids().map(str), max_size=2, unique=True))
    return {
        "schema_version": 1,
        "run_id": draw(TEXT),
        "phase": phase,
        "slug": draw(TEXT),
        "parent": lineage[0] if lineage else None,
        "lineage": lineage,
        "config": own | {"benchmark": {"name": draw(TEXT)}, "more": draw(PLAIN)},
        "weights_sha256": "",
        "lineage_configs": {run_id: {"phase": "finetune", "more": draw(PLAIN)} for run_id in lineage},
        "seed": draw(st.integers(0, 2**31)),
        "metrics": draw(METRICS) | {"top1": draw(st.floats(0, 100))},
        "groups": draw(st.dictionaries(TEXT, METRICS, max_size=2)),
        "chance": draw(st.floats(0, 100)),
        "group_chance": draw(METRICS),
        "alarms": draw(st.lists(st.text(), max_size=2)),
        "code": {"fingerprint": draw(TEXT), "commit": draw(st.none() | TEXT), "dirty": draw(st.none() | st.booleans())},
        "environment": {"python": "3.11.7", "torch": "2.15.0", "other": draw(PLAIN)},
        "data": {
            "benchmark": draw(TEXT),
            "version": "v1",
            "manifest_sha256": {"train": draw(TEXT), "test": draw(TEXT)},
            "videos": {"train": draw(st.integers(0, 10**6)), "test": draw(st.integers(0, 10**6))},
        },
        "unreadable": {"train": 0, "test": 1, "ids": draw(st.lists(st.text(), max_size=2))},
        "cost": draw(METRICS) | {"seconds": draw(st.floats(0, 1e9))},
        "started": "2026-11-23T12:00:00Z",
        "finished": "2026-11-23T12:00:00.250000+00:00",
        "command": draw(st.lists(st.text(), max_size=3)),
        "profile": draw(TEXT),
    }


@settings(max_examples=60, deadline=None)
@given(record=records())
def test_round_trip(record: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("round") / "record.json"
    write_record(path, record)
    assert read_record(path) == record


def test_a_record_object_is_written_like_its_dict(make: Any, tmp_path: Path) -> None:
    record = make.runs()["test"]
    write_record(tmp_path / "a.json", record)
    write_record(tmp_path / "b.json", Record(**record))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_optional_fields_get_their_defaults(make: Any, tmp_path: Path) -> None:
    record = make.runs(pretraining="none")["finetune"]
    for name in (
        "parent",
        "weights_sha256",
        "lineage",
        "lineage_configs",
        "groups",
        "chance",
        "group_chance",
        "alarms",
    ):
        del record[name]
    write_record(tmp_path / "record.json", record)
    read = read_record(tmp_path / "record.json")
    assert (read["parent"], read["lineage"], read["groups"], read["alarms"]) == (None, [], {}, [])


def test_every_problem_is_named_at_once_and_nothing_is_written(make: Any, tmp_path: Path) -> None:
    record = make.runs()["test"]
    del record["command"]
    record["seed"] = True
    record["metrics"]["top1"] = math.nan
    record["data"]["videos"]["test"] = "480"
    record["started"] = "yesterday"
    record["surprise"] = {1: Path("x")}
    record["parent"] = "somebody else"
    path = tmp_path / "record.json"
    with pytest.raises(RecordError) as caught:
        write_record(path, record)
    assert not list(tmp_path.iterdir())
    named = {problem.split()[0] for problem in caught.value.problems}
    assert named >= {"command", "seed", "metrics.top1", "data.videos.test", "started", "surprise", "lineage"}
    assert "surprise.1 is a PosixPath" in str(caught.value) or "surprise.1" in str(caught.value)
    assert str(path) in str(caught.value)


CHANGES: list[tuple[str, Any, str]] = [
    ("schema_version", 2, "schema_version 2"),
    ("run_id", "", "run_id"),
    ("phase", "training", "phase is 'training'"),
    ("seed", 1.5, "whole number"),
    ("config", [], "config is a list"),
    ("config.phase", "pretrain", "config.phase"),
    ("config.model.levels", None, "config.model.levels"),
    ("lineage_configs.stranger", {"phase": "pretrain"}, "not in the lineage"),
    ("metrics.top1", 100.5, "outside 0..100"),
    ("metrics.top1", True, "metrics.top1"),
    ("groups.order", 3, "groups.order"),
    ("groups.order.top1", "high", "groups.order.top1"),
    ("chance", None, "chance is null"),
    ("code.fingerprint", "", "code.fingerprint"),
    ("code.dirty", "yes", "code.dirty"),
    ("environment", {"python": "3.11"}, "environment.torch is missing"),
    ("data.manifest_sha256.test", 7, "data.manifest_sha256.test"),
    ("data.expected", {"test": -1}, "data.expected.test"),
    ("unreadable.ids", "video_7", "unreadable.ids"),
    ("cost.seconds", None, "cost.seconds"),
    ("finished", "2026-11-23T12:00:00+01:00", "does not say UTC"),
    ("finished", "2026-11-22T12:00:00Z", "is before started"),
    ("command", "python", "command"),
    ("alarms", [1], "alarms"),
]


@pytest.mark.parametrize(("path", "value", "said"), CHANGES)
def test_a_wrong_value_is_named(make: Any, path: str, value: Any, said: str) -> None:
    record = copy.deepcopy(make.runs()["test"])
    assert problems_of(record) == []
    *heads, last = path.split(".")
    inner = record
    for head in heads:
        inner = inner[head]
    inner[last] = value
    found = problems_of(record)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("phase", ["pretrain", "finetune", "test"])
def test_every_missing_field_is_named(make: Any, phase: str) -> None:
    whole = make.runs()[phase]
    for name in ("run_id", "config", "metrics", "code", "environment", "data", "unreadable", "cost", "finished"):
        record = {key: value for key, value in whole.items() if key != name}
        assert f"{name} is missing" in problems_of(record)


def test_an_infinite_number_in_a_file_is_refused(make: Any, tmp_path: Path) -> None:
    record = make.runs()["pretrain"]
    record["metrics"]["std_1"] = math.inf
    (tmp_path / "record.json").write_text(json.dumps(record))
    with pytest.raises(RecordError, match="metrics.std_1 is inf"):
        read_record(tmp_path / "record.json")


@pytest.mark.parametrize(
    "content", [b"", b'{"schema_version": 1, "run_id": "ab', b"[1, 2]", b"\xff\xfe", b"{}", b"[" * 99999]
)
def test_what_is_no_record_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="record.json"):
        read_record(path)


def test_a_missing_file_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read: No such file"):
        read_record(tmp_path / "record.json")


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.md"
    write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert [item.name for item in tmp_path.iterdir()] == ["table.md"]
    assert path.read_text() == "old"


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "deep" / "file", "text")
    usual = stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)
    assert stat.S_IMODE(os.stat(tmp_path / "deep" / "file").st_mode) == usual


def test_finite_turns_what_is_not_into_none() -> None:
    assert finite({"a": 1.5, "b": math.nan, "c": -math.inf, "d": None}) == {"a": 1.5, "b": None, "c": None, "d": None}


def test_a_reader_sees_the_old_file_or_the_new_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_text(path, "old")
    with open(path) as reader:
        write_text(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"
    assert [item.name for item in tmp_path.iterdir()] == ["record.json"]
