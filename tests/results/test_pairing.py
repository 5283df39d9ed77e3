"""Which runs are compared with which, and how many of the differences are independent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from results.ablation_tables import ablation_table, difference_cell
from results.ablations import DEPTH
from results.pairing import pairs_of
from results.runs import Runs
from results.settings import Varying
from results.stats import t_interval
from results.tables import levels_by_backbone

FrameOf = Callable[..., Any]
COLUMN = "metric.top1"


def on_pretraining(make: Any, seed: int, pretrained: int, correct: int = 240, **rest: Any) -> Any:
    return make.runs(levels=1, seed=seed, correct=correct, config={"pretrain.seed": pretrained}, **rest)


def arm_of(frame: Any, levels: int, pretraining: str = "progressive") -> Any:
    (found,) = [arm for arm in Runs(frame).arms("test") if (arm["levels"], arm["pretraining"]) == (levels, pretraining)]
    return found


def plain(make: Any, seeds: tuple[int, ...], correct: int = 100) -> list[Any]:
    return [make.runs(levels=0, pretraining="none", seed=seed, correct=correct + seed) for seed in seeds]


def difference(frame: Any, ours: tuple[Any, ...], base: tuple[Any, ...]) -> Any:
    return difference_cell(arm_of(frame, *ours), (("base",), arm_of(frame, *base)), lambda run: None)


@pytest.mark.parametrize("which", ["ours", "base"])
def test_a_pretraining_that_one_side_shares_leaves_one_difference(make: Any, frame_of: FrameOf, which: str) -> None:
    """Three pretrainings on the other side do not make three out of it."""
    shared = [on_pretraining(make, seed, 0, 240 + 9 * seed) for seed in range(3)]
    own = [on_pretraining(make, seed, seed, 300 + seed, pretraining="joint") for seed in range(3)]
    sides = ((1, "progressive"), (1, "joint"))
    cell = difference(frame_of(*shared, *own), *(sides if which == "ours" else sides[::-1]))
    assert (cell.estimate.runs, cell.estimate.independent, cell.estimate.interval) == (3, 1, None)
    assert "[" not in cell.text and len(cell.runs) == 6


def test_every_pretraining_of_a_seed_counts_in_the_difference(make: Any, frame_of: FrameOf) -> None:
    """The difference of two cells is that of the figures they show, whatever the ids of the runs are."""
    chains = [on_pretraining(make, seed, p, 200 + 40 * p + seed) for seed in (0, 1) for p in (0, 1, 2)]
    frame = frame_of(*chains, *plain(make, (0, 1)))
    cell = difference(frame, (1,), (0, "none"))
    means = [arm_of(frame, *axes).estimate(COLUMN)[0].mean for axes in ((1,), (0, "none"))]
    assert cell.estimate.mean == pytest.approx(means[0] - means[1])
    # all three share the two plain runs
    assert (cell.estimate.runs, cell.estimate.independent, len(cell.runs)) == (6, 1, 8)


def test_pretrainings_of_both_sides_are_paired_by_their_seeds(make: Any, frame_of: FrameOf) -> None:
    seeds = [(seed, p) for seed in (0, 1) for p in (0, 1, 2)]
    ours = [on_pretraining(make, seed, p, 300 + 10 * p * p + seed) for seed, p in seeds]
    other = [on_pretraining(make, seed, p, 200 + 10 * p, pretraining="joint") for seed, p in seeds]
    frame = frame_of(*ours, *other)
    pairs = pairs_of(arm_of(frame, 1), arm_of(frame, 1, "joint"), COLUMN)
    assert [pair.ours["pretrain_seed"] - pair.other["pretrain_seed"] for pair in pairs] == [0] * 6
    found = difference(frame, (1,), (1, "joint")).estimate
    wanted = t_interval([100 * (100.5 + 10 * p * p - 10 * p) / 480 for p in range(3)])
    assert (found.runs, found.independent) == (6, 3)
    assert (found.interval.low, found.interval.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))


def test_a_difference_over_some_of_the_seeds_says_over_how_many(make: Any, frame_of: FrameOf) -> None:
    """In a half-finished sweep it is not the difference of the two figures beside it."""
    chains = [make.runs(levels=1, seed=seed, correct=240 + 60 * seed) for seed in (0, 1, 2)]
    frame = frame_of(*chains, *plain(make, (0, 1)))
    cell = difference(frame, (1,), (0, "none"))
    assert cell.text.startswith("+35.3 [") and cell.text.endswith("] (n=2)")
    arms = Runs(frame).arms("test")
    table = ablation_table(DEPTH, arms, Varying(arms))
    assert "With n: over the runs of seeds that both rows have." in table.caption
    whole = frame_of(*chains, *plain(make, (0, 1, 2)))
    assert "n=" not in difference(whole, (1,), (0, "none")).text


def test_links_go_through_others(make: Any, frame_of: FrameOf) -> None:
    """Pairs 0 and 1 share a pretraining of ours, 1 and 2 one of the other side: one group."""
    ours = [on_pretraining(make, seed, p) for seed, p in ((0, 5), (1, 5), (2, 6), (3, 7))]
    other = [on_pretraining(make, seed, p, pretraining="joint") for seed, p in ((0, 8), (1, 9), (2, 9), (3, 4))]
    frame = frame_of(*ours, *other)
    groups = [pair.group for pair in pairs_of(arm_of(frame, 1), arm_of(frame, 1, "joint"), COLUMN)]
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_runs_from_one_file_share_a_pretraining(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(seed=seed, pretraining="none", correct=200 + 20 * seed) for seed in range(3)]
    for chain in chains:
        for record in chain.values():
            record["weights_sha256"] = "a" * 64
            for config in (record["config"], *record["lineage_configs"].values()):
                if config["phase"] == "finetune":
                    config["init"] = "run"
    table = levels_by_backbone(frame_of(*chains))
    assert table.texts()[0][1:3] == ["file aaaaaaaa", "45.8 (n=3/1)"]
    assert any("one pretraining run for all" in note for note in table.footnotes)


@pytest.mark.parametrize("pretraining", ["none", "progressive"])
def test_a_run_done_twice_for_a_key_that_nobody_reads_counts_once(
    make: Any, frame_of: FrameOf, pretraining: str
) -> None:
    phase = "finetune" if pretraining == "none" else "pretrain"
    chains = [
        make.runs(seed=seed, pretraining=pretraining, correct=240 + 10 * seed,
                  config={f"{phase}.benchmark.test_per_class": count})
        for seed in (0, 1) for count in (0, 5)
    ]  # fmt: skip
    frame = frame_of(*chains)
    table = levels_by_backbone(frame)
    assert table.texts()[0][2] == "51.0 ± 1.5 (n=4/2)"
    assert ("4 runs of 2 seeds" in table.caption) == (pretraining == "none")
