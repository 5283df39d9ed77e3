from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from results.ablations import AXES
from results.cells import MISSING, Table
from results.collect import collect
from results.reference import load
from results.stats import clopper_pearson
from results.tables import all_tables, levels_by_backbone, main_tables, top1_per_tier

FrameOf = Callable[..., pd.DataFrame]


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.texts()]


def test_levels_by_backbone_of_one_seed(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(b, n, correct=100 + n) for b in ("resnet101", "resnet50") for n in (1, 2, 3)]
    table = levels_by_backbone(frame_of(*chains))
    assert table.header == ["levels", "pretraining", "resnet50", "resnet101", "chance"]
    low, high = clopper_pearson(102, 480)
    cell = f"{100 * 102 / 480:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    assert rows_of(table)[1] == {
        "levels": "2",
        "pretraining": "progressive",
        "resnet50": cell,
        "resnet101": cell,
        "chance": "8.3",
    }
    assert "one-seed smoke test" in table.caption
    assert "95 % binomial" in table.caption and "480" in table.caption
    assert "profile quick" in table.caption
    assert set(table.rows[1].runs) == {chains[1]["test"]["run_id"], chains[4]["test"]["run_id"]}
    assert table.footnotes == ()


def test_seeds_are_averaged_with_sd_and_n(make: Any, frame_of: FrameOf) -> None:
    table = levels_by_backbone(frame_of(*(make.runs(seed=s, correct=c) for s, c in enumerate((240, 288, 264)))))
    assert rows_of(table)[0]["resnet50"] == "55.0 ± 5.0 (n=3)"
    assert "smoke test" not in table.caption


def test_a_cell_of_one_seed_beside_cells_of_several_is_told_apart(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(seed=0), make.runs(seed=1), make.runs(levels=1)]
    assert "Cells without n have one seed only" in levels_by_backbone(frame_of(*chains)).caption


def test_cells_without_a_finished_run_say_missing(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs("resnet50", 1, "none"), make.runs("resnet50", 2, "progressive"), make.runs("resnet101", 2)]
    table = levels_by_backbone(frame_of(*chains))
    found = {(row["levels"], row["pretraining"]): (row["resnet50"], row["resnet101"]) for row in rows_of(table)}
    assert list(found) == [("1", "none"), ("1", "progressive"), ("2", "none"), ("2", "progressive")]
    assert found["1", "progressive"] == found["2", "none"] == (MISSING, MISSING)
    assert found["1", "none"][1] == MISSING and MISSING not in found["2", "progressive"]
    assert any("5 cells say `missing`" in note for note in table.footnotes)
    asked = {name: cell.command for row in table.rows[1:2] for name, cell in zip(table.header, row.cells, strict=True)}
    place = "python sweeps/run.py -m experiment=hierarchy profile=quick benchmark=synthmotion benchmark.split=1"
    assert asked["resnet101"] == f"{place} backbone.name=resnet101 levels=1 init=run"
    assert len(table.missing) == 5 and table.experiment == "hierarchy"


def test_expected_runs_that_never_began_are_missing_too(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(make.runs("resnet50", 1, "none"))
    wanted = [{"backbone": b, "levels": n, "pretraining": "none"} for b in ("resnet50", "resnet101") for n in (1, 2)]
    table = levels_by_backbone(frame, wanted)
    assert [(row["levels"], row["resnet101"], row["chance"]) for row in rows_of(table)] == [
        ("1", MISSING, "8.3"),
        ("2", MISSING, "8.3"),
    ]
    nothing = levels_by_backbone(frame.iloc[:0], wanted)
    assert [row["resnet50"] for row in rows_of(nothing)] == [MISSING, MISSING]


def test_the_plain_backbone_has_no_row_with_pretraining(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=0), make.runs(levels=1, pretraining="none"), make.runs(levels=1)]
    table = levels_by_backbone(frame_of(*chains))
    assert [row[:2] for row in table.texts()] == [["0", "none"], ["1", "none"], ["1", "progressive"]]


def test_axes_that_differ_become_columns(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(), make.runs(motion_input="static"), make.runs(levels=0), make.runs(levels=0, temporal="shift")]
    table = levels_by_backbone(frame_of(*chains))
    assert table.header[2:4] == ["temporal", "motion input"]
    assert [row[2:4] for row in table.texts()] == [["none", "-"], ["shift", "-"], ["none", "static"], ["none", "video"]]


