"""Bad input to the command, as it is typed: a reason and no traceback, nothing lost, and the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "levels=0 backbone=r18 input_size=32 num_frames=4 benchmark.train_per_class=1 benchmark.test_per_class=1 "
    "finetune.length.steps=2 finetune.length.batch_size=4 compute.precision=fp32 compute.threads=1 runtime.workers=0"
).split()


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "sweeps" / "run.py"), *arguments],
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["+finetune.optim.lrr=1"], 2, "unknown key finetune.optim.lrr: did you mean finetune.optim.lr?"),
        (["-m", "finetune.optim.lrr=1", "levels=0,1"], 1, "Key 'lrr' not in 'OptimConfig'"),
        (["motion.dim=many"], 1, "Value 'many' of type 'str' could not be converted to Integer"),
    ],
)
def test_an_unknown_key_or_a_value_of_another_kind_starts_nothing(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    done = command(tmp_path, *arguments)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/[!_]*")) and not (tmp_path / "data").exists()


def test_bad_annotation_lines_fail_the_run_by_name_and_the_same_command_goes_on_once_they_are_mended(
    tmp_path: Path,
) -> None:
    prepared = command(tmp_path, *TINY, "phase=finetune")
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    (annotations,) = tmp_path.glob("data/*/train.csv")
    good = annotations.read_text()
    header, first, second, third, *rest = good.splitlines()
    fields = first.split(",")
    bad = [
        ",".join(fields[:3]),
        second.replace(second.split(",")[2], "flying"),
        third.replace(third.split(",")[1], "../../outside.mp4"),
    ]
    annotations.write_text("\n".join([header, *bad, *rest]) + "\n")
    failed = command(tmp_path, *TINY, "seed=1")
    assert failed.returncode == 1 and "0 done, 0 skipped, 1 failed, 1 blocked" in failed.stdout
    shown = failed.stdout + failed.stderr
    for said in (
        "train.csv:2: too few fields: 3 in place of 6",
        "train.csv:3: unknown class 'flying'",
        "train.csv:4: path '../../outside.mp4' leaves the data root",
    ):
        assert said in shown
    annotations.write_text(good)
    mended = command(tmp_path, *TINY, "seed=1")
    assert mended.returncode == 0 and "2 done, 0 skipped, 0 failed" in mended.stdout, mended.stdout + mended.stderr
