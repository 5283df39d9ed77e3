import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results import equivalent
from results.collect import collect
from results.make_tables import COMMITTED, main, make_tables
from results.reference import load
from results.tables import all_tables, main_tables

ROOT = Path(__file__).resolve().parents[2]


def test_as_a_script_from_the_checkout_root(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "one", make.runs("resnet50"))
    make.save(tmp_path / "two", make.runs("resnet101"))
    out = tmp_path / "tables"
    command = [sys.executable, "results/make_tables.py", "--runs", tmp_path / "one", tmp_path / "two", "--out", out]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "| levels | pretraining | resnet50 " in done.stdout and "| resnet101" in done.stdout
    written = {path.stem for path in out.glob("*.md")}
    assert {"levels_by_backbone", "hierarchy_depth", "backbones", "paper", "state_of_the_art_sthv1"} <= written
    assert written == {path.stem for path in out.glob("*.csv")}


def test_what_was_left_out_is_said(make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make.save(tmp_path / "runs", make.runs())[0]
    path.write_text("{")
    assert main(["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert f"not in the tables: unusable: {path}" in captured.err
    assert "Top-1 by levels and backbone" in captured.out


def test_what_records_say_harms_no_terminal(make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.save(tmp_path, make.runs(backbone="a\x1b[2J\nb", levels=1))
    folder = tmp_path / "test" / "unfinished"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "status.json").write_text(json.dumps({"state": "failed", "message": "\x1b]0;title\x07"}))
    for options in ([], ["--missing"]):
        main(["--runs", str(tmp_path), "--out", str(tmp_path / "out"), *options])
        said = capsys.readouterr()
        assert "\x1b" not in (said.err if not options else said.out)
    assert "[2J b" in said.out


def test_without_a_finished_run_it_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert "no finished run" in captured.err and "sweeps/run.py" in captured.err
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


def test_expected_rows_reach_the_files(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "runs", make.runs(levels=1))
    expected = ({"backbone": "resnet50", "levels": n, "pretraining": "progressive"} for n in (1, 2))
    tables, found = make_tables([tmp_path / "runs"], tmp_path / "out", expected)
    assert found == []
    assert tables[0].texts()[1][2] == "missing"
    assert "missing" in (tmp_path / "out" / "levels_by_backbone.md").read_text()


@pytest.fixture
def grid(make: Any, tmp_path: Path) -> Path:
    """Run folders of levels 0 to 2, three seeds each."""
    for levels in (0, 1, 2):
        for seed in (0, 1, 2):
            kind = "progressive" if levels else "none"
            make.save(
                tmp_path / "runs", make.runs(levels=levels, pretraining=kind, seed=seed, correct=200 + 10 * levels)
            )
    return tmp_path


def test_a_planted_error_changes_exactly_the_cells_it_should(grid: Path) -> None:
    before = all_tables(collect(grid / "runs"), load())
    path = next(path for path in sorted(grid.glob("runs/test/*/record.json")) if "-l1" in path.parent.name)
    record = json.loads(path.read_text())
    record["metrics"]["top1"] += 0.1
    path.write_text(json.dumps(record))
    after = all_tables(collect(grid / "runs"), load())
    changed = []
    for old, new in zip(before, after, strict=True):
        assert old.header == new.header and [row.block for row in old.rows] == [row.block for row in new.rows]
        for one, other in zip(old.rows, new.rows, strict=True):
            for column, a, b in zip(old.header, one.cells, other.cells, strict=True):
                if a != b and replace(a, best=b.best) != b:
                    changed.append((old.name, column))
                    assert record["run_id"] in b.runs, "a cell moved that does not name the run"
                elif record["run_id"] in b.runs and column in ("top-1", "difference", "resnet50"):
                    raise AssertionError(f"{old.name}, {column}: names the run and did not move")
    assert ("hierarchy_depth", "top-1") in changed and ("hierarchy_depth", "difference") in changed
    assert ("levels_by_backbone", "resnet50") in changed and ("cost", "clips/s") not in changed


@pytest.mark.parametrize(
    ("phase", "keys", "cells"),
    [
        ("pretrain", ("metrics", "reconstruction_ratio"), {("pretraining", "reconstruction ratio")}),
        ("test", ("groups", "order", "top1"), {
            *((name, "order") for name in ("top1_per_tier", "hierarchy_depth", "equal_labels", "controls")),
            *(("temporal_modelling", "order"), ("top1_per_tier", "mean of tiers")),
        }),
        ("finetune", ("cost", "seconds"), {("cost", "time (s)")}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_an_error_in_any_other_figure_moves_no_other_column(
    grid: Path, phase: str, keys: tuple[str, ...], cells: set[tuple[str, str]]
) -> None:
    before = all_tables(collect(grid / "runs"), load())
    path = next(path for path in sorted(grid.glob(f"runs/{phase}/*/record.json")) if "-l1" in path.parent.name)
    record = json.loads(path.read_text())
    *way, last = keys
    place = record
    for key in way:
        place = place[key]
    place[last] += 0.1
    path.write_text(json.dumps(record))
    moved = set()
    for old, new in zip(before, all_tables(collect(grid / "runs"), load()), strict=True):
        for one, other in zip(old.rows, new.rows, strict=True):
            for column, a, b in zip(old.header, one.cells, other.cells, strict=True):
                if replace(a, best=b.best) != b:
                    moved.add((old.name, column))
                    assert record["run_id"] in b.runs, "a cell moved that does not name the run"
    assert moved == cells


def test_check_tells_whether_the_files_are_what_the_records_give(
    grid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ["--runs", str(grid / "runs"), "--out", str(grid / "tables")]
    assert main([*paths, "--check"]) == 1 and not (grid / "tables").exists()
    assert main(paths) == 0 and main([*paths, "--check"]) == 0
    capsys.readouterr()
    page = grid / "tables" / "hierarchy_depth.md"
    page.write_text(page.read_text().replace("n=3", "n=4", 1))
    for name in ("gone.csv", "gone.html"):
        (grid / "tables" / name).write_text("a")
    assert main([*paths, "--check"]) == 1
    said = capsys.readouterr().out
    assert "hierarchy_depth.md (committed)" in said and "n=4" in said and "gone.csv: no table" in said
    assert "differing files: 1; type" in said and "left-over files: 2; remove them" in said
    assert page.read_text().count("n=4") == 1


def test_what_check_says_to_type_makes_it_pass(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The web page and other thresholds, too."""
    other = grid / "other thresholds.yaml"
    other.write_text("tolerance: 0.25\nhalf_width: 1\ncoverage: 0.9\n")
    paths = ["--runs", str(grid / "runs"), "--out", str(grid / "tables"), "--thresholds", str(other)]
    assert main([*paths, "--check"]) == 1
    assert "there is no such folder; its files are written by `python results/make_tables.py" in capsys.readouterr().out
    assert main([*paths, "--report"]) == 0
    (grid / "tables" / "report.html").write_text("old")
    (grid / "tables" / "cost.csv").unlink()
    (grid / "tables" / "old.html").write_text("old")
    capsys.readouterr()
    assert main([*paths, "--check"]) == 1
    said = capsys.readouterr().out
    assert "cost.csv: is not there" in said and "old.html: no table" in said
    (line,) = (line for line in said.splitlines() if line.startswith("differing files: 2; type `"))
    words = shlex.split(line.split("`")[1])
    (grid / "tables" / "old.html").unlink()
    assert words[:2] == ["python", "results/make_tables.py"] and main(words[2:]) == 0
    assert main([*paths, "--check"]) == 0


def test_places_that_cannot_be_written_are_named(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (grid / "file").write_text("")
    runs = ["--runs", str(grid / "runs")]
    assert main([*runs, "--out", str(grid / "file")]) == 2
    assert f"error: cannot write {grid / 'file'}: File exists; name another place" in capsys.readouterr().err
    assert main([*runs, "--out", str(grid / "tables"), "--report", str(grid)]) == 2
    assert f"error: cannot write {grid}: Is a directory" in capsys.readouterr().err


def test_tables_over_the_committed_ones_are_said(grid: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(COMMITTED, "out", str(grid / "tables"))
    monkeypatch.setitem(COMMITTED, "runs", [str(grid / "records")])
    (grid / "records").symlink_to(grid / "runs")
    out = ["--out", str(grid / "tables")]
    assert main(["--runs", str(grid / "runs"), *out]) == 0
    assert capsys.readouterr().err == ""  # the same folder by another name
    (grid / "records").unlink()
    assert main(["--runs", str(grid / "runs"), "--out", str(grid / "mine")]) == 0
    assert capsys.readouterr().err == ""
    assert main(["--runs", str(grid / "runs"), *out]) == 0
    assert f"note: {grid / 'tables'} held the tables of results/records" in capsys.readouterr().err


def test_options_are_taken_whole(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--runs", str(grid / "runs"), "--mis"])
    assert "unrecognized arguments: --mis" in capsys.readouterr().err


def test_a_hostile_name_does_not_reach_the_terminal(make: Any, tmp_path: Path, capsys: Any) -> None:
    make.save(tmp_path / "runs", make.runs())
    folder = tmp_path / "runs" / "test" / "\x1b[31m\nred"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("[]")
    assert main(["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "\x1b" not in said and said.count("\n") == 1 and "[31m red/record.json: is a list" in said


def test_missing_prints_commands_alone(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(grid / "runs"), "--missing"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert all(line.startswith(("# ", "python sweeps/run.py -m ")) for line in lines)
    wanted = "experiment=hierarchy profile=quick benchmark=synthmotion benchmark.split=1 backbone.name=resnet50"
    assert f"python sweeps/run.py -m {wanted} levels=3 init=run" in lines and len(lines) == len(set(lines))
    assert main(["--runs", str(grid / "nothing"), "--missing"]) == 0
    said = capsys.readouterr()
    assert "experiment=negatives" in said.out
    assert f"no root: {grid / 'nothing'}: there is no such file or folder" in said.err  # a misspelt name, perhaps


def test_a_damaged_list_of_equal_code_is_said(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = grid / "equivalent.json"
    damaged.write_text("{")
    monkeypatch.setattr(equivalent, "FILE", damaged)
    assert main(["--runs", str(grid / "runs"), "--out", str(grid / "tables")]) == 2
    assert "equivalent.json cannot be read" in capsys.readouterr().err


def test_thresholds_come_from_a_file(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = grid / "strict.yaml"
    other.write_text("tolerance: 0.25\nhalf_width: 1\ncoverage: 0.9\n")
    arguments = ["--runs", str(grid / "runs"), "--out", str(grid / "tables"), "--thresholds", str(other)]
    assert main(arguments) == 0
    assert "|d| <= 0.25" in (grid / "tables" / "paper.csv").with_suffix(".html").read_text().replace("&lt;", "<")
    other.write_text("tolerance: much\nhalf_width: 1\ncoverage: 0.9\n")
    assert main(arguments) == 2 and "tolerance='much'" in capsys.readouterr().err
    other.write_bytes(b"\xff\xfe")
    assert main(arguments) == 2 and f"{other} cannot be read" in capsys.readouterr().err


def test_rows_of_runs_that_have_not_begun_are_printed(tmp_path: Path) -> None:
    expected = [{"backbone": "resnet18", "levels": 1, "pretraining": "progressive"}]
    (table,) = main_tables(all_tables(collect(tmp_path), expected=expected))
    assert table.name == "levels_by_backbone" and table.rows[0].cells[-2].kind == "missing"
    assert main_tables(all_tables(collect(tmp_path))) == []
