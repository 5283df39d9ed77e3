from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from results.cells import MISSING, Table
from results.pretraining_tables import pretraining_by_group, pretraining_table

FrameOf = Callable[..., pd.DataFrame]


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.texts()]


def test_a_row_for_each_level_with_the_figures_of_that_level(make: Any, frame_of: FrameOf) -> None:
    table = pretraining_table(frame_of(make.runs(levels=3), make.runs(levels=1, pretraining="joint")))
    assert [row["levels"] + row["level"] for row in rows_of(table)] == ["11", "31", "32", "33"]
    first, second = rows_of(table)[1:3]
    assert (first["reconstruction ratio"], first["end-point error (px)"], first["at bound (%)"]) == (
        "0.610",
        "0.84",
        "12.5",
    )
    assert (first["loss"], first["top-1 over time (%)"], first["above all three"]) == ("-", "-", "-")
    assert (second["reconstruction ratio"], second["loss"], second["log N"]) == ("-", "4.500", "7.600")
    names = ("top-1 over time (%)", "chance", "static", "persistence")
    assert [second[name] for name in names] == ["41.0", "25.0", "27.0", "40.0"]
    assert (second["feature std"], second["effective rank"]) == ("0.400", "12.0")
    assert "one-seed smoke test" in table.caption and "below 1" in table.caption


@pytest.mark.parametrize(("own", "verdict"), [(0.41, "yes"), (0.40, "no"), (0.26, "no"), (None, MISSING)])
def test_above_chance_and_both_baselines(make: Any, frame_of: FrameOf, own: float | None, verdict: str) -> None:
    chain = make.runs(levels=2)
    chain["pretrain"]["metrics"] |= {"top1_time_2": own, "static_time_2": 0.27, "persistence_time_2": 0.40}
    assert rows_of(pretraining_table(frame_of(chain)))[1]["above all three"] == verdict


def test_what_could_not_be_measured_is_missing(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs(levels=1)
    chain["pretrain"]["metrics"]["end_point_error"] = None
    row = rows_of(pretraining_table(frame_of(chain)))[0]
    assert (row["reconstruction ratio"], row["end-point error (px)"]) == ("0.610", MISSING)


def test_seeds_are_averaged(make: Any, frame_of: FrameOf) -> None:
    table = pretraining_table(frame_of(make.runs(seed=0), make.runs(seed=2)))
    assert rows_of(table)[0]["reconstruction ratio"] == "0.620 ± 0.014 (n=2)"


def test_by_group_tells_each_group_apart(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs(levels=2)
    chain["pretrain"]["groups"]["order"]["top1_time_2"] = 0.30
    table = pretraining_by_group(frame_of(chain))
    order = ["direction", "change", "order", "relation"]
    assert [(row["level"], row["tier"]) for row in rows_of(table)] == [(n, tier) for n in "12" for tier in order]
    verdicts = {row["tier"]: row["above all three"] for row in rows_of(table) if row["level"] == "2"}
    assert verdicts == {"direction": "yes", "change": "yes", "order": "no", "relation": "yes"}


def test_the_best_is_sought_among_rows_that_measure_the_same(make: Any, frame_of: FrameOf) -> None:
    """Another tier has other videos, another level predicts another one: a high figure there is no better one."""
    chain = make.runs(levels=3)
    for number, figures in enumerate(chain["pretrain"]["groups"].values()):
        figures |= {"reconstruction_ratio": 0.5 + number / 10, "top1_time_2": 0.3 + number / 10, "top1_time_3": 0.9}
    frame = frame_of(chain)
    for table in (pretraining_table(frame), pretraining_by_group(frame)):
        assert not any(cell.best for row in table.rows for cell in row.cells)
    other = make.runs(levels=3, pretraining="joint")
    for figures in other["pretrain"]["groups"].values():
        figures["top1_time_2"] = 0.99
    table = pretraining_by_group(frame_of(other))
    place = table.header.index("top-1 over time (%)")
    best = [[cell.text for cell in row.cells[2:5]] for row in table.rows if row.cells[place].best]
    tiers = ("direction", "change", "order", "relation")
    assert [row for row in best if row[1] == "2"] == [["joint", "2", tier] for tier in tiers]


def test_without_groups_there_is_no_table_by_group(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs()
    chain["pretrain"]["groups"] = {}
    assert pretraining_by_group(frame_of(chain)).rows == ()


def test_better_than_both_baselines_but_not_than_chance_is_not_above(make: Any, frame_of: FrameOf) -> None:
    chain = make.runs(levels=2)
    chain["pretrain"]["metrics"] |= {"top1_time_2": 0.50, "chance_time_2": 0.50}
    assert rows_of(pretraining_table(frame_of(chain)))[1]["above all three"] == "no"
