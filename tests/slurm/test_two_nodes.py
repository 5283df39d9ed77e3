"""One run on two nodes: the losses of one process, predictions complete, and an end with a reason when a rank dies."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.typed import SLURM, Home, status, weights

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

RUN = ["levels=2", "phase=test", "compute.bn=frozen", "motion.norm=group", "pretrain.curriculum.name=joint"]
TWENTY = [
    *("pretrain.length.steps=20", "pretrain.optim.name=sgd", "pretrain.optim.lr=0.003"),
    *("finetune.length.steps=20", "finetune.optim.name=sgd", "finetune.optim.lr=0.0003"),
]
"""SGD, whose update is proportional to the gradient: AdamW divides it by its size, so that where it is nearly zero the
last bit of a sum, which depends on the order of its terms, decides a whole step."""
TWO = ["launcher.nodes=2", "launcher.tasks_per_node=1"]


def losses(folder: Path) -> list[dict[str, float]]:
    """Of each step, every figure that is a loss."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k.startswith("loss")} for line in lines if "loss" in line]


def test_two_nodes_give_what_one_process_gives(calm: Cluster, data: Path, tmp_path: Path) -> None:
    one, two = Home(tmp_path / "one", data, small=TWENTY), Home(tmp_path / "two", data, small=TWENTY)
    alone = one.start(*RUN)
    said = two.type(*RUN, *SLURM, *TWO)
    assert "3 done, 0 skipped, 0 failed" in said
    assert alone.wait(400) == 0, (one.folder / "typed.txt").read_text()
    left, right = one.found(), two.found()
    assert left.keys() == right.keys() == {"pretrain-l2-s0", "finetune-l2-s0", "test-l2-s0"}
    for name in ("pretrain-l2-s0", "finetune-l2-s0"):
        assert left[name].name == right[name].name, "with bn=frozen the number of processes is no part of the identity"
        expected, got = losses(left[name]), losses(right[name])
        assert len(expected) == len(got) == 20 and all(expected)
        for step, (a, b) in enumerate(zip(expected, got, strict=True)):
            assert b == pytest.approx(a, rel=1e-5, abs=1e-5), f"{name}, step {step + 1}"
        assert abs(expected[-1]["loss"] - expected[0]["loss"]) > 1e-3, "nothing was learned that could differ"
        job, submission = two.job_of(right[name])
        logs = two.runs / "_submissions" / submission["submission"]
        ranks = [(logs / f"{job}_{rank}_log.out").read_text() for rank in (0, 1)]
        assert all(f"rank {rank} of 2" in text for rank, text in enumerate(ranks)), "two processes, not twice one"
        assert not list(right[name].glob(".meeting*")), "the ranks' meeting place was not cleared"
        first, second = weights(left[name]), weights(right[name])
        assert first.keys() == second.keys()

    rows = {}
    for home, found in ((one, left), (two, right)):
        with (found["test-l2-s0"] / "predictions.csv").open() as file:
            rows[home.folder.name] = [row["video_id"] for row in csv.DictReader(file)]
    assert len(rows["two"]) == len(set(rows["two"])) == 16 and sorted(rows["one"]) == sorted(rows["two"])


def test_a_rank_that_dies_ends_the_run_with_its_own_reason(calm: Cluster, data: Path, tmp_path: Path) -> None:
    home = Home(tmp_path, data, braked=True)
    home.slow(0.1)
    home.fail_rank(1, at_step=5)
    said = home.type("phase=finetune", "levels=0", "compute.bn=frozen", *SLURM, *TWO, expect=1)
    (folder,) = home.found().values()
    assert "1 failed" in said
    told = status(folder)
    assert told["state"] == "failed" and "made to fail" in told["message"] and "1" in told["message"], told
    job, _ = home.job_of(folder)
    assert calm.states([job])[job] == "FAILED"
    assert "made to fail" in (folder / "log.txt").read_text()
    shown = home.status().stdout
    assert "made to fail" in shown

    home.release()
    done = home.type("phase=finetune", "levels=0", "compute.bn=frozen", *SLURM, *TWO)
    assert "1 done, 0 skipped, 0 failed" in done
