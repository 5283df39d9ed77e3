"""The ablation tables: one builder for every :class:`results.ablations.Axis`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from results.ablations import Axis
from results.arm import EXTRA_AXES, Arm
from results.cells import accuracy, counts_text, labels, make_table, origin, sampling, texts
from results.commands import network, plain_init, sweep
from results.compare import signed
from results.grouping import NOTE_COLUMN, groups_of, natural, shown_axes
from results.pairing import pairs_of
from results.predictions import right_answers
from results.settings import Block, Label, Varying, blocks_of
from results.stats import bootstrap_difference, difference
from results.table import Cell, Column, Comparison, Estimate, Row, Table, missing, not_applicable
from results.told import Told

COMMON = ("benchmark", "profile", "backbone")
"""What every row says of its block, besides what its note says."""
Answers = Callable[[Mapping[str, Any]], Mapping[str, bool] | None]


def ablation_table(axis: Axis, arms: Sequence[Arm], varying: Varying, answers: Answers = right_answers) -> Table:
    """A block of rows for each setting in which the axis was varied, the differences to the block's first row beside.

    arms: of test runs, from :func:`results.grouping.arms_of`. answers: for the bootstrap over videos where there is one
    run only. Rows that are expected and not there say `missing` and how to get them.
    """
    labelled = [(label, arm) for arm in arms if (label := axis.label(arm.first)) is not None]
    found = [_with_partners(axis, block) for block in blocks_of(labelled, varying, axis.owned)]
    blocks, fullest = _shown(axis, [block for block in found if block.arms])
    blocks = _once(axis, blocks, fullest)
    shown = [arm for block in blocks for _, arm in block.arms]
    common = [name for name in COMMON if axis.columns != (name,)]
    fixed = [] if "levels" in axis.columns else ["levels"]
    fixed += [name for name in shown_axes(shown) if EXTRA_AXES[name] not in axis.columns]
    groups = groups_of(shown, "top1")
    told = Told(shown, axis.says, axis.label)
    notes = [[told.note(arm) for _, arm in block.arms] for block in blocks]
    noted = any(map(any, notes))
    rows: list[Row] = []
    for number, block in enumerate(blocks):
        expected = dict(axis.expected) if number in fullest and _expects(axis, block) else {}
        name = f"{number + 1}: {block.identity}".strip()
        said = notes[number] if noted else None
        rows += _rows(axis, block, [*common, *fixed], groups, said, name, answers, expected)
    if not blocks:
        blanks = ["-"] * (len(common) + len(fixed))
        for label, overrides in axis.expected:
            cell = missing(_command(axis, overrides, None))
            rows.append(Row((*texts([*blanks, *label]), cell, missing(cell.command))))
    columns = labels([*common, *(EXTRA_AXES.get(name, name) for name in fixed), *axis.columns])
    columns += [Column("top-1", unit="%", better="higher"), Column("difference", unit="points")]
    columns += [Column(name, unit="%", better="higher") for name in groups]
    columns += labels([NOTE_COLUMN] if noted else [])
    place = [column.name for column in columns].index("difference")
    partly = any(" (n=" in row.cells[place].text for row in rows)
    caption = [
        axis.question,
        f"Top-1 in per cent of the test videos. Difference: {axis.difference}, in points, seed paired with seed; "
        "in brackets its 95 % interval, Student's t over independent pretrainings, or, where it says `videos`, a "
        "paired bootstrap over the test videos of one run each (video sampling only)." if rows else "",
        "With n: over the runs of seeds that both rows have." if partly else "",
        sampling(shown, "metric.top1", "the test videos"),
        origin(shown),
    ]  # fmt: skip
    sweeps = list(dict.fromkeys([axis.experiment, *(name for _, words in axis.expected if (name := _named(words)))]))
    if len(sweeps) == 1:
        return make_table(axis.name, axis.title, caption, columns, rows, shown, told=told, experiment=axis.experiment)
    filled = f"Filled by the sweeps: {'; '.join(sweep(name, None) for name in sweeps)}"
    return make_table(axis.name, axis.title, caption, columns, rows, shown, told=told, footnotes=[filled])


def _paired(axis: Axis, block: Block) -> set[Label]:
    """The rows of pairs, where rows have baselines of their own."""
    labels = {label for label, _ in block.arms}
    pairs = [(label, axis.beside(label)) for label in labels] if axis.beside else []
    return {label for pair in pairs if pair[0] != pair[1] and pair[1] in labels for label in pair}


def _with_partners(axis: Axis, block: Block) -> Block:
    """Without the rows that neither are nor have a baseline, where each row has its own, unless they are expected."""
    if axis.beside is None:
        return block
    kept = _paired(axis, block) | {label for label, _ in axis.expected}
    return replace(block, arms=tuple(arm for arm in block.arms if arm[0] in kept))


def _once(axis: Axis, blocks: Sequence[Block], fullest: Collection[int]) -> list[Block]:
    """A row without a partner, where rows have their own, stands in a fullest block alone, if it does in one."""
    if axis.beside is None:
        return list(blocks)
    there = {id(arm) for number in fullest for _, arm in blocks[number].arms}
    kept = []
    for number, block in enumerate(blocks):
        paired = _paired(axis, block)
        arms = tuple(item for item in block.arms if number in fullest or item[0] in paired or id(item[1]) not in there)
        kept.append(replace(block, arms=arms))
    return kept


def _shown(axis: Axis, blocks: Sequence[Block]) -> tuple[list[Block], set[int]]:
    """Those in which the axis was varied; where that is nowhere, the fullest block. Of each place the number of the
    fullest one: its missing rows are named, since the experiment fills that one. Another block is of settings that
    somebody chose for some rows of it (a control, say), and the experiment's command would not fill it.
    """
    wanted = [label for label, _ in axis.expected]
    chosen: list[Block] = []
    completed: list[Block] = []
    counts = Counter(pair for block in blocks for pair in block.settings.pairs for _ in block.arms)
    # of each setting the value that most arms have: a control is not what an ablation begins from
    usual = {
        name: max(found, key=lambda value: (counts[name, value], value)) for name, found in _values(counts).items()
    }
    places: dict[tuple[str, str], list[Block]] = {}
    for block in blocks:
        places.setdefault(_place(block), []).append(block)
    for members in places.values():
        varied = [block for block in members if (_paired(axis, block) if axis.beside else len(set(block.own)) > 1)]
        best = max(varied or members, key=lambda block: _fullness(block, wanted, usual))
        if not varied:
            varied = [best] if any(label in wanted for label, _ in best.arms) else []
        chosen += varied
        completed.append(best)
    ordered = sorted(chosen, key=lambda block: (block.identity, natural(_place(block)[1]), _levels(block)))
    return ordered, {number for number, block in enumerate(ordered) if any(block is other for other in completed)}


def _expects(axis: Axis, block: Block) -> bool:
    return axis.profile in ("", block.arms[0][1].first["profile"])


def _place(block: Block) -> tuple[str, str]:
    """Each backbone has its own blocks, and gets one at least."""
    return block.identity, str(block.arms[0][1]["backbone"])


def _values(counts: Mapping[tuple[str, str], int]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in counts:
        found.setdefault(name, []).append(value)
    return found


def _fullness(block: Block, wanted: Sequence[Label], usual: Mapping[str, str]) -> tuple[int, int, int, int]:
    unusual = sum(usual[name] != value for name, value in block.settings.pairs if not name.endswith("levels"))
    return len({label for label, _ in block.arms} & set(wanted)), block.settings.depth, -unusual, _levels(block)


def _levels(block: Block) -> int:
    return max(int(arm["levels"]) for _, arm in block.arms)


def _rows(
    axis: Axis,
    block: Block,
    common: Sequence[str],
    groups: Sequence[str],
    notes: Sequence[str] | None,
    name: str,
    answers: Answers,
    expected: Mapping[Label, str],
) -> list[Row]:
    """notes: of the arms, where the table has a column for them. expected: label -> overrides of the rows that are
    named where they are missing."""
    sample = _sample(block)
    note_of = {id(arm): said for (_, arm), said in zip(block.arms, notes or (), strict=notes is not None)}
    order = [label for label, _ in axis.expected] if _expects(axis, block) else []
    found = sorted(block.arms, key=lambda item: _rank(item[0], order))
    first = found[0][0] if not order or found[0][0] == order[0] else None
    rows = []
    for label in sorted({*expected, *(label for label, _ in found)}, key=lambda label: _place_of(axis, label, order)):
        arms = [arm for known, arm in found if known == label]
        shown = [str(sample.first[key]) for key in common]
        if not arms:
            command = _command(axis, expected[label], sample.first)
            cells = [missing(command) for _ in ("top-1", "difference", *groups)]
            said = [] if notes is None else [notes[0] if len(set(notes)) == 1 else ""]
            rows.append(Row((*texts([*shown, *label]), *cells, *texts(said)), name))
        for arm in arms:
            cells = [accuracy(arm, "metric.top1", "videos")]
            other = axis.beside(label) if axis.beside else first
            baseline = next((item for item in found if item[0] == other), None)
            cells.append(not_applicable() if baseline is None else difference_cell(arm, baseline, answers))
            cells += [accuracy(arm, f"group.{group}.top1", f"group.{group}.counted") for group in groups]
            rows.append(Row((*texts([*shown, *label]), *cells, *texts([note_of[id(arm)]] if notes else [])), name))
    return rows


def _sample(block: Block) -> Arm:
    return max((arm for _, arm in block.arms), key=lambda arm: int(arm["levels"]))


def _place_of(axis: Axis, label: Label, order: Sequence[Label]) -> tuple[Any, ...]:
    """Sort key: where rows have baselines of their own, each comes behind its own."""
    base = axis.beside(label) if axis.beside else label
    return _rank(base, order), label != base, _rank(label, order)


def _rank(label: Label, order: Sequence[Label]) -> tuple[Any, ...]:
    """Sort key: those of `order` in it, any other behind the greatest of them that is not greater, never first."""
    if label in order:
        return order.index(label), 0, ()
    below = [known for known in order if _natural(known) <= _natural(label)]
    behind = order.index(max(below, key=_natural)) if below else 0
    return behind, 1, _natural(label)


def _natural(label: Label) -> tuple[Any, ...]:
    return tuple(natural(part) for part in label)


def difference_cell(arm: Arm, baseline: tuple[Label, Arm], answers: Answers) -> Cell:
    """Of top-1 to the baseline's, seed paired with seed."""
    label, base = baseline
    if arm is base:
        return Cell("baseline")
    other = f"{', '.join(label)}, the same seeds"
    pairs = pairs_of(arm, base, "metric.top1")
    if not pairs:
        return not_applicable()
    found = difference(
        _top1(pair.ours for pair in pairs),
        _top1(pair.other for pair in pairs),
        {number: pair.group for number, pair in enumerate(pairs)},
    )
    assert found is not None  # there is a pair
    interval = found.interval
    clips = any(run.get("test.metric") == "clip" for run in (pairs[0].ours, pairs[0].other))
    if interval is None and len(pairs) == 1 and not clips:  # clips of one video are no independent trials
        right, wrong = answers(pairs[0].ours), answers(pairs[0].other)
        if right and wrong and set(right) == set(wrong):
            videos = sorted(right)
            interval = bootstrap_difference([right[video] for video in videos], [wrong[video] for video in videos])
    text = signed(found.mean)
    if interval is not None:
        kind = " videos" if interval.kind == "videos" else ""
        text += f" [{signed(interval.low)}, {signed(interval.high)}]{kind}"
    runs = tuple(sorted({run["run_id"] for pair in pairs for run in (pair.ours, pair.other)}))
    if len(runs) < len(arm.numbers("metric.top1")) + len(base.numbers("metric.top1")):
        text += f" ({counts_text(found)})"  # not the difference of the two figures that the rows show
    estimate = Estimate(found.mean, found.sd, found.runs, found.independent, interval)
    return Cell(text, "measured", estimate=estimate, comparison=Comparison(other, found.mean, interval), runs=runs)


def _top1(runs: Iterable[Mapping[str, Any]]) -> dict[Hashable, float]:
    return {number: float(run["metric.top1"]) for number, run in enumerate(runs)}


def _command(axis: Axis, overrides: str, run: Mapping[str, Any] | None) -> str:
    """What makes a row beside the runs of a block (`run` is one of them), or the first one of all."""
    experiment = _named(overrides)
    words = [word for word in overrides.split(" ") if not word.startswith("experiment=")]
    if run is not None:
        words = [plain_init(run) if word == "init=scratch" else word for word in words]
        words += network(run, axis.owned)
        if "levels=" not in overrides and not experiment:
            words.insert(0, f"levels={run['levels']}")
    return sweep(experiment or axis.experiment, run, *words)


def _named(overrides: str) -> str:
    """The experiment that the overrides of a row name; '' = that of the axis."""
    first = overrides.partition(" ")[0]
    return first.partition("=")[2] if first.startswith("experiment=") else ""
