"""Committed tables are what the committed records give, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.make_tables import main

EVIDENCE = sorted((Path(__file__).resolve().parents[2] / "results" / "evidence").iterdir())


@pytest.mark.parametrize("folder", EVIDENCE, ids=lambda folder: folder.name)
def test_the_tables_follow_from_the_records(folder: Path, tmp_path: Path) -> None:
    assert main(["--runs", str(folder), "--out", str(tmp_path)]) == 0
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in (folder / "tables").iterdir()}
    assert made == kept
