from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from results.collect import collect
from results.report.findings import ALIKE, EQUAL, LEVELS, MOTION, QUESTIONS, TEMPORAL, findings_table, sentences
from results.runs import Runs
from results.table import Table

STEPS = {"pretrain.length": {"steps": 400}, "finetune.length": {"steps": 320}}
LONG = {"finetune.length": {"steps": 720}}


def table_of(root: Path, make: Any, *chains: Any) -> Table:
    make.save(root, *chains)
    found = findings_table(Runs(collect(root)))
    assert found is not None
    return found


def arm(make: Any, values: tuple[int, ...], config: dict[str, Any] = STEPS, **changes: Any) -> list[Any]:
    return [make.runs(seed=seed, correct=value, config=config, **changes) for seed, value in enumerate(values)]


def told(table: Table) -> dict[tuple[str, str], tuple[str, str]]:
    return {(q, said.place): (said.shown, said.difference) for q, _, items in sentences(table) for said in items}


def test_pretraining_is_judged_at_the_same_fine_tuning_and_at_as_many_steps(make: Any, tmp_path: Path) -> None:
    table = table_of(
        tmp_path, make,
        *arm(make, (96, 120, 144), levels=0, pretraining="none"),
        *arm(make, (240, 264, 288), pretraining="none"),
        *arm(make, (360, 384, 408)),
        *arm(make, (384, 432, 456), LONG, pretraining="none"),
    )  # fmt: skip
    assert told(table) == {
        (LEVELS, "levels 2"): ("higher", "+30.0 [+30.0, +30.0]"),
        (ALIKE, "levels 2"): ("higher", "+25.0 [+25.0, +25.0]"),
        (EQUAL, "levels 2"): ("lower", "-8.3 [-15.5, -1.2]"),
    }
    assert [row.cells[4].text for row in table.rows] == ["motion levels", *["pretrained, 400 + 320 steps"] * 2]
    assert [row.cells[5].text for row in table.rows][1:] == ["unpretrained, 320 steps", "unpretrained, 720 steps"]


def test_controls_and_what_is_not_shown(make: Any, tmp_path: Path) -> None:
    table = table_of(
        tmp_path, make,
        *arm(make, (96, 120, 144), levels=0, pretraining="none"),
        *arm(make, (96, 168, 96), levels=0, pretraining="none", temporal="shift"),
        *arm(make, (360, 384, 408)),
        *arm(make, (120, 120, 120), motion_input="static"),
    )  # fmt: skip
    assert {key: shown for key, (shown, _) in told(table).items()} == {
        (MOTION, "levels 2"): "higher",
        (TEMPORAL, "temporal shift"): "no difference shown",
    }


def test_static_levels_are_no_motion_levels(make: Any, tmp_path: Path) -> None:
    chains = [*arm(make, (96, 120, 144), levels=0, pretraining="none")]
    chains += arm(make, (240, 264, 288), pretraining="none", motion_input="static")
    make.save(tmp_path, *chains)
    assert findings_table(Runs(collect(tmp_path))) is None


def test_one_seed_is_not_judged(make: Any, tmp_path: Path) -> None:
    table = table_of(tmp_path, make, *arm(make, (300,)), *arm(make, (100,), pretraining="none"))
    assert [shown for shown, _ in told(table).values()] == ["not judged"]


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "e" * 64},
        {"profile": "full"},
        {"data__manifest_sha256": {"train": "a" * 64, "test": "c" * 64}},
        {"config": STEPS | {"finetune.optim.lr": 0.1}},
        {"fusion": "zero"},
        {"backbone": "resnet18"},
    ],
    ids=str,
)
def test_arms_that_differ_in_more_than_the_question_are_no_pair(make: Any, tmp_path: Path, changes: Any) -> None:
    make.save(tmp_path, *arm(make, (360, 384, 408)), *arm(make, (240, 264, 288), pretraining="none", **changes))
    assert findings_table(Runs(collect(tmp_path))) is None


@pytest.mark.parametrize("config", [{"finetune.length": {"steps": 700}}, LONG | {"finetune.optim.lr": 0.1}], ids=str)
def test_as_many_steps_are_as_many_of_the_same_kind(make: Any, tmp_path: Path, config: Any) -> None:
    chains = [*arm(make, (360, 384, 408)), *arm(make, (240, 264, 288), config, pretraining="none")]
    make.save(tmp_path, *chains)
    assert findings_table(Runs(collect(tmp_path))) is None


@pytest.mark.parametrize("config", [LONG, STEPS | {"finetune.optim.lr": 0.1}], ids=str)
@pytest.mark.parametrize("changes", [{"levels": 0, "temporal": "shift"}, {"levels": 2}], ids=str)
def test_what_is_trained_otherwise_is_no_rival_of_the_plain_backbone(
    make: Any, tmp_path: Path, config: Any, changes: Any
) -> None:
    chains = [*arm(make, (96, 120, 144), levels=0, pretraining="none")]
    make.save(tmp_path, *chains, *arm(make, (240, 264, 288), config, pretraining="none", **changes))
    assert findings_table(Runs(collect(tmp_path))) is None


def test_rows_that_look_alike_say_what_sets_them_apart(make: Any, tmp_path: Path) -> None:
    chains = [
        chain
        for fusion in ("zero", "random")
        for pretraining in ("none", "progressive")
        for chain in arm(make, (240, 264, 280), pretraining=pretraining, fusion=fusion)
    ]
    table = table_of(tmp_path, make, *chains)
    places = [said.place for _, _, items in sentences(table) for said in items]
    assert len(places) == len(set(places)) == 2
    assert sum("fusion init zero" in place for place in places) == 1


def test_nothing_to_compare_is_no_table(make: Any, tmp_path: Path) -> None:
    assert findings_table(Runs(collect(tmp_path))) is None and sentences(None) == []
    assert len(set(QUESTIONS.values())) == len(QUESTIONS)