APART: list[tuple[dict[str, Any], str]] = [
    ({"fingerprint": "e" * 64}, "code eeeeeeee"),
    ({"profile": "full"}, "profile full"),
    ({"data__manifest_sha256": {"train": "a" * 64, "test": "c" * 64}}, "test videos cccccccc"),
    ({"data__manifest_sha256": {"train": "d" * 64, "test": "b" * 64}}, "training videos dddddddd"),
    ({"data__version": "v2"}, "benchmark synthmotion v2"),
    ({"environment__decord": "0.5.0"}, "decoder decord 0.5.0"),
    ({"config": {"test.num_clips": 3}}, "protocol 3x1 views"),
    ({"config": {"finetune.optim.lr": 0.01}}, "finetune.optim.lr=0.01"),
    ({"config": {"pretrain.objective.contrast.delta": 2}}, "pretrain.objective.contrast.delta=2"),
]


@pytest.mark.parametrize(("change", "reason"), APART)
def test_rows_of_different_origin_are_never_averaged_and_say_why(
    make: Any, frame_of: FrameOf, change: dict[str, Any], reason: str
) -> None:
    frame = frame_of(make.runs(seed=0, correct=100), make.runs(seed=1, correct=300, **change))
    for table in (levels_by_backbone(frame), top1_per_tier(frame)):
        cells = [row for row in rows_of(table) if row.get("backbone") != "chance"]
        assert len(cells) == 2
        assert not any("±" in cell for row in table.texts() for cell in row)
        assert sum(reason in row["kept apart by"] for row in cells) == 1
        assert any("never averaged" in note for note in table.footnotes)


def test_an_ancestor_run_by_other_code_keeps_a_row_apart(make: Any, frame_of: FrameOf) -> None:
    first, second = make.runs(seed=0), make.runs(seed=1)
    second["pretrain"]["code"]["fingerprint"] = "1" * 64
    table = levels_by_backbone(frame_of(first, second))
    assert sorted(row["kept apart by"] for row in rows_of(table)) == ["code ffffffff", "code ffffffff+11111111"]


def test_keys_that_a_phase_does_not_read_keep_nothing_apart(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(seed=s, config={"finetune.benchmark.test_per_class": s}) for s in (0, 1)]
    assert rows_of(levels_by_backbone(frame_of(*chains)))[0]["resnet50"].endswith("(n=2)")


def test_a_value_that_all_phases_share_is_named_once(make: Any, frame_of: FrameOf) -> None:
    wider = {f"{phase}.model.motion.dim": 64 for phase in ("pretrain", "finetune", "test")}
    table = levels_by_backbone(frame_of(make.runs(), make.runs(config=wider)))
    assert [row["kept apart by"] for row in rows_of(table)] == ["model.motion.dim=32", "model.motion.dim=64"]


