"""The tables of the pretraining runs: did the motion features learn motion, level by level?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from results.arm import EXTRA_AXES, Arm
from results.cells import labels, make_table, number, origin, sampling, texts
from results.grouping import NOTE_COLUMN, groups_of, shown_axes
from results.runs import Runs
from results.table import Cell, Column, Row, Table, missing, not_applicable
from results.told import Told

FIRST_LEVEL = (
    ("reconstruction ratio", "reconstruction_ratio", 3, 1.0),
    ("end-point error (px)", "end_point_error", 2, 1.0),
    ("of zero motion (px)", "end_point_error_still", 2, 1.0),
    ("at bound (%)", "at_bound", 1, 100.0),
)
"""Column, metric, decimals, factor: figures of the reconstruction, so of level 1."""
HIGHER_LEVELS = (
    ("loss", "loss_contrast_{}", 3, 1.0),
    ("log N", "log_n_{}", 3, 1.0),
    ("top-1 over time (%)", "top1_time_{}", 1, 100.0),
    ("chance", "chance_time_{}", 1, 100.0),
    ("static", "static_time_{}", 1, 100.0),
    ("persistence", "persistence_time_{}", 1, 100.0),
)
"""Figures of the contrast, so of levels 2 and up; `{}` is the level."""
EVERY_LEVEL = (("feature std", "std_{}", 3, 1.0), ("effective rank", "rank_{}", 1, 1.0))
ABOVE = "above all three"
COLUMNS = (
    Column("reconstruction ratio", better="lower"),
    Column("end-point error (px)", unit="px", better="lower"),
    Column("of zero motion (px)", unit="px"),
    Column("at bound (%)", unit="%"),
    Column("loss"),
    Column("log N"),
    Column("top-1 over time (%)", unit="%", better="higher"),
    *(Column(name, unit="%") for name in ("chance", "static", "persistence")),
    Column(ABOVE),
    Column("feature std"),
    Column("effective rank"),
)
"""Those of the figures below, in their order."""


def pretraining_table(source: pd.DataFrame | Runs) -> Table:
    """A row for each pretraining configuration and level, measured on all held-out videos."""
    return _table(
        source,
        "pretraining",
        "Pretraining, measured on held-out videos",
        "",
        [("", "metric.")],
    )


def pretraining_by_group(source: pd.DataFrame | Runs) -> Table:
    """The same figures on the held-out videos of each group (tier)."""
    arms = Runs.of(source).arms("pretrain")
    names = dict.fromkeys(
        name
        for metric in ("reconstruction_ratio", *(f"top1_time_{level}" for level in range(2, 5)))
        for name in groups_of(arms, metric)
    )
    groups = [(name, f"group.{name}.") for name in names]
    return _table(
        source, "pretraining_by_tier", "Pretraining, measured on the held-out videos of each tier", "tier", groups
    )


def _table(source: pd.DataFrame | Runs, name: str, title: str, group: str, groups: Sequence[tuple[str, str]]) -> Table:
    arms = Runs.of(source).arms("pretrain") if groups else []
    extra, told = shown_axes(arms), Told(arms)
    rows, rivals = [], []
    for arm in arms:
        for level in range(1, arm["levels"] + 1):
            for shown, prefix in groups:
                names = [arm["backbone"], arm["levels"], arm["pretraining"], *(arm[axis] for axis in extra), level]
                cells = [*texts([*names, *([shown] if group else [])]), *_figures(arm, level, prefix)]
                rows.append(Row((*cells, *texts([told.note(arm)] if told else [])), arm.apart_text))
                # another level predicts another one, another tier has other videos: neither is better
                rivals.append(f"{arm.apart_text} level {level} {shown}")
    names = ["backbone", "levels", "curriculum", *(EXTRA_AXES[axis] for axis in extra), "level"]
    columns = [*labels([*names, *([group] if group else [])]), *COLUMNS, *labels([NOTE_COLUMN] if told else [])]
    caption = [
        "Reconstruction ratio: photometric error of the warped previous frame over that of zero motion; below 1 means "
        "that motion was learned. Top-1 over time: naming the right time among the other times of the same clip and "
        "place, in per cent, beside guessing, a query made from one frame repeated (static) and the lower level's "
        f"present feature as the prediction (persistence). `{ABOVE}` compares means with these. "
        "A loss at log N has learned nothing.",
        sampling(arms, "cost.seconds", None),
        origin(arms),
    ]
    return make_table(name, title, caption, columns, rows, arms, rivals, told, experiment="hierarchy")


def _figures(arm: Arm, level: int, prefix: str) -> list[Cell]:
    first = [number(arm, prefix + metric, decimals, factor) for _, metric, decimals, factor in FIRST_LEVEL]
    higher = [
        number(arm, prefix + metric.format(level), decimals, factor) for _, metric, decimals, factor in HIGHER_LEVELS
    ]
    every = [
        number(arm, prefix + metric.format(level), decimals, factor) for _, metric, decimals, factor in EVERY_LEVEL
    ]
    if level == 1:
        return [*first, *(not_applicable() for _ in (*higher, ABOVE)), *every]
    return [*(not_applicable() for _ in first), *higher, _above_all(arm, level, prefix), *every]


def _above_all(arm: Arm, level: int, prefix: str) -> Cell:
    own, runs = arm.estimate(f"{prefix}top1_time_{level}")
    others = [arm.estimate(f"{prefix}{name}_time_{level}")[0] for name in ("chance", "static", "persistence")]
    known = [other.mean for other in others if other is not None]
    if own is None or len(known) < len(others):
        return missing()
    return Cell("yes" if own.mean > max(known) else "no", "measured", runs=runs)
