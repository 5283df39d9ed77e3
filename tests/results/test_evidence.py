"""What is committed under results/: tables and report are what the records give, and the records pass every rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from results import check
from results.collect import collect
from results.make_tables import COMMITTED, main
from results.runs import Runs

RECORDS = Path(COMMITTED["runs"][0])


def test_the_tables_and_the_report_follow_from_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert any(RECORDS.glob("*/*/record.json")), "no records are committed"
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_the_records_pass_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(RECORDS)]) == 0, capsys.readouterr().out


def test_the_records_hold_the_evidence_three_seeds_of_one_code() -> None:
    """Levels 0..3 with and without pretraining, static input, another temporal model, as many steps all with labels."""
    runs = Runs(collect(RECORDS))
    arms = [arm for arm in runs.arms("test") if arm["backbone"] == "resnet18" and arm.first["profile"] == "full"]
    assert all({0, 1, 2} <= {run["seed"] for run in arm.records} for arm in arms)
    assert len({run["fingerprints"] for arm in arms for run in arm.records}) == 1
    usual = min(int(arm.first["finetune.length.steps"]) for arm in arms)
    found = {
        (
            arm["levels"],
            arm["pretraining"],
            arm["temporal"],
            str(arm["motion_input"]),
            arm.first["finetune.length.steps"] > usual,
        )
        for arm in arms
    }
    grid = {(levels, how, "none", "video", False) for levels in (1, 2, 3) for how in ("none", "progressive")}
    longer = {(levels, "none", "none", "video", True) for levels in (1, 2, 3)}
    plain = {(0, "none", temporal, "-", False) for temporal in ("none", "shift")}
    assert found >= grid | longer | plain | {(3, "progressive", "none", "static", False)}
