"""cluster.sh itself, beside the cluster that the other tests use: nothing of that one is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import SCRIPT, Cluster, missing, processes_of_node, until

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()) and not os.environ.get("CI"), reason="SLURM is not installed"),
]


@pytest.fixture
def place() -> Iterator[Cluster]:
    """A folder for a cluster that is not up."""
    folder = Path(tempfile.mkdtemp(prefix="hcml-slurm-"))
    made = Cluster(folder)
    yield made
    made.script("down", "--purge")
    shutil.rmtree(folder, ignore_errors=True)


def test_up_again_and_down(place: Cluster, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.script("status").returncode == 3
    first = place.script("up", "--nodes", "1", "--cpus", "3", "--set", "KillWait=7")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"export SLURM_CONF={place.folder}/etc/slurm.conf\n" == place.script("env").stdout
    status = place.script("status")
    assert status.returncode == 0 and status.stdout.count(" up ") == 5

    with monkeypatch.context() as inside:
        inside.setenv("SLURM_CONF", f"{place.folder}/etc/slurm.conf")
        run = ["srun", "--mem=10", "sh", "-c", "echo $SLURMD_NODENAME $SLURM_CPUS_ON_NODE"]
        assert subprocess.run(run, capture_output=True, text=True, timeout=60).stdout.split()[0] == "n1"
        assert place.next_job() == 3, "the one by which `up` tries it, and ours"
        settings = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60).stdout
        assert "KillWait                = 7 sec" in settings

    pids = [line.split()[-1] for line in status.stdout.splitlines() if " up " in line]
    again = place.script("up")
    assert again.returncode == 0 and again.stdout == first.stdout
    assert [line.split()[-1] for line in place.script("status").stdout.splitlines() if " up " in line] == pids
    other = place.script("up", "--cpus", "2")
    assert other.returncode == 1 and "already up with nodes/cpus/mem 1 3 8000" in other.stderr

    assert place.script("kill-node", "n1").returncode == 0
    assert place.script("status").returncode == 1
    assert place.script("up").returncode == 0 and place.script("status").returncode == 0, "a dead daemon is started"

    assert place.script("down").returncode == 0 and place.script("status").returncode == 3
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10, f"all of {pids} gone")
    assert place.script("down", "--purge").returncode == 0 and not place.folder.exists()
    assert cluster.script("status").returncode == 0, "the other cluster was touched"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--cpus", "two"], "take numbers"),
        (["up", "--nodes", "0"], "1 to 64"),
        (["up", "--gpus", "1"], "unknown option --gpus"),
        (["env"], "no cluster at"),
        (["kill-node", "n1"], "slurmd-n1 is not running"),
    ],
)
def test_what_cannot_be_is_said_in_words(place: Cluster, arguments: list[str], message: str) -> None:
    done = place.script(*arguments)
    assert done.returncode == 1 and message in done.stderr and "cluster.sh: error:" in done.stderr


def test_a_folder_whose_name_is_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    done = Cluster(tmp_path / ("long" * 20)).script("up")
    assert done.returncode == 1 and "too long" in done.stderr and not list(tmp_path.iterdir())


def test_help_is_the_head_of_the_file() -> None:
    shown = subprocess.run(["bash", str(SCRIPT)], capture_output=True, text=True, timeout=20)
    assert shown.returncode == 0 and "up [--nodes N]" in shown.stdout and "set -u" not in shown.stdout
    assert subprocess.run(["bash", str(SCRIPT), "upp"], capture_output=True, timeout=20).returncode == 2


def test_a_killed_node_loses_its_jobs_and_they_run_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    """What the tests of failures rely on: the processes of one node, and of that node only, are found and killed."""
    script = tmp_path / "job.sh"
    script.write_text('#!/bin/sh\necho "$SLURM_JOB_ID $SLURMD_NODENAME $$" >> started\nexec sleep 30\n')
    for node in ("n1", "n2"):
        command = ["sbatch", "--parsable", "-w", node, "--mem=10", "-D", str(tmp_path), str(script)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    started = tmp_path / "started"
    until(lambda: started.exists() and started.read_text().count("\n") == 2, 20, "two jobs that run")
    lines = started.read_text().splitlines()
    pids = {line.split()[1]: int(line.split()[2]) for line in lines}
    found = processes_of_node("n1")
    assert pids["n1"] in found and pids["n2"] not in found
    assert any(Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"slurmstepd") for pid in found)
    try:
        cluster.kill_node("n1")
        until(lambda: not Path(f"/proc/{pids['n1']}").exists(), 5, "the job of n1 to end")
        assert Path(f"/proc/{pids['n2']}").exists()
    finally:
        cluster.start_node("n1")
        cluster.cancel_all()
