from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.ablation_tables import ablation_table
from results.ablations import (
    AUXILIARY,
    AXES,
    CONTROLS,
    CURRICULUM,
    DEPTH,
    EQUAL_LABELS,
    EQUAL_STEPS,
    NEGATIVES,
    OBJECTIVES,
    PRIME,
)
from results.runs import Runs
from results.settings import Varying
from results.stats import t_interval
from results.table import Table

FrameOf = Callable[..., Any]
WEIGHTS = {
    "reconstruction": {"weight": 1.0},
    "contrast": {"delta": 1, "negatives": ["space", "time", "clip"], "weight": 1.0},
}


def table_of(axis: Any, frame: Any, **rest: Any) -> Table:
    arms = Runs(frame).arms("test")
    return ablation_table(axis, arms, Varying(arms), **rest)


def cells_of(table: Table, *wanted: str) -> list[dict[str, Any]]:
    """Cells by column, of the rows whose texts include all that is wanted."""
    rows = [dict(zip(table.header, row.cells, strict=True)) for row in table.rows]
    return [row for row in rows if all(text in [cell.text for cell in row.values()] for text in wanted)]


def test_a_plain_backbone_is_the_baseline_of_every_block(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=0, pretraining="none", seed=s, correct=100 + s) for s in range(3)]
    for motion_input in ("video", "static"):
        chains += [make.runs(levels=n, motion_input=motion_input, seed=s, correct=200 + 10 * n + 5 * s)
                   for n in (1, 2) for s in range(3)]  # fmt: skip
    table = table_of(DEPTH, frame_of(*chains))
    assert len({row.block for row in table.rows}) == 2
    baselines = cells_of(table, "baseline")
    assert len(baselines) == 2 and {row["levels"].text for row in baselines} == {"0"}
    (found,) = cells_of(table, "2", "progressive", "video")
    paired = [100 * (220 + 5 * s - 100 - s) / 480 for s in range(3)]
    wanted = t_interval(paired)
    interval = found["difference"].comparison.interval
    assert (interval.low, interval.high, interval.kind) == (
        pytest.approx(wanted.low),
        pytest.approx(wanted.high),
        "seeds",
    )
    assert found["difference"].text == f"+25.8 [+{wanted.low:.1f}, +{wanted.high:.1f}]"
    assert len(found["difference"].runs) == 6 and len(found["top-1"].runs) == 3


def test_expected_rows_that_nobody_ran_say_missing_and_how_to_get_them(make: Any, frame_of: FrameOf) -> None:
    table = table_of(DEPTH, frame_of(make.runs(levels=0, pretraining="none"), make.runs(levels=3)))
    rows = cells_of(table, "missing")
    assert [(row["levels"].text, row["pretraining"].text) for row in rows] == [
        *(("1", "none"), ("1", "progressive"), ("2", "none"), ("2", "progressive"), ("3", "none"))
    ]
    command = rows[-1]["top-1"].command
    assert command == (
        "python sweeps/run.py -m experiment=hierarchy profile=quick benchmark=synthmotion benchmark.split=1 "
        "backbone.name=resnet50 levels=3 init=scratch"
    )
    assert table.missing[-1] == command and len(table.missing) == 5


