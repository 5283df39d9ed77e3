"""The commands that tables print for missing cells make exactly those cells."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hcml.config import BenchmarkConfig, to_dict
from results.ablation_tables import ablation_table
from results.ablations import AXES, Axis
from results.arm import Arm
from results.commands import BENCHMARKS, row
from results.compare import Thresholds
from results.flatten import NOT_APPLICABLE, flat
from results.published_tables import paper_table
from results.reference import load
from results.settings import Varying
from results.split_means import split_means
from sweeps.resolve import resolve

EXPERIMENTS = Path(__file__).resolve().parents[2] / "sweeps" / "conf" / "experiment"


def row_of_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The columns that an ablation reads, as the record of the job's leaf would give them."""
    chain = {run.phase: to_dict(run.config) for run in resolve(settings)}
    leaf = chain[settings["phase"]]
    model, pretrain = leaf["model"], chain.get("pretrain")
    levels = model["levels"]
    row: dict[str, Any] = {
        "levels": levels,
        "temporal": model["temporal"]["mode"],
        "backbone": model["backbone"]["name"],
    }
    row["pretraining"] = pretrain["curriculum"]["name"] if pretrain else "none"
    motion = {"motion_input": model["motion"]["input"], "prime": model["motion"]["prime"]}
    motion["fusion_init"] = model["fusion"]["init"]
    row |= motion if levels else dict.fromkeys(motion, NOT_APPLICABLE)
    for phase, config in chain.items():
        row |= {f"{phase}.{key}": value for key, value in flat(config).items()}
    return row


def words(command: str) -> list[str]:
    found = shlex.split(command)
    assert found[:3] == ["python", "sweeps/run.py", "-m"]
    return found[3:]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_the_command_of_a_missing_row_makes_that_row(settings: Callable[..., dict[str, Any]], axis: Axis) -> None:
    assert (EXPERIMENTS / f"{axis.experiment}.yaml").is_file()
    table = ablation_table(axis, [], Varying([]))
    commands = [row.cells[-2].command for row in table.rows]
    for (label, _), command in zip(axis.expected, commands, strict=True):
        assert axis.label(row_of_settings(settings(*words(command)))) == label, command


def test_what_a_benchmark_is_unless_somebody_says_else_is_known() -> None:
    usual = to_dict(BenchmarkConfig())
    files = (EXPERIMENTS.parent / "benchmark").glob("*.yaml")
    found = {path.stem: usual | yaml.safe_load(path.read_text()) for path in files}
    assert {name: {key: str(plain[key]) for key in BENCHMARKS[name]} for name, plain in found.items()} == BENCHMARKS


ROWS: list[dict[str, Any]] = [
    {"levels": 0, "pretraining": "none"},
    {"levels": 2, "pretraining": "none"},
    {"levels": 2, "pretraining": "joint", "temporal": "shift"},
    {"levels": 3, "pretraining": "progressive", "motion_input": "static", "fusion_init": "zero", "prime": "both"},
    {"levels": 1, "pretraining": "progressive", "split": "order"},
]


@pytest.mark.parametrize("axes", ROWS, ids=lambda axes: "-".join(map(str, axes.values())))
def test_the_command_for_a_cell_beside_others_makes_that_cell(
    settings: Callable[..., dict[str, Any]], axes: dict[str, Any]
) -> None:
    beside = {"phase": "test", "benchmark": "synthmotion v1", "profile": "quick", "backbone": "resnet18", "levels": 1}
    beside |= {"pretraining": "progressive", "temporal": "none", "motion_input": "video", "prime": "cost_volume"}
    beside |= {"fusion_init": "random", "pairing": "causal", "weights": "scratch"}
    made = row_of_settings(settings(*words(row("hierarchy", beside, **axes))))
    made["split"] = made["test.benchmark.split"]
    assert {name: made[name] for name in axes} == axes
    assert row("hierarchy", beside, pretraining="file aaaaaaaa") == ""


@pytest.mark.parametrize("phase", ["test", "probe"])
def test_the_command_for_the_splits_that_a_mean_lacks_makes_runs_on_them(
    settings: Callable[..., dict[str, Any]], phase: str
) -> None:
    run = {"run_id": "a", "phase": phase, "benchmark": "ucf101 h264", "profile": "cluster", "backbone": "resnet50"}
    run |= {"pretraining": "progressive", "temporal": "none", "motion_input": "video", "prime": "cost_volume"}
    run |= {"levels": 2, "fusion_init": "random", "pairing": "causal", "weights": "scratch", "features": "final"}
    run |= {"pooling": "mean", "protocol": "split 1", "protocol_name": "tsm_dense" if phase == "test" else None}
    run |= {f"{phase}.benchmark.split": "1", "seed": 0, "pretrain_id": "p", "pretrain_seed": 7, "metric.top1": 50.0}
    run |= {"pretrain.benchmark.name": "kinetics400", "pretrain.benchmark.split": "val"}
    (mean,) = split_means([Arm((("levels", 2),), (), (run,))])
    overrides = words(mean.command("metric.top1"))
    assert "benchmark.split=2,3" in overrides
    for split in "23":
        one = [word.replace("benchmark.split=2,3", f"benchmark.split={split}") for word in overrides]
        made = row_of_settings(settings(*one))
        assert {name: made[name] for name in ("levels", "pretraining")} == {"levels": 2, "pretraining": "progressive"}
        assert (made[f"{phase}.benchmark.split"], made["pretrain.benchmark.name"]) == (split, "kinetics400")
        assert made["pretrain.seed"] == 7 and (phase == "test" or made["probe.features.source"] == "final")
        assert phase == "probe" or made["test.protocol.name"] == "tsm_dense"


def test_commands_for_the_papers_cells_are_valid(settings: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    table = paper_table([], load(), Thresholds())
    assert table.missing
    for command in table.missing:
        *overrides, seeds = words(command)
        assert seeds == "seed=0,1,2"
        for split in ("1", "2", "3") if "benchmark.split=1,2,3" in overrides else ("",):
            one = [f"benchmark.split={split}" if split and "split=" in word else word for word in overrides]
            assert resolve(settings(*one))


def test_every_experiment_names_itself_and_shows_its_command() -> None:
    for path in EXPERIMENTS.glob("*.yaml"):
        text = path.read_text()
        assert f"experiment: {path.stem}\n" in text
        assert path.stem == "calibration" or f"python sweeps/run.py -m experiment={path.stem}\n" in text
