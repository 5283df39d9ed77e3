"""A real SLURM for the tests of this folder: the one that .ci/run has started, or one of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import MARK, NODES, Cluster, missing
from tests.slurm.typed import STARTED


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Up, with SLURM_CONF exported to this process and its children. A cluster that cluster.sh has brought up before is
    used and left up; without the programs the test is skipped, with CI set it fails."""
    given = os.environ.get("SLURM_CONF", "")
    folder = Path(given).parent.parent if given else None
    if folder is not None and (folder / MARK).is_file():
        running = Cluster(folder)
        state = running.script("status")
        assert state.returncode == 0, f"SLURM_CONF={given}, but not all of that cluster is up: type cluster.sh up"
        assert f"slurmd-n{NODES}" in state.stdout, f"SLURM_CONF={given}: the tests need {NODES} nodes"
        yield running
        return
    if absent := missing():
        message = f"{', '.join(absent)} not installed: type tests/slurm/cluster.sh up (as root, Debian or Ubuntu)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # Not below pytest's own folders: paths of unix sockets must be short.
    own = Cluster(Path(tempfile.mkdtemp(prefix="hcml-slurm-")))
    with pytest.MonkeyPatch.context() as environment:
        try:
            started = own.script("up")
            assert started.returncode == 0, started.stderr
            environment.setenv("SLURM_CONF", str(own.folder / "etc" / "slurm.conf"))
            yield own
        finally:
            own.script("down", "--purge")
            shutil.rmtree(own.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first sweep that is typed prepares its videos, and the others find them."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Sweeps that a failing test has left behind would go on beside the next one."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.terminate()  # its runs, where it has some of its own, are told by it
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
    STARTED.clear()


@pytest.fixture
def calm(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with all nodes up and nothing in the queue, before and after the test."""
    cluster.cancel_all()
    yield cluster
    cluster.cancel_all()
    for number in range(1, NODES + 1):
        cluster.start_node(f"n{number}")