def test_rows_of_more_than_expected_stand_in_their_order(make: Any, frame_of: FrameOf) -> None:
    steps = {"finetune.length": {"steps": 320}, "pretrain.length": {"steps": 400}}
    chains = [make.runs(levels=n, config=steps, profile="full", correct=200 + n) for n in (1, 2, 3)]
    for n in range(4):
        for count in (320, 720):
            length = {"finetune.length": {"steps": count}}
            chains.append(make.runs(levels=n, pretraining="none", config=length, profile="full", correct=count // 4))
    table = table_of(CONTROLS, frame_of(*chains))
    measured = [row for row in cells_of(table) if row["top-1"].kind == "measured"]
    assert [row["levels"].text for row in measured] == [*"00", *"111", *"222", *"333"]
    assert cells_of(table)[0]["difference"].text == "baseline"
    names = ("hierarchy", "control_temporal", "control_static", "control_compute")
    (filled,) = [note for note in table.footnotes if note.startswith("Filled by the sweeps: ")]
    assert table.experiment == "" and all(f"experiment={name}" in filled for name in names)
    assert table_of(DEPTH, frame_of(*chains)).experiment == "hierarchy"


def test_rows_are_asked_for_where_the_experiment_fills_them_alone(make: Any, frame_of: FrameOf) -> None:
    """A control of some rows, with settings of its own, is shown; nobody is told to complete it with a command that
    does not have these settings."""
    longer = {"finetune.length": {"steps": 720}}
    chains = [
        make.runs(levels=n, seed=s, config={"finetune.length": {"steps": 320}}) for n in (1, 2, 3) for s in (0, 1)
    ]
    chains += [make.runs(levels=n, pretraining="none", config=longer, seed=s) for n in (1, 2, 3) for s in (0, 1)]
    table = table_of(DEPTH, frame_of(*chains))
    by_block = {name: [row for row in table.rows if row.block == name] for name in {row.block for row in table.rows}}
    control = [rows for rows in by_block.values() if any("720" in cell.text for row in rows for cell in row.cells)]
    assert [len(rows) for rows in control] == [3] and len(by_block) == 2
    assert not any(cell.text == "missing" for row in control[0] for cell in row.cells)
    assert table.missing, "the other block still says what is missing"


def test_arms_that_differ_in_anything_else_never_share_a_block(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=n, config={"finetune.optim.lr": lr}, seed=s) for n in (1, 2) for lr in (1e-3, 3e-4)
              for s in (0, 1)]  # fmt: skip
    chains += [make.runs(levels=n, fingerprint="e" * 64, seed=s) for n in (1, 2) for s in (2, 3)]
    table = table_of(DEPTH, frame_of(*chains))
    rows = [row for row in table.rows if row.runs]
    assert len({row.block for row in rows}) == 3 and len(rows) == 6
    frame = frame_of(*chains)
    for row in rows:
        runs = frame[frame["run_id"].isin(row.runs) & (frame["phase"] == "test")]
        assert len(set(zip(runs["fingerprint"], runs["finetune.optim.lr"], strict=True))) <= 2
        for cell in row.cells:
            behind = frame[frame["run_id"].isin(cell.runs)]
            per_levels = {tuple(part["finetune.optim.lr"].unique()) for _, part in behind.groupby("levels")}
            assert len(per_levels) <= 1


def test_a_missing_row_says_to_which_block_it_belongs(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=n, fingerprint=letter * 64, seed=s) for n in (1, 2) for s, letter in enumerate("ef")]
    table = table_of(DEPTH, frame_of(*chains))
    assert len(table.rows) == 14
    assert {(row.block[:1], row.cells[-1].text) for row in table.rows} == {
        ("1", "code eeeeeeee"),
        ("2", "code ffffffff"),
    }


def test_one_seed_is_compared_over_the_videos_both_tested_and_says_so(
    make: Any, frame_of: FrameOf, tmp_path: Path
) -> None:
    frame = frame_of(make.runs(levels=0, pretraining="none"), make.runs(levels=1))
    right = {row["run_id"]: {f"v{i}": i < 50 + 20 * row["levels"] for i in range(100)} for _, row in frame.iterrows()}
    (row,) = cells_of(table_of(DEPTH, frame, answers=lambda run: right[run["run_id"]]), "1", "progressive")
    cell = row["difference"]
    assert cell.comparison.interval.kind == "videos" and cell.text.endswith("videos")
    other = {name: {**answers, "more": True} for name, answers in right.items()}
    other[frame.iloc[0]["run_id"]].pop("more")
    (plain,) = cells_of(table_of(DEPTH, frame, answers=lambda run: None), "1", "progressive")
    assert plain["difference"].comparison.interval is None


def test_clips_of_one_video_give_a_difference_no_interval(make: Any, frame_of: FrameOf) -> None:
    config = {"test.metric": "clip"}
    frame = frame_of(make.runs(levels=0, pretraining="none", config=config), make.runs(levels=1, config=config))
    (row,) = cells_of(table_of(DEPTH, frame, answers=lambda run: {"a": True, "b": False}), "1", "progressive")
    assert row["difference"].text == "0.0"


