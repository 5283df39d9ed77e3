"""kill -9 of the command as it is typed, in both training phases: typed again it ends as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    "levels=2 backbone=r18 input_size=32 num_frames=4 benchmark.train_per_class=1 benchmark.test_per_class=1 "
    "pretrain.length.steps=12 pretrain.length.batch_size=4 pretrain.eval_videos=1 pretrain.curriculum.name=joint "
    "finetune.length.steps=12 finetune.length.batch_size=4 motion.dim=8 objective.contrast.max_queries=32 "
    "objective.contrast.max_keys=64 compute.precision=fp32 compute.threads=1 runtime.workers=1 runtime.log_every=1 "
    "runtime.save_every=2"
).split()

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweeps" / "run.py"), *COMMAND],
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_in(home: Path, phase: str, steps: int) -> None:
    """Start the command and kill it and all its children once `phase` has logged `steps` steps, before its end."""
    process = start(home)
    deadline = time.monotonic() + 240
    while not any(path.read_text().count("\n") >= steps for path in home.glob(f"runs/{phase}/*/metrics.jsonl")):
        assert process.poll() is None, f"the command ended before step {steps} of {phase}"
        assert time.monotonic() < deadline, f"{phase} never reached step {steps}"
        time.sleep(0.01)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue  # ended by itself since the list was made
    psutil.wait_procs(family, timeout=30)
    process.wait(30)
    assert not list(home.glob(f"runs/{phase}/*/record.json")), f"{phase} was over before it could be killed"


def weights(home: Path) -> dict[str, torch.Tensor]:
    (path,) = home.glob("runs/finetune/*/weights.pt")
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["model"]
    return state


@pytest.mark.timeout(600)
def test_a_killed_command_typed_again_ends_bit_identical(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert start(whole).wait(300) == 0
    kill_in(broken, "pretrain", 5)
    kill_in(broken, "finetune", 5)
    assert start(broken).wait(300) == 0
    for phase in ("pretrain", "finetune"):  # begun anew it would end the same, for the same seed gives the same run
        (log,) = broken.glob(f"runs/{phase}/*/log.txt")
        assert "goes on from step" in log.read_text(), f"{phase} began anew"
    first, second = weights(whole), weights(broken)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    predictions = [next(home.glob("runs/test/*/predictions.csv")).read_bytes() for home in (whole, broken)]
    assert predictions[0] == predictions[1]
