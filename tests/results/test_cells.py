"""What all tables have in common, beside what each shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results.cost_tables import cost_table
from results.tables import all_tables

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


def test_the_fastest_is_sought_on_one_machine(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(levels=n, pretraining="none") for n in (1, 2, 3)]
    for chain, (device, speed) in zip(chains, (("gpu", 900.0), ("cpu", 20.0), ("cpu", 10.0)), strict=True):
        for record in chain.values():
            record["environment"]["device"] = device
            record["cost"]["clips_per_second"] = speed
    table = cost_table(frame_of(*chains))
    place = table.header.index("clips/s")
    assert {row.cells[place].text for row in table.rows if row.cells[place].best} == {"20.0"}
