"""The tables of the frozen networks: what a linear probe and the nearest neighbours find in features that nobody
trained on labels. Rows without pretraining are the same network as it was drawn: the control of every other row."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from results.cells import MISSING, Table, accuracy, chance_text, footnotes, origin, run_names, sampling
from results.flatten import NOT_APPLICABLE
from results.grouping import (
    AXES,
    EXTRA_AXES,
    IDENTITY,
    NOTE_COLUMN,
    Arm,
    arms_of,
    groups_of,
    is_gap,
    of_phase,
    shown_axes,
)

KS = (1, 5, 10, 20)
OWN = ("features", "pooling")
"""Axes that these tables always show."""
Pair = tuple[Arm | None, Arm | None, str]
"""The probe and the retrieval of the same features, and what a cell says of the one that is not there."""


def self_supervised_evaluation(frame: pd.DataFrame) -> Table:
    """A row for each (levels, pretraining, features): linear probe top-1 and R@1, 5, 10, 20, beside their chance."""
    pairs = _pairs(frame)
    arms = _members(pairs)
    extra, noted = _extra(arms), any(arm.note for arm in arms)
    rows: list[list[str]] = []
    sources: list[str] = []
    last = [NOT_APPLICABLE] * (1 + len(KS))
    for probe, retrieval, gap in pairs:
        found = _members([(probe, retrieval, gap)])
        chance = last[:1] if probe is None else [chance_text([probe], "chance")]
        chance += last[1:] if retrieval is None else [chance_text([retrieval], f"metric.chance_r{k}") for k in KS]
        if chance != last:
            blank = [""] * (len(("levels", "pretraining", *OWN)) + len(extra))
            rows.append(["chance", *blank, *chance, "", "", *([""] if noted else [])])
            sources.append("")
            last = chance
        line = _names(found[0], extra)
        line += [gap if probe is None else accuracy(probe, "metric.top1", "videos")]
        line += [gap if retrieval is None else accuracy(retrieval, f"metric.r{k}", "videos") for k in KS]
        line += [str(value) for value in found[0].values("trained")]
        line += [" / ".join(f"{int(count):,}" for count in found[0].values("cost.trained_parameters"))]
        rows.append([*line, *([_note(found)] if noted else [])])
        sources.append("; ".join(f"{arm.runs['phase'].iloc[0]}: {run_names(arm)}" for arm in found))
    caption = [
        "Features of a frozen network. Linear probe: top-1 in per cent of the test videos, of a linear classifier "
        "trained on the features of the training videos. R@k: per cent of the test videos with a training video of "
        "their class among the k nearest by cosine similarity; chance is that of a random order. Rows without "
        "pretraining are the network as it was drawn or as its weights came, with which every other row must be "
        "compared. `trained` is what the labels trained, with its number of parameters.",
        sampling(arms, "cost.seconds", "the test videos"),
        origin(arms),
    ]
    return Table(
        name="self_supervised_evaluation",
        title="Self-supervised features: linear probe and retrieval",
        caption=" ".join(filter(None, caption)),
        columns=["backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in (*extra, *OWN)), "linear probe"]
        + [*(f"R@{k}" for k in KS), "trained", "parameters"]
        + ([NOTE_COLUMN] if noted else []),
        rows=rows,
        footnotes=footnotes(arms, rows),
        sources=sources,
    )


def self_supervised_by_tier(frame: pd.DataFrame) -> Table:
    """Linear probe top-1 and R@1 on the test videos of each group (tier)."""
    pairs = _pairs(frame)
    arms = _members(pairs)
    named = dict.fromkeys([*groups_of(arms, "top1"), *groups_of(arms, "r1")])
    groups, extra = list(named), _extra(arms)
    noted = any(arm.note for arm in arms)
    rows: list[list[str]] = []
    sources: list[str] = []
    probes, retrievals = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for arm in (arm for arm in (*probes, *retrievals) if arm is not None and groups):
        probe = arm.runs["phase"].iloc[0] == "probe"
        figure, metric = ("linear probe", "top1") if probe else ("R@1", "r1")
        line = [figure, *_names(arm, extra)]
        line += [accuracy(arm, f"group.{name}.{metric}", f"group.{name}.counted") for name in groups]
        if not sources or rows[-1][0] != figure:
            chance = [f"group_chance.{name}" if probe else f"group.{name}.chance_r1" for name in groups]
            blank = [""] * (len(line) - len(groups) - 2)
            chances = [chance_text([arm], column) for column in chance]
            rows.append([figure, "chance", *blank, *chances, *([""] if noted else [])])
            sources.append("")
        rows.append([*line, *([arm.note] if noted else [])])
        sources.append(run_names(arm))
    caption = [
        "Features of a frozen network, in per cent of the test videos of each tier.",
        sampling(arms, "cost.seconds", "the test videos of the tier"),
        origin(arms),
    ]
    return Table(
        name="self_supervised_by_tier",
        title="Self-supervised features, tier by tier",
        caption=" ".join(filter(None, caption)),
        columns=["figure", "backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in (*extra, *OWN))]
        + [*groups, *([NOTE_COLUMN] if noted else [])],
        rows=rows,
        footnotes=footnotes(arms, rows),
        sources=sources,
    )


def _members(pairs: Sequence[Pair]) -> list[Arm]:
    return [arm for probe, retrieval, _ in pairs for arm in (probe, retrieval) if arm is not None]


def _extra(arms: Sequence[Arm]) -> list[str]:
    return [axis for axis in shown_axes(arms) if axis not in OWN]


def _names(arm: Arm, extra: Sequence[str]) -> list[str]:
    return [str(arm[axis]) for axis in ("backbone", "levels", "pretraining", *extra, *OWN)]


def _note(arms: Sequence[Arm]) -> str:
    return "; ".join(dict.fromkeys(arm.note for arm in arms if arm.note))


def _pairs(frame: pd.DataFrame) -> list[Pair]:
    """The probe and the retrieval of one network, its features and its videos, in the order of :func:`arms_of`.

    Where several of one kind differ in what the other has not (l2, centring), each has a row of its own.
    """
    probes, retrievals = (arms_of(of_phase(frame, phase)) for phase in ("probe", "retrieval"))
    shared = [name for name in _config(probes, "probe.") if name in _config(retrievals, "retrieval.")]
    found: dict[tuple[str, ...], tuple[list[Arm], list[Arm]]] = {}
    for kind, (arms, prefix) in enumerate(((probes, "probe."), (retrievals, "retrieval."))):
        for arm in arms:
            found.setdefault(_what(arm, prefix, shared), ([], []))[kind].append(arm)
    pairs: list[Pair] = []
    for few, many in found.values():
        if len(few) <= 1 and len(many) <= 1:
            gap = MISSING if probes and retrievals else NOT_APPLICABLE
            pairs.append((few[0] if few else None, many[0] if many else None, gap))
        else:
            pairs += [(arm, None, NOT_APPLICABLE) for arm in few] + [(None, arm, NOT_APPLICABLE) for arm in many]
    order = {id(arm): rank for rank, arm in enumerate([*probes, *retrievals])}
    return sorted(pairs, key=lambda pair: _rank(pair, order))


def _rank(pair: Pair, order: dict[int, int]) -> tuple[int, int, str, int]:
    first = _members([pair])[0]
    return (first["levels"], first["pretraining"] != "none", first["backbone"], order[id(first)])


def _config(arms: Sequence[Arm], prefix: str) -> list[str]:
    """Keys of the phase's own configuration, without its name."""
    names = {str(name)[len(prefix) :] for arm in arms for name in arm.runs.columns if str(name).startswith(prefix)}
    return sorted(names)


def _what(arm: Arm, prefix: str, shared: Sequence[str]) -> tuple[str, ...]:
    first = {str(name): value for name, value in arm.runs.iloc[0].items()}
    ancestors = sorted(name for name in first if name.startswith("pretrain."))
    names = [*AXES, *IDENTITY, *ancestors, *(prefix + name for name in shared)]
    return tuple("" if is_gap(first.get(name)) else str(first.get(name)) for name in names)
