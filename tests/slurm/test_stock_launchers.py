"""Hydra's own submitit launchers: they know nothing of plans, and still execute each run once, since runs are
idempotent and wait for one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.typed import Home

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def logs(home: Home) -> str:
    """What all jobs have printed."""
    return "\n".join(path.read_text() for path in home.runs.glob("_sweeps/.submitit/*/*_log.out"))


def test_submitit_slurm(calm: Cluster, data: Path, tmp_path: Path) -> None:
    """Two jobs with the same pretraining, at the same time: one executes it, the other one waits for it."""
    home = Home(tmp_path, data)
    command = ["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=20", "phase=finetune", "levels=1"]
    command += ["finetune.label_smoothing=0.0,0.1"]
    before = calm.next_job()
    home.type(*command)
    assert calm.next_job() > before
    assert home.states() == dict.fromkeys(("pretrain-l1-s0", "finetune-l1-s0", "finetune-l1-s0-0.1"), "done")
    assert logs(home).count("2 done, 0 skipped, 0 failed") == 2
    assert logs(home).count("pretrain step 60/60") == 1, "the shared pretraining was executed twice"

    made = {path: path.stat().st_mtime_ns for path in home.runs.glob("*/*/record.json")}
    home.type(*command)
    assert logs(home).count("0 done, 2 skipped, 0 failed") == 2
    assert {path: path.stat().st_mtime_ns for path in home.runs.glob("*/*/record.json")} == made


def test_submitit_local(data: Path, tmp_path: Path) -> None:
    home = Home(tmp_path, data)
    command = ["-m", "hydra/launcher=submitit_local", "phase=finetune", "levels=0", "seed=0,1"]
    home.type(*command)
    assert home.states() == {"finetune-l0-s0": "done", "finetune-l0-s1": "done"}
    made = {path: path.stat().st_mtime_ns for path in home.runs.glob("*/*/record.json")}
    home.type(*command)
    assert logs(home).count("0 done, 1 skipped, 0 failed") == 2
    assert {path: path.stat().st_mtime_ns for path in home.runs.glob("*/*/record.json")} == made
