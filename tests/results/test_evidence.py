"""What is committed under results/: tables and report are what the records give, and the records pass every rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from results import check
from results.make_tables import COMMITTED, main

RECORDS = Path(COMMITTED["runs"][0])


def test_the_tables_and_the_report_follow_from_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert any(RECORDS.glob("*/*/record.json")), "no records are committed"
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_the_records_pass_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(RECORDS)]) == 0, capsys.readouterr().out
