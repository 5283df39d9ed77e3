"""The main command, as it is typed: real videos, real training, real tables; tiny."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "backbone=r18 input_size=32 num_frames=4 benchmark.train_per_class=1 benchmark.test_per_class=1 "
    "pretrain.length.steps=2 pretrain.length.batch_size=4 pretrain.eval_videos=1 finetune.length.steps=2 "
    "finetune.length.batch_size=4 motion.dim=8 objective.contrast.max_queries=32 objective.contrast.max_keys=64 "
    "compute.precision=fp32 compute.threads=1 runtime.workers=0"
).split()

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


def run(home: Path, *arguments: str, script: str = "sweeps/run.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


def records(home: Path) -> dict[str, dict]:
    found = {}
    for path in (home / "runs").glob("*/*/record.json"):
        record = json.loads(path.read_text())
        found[f"{record['phase']}{record['config']['model']['levels']}"] = record
    return found


def test_a_sweep_runs_through_and_a_second_one_skips_everything(home):
    first = run(home, "-m", "levels=0,1", *TINY)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "5 done, 0 skipped, 0 failed" in first.stdout
    assert "estimated time" in first.stdout
    assert "# Top-1 by levels and backbone" in first.stdout and "missing" not in first.stdout
    made = records(home)
    assert set(made) == {"pretrain1", "finetune1", "test1", "finetune0", "test0"}
    assert made["test1"]["lineage"] == [made["finetune1"]["run_id"], made["pretrain1"]["run_id"]]
    assert made["test1"]["chance"] == 25.0 and 0 <= made["test1"]["metrics"]["top1"] <= 100
    assert made["test1"]["profile"] == "quick"
    assert len((next((home / "runs/test").glob("*-l1-*")) / "predictions.csv").read_text().splitlines()) == 17

    before = {path: path.stat().st_mtime_ns for path in (home / "runs").glob("*/*/record.json")}
    second = run(home, "-m", "levels=0,1", *TINY)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "0 done, 5 skipped, 0 failed" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in (home / "runs").glob("*/*/record.json")} == before


def test_a_new_test_protocol_trains_nothing(home):
    done = run(home, "levels=0", "test.num_clips=2", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 done, 1 skipped, 0 failed" in done.stdout


def test_a_test_can_be_shared_by_two_processes(home):
    """As on a cluster, with torchrun: same predictions, one record, and nobody but the first writes."""
    (folder,) = (home / "runs/test").glob("*-l0-*-1x1-*")
    before = (folder / "predictions.csv").read_bytes()
    for name in ("predictions.csv", "record.json", "status.json"):
        (folder / name).unlink()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "sweeps.job", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "predictions.csv").read_bytes() == before
    record = json.loads((folder / "record.json").read_text())
    assert record["cost"]["processes"] == 2 and record["config"]["protocol"]["name"] == "custom"
    assert json.loads((folder / "status.json").read_text())["state"] == "done"
    assert not (folder / "lock.json").exists()


def test_fine_tuned_weights_from_a_file_are_tested_and_nothing_else_runs(home):
    (folder,) = (home / "runs/finetune").glob("*-l0-*")
    checkpoint = folder / "weights.pt"
    done = run(home, "levels=0", "phase=test", f"checkpoint={checkpoint}", "seed=7", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 done, 0 skipped, 0 failed" in done.stdout
    record = max((home / "runs/test").glob("*/record.json"), key=lambda path: path.stat().st_mtime)
    made = json.loads(record.read_text())
    assert made["parent"] is None and made["seed"] == 0  # of the run that made the weights
    assert len(made["environment"]["pretrained_weights"]["sha256"]) == 64
    (other,) = (home / "runs/test").glob("resnet18-l0-scratch-s0-1x1-*/predictions.csv")
    assert (record.parent / "predictions.csv").read_bytes() == other.read_bytes()


def test_a_failing_run_does_not_stop_the_others(home):
    """A map too small for its cost volume shows only when the model is built; the plain backbone does not mind."""
    small = [a for a in TINY if not a.startswith(("input_size", "num_frames"))] + ["input_size=16", "num_frames=6"]
    done = run(home, "-m", "levels=4,0", *small)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 done, 0 skipped, 1 failed, 2 blocked" in done.stdout
    assert "missing" in done.stdout


def test_a_stock_launcher_works_too(home):
    done = run(home, "-m", "hydra/launcher=basic", "levels=0,1", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 done, 2 skipped, 0 failed" in done.stdout and "0 done, 3 skipped, 0 failed" in done.stdout
    failing = run(home, "-m", "hydra/launcher=basic", "levels=5,0", *TINY)
    assert failing.returncode == 1 and "at most 4 levels" in failing.stderr
    assert "0 done, 2 skipped, 0 failed" in failing.stdout


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["levels=5"], 2, "at most 4 levels"),
        (["-m", "backbone.name=r18,resnet19"], 2, "did you mean resnet18"),
        (["backbone=resnet5"], 2, "did you mean resnet50"),
        (["finetune.optim.lrr=1"], 1, "Key 'lrr' not in 'OptimConfig'"),
    ],
)
def test_bad_input_ends_with_a_reason_and_no_traceback(tmp_path, arguments, code, message):
    done = run(tmp_path, *arguments)
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr
