"""The command that the report shows for one run makes that run and no other."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hcml.config import to_dict
from results.flatten import flat, phase_configs
from results.report.reproduce import narrowed
from sweeps.resolve import resolve

RECORDS = Path(__file__).resolve().parents[2] / "results" / "records"
KINDS = (
    *("pretrain/*-l1-s1-*", "finetune/*-l0-scratch-s2-*", "finetune/*-l1-run-s0-*", "test/*-l0-shift-scratch-s1-*"),
    *("test/*-l2-scratch-s0-*", "test/*-l3-run-s2-*", "test/*-l3-static-run-s0-*"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_for_one_run_makes_that_run(settings: Callable[..., dict[str, Any]], kind: str) -> None:
    paths = sorted(RECORDS.glob(f"{kind}/record.json"))
    assert paths
    for path in paths:
        record = json.loads(path.read_text())
        words = shlex.split(narrowed(record))
        assert words[:3] == ["python", "sweeps/run.py", "-m"]
        kept = {phase: flat(config) for phase, config in phase_configs(record).items()}
        # what else the sweep varies it still varies
        jobs = list(itertools.product(*(values_of(word) for word in words[3:])))
        assert len(jobs) == 1 or "objective=" in shlex.join(words)
        made = [{run.phase: flat(to_dict(run.config)) for run in resolve(settings(*job))} for job in jobs]
        assert sum(is_one(kept, of_job) for of_job in made) == 1


def values_of(word: str) -> list[str]:
    """A word for each value of a sweep's word; lists in brackets are values."""
    key, _, values = word.partition("=")
    return [word] if "[" in values or "," not in values else [f"{key}={value}" for value in values.split(",")]


def is_one(kept: dict[str, Any], made: dict[str, Any]) -> bool:
    assert set(made) == set(kept)
    for phase, config in kept.items():  # keys that one of the two has are of other versions of the code
        shared = sorted(set(config) & set(made[phase]))
        assert len(shared) > 30
        if [made[phase][key] for key in shared] != [config[key] for key in shared]:
            return False
    return True


def test_what_no_sweep_made_cannot_be_narrowed() -> None:
    path = next(iter(sorted(RECORDS.glob("test/*/record.json"))))
    record = json.loads(path.read_text())
    assert narrowed(record | {"command": ["run", "-m", "seed=1"]}) == ""
    assert narrowed(record | {"command": ["python", "sweeps/run.py", "seed=1"]}) == ""
    swept = record | {"command": ["python", "sweeps/run.py", "-m", "levels=0,1", "+seed=0,1,2", "seeds.x=3"]}
    assert narrowed(swept).split().count("seeds.x=3") == 1
    assert "0,1" not in narrowed(swept)
