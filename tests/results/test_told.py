"""What rows say of themselves: what makes them incomparable, and settings that are not the usual ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from results.ablations import AUXILIARY
from results.grouping import arms_of
from results.runs import Runs
from results.table import Table
from results.tables import all_tables, levels_by_backbone
from results.told import Told
from tests.results.test_copies import of_split

FrameOf = Callable[..., Any]
SHORT, LONG = ({"finetune.length": {"steps": steps}} for steps in (320, 720))
WEIGHTS = {"reconstruction": {"weight": 1.0}, "contrast": {"weight": 1.0, "negatives": ["space", "time"]}}


def notes(frame: Any) -> dict[tuple[Any, ...], list[str]]:
    arms = Runs(frame).arms("test")
    told, found = Told(arms), dict[tuple[Any, ...], list[str]]()
    for arm in arms:
        found.setdefault((arm["levels"], arm["pretraining"]), []).append(told.note(arm))
    return found


def rows(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.texts()]


def named(name: str, tables: list[Table]) -> Table:
    (found,) = (table for table in tables if table.name == name)
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
    alone = WEIGHTS | {"reconstruction": {"weight": 0.0}}
    chains = [make.runs(levels=levels, config={"pretrain.objective": WEIGHTS}) for levels in (1, 2, 3)]
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


def test_a_row_that_is_silent_has_what_the_footnote_names(make: Any, frame_of: FrameOf) -> None:
    """Also in a block of incomparable rows that are all alike, and have another value."""
    chains = [make.runs(levels=levels, config=SHORT) for levels in (1, 2, 3)]
    chains.append(make.runs(levels=1, config=LONG))
    other = [make.runs(levels=levels, seed=1, config=LONG, data__benchmark="ucf101") for levels in (1, 2)]
    frame = frame_of(*chains, *other)
    table = levels_by_backbone(frame)
    assert "Where it says nothing of it: finetune.length.steps=320." not in table.footnotes, "three against three"
    assert all("finetune.length.steps=" in row["kept apart by"] for row in rows(table))
    frame = frame_of(make.runs(levels=2, pretraining="none", config=SHORT))
    table = levels_by_backbone(frame)
    assert "Where it says nothing of it: finetune.length.steps=320." in table.footnotes
    loud = [row["kept apart by"] for row in rows(table) if "steps=720" in row["kept apart by"]]
    assert len(loud) == 3 and sum("ucf101" in note for note in loud) == 2


def test_a_phase_that_is_as_usual_is_not_taken_for_one_that_agrees(make: Any, frame_of: FrameOf) -> None:
    """An arm in which two of three phases have a value, and one in which all three have."""
    chains = []
    for levels, values in ((1, "aaa"), (2, "aaa"), (3, "aaa"), (1, "abb"), (1, "bbb")):
        phases = zip(("pretrain", "finetune", "test"), values, strict=True)
        chains.append(make.runs(levels=levels, config={f"{phase}.precision": value for phase, value in phases}))
    assert notes(frame_of(*chains))[1, "progressive"] == ["", "finetune/test.precision=b", "precision=b"]


def test_splits_that_are_looked_for_one_by_one_are_told_by_what_most_of_all_have(make: Any, frame_of: FrameOf) -> None:
    chains = []
    for split in "123":
        for steps in (320, 720):
            chain = of_split(make, split, "f" * 64, 200 + steps // 10)
            chain["finetune"]["config"]["length"] = {"steps": steps}
            chain["finetune"]["run_id"] = chain["finetune"]["run_id"][:-3] + f"{steps}"
            chain["test"]["run_id"] = chain["test"]["run_id"][:-3] + f"{steps}"
            chain["test"]["lineage"] = [chain["finetune"]["run_id"]]
            chain["test"]["parent"] = chain["finetune"]["run_id"]
            chain["test"]["lineage_configs"] = {chain["finetune"]["run_id"]: chain["finetune"]["config"]}
            chain["test"]["slug"] = chain["finetune"]["slug"] = f"r{steps}"
            chains.append({"finetune": chain["finetune"], "test": chain["test"]})
    for chain in chains:
        for record in chain.values():
            record["slug"] += f"-{record['config']['benchmark']['split']}"
    table = named("top1_per_split", all_tables(frame_of(*chains)))
    assert [row["kept apart by"] for row in rows(table)] == [f"finetune.length.steps={n}" for n in (320, 720)]


@pytest.mark.parametrize("lost", [("finetune",), ("pretrain", "finetune")])
def test_arms_that_look_alike_never_say_the_same(make: Any, frame_of: FrameOf, lost: tuple[str, ...]) -> None:
    """Also where one knows nothing of a phase in which the other one is as usual."""
    whole, part = make.runs(levels=2, config=SHORT), make.runs(levels=2, seed=1, config=LONG)
    part["test"]["lineage_configs"] = {
        key: config for key, config in part["test"]["lineage_configs"].items() if config["phase"] not in lost
    }
    arms = Runs(frame_of(whole, make.runs(levels=1, config=SHORT), part)).arms("test")
    told = Told(arms)
    looks = [(arm.axes, told.note(arm)) for arm in arms]
    assert len(looks) == len(set(looks)) == 3
    assert not any("model.levels" in told.note(arm) for arm in arms)


def test_a_backbone_with_settings_of_its_own_shares_the_rows_of_others(make: Any, frame_of: FrameOf) -> None:
    chains = [
        make.runs(backbone=name, levels=levels, config={"finetune.optim.lr": rate})
        for name, rate in (("resnet18", 0.1), ("resnet50", 0.2))
        for levels in (1, 2)
    ]
    table = levels_by_backbone(frame_of(*chains))
    assert [row["levels"] for row in rows(table)] == ["1", "2"]
    assert not [cell for row in table.rows for cell in row.cells if cell.kind == "missing"]
    assert rows(table)[0]["kept apart by"] == "resnet18: finetune.optim.lr=0.1; resnet50: finetune.optim.lr=0.2"


def test_an_ablation_says_what_its_labels_do_not(make: Any, frame_of: FrameOf) -> None:
    """The weight is in the label; a rate that only one of the weights was tried with is not."""
    assert AUXILIARY.says == ("auxiliary_weight",)
    chains = []
    for weight, rate in ((0.0, 0.1), (0.0, 0.2), (0.1, 0.1), (0.1, 0.2), (0.3, 0.1)):
        config = {"finetune.optim.lr": rate, "finetune.auxiliary_weight": weight}
        chains += [make.runs(levels=2, seed=seed, config=config) for seed in (0, 1)]
    table = named("auxiliary_losses", all_tables(frame_of(*chains)))
    found = [(row["auxiliary weight"], row["kept apart by"]) for row in rows(table) if row["top-1"] != "missing"]
    slow = "finetune.optim.lr=0.2"
    assert found == [("0", ""), ("0.1", ""), ("0.3", ""), ("0", slow), ("0.1", slow)]


def test_the_order_of_runs_changes_nothing(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=2, seed=s, config=config) for s in (0, 1) for config in (SHORT, LONG)]
    runs = Runs(frame_of(*chains)).phase("test")
    assert arms_of(runs) == arms_of(runs[::-1])


def test_a_row_without_a_partner_stands_in_one_block(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=levels, pretraining=name) for levels in (1, 2) for name in ("none", "progressive")]
    chains.append(make.runs(levels=2, config={"pretrain.eval_videos": 32}))
    table = named("equal_labels", all_tables(frame_of(*chains)))
    found = [(row["levels"], row["pretraining"]) for row in rows(table) if row["top-1"] != "missing"]
    assert found == [("1", "none"), ("1", "progressive"), *[("2", "none"), ("2", "progressive")] * 2]


def test_backbones_are_shown_again_only_for_rows_that_are_not_there(make: Any, frame_of: FrameOf) -> None:
    """What an ablation changes about training costs no parameter; a plain row or another network is not dropped."""
    usual = [make.runs(levels=levels, pretraining="none") for levels in (0, 1, 2)]
    slow = {"finetune.optim.lr": 0.5}
    fewer = [make.runs(levels=levels, pretraining="none", config=slow) for levels in (1, 2)]
    more = make.runs(levels=3, pretraining="none", config=slow)
    shift = [make.runs(levels=levels, pretraining="none", temporal="shift") for levels in (0, 1)]
    assert len(named("backbones", all_tables(frame_of(*usual, *fewer))).rows) == 3
    assert len(named("backbones", all_tables(frame_of(*shift))).rows) == 5
    assert len(named("backbones", all_tables(frame_of(more))).rows) == 8
