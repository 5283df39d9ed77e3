"""How tests are shared out when there are several processes (`pytest -n 2 --dist loadgroup`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported, here and in the commands that tests type: the models are so small that a second thread
# gains nothing, and threads that wait for each other on busy cores cost many times the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for the few that ask for two

HERE = Path(__file__).parent
FIRST = ("slurm", "integration")
"""The longest folders start first, so that no process is left alone with one of them in the end."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay in one process, as they share fixtures; those on SLURM share the cluster, too."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0]
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    for item in items:
        parts = item.path.relative_to(HERE).parts
        item.add_marker(pytest.mark.xdist_group("slurm" if parts[0] == "slurm" else "/".join(parts)))
    items.sort(key=place)
