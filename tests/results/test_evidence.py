"""Committed tables are what the committed records give, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.make_tables import main

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.mark.parametrize("folder", sorted((RESULTS / "evidence").glob("*")), ids=lambda folder: folder.name)
def test_the_tables_follow_from_the_records(folder: Path) -> None:
    assert main(["--runs", str(folder), "--out", str(folder / "tables"), "--check"]) == 0
