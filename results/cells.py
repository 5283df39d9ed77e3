"""The cells and texts of tables: what is said of the runs of an arm, and all that a reader must know about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from results.arm import IDENTITY, Arm, is_gap
from results.stats import clopper_pearson, successes
from results.table import MISSING, Cell, Column, Estimate, Interval, Row, Table, label, missing
from results.told import Told

COVERAGE = 0.97
"""Share of the listed test videos that a frozen network must be measured on: that of the suite's own protocols."""


def accuracy(arm: Arm | None, column: str, videos: str | None, command: str = "") -> Cell:
    """Per cent with one decimal: ``mean ± sd (n=3)``, or for one run its value and [95 % interval] over its videos.

    `videos` is the column that says how many videos the accuracy counts; None = give no interval.
    """
    cell = number(arm, column, 1, command=command)
    if arm is None or cell.estimate is None or len(cell.runs) > 1 or not videos:
        return cell
    interval = _binomial(arm, cell.estimate.mean, videos)
    if interval is None:
        return cell
    text = f"{cell.text} [{interval.low:.1f}, {interval.high:.1f}]"
    found = Estimate(cell.estimate.mean, None, 1, 1, interval)
    return Cell(text, "measured", estimate=found, runs=cell.runs)


def number(arm: Arm | None, column: str, decimals: int, factor: float = 1.0, command: str = "") -> Cell:
    """``mean ± sd (n=3)`` of any figure, or one run's value alone; `factor` 100 turns shares into per cent."""
    if arm is None:
        return missing(command)
    found, runs = arm.estimate(column, factor)
    if found is None:
        return missing(command)
    return measured(found, decimals, runs)


def constant(arm: Arm | None, column: str, decimals: int, factor: float = 1.0, command: str = "") -> Cell:
    """Like :func:`number`, for what no seed changes: one figure where all runs give the same."""
    cell = number(arm, column, decimals, factor, command)
    if cell.estimate is None or cell.estimate.sd != 0:
        return cell
    return replace(cell, text=f"{cell.estimate.mean:.{decimals}f}")


def measured(found: Estimate, decimals: int, runs: Iterable[str]) -> Cell:
    return Cell(estimate_text(found, decimals), "measured", estimate=found, runs=tuple(sorted(runs)))


def estimate_text(found: Estimate, decimals: int) -> str:
    """`73.1 ± 1.1 (n=3)`; `73.1 ± 1.1 (n=6/3)` where 6 runs share 3 pretrainings; one run: `73.1`."""
    text = f"{found.mean:.{decimals}f}"
    if found.runs == 1:
        return text
    counts = counts_text(found)
    return f"{text} ({counts})" if found.sd is None else f"{text} ± {found.sd:.{decimals}f} ({counts})"


def counts_text(found: Estimate) -> str:
    return f"n={found.runs}" if found.independent == found.runs else f"n={found.runs}/{found.independent}"


def _binomial(arm: Arm, top1: float, videos: str) -> Interval | None:
    trials = arm.values(videos)
    if len(trials) != 1 or arm.values("test.metric") == ["clip"]:  # clips of one video are no independent trials
        return None
    try:
        low, high = clopper_pearson(successes(top1, int(trials[0])), int(trials[0]))
    except ValueError:
        return None
    return Interval(100 * low, 100 * high, "binomial")


def make_table(
    name: str,
    title: str,
    caption: Iterable[str],
    columns: Sequence[Column],
    rows: Sequence[Row],
    arms: Sequence[Arm],
    rivals: Sequence[str] | None = None,
    told: Told | None = None,
    **rest: Any,
) -> Table:
    """A table of `arms`: joins the caption's sentences, adds the footnotes on the runs and their names.

    rivals: of each row, by what the best is sought, where rows of a block measure different things (None = the block).
    told: what the rows say in the column of notes, where there is one.

    Columns are fewer or more where rows differ in more: every row must have as many cells as there are columns.
    Raises ValueError if one has not.
    """
    for row in rows:
        if len(row.cells) != len(columns):
            raise ValueError(f"table {name}: a row of {len(row.cells)} cells under {len(columns)} columns")
    names = sorted({(run["run_id"], f"{run['slug']}-{run['run_id'][:12]}") for arm in arms for run in arm.records})
    notes = [] if told is None else told.footnotes
    notes += footnotes(arms, rows) + list(rest.pop("footnotes", ()))
    text = " ".join(filter(None, caption))
    marked = tuple(with_best(columns, rows, rivals))
    return Table(
        name, title, text, _told_apart(columns), marked, tuple(dict.fromkeys(notes)), names=tuple(names), **rest
    )


