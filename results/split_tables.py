"""Data sets with several official splits: top-1 on each, and the mean over all of them, as the literature reports."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from results import commands
from results.arm import EXTRA_AXES, Arm, is_gap
from results.cells import accuracy, chance_text, labels, make_table, measured, origin, sampling, texts
from results.grouping import NOTE_COLUMN, SPLIT, block_of, families_of, groups_of, of_several_codes, shown_axes
from results.runs import Runs
from results.split_means import Key, by_seed, over_seeds
from results.stats import estimate
from results.table import Cell, Column, Row, Table, missing
from results.told import Told


def top1_per_split(source: pd.DataFrame | Runs) -> Table:
    """Top-1 of the test runs on numbered splits: a row for each setting, a column for each split, and their mean.

    The mean is taken over the splits of each seed first, then over seeds; it is missing unless all splits that the
    table shows have runs of the same seeds, because a mean over some of the splits is another quantity.
    """
    tests = [run for run in Runs.of(source).phase("test") if str(run.get(SPLIT)).isdigit()]
    families = [family for family in families_of(tests) if not groups_of(list(family.values()), "top1")]
    splits = sorted({split for family in families for split in family}, key=int)
    arms = [arm for family in families for arm in family.values()]
    extra, told, several = shown_axes(arms), Told(arms), of_several_codes(arms)
    rows = []
    for family in families:
        members = [family.get(split) for split in splits]
        found = [arm for arm in members if arm is not None]
        first = found[0]
        names = [first.values("benchmark")[0], first["backbone"], first["levels"], first["pretraining"]]
        cells = texts([*names, *(first[axis] for axis in extra)])
        asked = [commands.row("hierarchy", first.first, split=split) for split in splits]
        cells += [accuracy(arm, "metric.top1", "videos", asked[place]) for place, arm in enumerate(members)]
        cells += [mean_over(members, asked)] if len(splits) > 1 else []
        cells += texts([chance_text(found, "chance"), *([told.notes(found)] if told else [])])
        rows.append(Row(tuple(cells), block_of(first, several)))
    caption = ["Top-1 in per cent of the test videos of each official split, and the mean over these splits."]
    caption += [sampling(arms, "metric.top1", "the test videos of the split"), origin(arms)]
    top1 = [f"split {split}" for split in splits] + ([f"mean({','.join(splits)})"] if len(splits) > 1 else [])
    columns = labels(["benchmark", "backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in extra)])
    columns += [Column(name, unit="%", better="higher") for name in top1]
    columns += labels(["chance", *([NOTE_COLUMN] if told else [])])
    return make_table(
        "top1_per_split", "Top-1 per split", caption, columns, rows, arms, told=told, experiment="hierarchy"
    )


def mean_over(arms: Sequence[Arm | None], asked: Sequence[str], column: str = "metric.top1") -> Cell:
    """Over the runs of one seed, one of each arm, then over seeds; missing unless every arm has the same seeds.

    asked: of each arm the command that makes its runs.
    """
    found = over_seeds(arms, column)
    if found is None:
        columns = [{} if arm is None else by_seed(arm, column) for arm in arms]
        most = set[Key]().union(*columns)
        lacking = [command for values, command in zip(columns, asked, strict=True) if set(values) != most]
        return missing(next(filter(None, lacking), ""))
    estimated = estimate(list(found.values()), [key[1] for key in found])
    runs = {run["run_id"] for arm in arms if arm is not None for run in arm.records if not is_gap(run.get(column))}
    return missing() if estimated is None else measured(estimated, 1, runs)
