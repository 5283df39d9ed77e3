"""What all tables have in common, beside what each shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from results.cost_tables import cost_table
from results.tables import all_tables, levels_by_backbone

FrameOf = Callable[..., Any]


def test_groups_of_videos_may_have_any_name(make: Any, frame_of: FrameOf) -> None:
    """A name of two columns would have one shown, or compared, for the other."""
    chain = make.runs(levels=1)
    for record in chain.values():
        for name in ("backbone", "all videos", "top-1", "figure"):
            record["groups"][name] = {"top1": 3.0, "videos": 100, "reconstruction_ratio": 0.5}
    tables = all_tables(frame_of(chain))
    assert all(len(set(table.header)) == len(table.header) for table in tables)
    (tiers,) = [table for table in tables if table.name == "top1_per_tier"]
    assert {"all videos", "all videos (2)", "backbone", "backbone (2)"} <= set(tiers.header)


def test_speeds_of_two_processors_are_two_rows(make: Any, frame_of: FrameOf) -> None:
    """A mean over both is the speed of neither, and neither is the faster network."""
    machines = ({"device": "cuda", "gpu": "NVIDIA A"}, {"device": "cuda", "gpu": "NVIDIA B"}, {"cpu": "Some CPU"})
    chains = [make.runs(levels=1, pretraining="none", seed=seed) for seed in range(3)]
    chains += [make.runs(levels=2, pretraining="none", seed=2)]
    for chain, machine in zip(chains, (*machines, machines[2]), strict=True):
        for record in chain.values():
            record["environment"] |= machine
            record["cost"]["clips_per_second"] = 10.0 * record["config"]["model"]["levels"] + 5 * record["seed"]
    table = cost_table(frame_of(*chains))
    device, speed = (table.header.index(name) for name in ("device", "clips/s"))
    rows = [(row.cells[device].text, row.cells[speed].text, row.cells[speed].best) for row in table.rows[:4]]
    assert rows == [
        ("NVIDIA A", "10.0", False),
        ("NVIDIA B", "15.0", False),
        ("Some CPU", "20.0", False),
        ("Some CPU", "30.0", True),
    ]


@pytest.mark.parametrize(("seeds", "best"), [((0, 1), 1), ((0,), 2)])
def test_one_lucky_seed_is_not_the_best_beside_means(
    make: Any, frame_of: FrameOf, seeds: tuple[int, ...], best: int
) -> None:
    chains = [make.runs(levels=1, pretraining="none", seed=seed, correct=240 + seed) for seed in seeds]
    chains += [make.runs(levels=3, pretraining="none", seed=seed, correct=200 + seed) for seed in seeds]
    chains += [make.runs(levels=2, pretraining="none", seed=0, correct=400)]
    table = levels_by_backbone(frame_of(*chains))
    assert [row.cells[0].text for row in table.rows if row.cells[2].best] == [str(best)]
