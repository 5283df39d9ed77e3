"""Top-1 of the test runs: levels x backbone on one page, and tier by tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from results import commands
from results.arm import EXTRA_AXES, Arm
from results.cells import accuracy, chance_text, labels, make_table, origin, sampling, texts
from results.grouping import (
    NOTE_COLUMN,
    axes_order,
    block_of,
    families_of,
    groups_of,
    natural,
    of_several_codes,
    pretraining_order,
    shown_axes,
)
from results.runs import Runs
from results.split_tables import mean_over
from results.table import NOT_APPLICABLE, Cell, Column, Row, Table, missing, not_applicable
from results.told import Told

Key = tuple[Any, ...]


def levels_by_backbone(source: pd.DataFrame | Runs, expected: Iterable[Mapping[str, Any]] = ()) -> Table:
    """Top-1 of the test runs: a row for each (levels, pretraining), the backbones side by side, chance beside them.

    Rows come for every combination of the levels and pretrainings found under one setting, but for pretrainings that
    an ablation tried at some levels. `expected` adds rows and
    columns for runs that may not have begun: mappings with ``backbone`` (timm's name), ``levels``, ``pretraining``.
    """
    arms = Runs.of(source).arms("test")
    ours = {run.get("test.model.backbone.name"): run["backbone"] for arm in arms for run in arm.records}
    names = [(str(item["backbone"]), int(item["levels"]), str(item["pretraining"])) for item in expected]
    wanted = [(ours.get(name, name), levels, pretraining) for name, levels, pretraining in names]
    backbones = sorted({arm["backbone"] for arm in arms} | {name for name, _, _ in wanted}, key=natural)
    extra, told = shown_axes(arms), Told(arms)
    settings: dict[Key, list[Arm]] = {}
    for arm in arms:
        settings.setdefault(arm.setting, []).append(arm)
    keyed = [row for members in settings.values() for row in _setting_rows(members, backbones, extra, told)]
    found = {(arm["levels"], arm["pretraining"]) for arm in arms}
    for levels, pretraining in sorted({(levels, pretraining) for _, levels, pretraining in wanted} - found):
        cells = texts([levels, pretraining, *(NOT_APPLICABLE for _ in extra)])
        cells += [missing(_command(arms[0] if arms else None, levels, pretraining, name)) for name in backbones]
        cells += texts([chance_text(arms, "chance"), *([""] if told else [])])
        # behind all blocks that have runs: which of them it would belong to is not known yet
        keyed.append((((chr(0x10FFFF),), (levels, pretraining_order(pretraining)), 0, ()), Row(tuple(cells))))
    rows = [row for _, row in sorted(keyed, key=lambda item: item[0])]
    caption = ["Top-1 in per cent of the test videos.", sampling(arms, "metric.top1", "the test videos"), origin(arms)]
    columns = labels(["levels", "pretraining", *(EXTRA_AXES[axis] for axis in extra)])
    columns += [Column(name, unit="%", better="higher") for name in backbones]
    columns += labels(["chance", *([NOTE_COLUMN] if told else [])])
    title = "Top-1 by levels and backbone"
    return make_table("levels_by_backbone", title, caption, columns, rows, arms, told=told, experiment="hierarchy")


def _command(arm: Arm | None, levels: int, pretraining: str, backbone: str) -> str:
    """For a cell beside those of `arm`."""
    if arm is None:
        init = "scratch" if pretraining == "none" else "run"
        return commands.sweep("hierarchy", None, f"backbone.name={backbone}", f"levels={levels}", f"init={init}")
    return commands.row("hierarchy", arm.first, levels=levels, pretraining=pretraining, backbone=backbone)


def _setting_rows(members: list[Arm], backbones: list[str], extra: list[str], told: Told) -> list[tuple[Key, Row]]:
    """The grid of levels and pretrainings of arms that agree in all else but the backbone, each row with its key."""
    by_axes = {(arm["levels"], arm["pretraining"], arm["backbone"]): arm for arm in members}
    first = members[0]
    rows = []
    for levels in {arm["levels"] for arm in members}:
        for pretraining in {arm["pretraining"] for arm in members}:
            arms = [by_axes.get((levels, pretraining, name)) for name in backbones]
            found = [arm for arm in arms if arm is not None]
            alike = [arm for arm in members if arm["pretraining"] == pretraining]
            if not found and not any(_as_usual(arm, told) for arm in alike):
                continue  # an ablation of some levels, and no command of this table would fill it
            cells: list[Cell] = texts([levels, pretraining, *(first[axis] for axis in extra)])
            asked = [_command(first, levels, pretraining, name) for name in backbones]
            cells += [accuracy(arm, "metric.top1", "videos", command) for arm, command in zip(arms, asked, strict=True)]
            cells += texts([chance_text(found or members, "chance"), *([_note(found, told)] if told else [])])
            order = axes_order(dict(first.axes) | {"levels": levels, "pretraining": pretraining, "backbone": ""})
            unusual = max((len(told.unusual(arm)) for arm in found), default=0)
            rows.append(((first.block, order, unusual, first.apart), Row(tuple(cells), first.apart_text)))
    return rows


def _as_usual(arm: Arm, told: Told) -> bool:
    """Whether its pretraining is that of most others, but for the order in which levels join."""
    return all(not name.startswith("pretrain.") or name == "pretrain.curriculum.name" for name, _ in told.unusual(arm))


def _note(arms: list[Arm], told: Told) -> str:
    """Of a row with a cell for each backbone."""
    notes = {arm["backbone"]: told.note(arm) for arm in arms}
    if len(set(notes.values())) < 2:
        return "".join(set(notes.values()))
    return "; ".join(f"{name}: {note or 'as usual'}" for name, note in notes.items())


def top1_per_tier(source: pd.DataFrame | Runs) -> Table:
    """Top-1 of the test runs in each group of classes, beside the mean over groups and the top-1 over all videos.

    Runs that were trained and tested on one tier each stand in one row if they agree in everything else.
    """
    families = families_of(Runs.of(source).phase("test"))
    families = [family for family in families if groups_of(list(family.values()), "top1")]
    arms = [arm for family in families for arm in family.values()]
    groups = groups_of(arms, "top1")
    extra, told, several = shown_axes(arms), Told(arms), of_several_codes(arms)
    apart = [all(split in groups for split in family) for family in families]
    mixed = len(set(apart)) > 1
    rows: list[Row] = []
    last: list[str] = []
    for family, one_by_one in zip(families, apart, strict=True):
        members = list(family.values())
        first = members[0]
        owner = {group: arm for group in groups for arm in members if arm.numbers(f"group.{group}.top1")}
        chance = [chance_text([owner.get(group, first)], f"group_chance.{group}") for group in groups]
        chance += ["", NOT_APPLICABLE if one_by_one else chance_text([first], "chance")]
        if chance != last:
            line = ["chance", *[""] * (2 + len(extra) + mixed), *chance, *([""] if told else [])]
            rows.append(Row(tuple(texts(line)), kind="chance"))
            last = chance
        cells = texts([first["backbone"], first["levels"], first["pretraining"], *(first[axis] for axis in extra)])
        cells += texts(["one tier each" if one_by_one else "all tiers"] if mixed else [])
        # a tier that is missing where each has runs of its own is a run on that tier
        asked = {name: commands.row("hierarchy", first.first, split=name) if one_by_one else "" for name in groups}
        cells += [
            accuracy(owner.get(name), f"group.{name}.top1", f"group.{name}.counted", asked[name]) for name in groups
        ]
        if one_by_one:
            cells += [mean_over([owner.get(group) for group in groups], list(asked.values())), not_applicable()]
        else:
            cells += [accuracy(first, "metric.mean_group_top1", None), accuracy(first, "metric.top1", "videos")]
        cells += texts([told.notes(members)] if told else [])
        rows.append(Row(tuple(cells), block_of(first, several)))
    caption = ["Top-1 in per cent of the test videos of each tier. A row `chance` holds for the rows below it."]
    if any(apart):
        caption += ["Tiers trained one by one: each cell of such a row is a run of its own on that tier's videos."]
    caption += [sampling(arms, "metric.top1", "the test videos of the tier"), origin(arms)]
    columns = labels(["backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in extra)])
    columns += labels(["trained on"] if mixed else [])
    columns += [Column(name, unit="%", better="higher") for name in (*groups, "mean of tiers", "all videos")]
    columns += labels([NOTE_COLUMN] if told else [])
    return make_table(
        "top1_per_tier", "Top-1 per tier", caption, columns, rows, arms, told=told, experiment="hierarchy"
    )
