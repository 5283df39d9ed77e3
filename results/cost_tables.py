"""What motion costs: parameters and multiply-adds beside the plain backbone, and clips a second, memory and time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from results import commands
from results.ablation_tables import difference_cell
from results.arm import EXTRA_AXES, Arm, Run, is_control
from results.cells import accuracy, constant, labels, make_table, number, origin, sampling, texts
from results.grouping import NOTE_COLUMN, natural, shown_axes
from results.predictions import right_answers
from results.runs import Runs
from results.settings import Block, Label, Varying, blocks_of
from results.table import NOT_APPLICABLE, Cell, Column, Row, Table, missing, not_applicable
from results.told import Told

PHASES = ("pretrain", "finetune", "probe", "retrieval", "test")
OWNED = ("model.backbone.name", "model.levels", "curriculum.steps_per_level")
Answers = Callable[[Mapping[str, Any]], Mapping[str, bool] | None]


def backbones_table(arms: Sequence[Arm], varying: Varying, answers: Answers = right_answers) -> Table:
    """Each backbone plain and with motion: parameters, GMACs, what motion adds to both, and what it gains.

    Not of controls (static input, a visible target): they are no method, and have a table of their own. Of blocks that
    differ in their training, those that show no rows of their own are left out.
    """
    methods = [arm for arm in arms if not is_control(arm.first)]
    labelled = [((arm["backbone"], str(arm["levels"]), arm["pretraining"]), arm) for arm in methods]
    found = [block for block in blocks_of(labelled, varying, OWNED) if len({label for label, _ in block.arms}) > 1]
    blocks = _fullest(found, Told(methods))
    shown = [arm for block in blocks for _, arm in block.arms]
    extra, told = shown_axes(shown), Told(shown)
    # a control of other settings is compared where a plain backbone has them; the experiment does not fill it
    plain = {(block.identity, arm["backbone"]) for block in found for _, arm in block.arms if arm["levels"] == 0}
    rows = [
        row for index, block in enumerate(blocks) for row in _backbone_rows(block, index, extra, told, answers, plain)
    ]
    columns = labels(
        ["benchmark", "profile", "backbone", "levels", "pretraining", *(EXTRA_AXES[name] for name in extra)]
    )
    columns += [Column("parameters (M)", unit="M"), Column("more parameters (%)", unit="%")]
    columns += [Column("GMACs", unit="GMACs"), Column("more GMACs (%)", unit="%")]
    columns += [Column("top-1", unit="%", better="higher"), Column("difference", unit="points")]
    columns += labels([NOTE_COLUMN] if told else [])
    caption = [
        "Parameters of the network that is tested, and multiply-adds of one clip (view), with what motion adds to the "
        "plain backbone of the row's block: one figure where all seeds agree. Difference of top-1 to that backbone, "
        "seed paired with seed; with n where not all seeds are on both sides.",
        "Controls (static input, a visible target) are left out." if methods != [*arms] else "",
        sampling(shown, "metric.top1", "the test videos"),
        origin(shown),
    ]
    return make_table("backbones", "Backbones, plain and with motion", caption, columns, rows, shown, told=told,
                      experiment="backbones")  # fmt: skip


def _fullest(blocks: Sequence[Block], told: Told) -> list[Block]:
    """Without blocks that show of one network no more than another one does: what ablations change about the training
    costs nothing here, and is told in their own tables. The usual ones are kept."""

    def unusual(block: Block) -> int:
        return sum(len(told.unusual(arm)) for _, arm in block.arms)

    shown: dict[tuple[object, ...], list[set[Label]]] = {}
    kept = []
    for block in sorted(blocks, key=lambda block: (-len(block.arms), unusual(block))):
        axes = frozenset(
            (name, arm[name]) for _, arm in block.arms for name in EXTRA_AXES if arm[name] != NOT_APPLICABLE
        )
        names = {label for label, _ in block.arms}
        if not any(names <= other for other in shown.get((block.identity, axes), [])):
            kept.append(block)
            shown.setdefault((block.identity, axes), []).append(names)
    return [block for block in blocks if any(block is one for one in kept)]


def _backbone_rows(
    block: Block,
    index: int,
    extra: Sequence[str],
    told: Told,
    answers: Answers,
    measured: Collection[tuple[str, str]],
) -> list[Row]:
    """measured: (identity, backbone) of the plain backbones that there are in any block."""
    found = sorted(block.arms, key=lambda item: (natural(item[0][0]), item[0][1:]))
    plain: dict[str, tuple[Label, Arm]] = {}
    for label, arm in found:
        if arm["levels"] == 0:
            plain.setdefault(label[0], (label, arm))
    rows = []
    for label, arm in found:
        base = plain.get(label[0])
        lacking = (
            not_applicable()
            if (block.identity, label[0]) in measured
            else missing(commands.row("backbones", arm.first, levels=0, pretraining="none"))
        )
        cells = texts([arm.first["benchmark"], arm.first["profile"], *label, *(arm[name] for name in extra)])
        for column, factor, decimals in (("cost.parameters", 1e-6, 2), ("cost.gmacs", 1.0, 3)):
            cells += [constant(arm, column, decimals, factor), lacking if base is None else _more(arm, base[1], column)]
        cells += [accuracy(arm, "metric.top1", "videos")]
        cells += [lacking if base is None else difference_cell(arm, base, answers)]
        name = f"{index + 1}: {block.identity}".strip()
        rows.append(Row((*cells, *texts([told.note(arm)] if told else [])), name))
    return rows


def _more(arm: Arm, base: Arm, column: str) -> Cell:
    """What the arm has more than the plain backbone, in per cent of that."""
    if arm is base:
        return not_applicable()
    (ours, runs), (theirs, more) = arm.estimate(column), base.estimate(column)
    if ours is None or theirs is None or theirs.mean == 0:
        return missing()
    return Cell(f"{100 * (ours.mean / theirs.mean - 1):.1f}", "measured", runs=tuple(sorted({*runs, *more})))


def cost_table(source: pd.DataFrame | Runs) -> Table:
    """Clips a second, peak memory and time of every phase, those of each kind of processor in a row of their own."""
    found = [arm for phase in PHASES for arm in Runs.of(source).arms(phase)]
    arms = [part for arm in found for part in _by_machine(arm)]
    extra, told = shown_axes(arms), Told(arms)
    rows, rivals = [], []
    for arm in arms:
        names = [arm.first["phase"], arm["backbone"], arm["levels"], arm["pretraining"], *(arm[axis] for axis in extra)]
        machine = str(arm.first["machine"])
        cells = [*texts([*names, machine]), number(arm, "cost.clips_per_second", 1)]
        cells += [number(arm, "cost.peak_memory_mb", 0), number(arm, "cost.seconds", 0)]
        rows.append(
            Row((*cells, *texts([told.note(arm)] if told else [])), f"{arm.first['phase']} {arm.apart_text}".strip())
        )
        rivals.append(f"{rows[-1].block} {machine}")
    columns = labels(["phase", "backbone", "levels", "pretraining", *(EXTRA_AXES[axis] for axis in extra), "device"])
    columns += [Column("clips/s", unit="clips/s", better="higher"), Column("memory (MB)", unit="MB", better="lower")]
    columns += [Column("time (s)", unit="s", better="lower")] + labels([NOTE_COLUMN] if told else [])
    caption = [
        "Throughput of the phase's own work, peak memory of the process, and seconds from start to end. "
        "Runs on other processors are never averaged; what ran beside them is not recorded.",
        sampling(arms, "cost.seconds", None),
        origin(arms),
    ]
    return make_table("cost", "What it costs", caption, columns, rows, arms, rivals, told)


def _by_machine(arm: Arm) -> list[Arm]:
    """No other table keeps processors apart, which change no accuracy; a mean over them is no one's speed."""
    found: dict[str, list[Run]] = {}
    for run in arm.records:
        found.setdefault(str(run["machine"]), []).append(run)
    return [replace(arm, records=tuple(found[name])) for name in sorted(found)]
