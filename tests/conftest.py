"""How tests are shared out when there are several processes (`pytest -n 2`)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Before torch is imported, here and in the commands that tests type: the models are so small that a second thread
# gains nothing, and threads that wait for each other on busy cores cost many times the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for the few that ask for two

# A machine that others share may stop any example for a while.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# A shell that starts tests in the background has them ignore Ctrl-C, and so would every command that they type.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

OURS = ("HCML_", "SLURM_", "SUBMITIT_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "CUDA_VISIBLE")


@pytest.fixture(autouse=True)
def environment_is_put_back() -> Iterator[None]:
    """A variable that one test leaves behind changes the commands that another one types: `HCML_LOCK_WAIT=inf` once had
    a run wait for ever, in the process that had both tests and in no other."""
    before = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    yield
    after = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    for name in before.keys() | after.keys():  # the next test is not to fail, too
        if name not in before:
            del os.environ[name]
        else:
            os.environ[name] = before[name]
    assert after == before, "the test has changed the environment for those after it"


HERE = Path(__file__).parent
FIRST = ("slurm", "integration")
"""The longest folders start first, so that no process is left alone with one of them in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0]
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay in one process, as they share fixtures; those on SLURM share the cluster, too. (Marks of
    `--dist loadgroup` would say the same, but xdist 3.8 writes them into node ids that pytest 9.2 does not read.)"""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "slurm" if "slurm" in Path(file).parts[1:2] else file

    return ByFile(config, log)