def test_predictions_are_read_beside_the_record(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(make.runs(levels=0, pretraining="none"), make.runs(levels=1, correct=260))
    for _, row in frame[frame["phase"] == "test"].iterrows():
        with (Path(row["path"]).parent / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["video_id", "label", "group", "prediction", "correct"])
            hits = 100 if row["levels"] else 60
            writer.writerows([f"v{i}", 1, "", 1 if i < hits else 0, 0] for i in range(480))
    (row,) = cells_of(table_of(DEPTH, frame), "1", "progressive")
    interval = row["difference"].comparison.interval
    assert interval.kind == "videos" and 100 * 25 / 480 < interval.low < 100 * 40 / 480 < interval.high < 100 * 55 / 480


def test_runs_that_share_a_pretraining_count_once(make: Any, frame_of: FrameOf) -> None:
    chains = []
    for seed in (0, 1):
        first = make.runs(levels=1, seed=seed, correct=240)
        chains.append(first)
        for again in (10, 20):
            other = make.runs(levels=1, seed=seed + again, correct=260)
            old, new = other["pretrain"]["run_id"], first["pretrain"]["run_id"]
            for phase in ("finetune", "test"):
                record = other[phase]
                record["lineage"] = [new if item == old else item for item in record["lineage"]]
                record["lineage_configs"] = {
                    (new if item == old else item): (first["pretrain"]["config"] if item == old else config)
                    for item, config in record["lineage_configs"].items()
                }
                record["parent"] = record["lineage"][0]
            chains.append({phase: other[phase] for phase in ("finetune", "test")})
    chains += [make.runs(levels=0, pretraining="none", seed=s, correct=100) for s in (0, 1, 10, 11, 20, 21)]
    (row,) = cells_of(table_of(DEPTH, frame_of(*chains)), "1", "progressive")
    estimate = row["top-1"].estimate
    assert (estimate.runs, estimate.independent, estimate.sd) == (6, 2, pytest.approx(0))
    assert row["top-1"].text.endswith("(n=6/2)")
    assert row["difference"].estimate.independent == 2


def test_objectives_negatives_curriculum_and_prime_motion_are_told_apart(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=2, seed=s, config={"pretrain.objective": WEIGHTS}) for s in (0, 1)]
    alone = WEIGHTS | {"contrast": {**WEIGHTS["contrast"], "weight": 0.0}}
    chains += [make.runs(levels=2, seed=s, config={"pretrain.objective": alone}) for s in (0, 1)]
    chains += [make.runs(levels=2, seed=s, pretraining="none") for s in (0, 1)]
    frame = frame_of(*chains)
    found = table_of(OBJECTIVES, frame)
    place = found.header.index("objective")
    assert [row[place : place + 2] for row in found.texts()] == [
        ["none", "-"],
        *([name, "progressive"] for name in ("reconstruction", "both")),
        *([name, "joint"] for name in ("contrast", "both")),
    ]
    assert [row.cells[found.header.index("top-1")].kind for row in found.rows] == ["measured"] * 3 + ["missing"] * 2
    assert found.rows[0].cells[found.header.index("difference")].text == "baseline"
    names = [row[table_of(NEGATIVES, frame).header.index("negatives")] for row in table_of(NEGATIVES, frame).texts()]
    assert names[0] == "space + time + clip" and len(cells_of(table_of(NEGATIVES, frame), "missing")) == 4
    assert {row["curriculum"].text for row in cells_of(table_of(CURRICULUM, frame))} == {"joint", "progressive"}
    assert {row["prime motion"].text for row in cells_of(table_of(PRIME, frame))} == {
        "cost_volume",
        "difference",
        "both",
    }


def test_controls_show_equal_steps(make: Any, frame_of: FrameOf) -> None:
    steps = {"finetune.length": {"steps": 320}, "pretrain.length": {"steps": 400}}
    chains = [make.runs(levels=3, config=steps, seed=s) for s in (0, 1)]
    chains += [make.runs(levels=3, pretraining="none", config={"finetune.length": {"steps": n}}, seed=s)
               for n in (320, 720) for s in (0, 1)]  # fmt: skip
    chains += [
        make.runs(levels=0, pretraining="none", config={"finetune.length": {"steps": 320}}, seed=s) for s in (0, 1)
    ]
    table = table_of(CONTROLS, frame_of(*chains))
    rows = {(row["levels"].text, row["pretraining"].text, row["steps in all"].text) for row in cells_of(table)}
    assert {("3", "progressive", "720"), ("3", "none", "720"), ("3", "none", "320"), ("0", "none", "320")} <= rows
    assert len({row.block for row in table.rows}) == 1


def test_a_control_is_not_where_an_ablation_begins(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=3, motion_input=kind, seed=s, config={"finetune.auxiliary_weight": 0.0})
              for kind, seeds in (("static", (0, 1, 2)), ("video", (0, 1, 2))) for s in seeds]  # fmt: skip
    chains += [make.runs(levels=n, seed=s, config={"finetune.auxiliary_weight": 0.0}) for n in (1, 2) for s in (0, 1)]
    frame = frame_of(*chains)
    table = table_of(AUXILIARY, frame)
    measured = [row for row in table.rows if row.runs]
    (inputs,) = {tuple(frame[frame["run_id"].isin(row.runs)]["motion_input"].unique()) for row in measured}
    assert inputs == ("video",) and len(measured) == 1