def test_tiers_in_their_order_with_their_chance(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs()
    chain["test"]["groups"]["change"]["top1"] = 25.0
    chain["test"]["groups"]["another"] = {"top1": 50.0, "videos": 10, "readable": 8}
    chain["test"]["group_chance"]["order"] = 25.0
    table = top1_per_tier(frame_of(chain))
    tiers = ["direction", "change", "order", "relation", "another"]
    assert table.header == ["backbone", "levels", "pretraining", *tiers, "mean of tiers", "all videos"]
    chance, row = rows_of(table)
    assert (chance["backbone"], chance["direction"], chance["order"], chance["all videos"]) == (
        "chance",
        "8.3",
        "25.0",
        "8.3",
    )
    assert row["change"].startswith("25.0 [17.5, ")
    assert row["another"] == "50.0 [15.7, 84.3]"  # of the 8 that could be read
    assert row["mean of tiers"] == "45.0"


def test_a_tier_without_a_figure_is_missing_and_has_no_mean(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs()
    del chain["test"]["groups"]["order"]["top1"]
    chain["test"]["groups"]["other"] = {"top1": 10.0, "videos": 10}
    other = make.runs(levels=1)
    row = rows_of(top1_per_tier(frame_of(chain, other)))[-1]
    assert (row["order"], row["mean of tiers"]) == (MISSING, MISSING)


def on_one_tier(make: Any, tier: str, seed: int, correct: int, **kwargs: Any) -> dict[str, dict[str, Any]]:
    """A chain that was fine-tuned and tested on the videos of one tier."""
    splits = {f"{phase}.benchmark.split": tier for phase in ("finetune", "test")}
    chain: dict[str, dict[str, Any]] = make.runs(
        seed=seed, correct=correct, videos=120, config=splits | kwargs.pop("config", {}), **kwargs
    )
    for record in (chain["finetune"], chain["test"]):
        record["data"]["manifest_sha256"] = {"train": tier.ljust(64, "0"), "test": tier.ljust(64, "1")}
    groups = chain["test"]["groups"]
    chain["test"]["groups"] = {tier: groups[tier] | {"top1": chain["test"]["metrics"]["top1"], "readable": 120}}
    chain["test"]["group_chance"] = {tier: 25.0}
    return chain


def test_tiers_trained_one_by_one_share_a_row(make: Any, frame_of: FrameOf) -> None:
    right = {"direction": (90, 96), "change": (30, 36), "order": (60, 60)}
    chains = [on_one_tier(make, tier, s, hits) for tier, pair in right.items() for s, hits in enumerate(pair)]
    chance, row = rows_of(top1_per_tier(frame_of(*chains)))
    assert [row[tier] for tier in right] == ["77.5 ± 3.5 (n=2)", "27.5 ± 3.5 (n=2)", "50.0 ± 0.0 (n=2)"]
    # the means of the seeds are 50.0 and 53.3: their spread, not that of the six runs
    assert (row["mean of tiers"], row["all videos"]) == ("51.7 ± 2.4 (n=2)", "-")
    assert [chance[tier] for tier in right] == ["25.0"] * 3
    assert "kept apart by" not in row


def test_a_tier_that_is_not_finished_for_every_seed_leaves_no_mean(make: Any, frame_of: FrameOf) -> None:
    chains = [on_one_tier(make, "direction", 0, 90), on_one_tier(make, "direction", 1, 90)]
    chains += [on_one_tier(make, "order", 0, 60)]
    frame = frame_of(*chains)
    row = rows_of(top1_per_tier(frame))[-1]
    assert (row["order"], row["mean of tiers"]) == ("50.0 [40.7, 59.3]", MISSING)
    assert [command.partition("benchmark.split=")[2].split()[0] for command in top1_per_tier(frame).missing] == [
        "order"
    ]


def test_tiers_trained_differently_do_not_share_a_row(make: Any, frame_of: FrameOf) -> None:
    other = {"finetune.optim.lr": 0.5}
    frame = frame_of(on_one_tier(make, "direction", 0, 90), on_one_tier(make, "order", 0, 60, config=other))
    rows = [row for row in rows_of(top1_per_tier(frame)) if row["backbone"] != "chance"]
    assert len(rows) == 2
    assert sorted((row["direction"], row["order"]) == (MISSING, "50.0 [40.7, 59.3]") for row in rows) == [False, True]


def test_rows_say_what_they_were_trained_on_where_that_differs(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(on_one_tier(make, "order", 0, 60), make.runs(config={"test.benchmark.split": "all"}))
    rows = [row for row in rows_of(top1_per_tier(frame)) if row["backbone"] != "chance"]
    assert sorted(row["trained on"] for row in rows) == ["all tiers", "one tier each"]


def test_unreadable_and_absent_videos_are_footnotes(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs()
    test = chain["test"]
    test["unreadable"] = {"train": 2, "test": 4, "ids": ["a", "b", "c", "d"]}
    test["metrics"] |= {"top1": 100 * 240 / 476, "top1_all": 50.0}
    test["data"]["expected"] = {"train": 960, "test": 500}
    test["alarms"] = ["level 2 has collapsed"]
    table = levels_by_backbone(frame_of(chain))
    text = "\n".join(table.footnotes)
    assert "4 of 480 test videos could not be read" in text and "over all of them: 50.0" in text
    assert "2 unreadable training videos were replaced" in text
    assert "480 of the 500 test videos of the benchmark (96.0 %)" in text
    assert "alarm: level 2 has collapsed" in text
    low, high = clopper_pearson(240, 476)
    assert rows_of(table)[0]["resnet50"] == f"50.4 [{100 * low:.1f}, {100 * high:.1f}]"


def test_a_row_below_the_coverage_of_its_protocol_is_incomparable(make: Any, frame_of: FrameOf) -> None:
    said = []
    for coverage, needed in ((91.23, 0.97), (97.0, 0.97), (91.23, 0.9), (91.23, None)):
        chain = make.runs(config={"test.coverage": needed})
        chain["test"]["metrics"]["coverage"] = coverage
        text = "\n".join(levels_by_backbone(frame_of(chain)).footnotes)
        said.append("incomparable (coverage 91.2 % < 97 %)" in text)
        assert ("incomparable" in text) == said[-1]
    assert said == [True, False, False, False]


def test_clips_of_one_video_give_no_interval(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs(config={"test.metric": "clip"})
    assert rows_of(levels_by_backbone(frame_of(chain)))[0]["resnet50"] == "50.0"


def test_no_interval_where_the_accuracy_is_no_share_of_the_videos(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs()
    chain["test"]["metrics"]["top1"] = 50.05
    assert rows_of(levels_by_backbone(frame_of(chain)))[0]["resnet50"] == "50.0"


def test_seeds_of_fine_tuning_alone_are_not_passed_off_as_more(make: Any, frame_of: FrameOf) -> None:
    first = make.runs(seed=0)
    second = make.runs(seed=0, config={"finetune.seed": 1})
    table = levels_by_backbone(frame_of(first, {name: second[name] for name in ("finetune", "test")}))
    assert rows_of(table)[0]["resnet50"] == "50.0 (n=2/1)"
    assert any("one pretraining run for all" in note for note in table.footnotes)


def test_mixed_libraries_are_a_footnote(make: Any, frame_of: FrameOf) -> None:
    table = levels_by_backbone(frame_of(make.runs(), make.runs(seed=1, environment__torch="2.14.0")))
    assert "Runs with different torch: 2.14.0, 2.15.0." in table.footnotes


def test_tables_do_not_depend_on_the_order_of_the_rows(make: Any, frame_of: FrameOf) -> None:
    chains = [
        make.runs(b, n, p, s) for b in ("resnet50", "r|x") for n in (0, 1, 2) for p in ("none", "joint") for s in (0, 1)
    ]
    chains += [make.runs(profile="full", seed=7), make.runs(config={"finetune.optim.lr": 0.1})]
    frame = frame_of(*chains)
    for seed in range(3):
        assert all_tables(frame.sample(frac=1, random_state=seed)) == all_tables(frame)


def test_nothing_finished_gives_no_table(tmp_path: Any, make: Any, frame_of: FrameOf) -> None:
    assert all_tables(collect(tmp_path)) == []
    finetuned = frame_of({"finetune": make.runs()["finetune"]})
    assert [table.name for table in all_tables(finetuned)] == ["cost"]
    unfilled = all_tables(finetuned, load(), unfilled=True)
    assert {axis.name for axis in AXES} <= {table.name for table in unfilled if table.missing}


def test_the_printed_tables_are_the_short_ones(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(make.runs())
    assert [table.name for table in main_tables(all_tables(frame))] == [
        "levels_by_backbone",
        "top1_per_tier",
        "pretraining",
    ]
    others = [table.name for table in all_tables(frame)][3:]
    assert {"hierarchy_depth", "cost", "pretraining_by_tier"} <= set(others) and not others[0].startswith("state")
    assert [table.name for table in all_tables(frame, load())][-1] == "self_supervised_hmdb51"


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ({"synthetic": True, "official_lists": False}, "synthmotion v1 (synthetic imitation)"),
        ({"official_lists": False}, "synthmotion v1 (not the official lists)"),
    ],
)
def test_data_that_are_not_what_they_are_called_say_so_and_share_no_cell(
    make: Any, frame_of: FrameOf, origin: dict[str, bool], name: str
) -> None:
    real, other = make.runs(seed=0), make.runs(seed=1)
    other["test"]["data"]["origin"] = origin
    frame = frame_of(real, other)
    assert name in set(frame["benchmark"])
    rows = rows_of(levels_by_backbone(frame))
    assert len(rows) == 2 and any(name in row["kept apart by"] for row in rows)


def test_runs_that_start_from_two_files_are_two_rows(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(seed=seed, pretraining="none", correct=200 + 40 * seed) for seed in (0, 1)]
    for chain, digest in zip(chains, ("a" * 64, "b" * 64), strict=True):
        for record in chain.values():
            record["weights_sha256"] = digest
            for config in (record["config"], *record["lineage_configs"].values()):
                if config["phase"] == "finetune":
                    config["init"] = "run"
    rows = rows_of(levels_by_backbone(frame_of(*chains)))
    assert sorted(row["pretraining"] for row in rows) == ["file aaaaaaaa", "file bbbbbbbb"]
