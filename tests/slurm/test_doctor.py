"""The doctor on a real cluster: what it reads of SLURM, and its job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slurm


def doctor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    typed = ["launcher=slurm", f"paths.runs={folder}/runs", f"paths.data.root={folder}/data", *words]
    small = ["launcher.mem_gb=2", "launcher.cpus_per_task=1", "runtime.workers=0"]
    command = [sys.executable, str(ROOT / "sweeps/doctor.py"), *typed, *small]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_two_processes_on_two_nodes_report_back(cluster: Cluster, tmp_path: Path) -> None:
    done = doctor(tmp_path, "launcher.nodes=2", "--submit")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for begins in (
        "ok       slurm: ",
        "ok       partitions: normal (default)",
        "ok       sacct: answers",
        "ok       request of pretrain, finetune, test: 2 x 1 processes, 0 GPUs",
        "ok       node: job: started on n",
        f"ok       node: shared: {tmp_path}/runs is the folder",
        "ok       node: all-reduce: 2 CPU processes on",
        "ok       node: decord: ",
        "ok       node: locks: ",
    ):
        assert any(line.startswith(begins) for line in lines), f"{begins}\n{done.stdout}"


def test_what_the_cluster_would_refuse_is_told_beforehand(cluster: Cluster, tmp_path: Path) -> None:
    done = doctor(tmp_path, "launcher.partition=nix", "launcher.phases.test.gpus_per_node=4")
    assert done.returncode == 1
    assert "problem  partition: launcher.partition=nix: there are: normal, preemptible" in done.stdout
    assert "problem  request of test: " in done.stdout and "invalid partition" in done.stdout.lower()
