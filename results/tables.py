"""The tables, each a pure function of the frame of :func:`results.collect.collect`.

A cell is the mean over runs that differ in nothing but the seed (:mod:`results.grouping`); what is not there says
``missing``. Accuracies are per cent of test videos, after view averaging.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from results.cells import MISSING, Table, accuracy, chance_text, footnotes, origin, per_cent, run_names, sampling
from results.flatten import NOT_APPLICABLE
from results.frozen_tables import self_supervised_by_tier, self_supervised_evaluation
from results.grouping import (
    EXTRA_AXES,
    NOTE_COLUMN,
    Arm,
    arms_of,
    axes_order,
    families_of,
    groups_of,
    natural,
    of_phase,
    pretraining_order,
    shown_axes,
)
from results.pretraining_tables import pretraining_by_group, pretraining_table
from results.split_tables import mean_over, top1_per_split

Key = tuple[Any, ...]
Row = tuple[Key, list[str], str]
"""Sort key, cells, the runs behind them."""


def main_tables(frame: pd.DataFrame, expected: Iterable[Mapping[str, Any]] = ()) -> list[Table]:
    """The tables to print: those of :func:`all_tables` that are short."""
    tests = [levels_by_backbone(frame, expected), top1_per_tier(frame), top1_per_split(frame)]
    tables = [*tests, self_supervised_evaluation(frame), pretraining_table(frame)]
    return [table for table in tables if table.rows]


def all_tables(frame: pd.DataFrame, expected: Iterable[Mapping[str, Any]] = ()) -> list[Table]:
    """Every table that has rows; [] for a frame without finished runs. `expected`: see :func:`levels_by_backbone`."""
    by_group = [self_supervised_by_tier(frame), pretraining_by_group(frame)]
    return main_tables(frame, expected) + [table for table in by_group if table.rows]


def levels_by_backbone(frame: pd.DataFrame, expected: Iterable[Mapping[str, Any]] = ()) -> Table:
    """Top-1 of the test runs: a row for each (levels, pretraining), the backbones side by side, chance beside them.

    Rows come for every combination of the levels and pretrainings found under one setting. `expected` adds rows and
    columns for runs that may not have begun: mappings with ``backbone`` (timm's name), ``levels``, ``pretraining``.
    """
    arms = arms_of(of_phase(frame, "test"))
    wanted = [(str(item["backbone"]), int(item["levels"]), str(item["pretraining"])) for item in expected]
    backbones = sorted({arm["backbone"] for arm in arms} | {name for name, _, _ in wanted}, key=natural)
    extra, noted = shown_axes(arms), any(arm.note for arm in arms)
    settings: dict[Key, list[Arm]] = {}
    for arm in arms:
        settings.setdefault(arm.setting, []).append(arm)
    rows = [row for members in settings.values() for row in _setting_rows(members, backbones, extra, noted)]
    found = {(arm["levels"], arm["pretraining"]) for arm in arms}
    for levels, pretraining in sorted({(levels, pretraining) for _, levels, pretraining in wanted} - found):
        line = [str(levels), pretraining, *(NOT_APPLICABLE for _ in extra), *(MISSING for _ in backbones)]
        # behind all blocks that have runs: which of them it would belong to is not known yet
        key = ((chr(0x10FFFF),), (levels, pretraining_order(pretraining)), ())
        rows.append((key, [*line, chance_text(arms, "chance"), *([""] if noted else [])], ""))
    rows.sort(key=lambda row: row[0])
    lines = [line for _, line, _ in rows]
    caption = ["Top-1 in per cent of the test videos.", sampling(arms, "metric.top1", "the test videos"), origin(arms)]
    return Table(
        name="levels_by_backbone",
        title="Top-1 by levels and backbone",
        caption=" ".join(filter(None, caption)),
        columns=["levels", "pretraining", *(EXTRA_AXES[axis] for axis in extra), *backbones, "chance"]
        + ([NOTE_COLUMN] if noted else []),
        rows=lines,
        footnotes=footnotes(arms, lines),
        sources=[sources for _, _, sources in rows],
    )


def _setting_rows(members: list[Arm], backbones: list[str], extra: list[str], noted: bool) -> list[Row]:
    """The grid of levels and pretrainings of arms that agree in all else but the backbone."""
    cells = {(arm["levels"], arm["pretraining"], arm["backbone"]): arm for arm in members}
    first = members[0]
    rows = []
    for levels in {arm["levels"] for arm in members}:
        for pretraining in {arm["pretraining"] for arm in members}:
            arms = [cells.get((levels, pretraining, name)) for name in backbones]
            found = [arm for arm in arms if arm is not None]
            line = [str(levels), pretraining, *(str(first[axis]) for axis in extra)]
            line += [MISSING if arm is None else accuracy(arm, "metric.top1", "videos") for arm in arms]
            line += [chance_text(found or members, "chance"), *([first.note] if noted else [])]
            order = axes_order(dict(first.axes) | {"levels": levels, "pretraining": pretraining, "backbone": ""})
            sources = "; ".join(f"{arm['backbone']}: {run_names(arm)}" for arm in found)
            rows.append(((first.block, order, first.apart), line, sources))
    return rows


def top1_per_tier(frame: pd.DataFrame) -> Table:
    """Top-1 of the test runs in each group of classes, beside the mean over groups and the top-1 over all videos.

    Runs that were trained and tested on one tier each stand in one row if they agree in everything else.
    """
    families = [family for family in families_of(of_phase(frame, "test")) if groups_of(list(family.values()), "top1")]
    arms = [arm for family in families for arm in family.values()]
    groups = groups_of(arms, "top1")
    extra, noted = shown_axes(arms), any(arm.note for arm in arms)
    apart = [all(split in groups for split in family) for family in families]
    mixed = len(set(apart)) > 1
    rows: list[list[str]] = []
    sources: list[str] = []
    last_chance: list[str] = []
    for family, one_by_one in zip(families, apart, strict=True):
        members = list(family.values())
        first = members[0]
        owner = {group: arm for group in groups for arm in members if arm.summary(f"group.{group}.top1").n}
        chance = [chance_text([owner.get(group, first)], f"group_chance.{group}") for group in groups]
        chance += ["", NOT_APPLICABLE if one_by_one else chance_text([first], "chance")]
        if chance != last_chance:
            rows.append(["chance", *[""] * (2 + len(extra) + mixed), *chance, *([""] if noted else [])])
            sources.append("")
            last_chance = chance
        line = [first["backbone"], str(first["levels"]), first["pretraining"], *(str(first[axis]) for axis in extra)]
        line += ["one tier each" if one_by_one else "all tiers"] if mixed else []
        line += [
            accuracy(owner[group], f"group.{group}.top1", f"group.{group}.counted") if group in owner else MISSING
            for group in groups
        ]
        if one_by_one:
            line += [per_cent(mean_over([owner.get(group) for group in groups])), NOT_APPLICABLE]
        else:
            line += [accuracy(first, "metric.mean_group_top1", None), accuracy(first, "metric.top1", "videos")]
        rows.append([*line, *(["; ".join(dict.fromkeys(arm.note for arm in members))] if noted else [])])
        sources.append("; ".join(run_names(arm) for arm in members))
    caption = ["Top-1 in per cent of the test videos of each tier. A row `chance` holds for the rows below it."]
    if any(apart):
        caption += ["Tiers trained one by one: each cell of such a row is a run of its own on that tier's videos."]
    caption += [sampling(arms, "metric.top1", "the test videos of the tier"), origin(arms)]
    return Table(
        name="top1_per_tier",
        title="Top-1 per tier",
        caption=" ".join(filter(None, caption)),
        columns=["backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in extra)]
        + [*(["trained on"] if mixed else []), *groups, "mean of tiers", "all videos"]
        + ([NOTE_COLUMN] if noted else []),
        rows=rows,
        footnotes=footnotes(arms, rows),
        sources=sources,
    )
