"""The tables of the frozen networks: what a linear probe and the nearest neighbours find in features that nobody
trained on labels. Rows without pretraining are the same network as it was drawn: the control of every other row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from results import commands
from results.arm import AXES, EXTRA_AXES, IDENTITY, Arm, is_gap
from results.cells import accuracy, chance_text, labels, make_table, origin, sampling, texts
from results.grouping import NOTE_COLUMN, block_of, groups_of, natural, of_several_codes, shown_axes
from results.runs import Runs
from results.table import NOT_APPLICABLE, Cell, Column, Row, Table, label, missing, not_applicable
from results.told import Told

KS = (1, 5, 10, 20)
OWN = ("features", "pooling")
"""Axes that these tables always show."""
Pair = tuple[Arm | None, Arm | None, Cell]
"""The probe and the retrieval of the same features, and what a cell says of the one that is not there."""


def self_supervised_evaluation(source: pd.DataFrame | Runs) -> Table:
    """A row for each (levels, pretraining, features): linear probe top-1 and R@1, 5, 10, 20, beside their chance."""
    pairs = _pairs(source)
    arms = _members(pairs)
    extra, told, several = _extra(arms), Told(arms), of_several_codes(arms)
    rows: list[Row] = []
    last = [NOT_APPLICABLE] * (1 + len(KS))
    for probe, retrieval, gap in pairs:
        found = _members([(probe, retrieval, gap)])
        chance = last[:1] if probe is None else [chance_text([probe], "chance")]
        chance += last[1:] if retrieval is None else [chance_text([retrieval], f"metric.chance_r{k}") for k in KS]
        if chance != last:
            blank = [""] * (len(("levels", "pretraining", *OWN)) + len(extra))
            rows.append(Row(tuple(texts(["chance", *blank, *chance, "", "", *([""] if told else [])])), kind="chance"))
            last = chance
        cells = _names(found[0], extra)
        cells += [gap if probe is None else accuracy(probe, "metric.top1", "videos")]
        cells += [gap if retrieval is None else accuracy(retrieval, f"metric.r{k}", "videos") for k in KS]
        cells += texts(found[0].values("trained"))
        cells += [label(" / ".join(f"{int(count):,}" for count in found[0].values("cost.trained_parameters")))]
        rows.append(Row((*cells, *texts([told.notes(found)] if told else [])), block_of(found[0], several)))
    caption = [
        "Features of a frozen network. Linear probe: top-1 in per cent of the test videos, of a linear classifier "
        "trained on the features of the training videos. R@k: per cent of the test videos with a training video of "
        "their class among the k nearest by cosine similarity; chance is that of a random order. Rows without "
        "pretraining are the network as it was drawn or as its weights came, with which every other row must be "
        "compared. `trained` is what the labels trained, with its number of parameters.",
        sampling(arms, "cost.seconds", "the test videos"),
        origin(arms),
    ]
    columns = labels(["backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in (*extra, *OWN))])
    columns += [Column(name, unit="%", better="higher") for name in ("linear probe", *(f"R@{k}" for k in KS))]
    columns += labels(["trained", "parameters", *([NOTE_COLUMN] if told else [])])
    title = "Self-supervised features: linear probe and retrieval"
    return make_table("self_supervised_evaluation", title, caption, columns, rows, arms, told=told, experiment="frozen")


def self_supervised_by_tier(source: pd.DataFrame | Runs) -> Table:
    """Linear probe top-1 and R@1 on the test videos of each group (tier)."""
    pairs = _pairs(source)
    arms = _members(pairs)
    named = dict.fromkeys([*groups_of(arms, "top1"), *groups_of(arms, "r1")])
    groups, extra = list(named), _extra(arms)
    told = Told(arms)
    rows: list[Row] = []
    last = ""
    probes, retrievals = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for arm in (arm for arm in (*probes, *retrievals) if arm is not None and groups):
        probe = arm.first["phase"] == "probe"
        figure, metric = ("linear probe", "top1") if probe else ("R@1", "r1")
        names = _names(arm, extra)
        if figure != last:
            chance = [f"group_chance.{name}" if probe else f"group.{name}.chance_r1" for name in groups]
            chances = [chance_text([arm], column) for column in chance]
            line = [figure, "chance", *[""] * (len(names) - 1), *chances, *([""] if told else [])]
            rows.append(Row(tuple(texts(line)), kind="chance"))
            last = figure
        cells = [accuracy(arm, f"group.{name}.{metric}", f"group.{name}.counted") for name in groups]
        note = texts([told.note(arm)] if told else [])
        rows.append(Row((label(figure), *names, *cells, *note), f"{figure} {arm.apart_text}".strip()))
    caption = [
        "Features of a frozen network, in per cent of the test videos of each tier.",
        sampling(arms, "cost.seconds", "the test videos of the tier"),
        origin(arms),
    ]
    axes = [EXTRA_AXES[axis] for axis in (*extra, *OWN)]
    columns = labels(["figure", "backbone", "levels", "pretraining", *axes])
    columns += [Column(name, unit="%", better="higher") for name in groups]
    columns += labels([NOTE_COLUMN] if told else [])
    title = "Self-supervised features, tier by tier"
    return make_table("self_supervised_by_tier", title, caption, columns, rows, arms, told=told, experiment="frozen")


def _members(pairs: Sequence[Pair]) -> list[Arm]:
    return [arm for probe, retrieval, _ in pairs for arm in (probe, retrieval) if arm is not None]


def _extra(arms: Sequence[Arm]) -> list[str]:
    return [axis for axis in shown_axes(arms) if axis not in OWN]


def _names(arm: Arm, extra: Sequence[str]) -> list[Cell]:
    return [label(arm[axis]) for axis in ("backbone", "levels", "pretraining", *extra, *OWN)]


def _pairs(source: pd.DataFrame | Runs) -> list[Pair]:
    """The probe and the retrieval of one network, its features and its videos, in the order of :func:`arms_of`.

    Where several of one kind differ in what the other has not (l2, centring), each has a row of its own.
    """
    probes, retrievals = (Runs.of(source).arms(phase) for phase in ("probe", "retrieval"))
    shared = sorted(_config(probes, "probe.") & _config(retrievals, "retrieval."))
    found: dict[tuple[str, ...], tuple[list[Arm], list[Arm]]] = {}
    for kind, (arms, prefix) in enumerate(((probes, "probe."), (retrievals, "retrieval."))):
        for arm in arms:
            found.setdefault(_what(arm, prefix, shared), ([], []))[kind].append(arm)
    pairs: list[Pair] = []
    for few, many in found.values():
        if len(few) <= 1 and len(many) <= 1:
            gap = not_applicable()
            if probes and retrievals and not (few and many):
                gap = missing(commands.frozen((few or many)[0].first, "retrieval" if few else "probe"))
            pairs.append((few[0] if few else None, many[0] if many else None, gap))
        else:
            pairs += [(arm, None, not_applicable()) for arm in few]
            pairs += [(None, arm, not_applicable()) for arm in many]
    order = {id(arm): rank for rank, arm in enumerate([*probes, *retrievals])}
    return sorted(pairs, key=lambda pair: _rank(pair, order))


def _rank(pair: Pair, order: dict[int, int]) -> tuple[Any, ...]:
    first = _members([pair])[0]
    return (first["levels"], first["pretraining"] != "none", natural(first["backbone"]), order[id(first)])


def _config(arms: Sequence[Arm], prefix: str) -> set[str]:
    """Keys of the phase's own configuration, without its name."""
    names = set[str]().union(*(run for arm in arms for run in arm.records))
    return {name[len(prefix) :] for name in names if name.startswith(prefix)}


def _what(arm: Arm, prefix: str, shared: Sequence[str]) -> tuple[str, ...]:
    first = arm.first
    ancestors = sorted(name for name in first if name.startswith("pretrain."))
    names = [*AXES, *IDENTITY, *ancestors, *(prefix + name for name in shared)]
    return tuple("" if is_gap(first.get(name)) else str(first.get(name)) for name in names)
