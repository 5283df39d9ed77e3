from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from results.cells import MISSING
from results.split_tables import top1_per_split
from results.tables import all_tables, main_tables

FrameOf = Callable[..., pd.DataFrame]
HITS = {"1": (90, 96), "2": (30, 36), "3": (60, 60)}


def on_split(make: Any, split: str, seed: int, correct: int, **kwargs: Any) -> dict[str, dict[str, Any]]:
    """A chain of one official split, pretrained on its own training videos."""
    names = {
        f"{phase}.benchmark.{key}": value
        for phase in ("pretrain", "finetune", "test")
        for key, value in (("split", split), ("name", "ucf101"))
    }
    chain: dict[str, dict[str, Any]] = make.runs(
        seed=seed, correct=correct, videos=120, config=names | kwargs.pop("config", {}), **kwargs
    )
    for record in chain.values():
        record["data"] |= {"benchmark": "ucf101", "version": "h264"}
        record["data"]["manifest_sha256"] = {"train": split.ljust(64, "0"), "test": split.ljust(64, "1")}
        record["groups"] = {}
    return chain


def rows_of(frame: pd.DataFrame) -> list[dict[str, str]]:
    table = top1_per_split(frame)
    return [dict(zip(table.header, row, strict=True)) for row in table.texts()]


def test_three_splits_stand_in_one_row_with_the_mean_over_them(make: Any, frame_of: FrameOf) -> None:
    chains = [on_split(make, split, seed, hits) for split, pair in HITS.items() for seed, hits in enumerate(pair)]
    frame = frame_of(*chains)
    (row,) = rows_of(frame)
    assert [row[f"split {split}"] for split in "123"] == ["77.5 ± 3.5 (n=2)", "27.5 ± 3.5 (n=2)", "50.0 ± 0.0 (n=2)"]
    # the means of the seeds are 50.0 and 53.3: their spread, not that of the six runs
    assert row["mean(1,2,3)"] == "51.7 ± 2.4 (n=2)"
    assert row["benchmark"] == "ucf101 h264" and "kept apart by" not in row
    assert "top1_per_split" in [table.name for table in main_tables(all_tables(frame))]


def test_a_split_without_a_run_of_each_seed_leaves_no_mean(make: Any, frame_of: FrameOf) -> None:
    chains = [on_split(make, "1", 0, 90), on_split(make, "1", 1, 90), on_split(make, "3", 0, 60)]
    frame = frame_of(*chains)
    (row,) = rows_of(frame)
    assert (row["split 3"], row["mean(1,3)"]) == ("50.0 [40.7, 59.3]", MISSING)
    (command,) = top1_per_split(frame).missing
    assert "experiment=hierarchy" in command and "benchmark=ucf101" in command and "benchmark.split=3" in command


@pytest.mark.parametrize("changes", [{"config": {"finetune.optim.lr": 0.5}}, {"pretraining": "none"}, {"levels": 1}])
def test_splits_trained_differently_share_no_row(make: Any, frame_of: FrameOf, changes: dict[str, Any]) -> None:
    rows = rows_of(frame_of(on_split(make, "1", 0, 90), on_split(make, "2", 0, 60, **changes)))
    assert len(rows) == 2
    assert all(row["mean(1,2)"] == MISSING for row in rows)


def test_runs_of_one_split_with_other_pretraining_videos_have_rows_of_their_own(make: Any, frame_of: FrameOf) -> None:
    first, second = on_split(make, "1", 0, 90), on_split(make, "1", 1, 30)
    second["pretrain"]["data"]["manifest_sha256"] = {"train": "c" * 64, "test": "d" * 64}
    assert sorted(row["split 1"][:4] for row in rows_of(frame_of(first, second))) == ["25.0", "75.0"]


def test_tiers_of_the_embedded_benchmark_are_no_splits(make: Any, frame_of: FrameOf) -> None:
    assert rows_of(frame_of(make.runs())) == []


def test_runs_of_one_seed_are_paired_by_the_seed_of_their_pretraining(make: Any, frame_of: FrameOf) -> None:
    chains = [
        on_split(make, split, 0, correct + 6 * pretrained, config={"pretrain.seed": pretrained})
        for split, correct in (("1", 30), ("2", 60))
        for pretrained in range(4)
    ]
    (row,) = rows_of(frame_of(*chains))
    assert [row[name].split(" ", 1)[1] for name in ("split 1", "split 2")] == ["± 6.5 (n=4)"] * 2
    assert row["mean(1,2)"].endswith(" ± 6.5 (n=4)")  # every pretraining is worth as much more on both splits


def test_two_lists_of_videos_of_one_split_are_told(make: Any, frame_of: Callable[..., Any]) -> None:
    chains = [on_split(make, split, 0, 50) for split in "123"]
    other = on_split(make, "1", 1, 60)
    for record in other.values():
        record["data"]["manifest_sha256"] = record["data"]["manifest_sha256"] | {"test": "9" * 64}
    table = top1_per_split(frame_of(*chains, other))
    notes = [row.cells[-1].text for row in table.rows]
    assert len(set(notes)) == 2 and "test videos 99999999" in notes, notes
