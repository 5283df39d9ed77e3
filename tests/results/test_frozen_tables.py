from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from results.cells import MISSING, Table
from results.frozen_tables import self_supervised_by_tier, self_supervised_evaluation
from results.record import problems_of
from results.tables import all_tables, levels_by_backbone, main_tables

FrameOf = Callable[..., pd.DataFrame]
TIERS = ("direction", "change", "order", "relation")


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.texts()]


def frozen(
    make: Any, phase: str, figure: float, pretraining: str = "progressive", file: str = "", **changes: Any
) -> dict[str, dict[str, Any]]:
    """A pretraining run (none without `pretraining` or with a weights `file`) and what `phase` measured of it.

    `changes`: arguments of the record maker, `features` and other keys of the phase's configuration.
    """
    arguments = {key: changes.pop(key) for key in ("levels", "seed", "fingerprint") if key in changes}
    pretrain = {k: v for k, v in make.runs(pretraining=pretraining, **arguments).items() if k == "pretrain"}
    records = {} if file else pretrain
    base = make.runs(**arguments)["test"]["config"]
    features = {"source": "level", "pool": "mean", "num_clips": 1, "num_crops": 1} | changes.pop("features", {})
    seed = arguments.get("seed", 0)
    init = "run" if records or file else "scratch"
    config = {key: value for key, value in base.items() if key not in ("num_clips", "num_crops")}
    config |= {"phase": phase, "features": features, "init": init, "seed": seed} | changes
    lineage = [record["run_id"] for record in records.values()]
    record = make.record(phase, config, lineage, records, seed, arguments.get("fingerprint", "f" * 64), "quick")
    record["cost"]["trained_parameters"] = 1552.0 if phase == "probe" else 0.0
    if phase == "probe":
        record["metrics"] = {"top1": figure}
        record["groups"] = {tier: {"top1": 50.0, "videos": 120} for tier in TIERS}
    else:
        record["metrics"] = {f"r{k}": figure for k in (1, 5, 10, 20)}
        record["metrics"] |= {f"chance_r{k}": float(10 + k) for k in (1, 5, 10, 20)}
        record["groups"] = {tier: {"r1": 25.0, "chance_r1": 20.0, "videos": 120} for tier in TIERS}
    if file:
        record["environment"]["pretrained_weights"] = {"sha256": file * 64}
    assert problems_of(record) == []
    return records | {phase: record}


def test_probe_and_retrieval_of_one_network_share_a_row_beside_chance(make: Any, frame_of: FrameOf) -> None:
    chains = [frozen(make, phase, figure) for phase, figure in (("probe", 60.0), ("retrieval", 45.0))]
    chains += [frozen(make, phase, 30.0, pretraining="none") for phase in ("probe", "retrieval")]
    frame = frame_of(*chains)
    table = self_supervised_evaluation(frame)
    chance, control, row = rows_of(table)
    assert [chance[name] for name in ("linear probe", "R@1", "R@5", "R@20")] == ["8.3", "11.0", "15.0", "30.0"]
    assert (control["pretraining"], row["pretraining"]) == ("none", "progressive")
    assert row["linear probe"].startswith("60.0 [") and row["R@10"].startswith("45.0 [")
    assert (row["features"], row["over time"], row["trained"], row["parameters"]) == (
        "level",
        "mean",
        "linear",
        "1,552",
    )
    assert "kept apart by" not in table.header and table.footnotes == ()
    assert set(frame[frame["run_id"].isin(table.rows[2].runs)]["phase"]) == {"probe", "retrieval"}
    assert "one-seed smoke test" in table.caption


def test_seeds_are_averaged(make: Any, frame_of: FrameOf) -> None:
    table = self_supervised_evaluation(frame_of(*(frozen(make, "probe", 50.0 + 10 * s, seed=s) for s in (0, 1))))
    assert rows_of(table)[1]["linear probe"] == "55.0 ± 7.1 (n=2)"


@pytest.mark.parametrize(
    "change",
    [{"features": {"source": "motion"}}, {"features": {"pool": "concat"}}, {"features": {"num_clips": 10}}],
)
def test_other_features_are_other_rows(make: Any, frame_of: FrameOf, change: dict[str, Any]) -> None:
    chains = [frozen(make, "probe", 50.0), frozen(make, "probe", 60.0, **change)]
    rows = [row for row in rows_of(self_supervised_evaluation(frame_of(*chains))) if row["backbone"] != "chance"]
    assert sorted(row["linear probe"][:4] for row in rows) == ["50.0", "60.0"]
    assert rows[0] != rows[1] | {"linear probe": rows[0]["linear probe"]}


