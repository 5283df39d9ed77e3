"""The mean over official splits stands beside what others printed as such a mean, and beside nothing that it is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from results.cells import shared_kinds
from results.compare import Thresholds
from results.published_tables import published_tables
from results.reference.files import published_row
from results.reference.model import PaperCell, PublishedRow, References
from results.runs import Runs
from results.split_means import SplitMean, split_means, split_of
from results.table import Cell
from tests.results.reference.samples import make_row
from tests.results.test_frozen_tables import frozen
from tests.results.test_split_tables import on_split

FrameOf = Callable[..., Any]
MEAN = "mean(1,2,3)"
HITS = {"1": (90, 96), "2": (30, 36), "3": (60, 60)}
"""Of 120: the means of the seeds are 50.0 and 53.3."""
AXES = {"benchmark": "ucf101", "backbone": "resnet50", "levels": 2, "metric": "top1"}
CELL = PaperCell("k", AXES, "", "", "", "", "", None)


def runs(make: Any, hits: dict[str, tuple[int, ...]] = HITS, **rest: Any) -> list[Any]:
    return [on_split(make, split, seed, n, **rest) for split, pair in hits.items() for seed, n in enumerate(pair)]


def slot(value: float | None = 51.7, conditions: dict[str, str] | None = None, **ours: Any) -> PaperCell:
    """A cell of the paper as somebody with the PDF would have entered it (the figure is made up)."""
    text = "" if value is None else f"{value:.1f}"
    return replace(CELL, ours=CELL.ours | {"split": MEAN} | ours, text=text, value=value, conditions=conditions or {})


def tables(frame: Any, *cells: PaperCell, published: Any = ()) -> dict[str, list[dict[str, Cell]]]:
    arms = [arm for phase in ("test", "probe", "retrieval") for arm in Runs(frame).arms(phase)]
    found = published_tables(arms, References(list(published), list(cells)), Thresholds())
    return {table.name: [dict(zip(table.header, row.cells, strict=True)) for row in table.rows] for table in found}


def means(frame: Any, phase: str = "test") -> list[SplitMean]:
    return split_means(Runs(frame).arms(phase))


def ids_of(chains: list[Any]) -> set[str]:
    return {chain["test"]["run_id"] for chain in chains}


def test_the_mean_of_each_seed_is_judged_by_the_rule_of_all_figures(make: Any, frame_of: FrameOf) -> None:
    chains = runs(make)
    (row,) = tables(frame_of(*chains), slot())["paper"]
    assert row["ours"].text == "51.7 ± 2.4 (n=2)" and set(row["ours"].runs) == ids_of(chains)
    assert row["verdict"].comparison.verdict == "within noise" and set(row["verdict"].runs) == ids_of(chains)
    assert row["kept apart by"].text == "mean over splits 1, 2, 3"
    (row,) = tables(frame_of(*runs(make, {split: (60, 60) for split in "123"})), slot(50.2))["paper"]
    assert row["verdict"].comparison.verdict == "reproduced"


@pytest.mark.parametrize(("stated", "verdict"), [({"split": "2"}, "incomparable"), ({}, "within noise")])
def test_a_mean_is_not_the_figure_of_one_split(
    make: Any, frame_of: FrameOf, stated: dict[str, str], verdict: str
) -> None:
    cell = slot(conditions=stated)
    cell = replace(cell, ours={name: value for name, value in cell.ours.items() if name != "split"})
    rows = tables(frame_of(*runs(make)), cell)["paper"]
    (row,) = [row for row in rows if "mean" in row["kept apart by"].text]
    assert len(rows) == 4 and row["verdict"].comparison.verdict == verdict
    if stated:
        assert row["verdict"].comparison.reason == f"split {MEAN}, theirs 2"


def test_one_seed_is_a_single_run_without_an_interval_over_videos(make: Any, frame_of: FrameOf) -> None:
    """The mean of three splits is no share of the videos of one."""
    (row,) = tables(frame_of(*runs(make, {split: (60,) for split in "123"})), slot())["paper"]
    assert row["ours"].text == "50.0" and row["ours"].estimate.interval is None and len(row["ours"].runs) == 3
    assert row["verdict"].comparison.verdict == "single run"


def test_runs_of_three_splits_are_not_called_one_run_done_thrice(make: Any, frame_of: FrameOf) -> None:
    """A table says of runs that share a seed, in one arm, that they count once."""
    (mean,) = means(frame_of(*runs(make, pretraining="none")))
    assert shared_kinds([mean]) == set() and mean.numbers("metric.top1") == [50.0, pytest.approx(53.33, abs=0.01)]
    assert mean.apart_text == mean.apart_text.replace("split 1", "") and MEAN in mean.apart_text


@pytest.mark.parametrize(
    ("hits", "words"),
    [
        ({"1": (90, 96)}, ["benchmark.split=2,3", "seed=0,1"]),
        ({"2": (90, 96), "3": (60, 60)}, ["benchmark.split=1", "seed=0,1"]),
        ({"1": (90, 96), "2": (30, 36), "3": (60,)}, ["benchmark.split=3", "seed=1"]),
    ],
)
def test_a_split_that_is_missing_is_named(make: Any, frame_of: FrameOf, hits: Any, words: list[str]) -> None:
    (row,) = tables(frame_of(*runs(make, hits, profile="cluster")), slot())["paper"]
    assert row["ours"].kind == row["verdict"].kind == "missing" and row["ours"].runs == ()
    command = row["ours"].command.split()
    assert [word for word in command if word.startswith(("benchmark.split=", "seed="))] == words
    assert {"benchmark=ucf101", "profile=cluster", "levels=2", "init=run"} <= set(command)


def test_no_mean_is_missing_where_nobody_asks_for_one(make: Any, frame_of: FrameOf) -> None:
    cell = slot()
    cell = replace(cell, ours={name: value for name, value in cell.ours.items() if name != "split"})
    found = tables(frame_of(*runs(make, {"1": (90, 96)})), cell)
    for name in ("paper", "state_of_the_art_ucf101", "self_supervised_ucf101"):
        assert len(found[name]) == 1 and "missing" not in {cell.kind for cell in found[name][0].values()}


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"test.num_clips": 10}},
        {"config": {f"{phase}.benchmark.decoder": "pyav" for phase in ("pretrain", "finetune", "test")}},
        {"config": {"finetune.optim.lr": 0.5}},
        {"data__origin": {"official_lists": False}},
        {"fingerprint": "e" * 64},
        {"profile": "cluster"},
        {"motion_input": "static"},
        {"pretraining": "joint"},
    ],
)
def test_nothing_else_is_averaged(make: Any, frame_of: FrameOf, changes: dict[str, Any]) -> None:
    other = {split: HITS[split] for split in "3"}
    frame = frame_of(*runs(make, {split: HITS[split] for split in "12"}), *runs(make, other, **changes))
    found = means(frame)
    assert len(found) == 2 and not any(mean.complete for mean in found)
    assert all(mean.estimate("metric.top1") == (None, ()) for mean in found)


def test_lists_of_videos_that_may_belong_to_other_ones_are_not_mixed(make: Any, frame_of: FrameOf) -> None:
    chains = runs(make)
    again = on_split(make, "2", 2, 60)
    for record in again.values():
        record["data"]["manifest_sha256"] = {"train": "c" * 64, "test": "d" * 64}
    (mean,) = means(frame_of(*chains, again))
    assert dict(mean.members)["2"] is None and mean.estimate("metric.top1")[0] is None
    assert mean.command("metric.top1") == "" and "split 2 has runs on several lists of videos" in mean.prefix


def test_seeds_that_share_a_pretraining_count_once(make: Any, frame_of: FrameOf) -> None:
    """Four fine-tunings of two pretrainings, on each split."""
    chains = []
    for split in "123":
        for pretrained in (0, 1):
            for seed in (0, 1):
                chain = on_split(make, split, seed, 60 + 6 * pretrained, config={"pretrain.seed": pretrained})
                chains.append(chain)
    (row,) = tables(frame_of(*chains), slot())["paper"]
    assert row["ours"].text == "52.5 ± 3.5 (n=4/2)" and len(row["ours"].runs) == 12


def test_what_was_pretrained_on_one_split_is_not_mixed_with_what_was_pretrained_on_its_own(
    make: Any, frame_of: FrameOf
) -> None:
    own = runs(make)
    shared = [
        on_split(make, split, seed, 90, config={"pretrain.benchmark.split": "1"}) for split in "23" for seed in (0, 1)
    ]
    found = means(frame_of(*own, *shared))
    estimates = {mean.pretrained_on: mean.estimate("metric.top1") for mean in found}
    assert {name: round(figure.mean, 1) for name, (figure, _) in estimates.items()} == {"": 51.7, "1": 75.8}
    assert set(estimates["1"][1]) == ids_of(own[:2]) | ids_of(shared)
    assert all("pretraining on split 1" in mean.prefix for mean in found if mean.pretrained_on)
    arms = Runs(frame_of()).arms("test")
    (alone,) = split_means([arm for arm in arms if split_of(arm) == "1"])  # which may still become either
    assert alone.pretrained_on == "" and len(alone.records) == 2


def theirs(**changes: Any) -> PublishedRow:
    """A row of another repository that is our method (the figure is made up)."""
    row = published_row(make_row(benchmark="ucf101", split=MEAN, text="52.0", value="52.0", frames="", ours=""))
    return replace(row, ours={"backbone": "resnet50", "levels": 2}, **changes)


def test_others_means_are_judged_in_both_kinds_of_tables(make: Any, frame_of: FrameOf) -> None:
    chains = runs(make, levels=2)
    published = [theirs(key="a"), theirs(key="b", split="1"), theirs(key="c", setting="finetune")]
    published.append(theirs(key="d", split="", value=10.0, reported_by="authors"))
    found = tables(frame_of(*chains), published=published)
    for name in ("state_of_the_art_ucf101", "self_supervised_ucf101"):
        rows = [row for row in found[name] if "(ours)" in row["method"].text]
        (row,) = [row for row in rows if "mean over splits 1, 2, 3" in row["source"].text]
        assert len(rows) == 4 and row["top-1 or R@1"].text == "51.7 ± 2.4 (n=2)"
        verdict = row["verdict"].comparison
        assert verdict.verdict == "within noise" and verdict.other.startswith("52.0"), "a row that says so is nearest"
        assert set(row["verdict"].runs) == ids_of(chains)


def test_a_mean_that_others_printed_asks_for_the_splits_that_ours_lacks(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(*runs(make, {"1": (90, 96)}))
    assert len(tables(frame)["state_of_the_art_ucf101"]) == 1
    rows = tables(frame, published=[theirs()])["state_of_the_art_ucf101"]
    (row,) = [row for row in rows if "mean over splits" in row["source"].text]
    for cell in (row["top-1 or R@1"], row["verdict"]):
        assert cell.kind == "missing" and " benchmark.split=2,3 " in cell.command


@pytest.mark.parametrize(
    ("phase", "setting", "metric"), [("probe", "linear", "top1"), ("retrieval", "retrieval", "r1")]
)
def test_frozen_features_have_means_too(make: Any, frame_of: FrameOf, phase: str, setting: str, metric: str) -> None:
    chains = []
    for split, seed in itertools.product("12", (0, 1)):
        benchmark = {"name": "ucf101", "version": "h264", "split": split, "decoder": "decord"}
        chain = frozen(make, phase, 40.0 + 10 * int(split) + seed, levels=2, seed=seed, benchmark=benchmark)
        chain[phase]["data"] |= {"benchmark": "ucf101", "version": "h264"}
        chains.append(chain)
    cell = slot(setting=setting, metric=metric)
    (row,) = tables(frame_of(*chains), cell)["paper"]
    words = row["ours"].command.split()
    assert {f"phase={phase}", "experiment=frozen", "benchmark.split=3", "seed=0,1"} <= set(words)
    (mean,) = means(frame_of(), phase)
    two = replace(mean, members=mean.members[:2])
    found, ids = two.estimate(f"metric.{metric}")
    assert found is not None and (found.mean, found.runs, len(ids)) == (55.5, 2, 4)


def test_the_command_says_what_else_the_runs_have(make: Any, frame_of: FrameOf) -> None:
    """Another protocol, another pretraining: without them the runs that it makes would stand in another row."""
    config = {"test.protocol": {"name": "tsm_dense"}, "pretrain.benchmark.name": "kinetics400", "pretrain.seed": 7}
    config |= {"pretrain.benchmark.split": "val"}
    chains = [on_split(make, "1", seed, 60, config=config) for seed in (0, 1)]
    (mean,) = means(frame_of(*chains))
    words = mean.command("metric.top1").split()
    assert {"protocol=tsm_dense", "+benchmark@pretrain.benchmark=kinetics400", "pretrain.seed=7"} <= set(words)
