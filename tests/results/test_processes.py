from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from results import collect as collecting
from results import processes
from results import tables as tabling
from results.collect import collect, problems
from results.processes import beside, over_processes, usable
from results.reference import load
from results.tables import all_tables

ROOT = Path(__file__).resolve().parents[2]


def lengths(paths: list[str]) -> list[int]:
    return [len(path) for path in paths]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_path_is_read_once_in_its_order(count: int) -> None:
    paths = ["x" * number for number in range(20)]
    assert over_processes(lengths, paths, count) == list(range(20))
    assert over_processes(lengths, [], count) == []


@given(st.lists(st.integers()), st.integers(1, 9))
def test_what_is_dealt_comes_back_in_its_order(items: list[int], hands: int) -> None:
    dealt = processes._dealt(items, hands)
    assert processes._gathered(dealt) == items
    assert len(dealt) == min(hands, len(items)) and all(dealt)
    assert max(map(len, dealt), default=0) - min(map(len, dealt), default=0) <= 1


def fails(paths: list[str]) -> list[int]:
    raise ValueError(f"cannot read {paths[-1]}")


def test_an_error_here_or_in_another_process_is_an_error() -> None:
    with pytest.raises(ValueError, match="cannot read a"):
        over_processes(fails, ["a", "b"], 2)
    with beside([lambda: fails(["c"])], 2) as found, pytest.raises(ValueError, match="cannot read c"):
        found()
    with pytest.raises(KeyError, match="own"), beside([os.getpid], 2):
        raise KeyError("own")


@pytest.mark.parametrize("count", [2, 3, 9])
def test_other_processes_call_functions_that_no_file_could_hold(count: int) -> None:
    here = {"held": object()}  # neither it nor a lambda can be pickled
    makers = [lambda number=number: (number, "held" in here, os.getpid()) for number in range(5)]
    with beside(makers, count) as found:
        made = found()
    assert [(number, held) for number, held, _ in made] == [(number, True) for number in range(5)]
    workers = {process for _, _, process in made}
    assert os.getpid() not in workers and 1 <= len(workers) <= min(count - 1, 5)


def test_what_a_killed_process_should_have_made_is_made_here() -> None:
    caller = os.getpid()

    def killed() -> str:
        if os.getpid() != caller:
            os.kill(os.getpid(), signal.SIGKILL)
        return "made"

    with beside([killed, os.getpid], 2) as found:
        assert found() == ["made", caller]


def test_a_process_whose_caller_was_killed_ends() -> None:
    """It would hold the caller's pipes open for ever: `make_tables.py | tee` would not come back."""
    script = (
        "import os, signal, time; from results.processes import beside\n"
        "with beside([lambda: bytes(10**7), lambda: time.sleep(600)], 3):\n"
        "    time.sleep(1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_alone_the_makers_are_called_here() -> None:
    with beside([os.getpid], 1) as found:
        assert found() == [os.getpid()]


def test_few_runs_are_no_work_for_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "platform", "linux")
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert [usable(runs) for runs in (0, processes.MANY - 1, processes.MANY)] == [1, 1, processes.MOST]
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda process: {3}, raising=False)
    assert usable(processes.MANY) == 1
    monkeypatch.setattr(processes.multiprocessing, "parent_process", object)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert usable(processes.MANY) == 1, "helpers of helpers would be without end"
    monkeypatch.setattr(processes.multiprocessing, "parent_process", lambda: None)
    monkeypatch.setattr(processes.sys, "platform", "darwin")
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert usable(processes.MANY) == 1


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_make_of_records_what_one_does(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    for seed in range(4):
        make.save(tmp_path, make.runs(levels=seed, seed=seed))
    for name, text in (("half", '{"schema_version": 1, '), ("other", "[]")):
        (tmp_path / "test" / name).mkdir()
        (tmp_path / "test" / name / "record.json").write_text(text)
    alone = collect(tmp_path)
    tables = all_tables(alone, load(), unfilled=True)
    for module in (collecting, tabling):
        monkeypatch.setattr(module, "usable", lambda runs: count)
    started: list[int] = []
    monkeypatch.setattr(
        tabling, "beside", lambda makers, number: started.append(number) or partial(beside, makers)(number)
    )
    shared = collect(tmp_path)
    assert_frame_equal(shared, alone)
    assert problems(shared) == problems(alone) and len(problems(alone)) == 2
    assert all_tables(shared, load(), unfilled=True) == tables and len(tables) > 20
    assert started == [count]
