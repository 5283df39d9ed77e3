import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from results.make_tables import main, make_tables

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