def _told_apart(columns: Sequence[Column]) -> tuple[Column, ...]:
    """A group of videos may have the name of another column: the later one gets a number."""
    found: dict[str, Column] = {}
    for column in columns:
        name, number = column.name, 1
        while name in found:
            number += 1
            name = f"{column.name} ({number})"
        found[name] = replace(column, name=name)
    return tuple(found.values())


def with_best(columns: Sequence[Column], rows: Sequence[Row], rivals: Sequence[str] | None = None) -> list[Row]:
    """The rows with the best mean of each column marked, among the comparable rows of a block, if there are several."""
    best: set[tuple[int, int]] = set()
    blocks: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if row.kind == "":
            blocks.setdefault(row.block if rivals is None else rivals[index], []).append(index)
    for place, column in enumerate(columns):
        sign = {"higher": 1.0, "lower": -1.0}.get(column.better, 0.0)
        for members in blocks.values() if sign else ():
            estimates = {index: rows[index].cells[place].estimate for index in members}
            # beside means over seeds, one seed may be a lucky one
            fewest = 2 if any(found is not None and found.runs > 1 for found in estimates.values()) else 1
            means = {
                index: sign * found.mean
                for index, found in estimates.items()
                if found is not None and found.runs >= fewest
            }
            if len(means) > 1:
                best |= {(index, place) for index, mean in means.items() if mean == max(means.values())}
    marked = {index for index, _ in best}
    return [_mark(row, index, best) if index in marked else row for index, row in enumerate(rows)]


def _mark(row: Row, index: int, best: set[tuple[int, int]]) -> Row:
    cells = enumerate(row.cells)
    return replace(row, cells=tuple(replace(cell, best=(index, place) in best) for place, cell in cells))


def labels(names: Iterable[str]) -> list[Column]:
    return [Column(name, "label") for name in names]


def texts(values: Iterable[object]) -> list[Cell]:
    return [label(value) for value in values]


def shared_kinds(arms: Sequence[Arm]) -> set[bool]:
    """Of arms whose runs are not all independent: whether it is a pretraining that they share; otherwise, a seed."""
    found = set()
    for arm in arms:
        if len(set(arm.shared)) < len(arm.records):
            found.add(bool(arm.first["pretrain_id"]))
    return found


def chance_text(arms: Sequence[Arm], column: str) -> str:
    found = {value for arm in arms for value in arm.values(column)}
    return " / ".join(f"{value:.1f}" for value in sorted(found)) or MISSING


def sampling(arms: Sequence[Arm], column: str, videos: str | None) -> str:
    """What the numbers in the cells are, and how little one seed says."""
    counts = {len(arm.numbers(column)) for arm in arms} - {0}
    parts = []
    if any(count > 1 for count in counts):
        parts.append("Mean ± standard deviation (ddof = 1) over n runs with different seeds.")
        shared = shared_kinds(arms)
        if True in shared:
            parts.append("n=6/3: 6 runs share 3 pretrainings, and ± is over the 3.")
        if False in shared:
            parts.append("n=4/2 without a pretraining: 4 runs of 2 seeds, and ± is over the 2.")
    if 1 in counts:
        parts.append("Cells without n have one seed only: a" if len(counts) > 1 else "A")
        parts.append("one-seed smoke test, not evidence.")
        if videos:
            numbers = sorted({int(value) for arm in arms for value in arm.values("videos")})
            total = " or ".join(map(str, numbers))
            parts.append(
                f"In brackets the exact 95 % binomial (Clopper-Pearson) interval over {videos} ({total} in all): "
                "the sampling error of the videos, which says nothing about other seeds."
            )
    return " ".join(parts)


