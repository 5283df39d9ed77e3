"""From an imitation of each official archive to a row of the tables, through the commands of the documentation."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("num_frames=4", "input_size=32", "compute.threads=1", "runtime.workers=0"),
    *("benchmark.train_per_class=0", "benchmark.test_per_class=0", "pretrain.eval_videos=2"),
    *("pretrain.length.steps=2", "pretrain.length.batch_size=2", "pretrain.transform.resize=40"),
    *("finetune.length.steps=2", "finetune.length.batch_size=2", "finetune.transform.resize=40"),
    *("test.num_clips=2", "test.num_crops=3", "test.batch_size=4"),
]


def run(*command: str, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == expect, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "levels"), [("kinetics400", 0), ("sthv1", 1), ("sthv2", 0), ("ucf101", 0), ("hmdb51", 1)]
)
def test_from_the_archive_to_a_row_of_the_table(name: str, levels: int, tmp_path: Path) -> None:
    """With a pretraining on one data set of frame folders and on one of files with several splits."""
    data, runs = str(tmp_path / "data"), tmp_path / "runs"
    run(
        "-m",
        "benchmarks",
        "synthesize",
        name,
        "--root",
        data,
        "--classes=4",
        "--train-per-class=2",
        "--test-per-class=1",
    )
    prepared = run("-m", "benchmarks", "prepare", name, "--root", data, "--processes=2")
    assert "wrote" in prepared
    run("-m", "benchmarks", "audit", name, "--root", data, "--processes=2")
    split = "2" if name in ("ucf101", "hmdb51") else "val"
    shown = run(
        "sweeps/run.py", f"benchmark={name}", f"benchmark.split={split}", f"paths.data.{name}={data}",
        f"paths.runs={runs}", f"levels={levels}", *SMALL,
    )  # fmt: skip
    assert f"{2 + levels} done, 0 skipped, 0 failed" in shown and "synthetic imitation" in shown
    if split == "2":
        assert "split 2" in shown

    (path,) = runs.glob("test/*/record.json")
    record = json.loads(path.read_text())
    assert record["data"]["origin"]["synthetic"] is True and record["unreadable"]["test"] == 0
    assert record["data"]["videos"] == {"train": 8 - (name == "kinetics400"), "test": 4 - (name == "kinetics400")}
    assert record["data"]["expected"] == {"train": 8, "test": 4}
    assert record["cost"]["views"] == 6
    with (path.parent / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["video_id"] for row in rows}) == len(rows) == record["data"]["videos"]["test"]
    assert 100 * sum(int(row["correct"]) for row in rows) / len(rows) == pytest.approx(record["metrics"]["top1"])
