"""What rows say of themselves: what makes them incomparable, and settings that are not the usual ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from results.grouping import arms_of
from results.runs import Runs
from results.tables import all_tables, levels_by_backbone

FrameOf = Callable[..., Any]
LONG = {"finetune.length": {"steps": 720}}
SHORT = {"finetune.length": {"steps": 320}}


def notes(frame: Any) -> dict[tuple[Any, ...], list[str]]:
    found: dict[tuple[Any, ...], list[str]] = {}
    for arm in Runs(frame).arms("test"):
        found.setdefault((arm["levels"], arm["pretraining"]), []).append(arm.note)
    return found


def test_rows_tell_settings_that_most_others_have_not(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=levels, config=SHORT) for levels in (1, 2, 3)]
    chains += [make.runs(levels=levels, pretraining="none", config=SHORT) for levels in (0, 1)]
    frame = frame_of(*chains, make.runs(levels=1, pretraining="none", config=LONG))
    assert notes(frame) == {
        **{(levels, "progressive"): [""] for levels in (1, 2, 3)},
        (0, "none"): [""],
        (1, "none"): ["", "finetune.length.steps=720"],
    }
    table = levels_by_backbone(frame)
    assert "Where it says nothing of it: finetune.length.steps=320." in table.footnotes


def test_a_setting_that_comes_with_an_axis_is_told_though_nothing_shares_the_cell(make: Any, frame_of: FrameOf) -> None:
    """The contrast alone is pretrained jointly: its cell looks like one of the curriculum, which it is not alone."""
    weights = {"reconstruction": {"weight": 1.0}, "contrast": {"weight": 1.0}}
    alone = weights | {"reconstruction": {"weight": 0.0}}
    chains = [make.runs(levels=levels, config={"pretrain.objective": weights}) for levels in (1, 2, 3)]
    chains.append(make.runs(levels=3, pretraining="joint", config={"pretrain.objective": alone}))
    found = notes(frame_of(*chains))
    assert found.pop((3, "joint")) == ["pretrain.curriculum.name=joint; pretrain.objective.reconstruction.weight=0.0"]
    assert set(map(tuple, found.values())) == {("",)}
    table = levels_by_backbone(frame_of(*chains))
    assert not [cell for row in table.rows for cell in row.cells if cell.kind == "missing"], "no grid of joint ones"


def test_of_two_values_neither_is_usual(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(*(make.runs(levels=2, config=config) for config in (SHORT, LONG)))
    assert notes(frame) == {(2, "progressive"): [f"finetune.length.steps={steps}" for steps in (320, 720)]}
    assert not [note for note in levels_by_backbone(frame).footnotes if "says nothing" in note]


def test_what_is_usual_is_asked_of_comparable_rows_alone(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=levels, config=SHORT) for levels in (1, 2, 3)]
    other = [make.runs(levels=levels, config=LONG, data__benchmark="ucf101") for levels in (1, 2)]
    found = Runs(frame_of(*chains, *other)).arms("test")
    assert {arm.note for arm in found} == {"benchmark synthmotion v1", "benchmark ucf101 v1"}


@pytest.mark.parametrize("lost", [("finetune",), ("pretrain", "finetune")])
def test_arms_that_look_alike_never_say_the_same(make: Any, frame_of: FrameOf, lost: tuple[str, ...]) -> None:
    """Also where one knows nothing of a phase in which the other one is as usual."""
    whole, part = make.runs(levels=2, config=SHORT), make.runs(levels=2, seed=1, config=LONG)
    part["test"]["lineage_configs"] = {
        key: config for key, config in part["test"]["lineage_configs"].items() if config["phase"] not in lost
    }
    arms = Runs(frame_of(whole, make.runs(levels=1, config=SHORT), part)).arms("test")
    looks = [(arm.axes, arm.note) for arm in arms]
    assert len(looks) == len(set(looks)) == 3


def test_the_order_of_runs_changes_nothing(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=2, seed=s, config=config) for s in (0, 1) for config in (SHORT, LONG)]
    runs = Runs(frame_of(*chains)).phase("test")
    assert arms_of(runs) == arms_of(runs[::-1])


def test_a_label_says_it_already(make: Any, frame_of: FrameOf) -> None:
    """The column of an ablation's own table says nothing of what the ablation varies, until two rows look alike."""
    chains = [make.runs(levels=2, seed=s) for s in (0, 1)]
    chains += [make.runs(levels=2, seed=s, config={"finetune.auxiliary_weight": 0.1}) for s in (0, 1)]
    for chain in chains[:2]:
        chain["finetune"]["config"]["auxiliary_weight"] = 0.0
        chain["test"]["lineage_configs"][chain["finetune"]["run_id"]]["auxiliary_weight"] = 0.0
    tables = {table.name: table for table in all_tables(frame_of(*chains))}
    assert "kept apart by" not in tables["auxiliary_losses"].header
    assert "kept apart by" in tables["levels_by_backbone"].header