def origin(arms: Sequence[Arm]) -> str:
    """What all rows share of that which makes results comparable."""
    names: dict[str, Callable[[Any], str]] = {
        "benchmark": str,
        "profile": lambda value: f"profile {value}",
        "protocol_name": lambda value: f"protocol {value}",
        "protocol": str,
        "decoder": str,
        "manifest_test": lambda value: f"test manifest {value[:8]}",
        "fingerprints": lambda value: f"code {'+'.join(part[:8] for part in value.split('+'))}",
    }
    parts = []
    for name, show in names.items():
        # what runs of one arm cannot differ in is that of the first
        values = {arm.first.get(name) for arm in arms} if name in IDENTITY else _values(arms, name)
        values = {value for value in values if not is_gap(value)}
        if len(values) == 1:
            parts.append(show(values.pop()))
    return f"All rows: {'; '.join(parts)}." if parts else ""


def _values(arms: Sequence[Arm], name: str) -> set[Any]:
    return {value for arm in arms for value in arm.values(name)}


def run_names(arm: Arm) -> str:
    return ", ".join(f"{run['slug']}-{run['run_id'][:12]}" for run in arm.records)


def footnotes(arms: Sequence[Arm], rows: Sequence[Row]) -> list[str]:
    """All that a reader must know about the rows and would not guess."""
    notes = []
    for arm in arms:
        for run in arm.records:
            notes += _notes_on_run(run)
        pretrained = arm.values("pretrain_id")
        if len(arm.records) > 1 and len(pretrained) == 1 and pretrained != [""] and arm.first["phase"] != "pretrain":
            notes.append(f"{run_names(arm)}: one pretraining run for all, so there is no spread over pretrainings.")
    for name in ("torch", "timm", "device"):
        values = sorted(map(str, _values(arms, name)))
        if len(values) > 1:
            notes.append(f"Runs with different {name}: {', '.join(values)}.")
    gaps = sum(cell.kind == "missing" for row in rows for cell in row.cells)
    if gaps:
        notes.append(f"{gaps} cell{'s say' if gaps > 1 else ' says'} `{MISSING}`: no finished run gave the figure.")
    return notes


def _notes_on_run(run: Mapping[str, Any]) -> list[str]:
    name = f"{run['slug']}-{run['run_id'][:12]}"
    notes = []
    lost, total, expected = run["unreadable_test"], run["videos_test"], run.get("expected_test")
    if lost:
        everything = run.get("metric.top1_all")
        over_all = "" if is_gap(everything) else f"; top-1 over all of them: {everything:.1f}"
        notes.append(f"{name}: {lost} of {total} test videos could not be read and are not counted{over_all}.")
    if run["unreadable_train"]:
        what = "left out" if run["phase"] in ("probe", "retrieval") else "replaced"
        notes.append(f"{name}: {run['unreadable_train']} unreadable training videos were {what}.")
    if expected is not None and not is_gap(expected) and expected != total:
        notes.append(
            f"{name}: {total} of the {int(expected)} test videos of the benchmark ({100 * total / expected:.1f} %)."
        )
    coverage, needed = (run.get(key) for key in ("metric.coverage", "test.coverage"))
    if run["phase"] in ("probe", "retrieval") and expected is not None and not is_gap(expected):
        # they have no protocol of their own; ours asks tests for as much
        coverage, needed = 100 * (total - lost) / expected, COVERAGE
    if coverage is not None and needed is not None and coverage < 100 * needed:  # nan < x is never true
        notes.append(f"{name}: incomparable (coverage {coverage:.1f} % < {100 * needed:g} %).")
    if run.get("alarms"):
        notes.append(f"{name}: alarm: {run['alarms']}.")
    return notes
