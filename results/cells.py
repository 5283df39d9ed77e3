"""Tables and the texts in them: cells, captions and footnotes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from results.grouping import NOTE_COLUMN, Arm, is_gap
from results.stats import Summary, clopper_pearson, successes

MISSING = "missing"
COVERAGE = 0.97
"""Share of the listed test videos that a frozen network must be measured on: that of the suite's own protocols."""


@dataclass(frozen=True)
class Table:
    """What is rendered: every cell is text already. ``sources`` names the runs behind each row."""

    name: str
    title: str
    caption: str
    columns: list[str]
    rows: list[list[str]]
    footnotes: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


def accuracy(arm: Arm, column: str, videos: str | None) -> str:
    """Per cent with one decimal: ``mean ± sd (n)``, or for one run its value and [95 % interval] over its videos.

    `videos` is the column that says how many videos the accuracy counts; None = give no interval.
    """
    summary = arm.summary(column)
    if summary.mean is None or summary.sd is not None or not videos:
        return per_cent(summary)
    bounds = _interval(arm, summary.mean, videos)
    return f"{summary.mean:.1f}" + (f" [{bounds[0]:.1f}, {bounds[1]:.1f}]" if bounds else "")


def per_cent(summary: Summary) -> str:
    """Per cent with one decimal: ``mean ± sd (n)``, or one run's value alone."""
    if summary.mean is None:
        return MISSING
    return f"{summary.mean:.1f}" + (f" ± {summary.sd:.1f} (n={summary.n})" if summary.sd is not None else "")


def _interval(arm: Arm, top1: float, videos: str) -> tuple[float, float] | None:
    trials = arm.values(videos)
    if len(trials) != 1 or arm.values("test.metric") == ["clip"]:  # clips of one video are no independent trials
        return None
    try:
        low, high = clopper_pearson(successes(top1, int(trials[0])), int(trials[0]))
    except ValueError:
        return None
    return 100 * low, 100 * high


def number(arm: Arm, column: str, decimals: int, factor: float = 1.0) -> str:
    """``mean ± sd (n)`` of any figure, or one run's value alone; `factor` 100 turns shares into per cent."""
    summary = arm.summary(column)
    if summary.mean is None:
        return MISSING
    text = f"{factor * summary.mean:.{decimals}f}"
    return text if summary.sd is None else f"{text} ± {factor * summary.sd:.{decimals}f} (n={summary.n})"


def chance_text(arms: Sequence[Arm], column: str) -> str:
    found = {value for arm in arms for value in arm.values(column)}
    return " / ".join(f"{value:.1f}" for value in sorted(found)) or MISSING


def sampling(arms: Sequence[Arm], column: str, videos: str | None) -> str:
    """What the numbers in the cells are, and how little one seed says."""
    counts = {arm.summary(column).n for arm in arms} - {0}
    parts = []
    if any(count > 1 for count in counts):
        parts.append("Mean ± standard deviation (ddof = 1) over n runs with different seeds.")
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
        values = {value for arm in arms for value in arm.values(name)}
        if len(values) == 1:
            parts.append(show(values.pop()))
    return f"All rows: {'; '.join(parts)}." if parts else ""


def run_names(arm: Arm) -> str:
    return ", ".join(f"{slug}-{run_id[:12]}" for slug, run_id in zip(arm.runs["slug"], arm.runs["run_id"], strict=True))


def footnotes(arms: Sequence[Arm], rows: Sequence[Sequence[str]]) -> list[str]:
    """All that a reader must know about the rows and would not guess."""
    notes = []
    if any(arm.note for arm in arms):
        notes.append(f"Rows that differ in what the column `{NOTE_COLUMN}` names are never averaged.")
    for arm in arms:
        for run in arm.runs.to_dict("records"):
            notes += _notes_on_run({str(key): value for key, value in run.items()})
        pretrained = arm.values("pretrain_id")
        if (
            len(arm.runs) > 1
            and len(pretrained) == 1
            and pretrained != [""]
            and arm.runs["phase"].iloc[0] != "pretrain"
        ):
            notes.append(f"{run_names(arm)}: one pretraining run for all, so ± is over seeds of fine-tuning alone.")
    for name in ("torch", "timm", "device"):
        values = sorted({str(value) for arm in arms for value in arm.values(name)})
        if len(values) > 1:
            notes.append(f"Runs with different {name}: {', '.join(values)}.")
    missing = sum(cell == MISSING for row in rows for cell in row)
    if missing:
        notes.append(
            f"{missing} cell{'s say' if missing > 1 else ' says'} `{MISSING}`: no finished run gave the figure."
        )
    return notes


def _notes_on_run(run: dict[str, Any]) -> list[str]:
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
