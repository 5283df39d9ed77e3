from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from results import collect as collecting
from results.collect import collect, problems
from results.reading import over_processes


def lengths(paths: list[str]) -> list[int]:
    return [len(path) for path in paths]


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_each_path_is_read_once_in_its_order(processes: int) -> None:
    paths = ["x" * number for number in range(20)]
    assert over_processes(lengths, paths, processes) == list(range(20))
    assert over_processes(lengths, [], 1) == []


def fails(paths: list[str]) -> list[int]:
    raise ValueError(f"cannot read {paths[-1]}")


def test_an_error_in_a_process_is_an_error_here() -> None:
    with pytest.raises(ValueError, match="cannot read a"):
        over_processes(fails, ["a", "b"], 2)


def test_several_processes_collect_what_one_does(
    make: Any, frame_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        make.save(tmp_path, make.runs(levels=seed, seed=seed))
    for name, text in (("half", '{"schema_version": 1, '), ("other", "[]")):
        (tmp_path / "test" / name).mkdir()
        (tmp_path / "test" / name / "record.json").write_text(text)
    alone = collect(tmp_path)
    monkeypatch.setattr(collecting, "over_processes", partial(over_processes, processes=3))
    shared = collect(tmp_path)
    assert_frame_equal(shared, alone)
    assert problems(shared) == problems(alone) and len(problems(alone)) == 2
