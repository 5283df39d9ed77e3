"""The test cluster of cluster.sh, from Python: what is queued, what has ended, and how to break it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("cluster.sh")
MARK = ".hcml-slurm-test"
"""The file by which cluster.sh knows its folders. A cluster without it is somebody's real one: hands off."""
COMMANDS = ("slurmctld", "slurmd", "slurmdbd", "sbatch", "munged", "mariadbd")
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
NODES, CPUS = 6, 2
"""The defaults of cluster.sh. A run that asks for two CPUs has a node of its own, so that a node can be killed, or
taken by a job of higher priority, without harm to other runs."""


def missing() -> list[str]:
    """The programs of a SLURM cluster that are not installed here."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SBIN])
    return [name for name in COMMANDS if shutil.which(name, path=path) is None]


PATIENCE = 3.0
"""How much slower than two idle cores a machine may be before a test gives up."""


def until(happened: Callable[[], object], seconds: float, what: str, every: float = 0.3) -> object:
    """Polls until `happened` gives something true, and returns that; AssertionError with `what` after `seconds` (of
    two idle cores)."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        if result := happened():
            return result
        assert time.monotonic() < deadline, f"not after {seconds:.0f} s: {what}"
        time.sleep(every)


@dataclass(frozen=True)
class Element:
    """One array element (or a job that is no array) as squeue shows it."""

    job_id: str
    name: str
    state: str
    reason: str
    node: str


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up; SLURM_CONF of this process points to it."""

    folder: Path

    def script(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """cluster.sh on this cluster; never raises for its exit code."""
        environment = os.environ | {"HCML_SLURM_DIR": str(self.folder), "HCML_SLURM_NO_INSTALL": "1"}
        return subprocess.run(
            ["bash", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=timeout
        )

    def queue(self) -> list[Element]:
        """Everything that is queued or running, one element each."""
        lines = _output("squeue", "-h", "-r", "-o", "%i|%j|%T|%r|%N").splitlines()
        parts = [line.split("|") for line in lines]
        return [Element(*each) for each in parts]

    def detail(self, job_id: str, key: str) -> str:
        """A field of `scontrol show job`, '' where there is none."""
        text = _output("scontrol", "-o", "show", "job", job_id)
        return next((word.partition("=")[2] for word in text.split() if word.startswith(f"{key}=")), "")

    def next_job(self) -> int:
        """The id that the next sbatch will be given: where it has not moved, nothing was submitted."""
        lines = _output("scontrol", "show", "config").splitlines()
        return int(next(line.split()[-1] for line in lines if line.startswith("NEXT_JOB_ID")))

    def states(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Job id -> state in the accounting database."""
        lines = _output("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-j", ",".join(job_ids)).splitlines()
        return {job: state.split()[0] for job, _, state in (line.partition("|") for line in lines)}

    def wait_idle(self, seconds: float) -> None:
        """Until nothing is queued or running."""
        until(lambda: not self.queue(), seconds, f"an empty queue: {self.queue()}")

    def kill_node(self, node: str, tasks: bool = True) -> None:
        """As when its power goes: the slurmd, and with `tasks` its jobs, too. SLURM notices after SlurmdTimeout."""
        killed = self.script("kill-node", node)
        assert killed.returncode == 0, killed.stderr
        if tasks:
            for pid in processes_of_node(node):
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass

    def start_node(self, node: str) -> None:
        started = self.script("start-node", node)
        assert started.returncode == 0, started.stderr

    def cancel_all(self) -> None:
        """Between tests: no job of an earlier one may be left."""
        jobs = sorted({element.job_id for element in self.queue()})
        if jobs:
            subprocess.run(["scancel", "-Q", *jobs], timeout=30)
            self.wait_idle(40)


def processes_of_node(node: str) -> list[int]:
    """Job processes on a node of this cluster, and the slurmstepd that look after them."""
    wanted = {f"SLURM_CONF={os.environ['SLURM_CONF']}".encode(), f"SLURMD_NODENAME={node}".encode()}
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if not wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                continue
            found.add(int(folder.name))
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if Path("/proc", parent, "cmdline").read_bytes().startswith(b"slurmstepd"):
                found.add(int(parent))
        except OSError:  # ended meanwhile
            continue
    return sorted(found - {os.getpid()})


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
