"""What is committed of runs: copied once, the same bytes every time, and never something else in its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.check import main as check
from results.collect import collect
from results.keep import keep, main, packed
from results.predictions import right_answers
from results.rules.folder import RunFolder
from tests.results.rules.conftest import Store, csv_text, rows_of
from tests.results.rules.conftest import store as store  # noqa: F401  (a fixture)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records"


def test_what_is_kept(store: Store, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.put("test", "unreadable.csv", "video_id,error\nv001,gone\n")
    pictures = store.folders["pretrain"] / "pictures"
    pictures.mkdir()
    for name in ("pictures.json", "a.png", "notes.txt", ".a.png.tmp"):
        (pictures / name).write_text(name)
    (store.folders["pretrain"] / "weights.pt").write_bytes(b"0" * 1000)
    assert main([str(store.root), str(records)]) == 0
    kept = {
        phase: {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for phase, (folder,) in ((phase, (records / phase).iterdir()) for phase in store.folders)
    }
    assert kept["pretrain"] == {"record.json", "metrics.jsonl", "pictures/pictures.json", "pictures/a.png"}
    assert kept["finetune"] == {"record.json", "metrics.jsonl"}
    assert kept["test"] == {"record.json", "predictions.csv.gz", "unreadable.csv"}
    assert kept["probe"] == {"record.json", "predictions.csv.gz"}
    assert kept["retrieval"] == {"record.json"}
    copy = records / "test" / store.folders["test"].name
    assert (copy / "record.json").read_bytes() == (store.folders["test"] / "record.json").read_bytes()
    text = gzip.decompress((copy / "predictions.csv.gz").read_bytes()).decode()
    assert text == csv_text([row[:5] for row in rows_of()])
    assert right_answers({"path": str(copy / "record.json")}) == right_answers(
        {"path": str(store.folders["test"] / "record.json")}
    )
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"new finetune/{store.folders['finetune'].name} ")
    assert out[-1].startswith("5 runs: 5 new; ") and out[-1].endswith(f" kB in {records}")


def test_what_is_kept_passes_the_same_rules(store: Store, records: Path) -> None:
    assert main([str(store.root), str(records)]) == 0
    assert check([str(records), "--strict"]) == 0


def test_keeping_twice_writes_nothing(store: Store, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(store.root), str(records)])
    before = snapshot(records)
    assert main([str(store.root), str(records)]) == 0
    assert snapshot(records) == before
    assert "5 runs: 5 unchanged;" in capsys.readouterr().out


def test_records_kept_from_records_are_the_same_bytes(store: Store, records: Path, tmp_path: Path) -> None:
    main([str(store.root), str(records)])
    assert main([str(records), str(tmp_path / "again")]) == 0
    assert {name: data for name, (data, _) in snapshot(records).items()} == {
        name: data for name, (data, _) in snapshot(tmp_path / "again").items()
    }


def test_a_record_that_differs_is_never_overwritten(
    store: Store, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(store.root), str(records)])
    before = snapshot(records)
    store.change("test", "metrics/top1", 50.1)
    store.change("test", "profile", "full")
    store.put("finetune", "metrics.jsonl", "")
    capsys.readouterr()
    assert main([str(store.root), str(records)]) == 1
    out = capsys.readouterr().out
    assert snapshot(records) == before
    assert "differs from what is kept: record.json (metrics.top1 50.0 -> 50.1, profile 'quick' -> 'full')" in out
    assert "differs from what is kept: metrics.jsonl (--replace takes it)" in out
    assert "3 unchanged" in out and "2 refused" in out
    assert main([str(store.root), str(records), "--replace"]) == 0
    kept = json.loads((records / "test" / store.folders["test"].name / "record.json").read_text())
    assert kept["metrics"]["top1"] == 50.1
    assert main([str(store.root), str(records)]) == 0


def test_a_file_that_the_run_has_no_more_is_not_left_beside_a_new_record(store: Store, records: Path) -> None:
    store.put("test", "unreadable.csv", "video_id,error\nv001,gone\n")
    main([str(store.root), str(records)])
    store.put("test", "unreadable.csv", "video_id,error\n")
    assert main([str(store.root), str(records)]) == 1
    assert main([str(store.root), str(records), "--replace"]) == 0
    assert not (records / "test" / store.folders["test"].name / "unreadable.csv").exists()


def test_pictures_that_are_made_later_are_added(
    store: Store, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(store.root), str(records)])
    (store.folders["pretrain"] / "pictures").mkdir()
    (store.folders["pretrain"] / "pictures" / "a.png").write_bytes(b"png")
    assert main([str(store.root), str(records)]) == 0
    assert "1 completed" in capsys.readouterr().out
    assert (records / "pretrain" / store.folders["pretrain"].name / "pictures" / "a.png").read_bytes() == b"png"


def test_another_zlib_does_not_make_another_file(store: Store, records: Path) -> None:
    main([str(store.root), str(records)])
    path = records / "test" / store.folders["test"].name / "predictions.csv.gz"
    other = gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=7)
    path.write_bytes(other)
    assert main([str(store.root), str(records)]) == 0 and path.read_bytes() == other


def test_damaged_and_unfinished_runs_are_not_kept(
    store: Store, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put("test", "record.json", '{"run_id": ')
    store.put("probe", "predictions.csv", "a,b\n")
    store.change("retrieval", "state", "running", "status.json")
    assert main([str(store.root), str(records)]) == 1
    shown = capsys.readouterr()
    assert f"{store.folders['test']}: damaged, not kept: is not JSON (half-written or damaged)" in shown.err
    assert f"refused probe/{store.folders['probe'].name}" in shown.out and "its columns are a, b" in shown.out
    assert "1 runs have not finished" in shown.out
    assert sorted(path.name for path in records.iterdir()) == ["finetune", "pretrain"]


def test_a_record_of_another_run_is_not_kept(store: Store, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.change("test", "run_id", "9" * 64)
    assert main([str(store.root), str(records)]) == 1
    assert "it holds the record of another run, 999999999999" in capsys.readouterr().err
    assert not (records / "test").exists()


def test_only_some_runs_with_their_ancestors(store: Store, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store.get("test")["run_id"]
    assert main([str(store.root), str(records), "--only", run_id[:12]]) == 0
    assert sorted(path.name for path in records.iterdir()) == ["finetune", "pretrain", "test"]
    assert main([str(store.root), str(records), "--only", run_id[:12].upper()]) == 0
    assert main([str(store.root), str(records), "--only", run_id[:5]]) == 2
    assert "give 6 of its digits or more" in capsys.readouterr().err


def test_the_runs_of_an_experiment(store: Store, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.change("finetune", "command", ["python", "sweeps/run.py", "-m", "experiment=fusion,hierarchy"])
    assert main([str(store.root), str(records), "--experiment", "hierarchy"]) == 0
    assert sorted(path.name for path in records.iterdir()) == ["finetune", "pretrain"]
    assert main([str(store.root), str(records), "--experiment", "prime"]) == 2
    # a sweep of it used a run again that another command made
    sweep = {
        "command": "python sweeps/run.py -m 'experiment=prime'",
        "runs": [{"run_id": store.get("probe")["run_id"]}],
    }
    (store.root / "_sweeps").mkdir()
    (store.root / "_sweeps" / "a.json").write_text(json.dumps(sweep))
    (store.root / "_sweeps" / "b.json").write_text("{")
    assert main([str(store.root), str(records), "--experiment", "prime"]) == 0
    assert (records / "probe").is_dir() and not (records / "test").exists()


def test_an_ancestor_that_is_missing_is_named(store: Store, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(store.folders["pretrain"])
    assert main([str(store.root), str(records)]) == 1
    assert "its ancestor" in capsys.readouterr().err
    assert (records / "test").is_dir()


def test_bad_usage(store: Store, records: Path, tmp_path: Path) -> None:
    assert main([str(tmp_path / "nowhere"), str(records)]) == 2
    with pytest.raises(SystemExit) as caught:
        main([str(store.root), str(store.root / "records")])
    assert caught.value.code == 2 and not records.exists()
    with pytest.raises(SystemExit) as caught:  # results where results/records was meant
        main([str(store.root), str(store.root.parent)])
    assert caught.value.code == 2 and [path.name for path in store.root.parent.iterdir()] == [store.root.name]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("slug", "../../elsewhere/x", "slug='../../elsewhere/x' makes no name of a folder below test/"),
        ("slug", "two\nlines", "makes no name of a folder"),
        ("slug", "_stale", "makes no name of a folder"),
        ("run_id", "../" + "0" * 61, "run_id begins with '../000000000', not with 12 hexadecimal digits"),
    ],
)
def test_a_record_cannot_say_where_it_is_written(
    key: str, value: str, why: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = store.get("test") | {key: value}
    run = RunFolder(store.folders["test"], frozenset(["record.json", "predictions.csv"]))
    run.__dict__["record"] = record
    before = sorted(tmp_path.rglob("*"))
    kept = keep(run, tmp_path / "a" / "records")
    assert kept.state == "refused" and why in kept.why and sorted(tmp_path.rglob("*")) == before


def test_of_two_copies_the_one_that_tables_take_is_kept(
    store: Store, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = store.folders["test"]
    copy = first.with_name("a-copy-" + first.name)
    shutil.copytree(first, copy)
    for path, alarm in ((first, "of the first"), (copy, "of the copy")):
        record = json.loads((path / "record.json").read_text())
        (path / "record.json").write_text(json.dumps(record | {"alarms": [alarm]}))
    frame = collect(store.root)
    (used,) = frame[frame.phase == "test"].path
    assert main([str(store.root), str(records)]) == 1
    assert f"{copy}: not kept: the same run as {first}" in capsys.readouterr().err
    assert (records / "test" / first.name / "record.json").read_bytes() == Path(used).read_bytes()


def test_a_failed_write_is_named_and_leaves_no_half_file_behind(
    store: Store, records: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(store.root), str(records)])
    before = snapshot(records)
    store.change("test", "profile", "full")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert main([str(store.root), str(records), "--replace"]) == 2
    assert snapshot(records) == before
    assert f"error: cannot write {records}: No space left on device; after 4 of 5 runs" in capsys.readouterr().err


# csv.writer leaves a lone \r unquoted, in the file that a run writes as well
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6)


@given(st.lists(st.tuples(TEXT, st.integers(0, 20), TEXT, st.integers(0, 20)), max_size=12))
@settings(max_examples=150)
def test_packing_keeps_five_columns_of_any_ids_and_packing_again_nothing_else(
    rows: list[tuple[str, int, str, int]],
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["video_id", "label", "group", "prediction", "correct"]
    table = [[name, str(a), group, str(b), str(int(a == b))] for name, a, group, b in rows]
    writer.writerows([[*header, "p_0"], *([*row, "0.25"] for row in table)])
    once = packed(buffer.getvalue())
    text = gzip.decompress(once).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [header, *table]
    assert packed(text) == once and once[4:8] == b"\0\0\0\0"