def test_an_empty_sweep_gives_rows_to_be_filled(make: Any, frame_of: FrameOf) -> None:
    for axis in AXES:
        table = ablation_table(axis, [], Varying([]))
        assert len(table.rows) == len(axis.expected) and all(
            cell.command for row in table.rows for cell in row.cells[-2:]
        )


def spent(make: Any, levels: int, pretraining: str, labelled: int, seed: int, correct: int) -> dict[str, Any]:
    config = {"finetune.length": {"steps": labelled}, "pretrain.length": {"steps": 400}}
    return make.runs(
        levels=levels, pretraining=pretraining, seed=seed, correct=correct + seed, config=config, profile="full"
    )


def test_pretraining_is_compared_at_equal_labels_and_at_equal_steps_each_with_its_own_row(
    make: Any, frame_of: FrameOf
) -> None:
    chains = []
    for seed in range(3):
        chains.append(spent(make, 0, "none", 320, seed, 100))
        for levels in (1, 2):
            chains += [spent(make, levels, "none", 320, seed, 200), spent(make, levels, "none", 720, seed, 400)]
            chains.append(spent(make, levels, "progressive", 320, seed, 250 + 50 * levels))
    frame = frame_of(*chains)
    for axis, other in ((EQUAL_LABELS, 200), (EQUAL_STEPS, 400)):
        table = table_of(axis, frame)
        assert "0" not in {row["levels"].text for row in cells_of(table)}, "nothing is pretrained there"
        shown = [row for row in cells_of(table) if row["top-1"].text != "missing"]
        assert len(shown) == 4, "rows without a partner are left out"
        for levels in (1, 2):
            (found,) = [row for row in shown if row["levels"].text == str(levels) and row["difference"].comparison]
            wanted = 100 * (250 + 50 * levels - other) / 480
            assert found["pretraining"].text == "progressive" and len(found["difference"].runs) == 6
            assert found["difference"].comparison.difference == pytest.approx(wanted)
    assert {row.cells[-2].command for row in table_of(EQUAL_STEPS, frame).rows if row.cells[-2].kind == "missing"}


def test_unpretrained_runs_alone_are_shown_until_there_are_pairs(make: Any, frame_of: FrameOf) -> None:
    alone = [spent(make, 1, "none", 320, seed, 200) for seed in (0, 1)]
    (row,) = [row for row in cells_of(table_of(EQUAL_LABELS, frame_of(*alone))) if row["top-1"].kind == "measured"]
    assert (row["levels"].text, row["pretraining"].text) == ("1", "none")
    longer = [spent(make, n, "none", 720, 0, 400) for n in (1, 2)]
    table = table_of(EQUAL_LABELS, frame_of(*alone, *longer, spent(make, 1, "progressive", 320, 0, 300)))
    assert sum(row["top-1"].kind == "measured" for row in cells_of(table)) == 2


def test_a_pair_of_which_one_was_not_run_is_asked_for(make: Any, frame_of: FrameOf) -> None:
    chains = [spent(make, n, "progressive", 320, 0, 300) for n in (1, 2)] + [spent(make, 1, "none", 720, 0, 400)]
    table = table_of(EQUAL_STEPS, frame_of(*chains))
    rows = cells_of(table, "missing")
    wanted = [("2", "none"), ("3", "none"), ("3", "progressive")]
    assert [(row["levels"].text, row["pretraining"].text) for row in rows] == wanted
    (alone,) = cells_of(table, "2", "progressive")
    assert alone["top-1"].kind == "measured" and alone["difference"].text == "-"
    assert rows[0]["top-1"].command.endswith("levels=2 init=scratch finetune.length.steps=720")
    assert "experiment=hierarchy " in rows[2]["top-1"].command
    (filled,) = [note for note in table.footnotes if note.startswith("Filled by the sweeps: ")]
    assert "experiment=control_compute" in filled and "experiment=hierarchy" in filled


def test_a_row_comes_behind_its_own_baseline_whatever_it_is_called(make: Any, frame_of: FrameOf) -> None:
    """By name, `joint` would come before `none`."""
    chains = [make.runs(levels=2, seed=s, pretraining=name) for s in (0, 1) for name in ("none", "joint")]
    table = table_of(EQUAL_LABELS, frame_of(*chains))
    place = table.header.index("pretraining")
    measured = [row for row in table.rows if row.cells[table.header.index("top-1")].kind == "measured"]
    assert [row.cells[place].text for row in measured] == ["none", "joint"]
