"""phase=probe and phase=retrieval as they are typed: a pretraining run, its random twin, a row for each."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "backbone=r18 levels=2 input_size=32 num_frames=4 benchmark.train_per_class=2 benchmark.test_per_class=1 "
    "pretrain.length.steps=2 pretrain.length.batch_size=4 pretrain.eval_videos=1 motion.dim=8 probe.l2=[0.01,0.1] "
    "objective.contrast.max_queries=32 objective.contrast.max_keys=64 compute.precision=fp32 compute.threads=1 "
    "runtime.workers=0"
).split()

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "sweeps/run.py"), *arguments],
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_a_pretraining_and_its_random_twin_are_measured_and_tabled(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "phase=probe,retrieval", "init=run,scratch", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 done, 0 skipped, 0 failed" in done.stdout  # one pretraining for both
    assert "# Self-supervised features: linear probe and retrieval" in done.stdout and "missing" not in done.stdout
    with (tmp_path / "runs/tables/self_supervised_evaluation.csv").open() as file:
        chance, control, row = csv.DictReader(file)
    assert (control["pretraining"], row["pretraining"]) == ("none", "progressive")
    assert chance["linear probe"] == chance["R@1"] == "25.0" and float(chance["R@20"]) == 100
    assert row["parameters"] == f"{16 * (128 + 8 + 1):,}"

    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/*/record.json")]
    pretrain = next(record for record in records if record["phase"] == "pretrain")
    for phase, figure in (("probe", "top1"), ("retrieval", "r1")):
        found = {record["config"]["init"]: record for record in records if record["phase"] == phase}
        assert set(found) == {"run", "scratch"}
        assert found["run"]["parent"] == pretrain["run_id"] and found["scratch"]["parent"] is None
        assert found["run"]["environment"]["pretrained_weights"]["sha256"]
        assert all(0 <= record["metrics"][figure] <= 100 and record["chance"] == 25.0 for record in found.values())
    assert len(list((tmp_path / "runs/probe").glob("*/predictions.csv"))) == 2
    assert len(list((tmp_path / "runs/retrieval").glob("*/neighbours.csv"))) == 2

    # the pretraining's own file, given by hand: the same features under another name
    weights = next((tmp_path / "runs/pretrain").glob("*/weights.pt"))
    given = run(tmp_path, "phase=probe", f"checkpoint={weights}", *TINY)
    assert given.returncode == 0, given.stdout + given.stderr
    assert "1 done, 0 skipped, 0 failed" in given.stdout and "file " in given.stdout
    probes = [json.loads(path.read_text()) for path in (tmp_path / "runs/probe").glob("*/record.json")]
    top1 = [record["metrics"]["top1"] for record in probes if record["config"]["init"] == "run"]
    assert len(top1) == 2 and top1[0] == top1[1]
