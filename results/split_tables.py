"""Data sets with several official splits: top-1 on each, and the mean over all of them, as the literature reports."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pandas as pd

from results.cells import MISSING, Table, accuracy, chance_text, footnotes, origin, per_cent, run_names, sampling
from results.grouping import (
    EXTRA_AXES,
    NOTE_COLUMN,
    SPLIT,
    Arm,
    families_of,
    groups_of,
    is_gap,
    note,
    of_phase,
    shown_axes,
)
from results.stats import Summary, summarise


def top1_per_split(frame: pd.DataFrame) -> Table:
    """Top-1 of the test runs on numbered splits: a row for each setting, a column for each split, and their mean.

    The mean is taken over the splits of each seed first, then over seeds; it is missing unless all splits that the
    table shows have runs of the same seeds, because a mean over some of the splits is another quantity.
    """
    tests = of_phase(frame, "test")
    if not tests.empty and SPLIT in tests:
        tests = tests[tests[SPLIT].astype(str).str.isdigit()].dropna(axis="columns", how="all")
    else:
        tests = tests.iloc[:0]
    families = [family for family in families_of(tests) if not groups_of(list(family.values()), "top1")]
    splits = sorted({split for family in families for split in family}, key=int)
    arms = [arm for family in families for arm in family.values()]
    extra, noted = shown_axes(arms), any(_note(arm) for arm in arms)
    rows, sources = [], []
    for family in families:
        members = [family.get(split) for split in splits]
        found = [arm for arm in members if arm is not None]
        first = found[0]
        line = [str(first.values("benchmark")[0]), first["backbone"], str(first["levels"]), first["pretraining"]]
        line += [str(first[axis]) for axis in extra]
        line += [MISSING if arm is None else accuracy(arm, "metric.top1", "videos") for arm in members]
        line += [*([per_cent(mean_over(members))] if len(splits) > 1 else []), chance_text(found, "chance")]
        rows.append([*line, *([_note(first)] if noted else [])])
        sources.append("; ".join(run_names(arm) for arm in found))
    caption = ["Top-1 in per cent of the test videos of each official split, and the mean over these splits."]
    caption += [sampling(arms, "metric.top1", "the test videos of the split"), origin(arms)]
    return Table(
        name="top1_per_split",
        title="Top-1 per split",
        caption=" ".join(filter(None, caption)),
        columns=["benchmark", "backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in extra)]
        + [f"split {split}" for split in splits]
        + [*([f"mean({','.join(splits)})"] if len(splits) > 1 else []), "chance", *([NOTE_COLUMN] if noted else [])],
        rows=rows,
        footnotes=footnotes(arms, rows),
        sources=sources,
    )


def _note(arm: Arm) -> str:
    """What sets a row apart besides the videos, which differ from split to split."""
    return note((name, value) for name, value in arm.apart if "manifest" not in name)


def mean_over(arms: Sequence[Arm | None]) -> Summary:
    """Over the runs of one seed, one of each arm, then over seeds; nothing unless every arm has the same seeds."""
    columns = [None if arm is None else _by_seed(arm) for arm in arms]
    found = [column for column in columns if column is not None]
    if (
        not found
        or len(found) < len(columns)
        or any([key for key, _ in c] != [key for key, _ in found[0]] for c in found)
    ):
        return summarise([])
    return summarise(statistics.fmean(top1 for _, top1 in runs) for runs in zip(*found, strict=True))


def _by_seed(arm: Arm) -> list[tuple[tuple[str, str], float]]:
    """(seeds of the run and of its pretraining, top-1), in order: runs of one seed may differ in the other."""
    rows = arm.runs.to_dict("records")
    keys = [(str(row["seed"]), "" if is_gap(row.get("pretrain_seed")) else str(row["pretrain_seed"])) for row in rows]
    return sorted(zip(keys, (float(row["metric.top1"]) for row in rows), strict=True))