def test_what_is_not_there_says_so(make: Any, frame_of: FrameOf) -> None:
    only = rows_of(self_supervised_evaluation(frame_of(frozen(make, "probe", 50.0))))
    assert (only[0]["R@1"], only[1]["R@1"]) == ("-", "-")  # nobody asked for it
    both = frame_of(frozen(make, "probe", 50.0), frozen(make, "retrieval", 40.0, levels=1))
    rows = {row["levels"]: row for row in rows_of(self_supervised_evaluation(both)) if row["levels"]}
    assert rows["2"]["R@1"] == MISSING == rows["1"]["linear probe"]
    assert (rows["1"]["trained"], rows["1"]["parameters"]) == ("nothing", "0")


def test_probes_that_differ_in_what_a_retrieval_has_not_stand_alone(make: Any, frame_of: FrameOf) -> None:
    chains = [frozen(make, "probe", 50.0, l2=[0.1]), frozen(make, "probe", 60.0, l2=[0.2])]
    table = self_supervised_evaluation(frame_of(*chains, frozen(make, "retrieval", 40.0)))
    rows = [row for row in rows_of(table) if row["levels"]]
    assert sorted((row["linear probe"][:4], row["R@1"][:4]) for row in rows) == [
        ("-", "40.0"),
        ("50.0", "-"),
        ("60.0", "-"),
    ]
    assert sorted(row["kept apart by"] for row in rows) == ["", "probe.l2=[0.1]", "probe.l2=[0.2]"]


def test_two_weight_files_are_two_rows(make: Any, frame_of: FrameOf) -> None:
    chains = [frozen(make, "probe", 50.0 + n, file=name, seed=n) for n, name in enumerate("ab")]
    rows = rows_of(self_supervised_evaluation(frame_of(*chains)))
    assert [row["pretraining"] for row in rows[1:]] == ["file aaaaaaaa", "file bbbbbbbb"]


def test_by_tier(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(frozen(make, "probe", 60.0), frozen(make, "retrieval", 45.0))
    table = self_supervised_by_tier(frame)
    rows = rows_of(table)
    assert [(row["figure"], row["backbone"]) for row in rows] == [
        ("linear probe", "chance"),
        ("linear probe", "resnet50"),
        ("R@1", "chance"),
        ("R@1", "resnet50"),
    ]
    assert [row["order"][:4] for row in rows] == ["8.3", "50.0", "20.0", "25.0"]
    assert table.header[-4:] == list(TIERS)


def test_the_tables_are_made_where_there_are_such_runs_alone(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(make.runs(), frozen(make, "probe", 60.0))
    assert [table.name for table in main_tables(all_tables(frame))] == [
        "levels_by_backbone",
        "top1_per_tier",
        "self_supervised_evaluation",
        "pretraining",
    ]
    assert "self_supervised_by_tier" in [table.name for table in all_tables(frame)]
    assert levels_by_backbone(frame).header == ["levels", "pretraining", "resnet50", "chance"]
    other = [table.name for table in all_tables(frame[frame["phase"] == "test"])]
    assert not any(name.startswith("self_supervised") for name in other)


@pytest.mark.parametrize(("phase", "figure"), [("probe", "top1"), ("retrieval", "r1")])
def test_a_record_without_its_figure_or_chance_is_refused(make: Any, phase: str, figure: str) -> None:
    record = frozen(make, phase, 50.0)[phase]
    del record["metrics"][figure], record["chance"]
    found = problems_of(record)
    assert f"metrics.{figure} is missing" in found
    assert any(f"a {phase} run must say what guessing gives" in problem for problem in found)


def test_a_probe_of_too_few_of_the_listed_videos_is_incomparable(make: Any, frame_of: FrameOf) -> None:
    chain = frozen(make, "probe", 60.0)
    chain["probe"]["data"]["expected"] = {"train": 960, "test": 640}
    text = "\n".join(self_supervised_evaluation(frame_of(chain)).footnotes)
    assert "incomparable (coverage 75.0 % < 97 %)" in text


def test_features_that_labels_have_trained_say_so(make: Any, frame_of: FrameOf) -> None:
    chain = frozen(make, "probe", 60.0, file="c")
    chain["probe"]["environment"]["pretrained_weights"]["source"] = "a finetune run"
    (row,) = (row for row in rows_of(self_supervised_evaluation(frame_of(chain))) if row["backbone"] != "chance")
    assert row["trained"] == "everything, then linear"
