"""Checks of predictions.csv (or what is committed of it) against the record that was made from it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from results.checks import dig
from results.rules.folder import Predictions, RunFolder
from results.rules.model import check
from results.rules.runs import Runs


def _of(run: RunFolder) -> Predictions:
    return run.predictions or Predictions()


def _read(run: RunFolder) -> int:
    record = run.record or {}
    return int(record["data"]["videos"]["test"] - record["unreadable"]["test"])


@check
def predictions_whole(run: RunFolder, runs: Runs) -> Iterator[str]:
    yield from (f"predictions.csv: {problem}" for problem in _of(run).problems[:5])


@check
def a_row_for_each_video(run: RunFolder, runs: Runs) -> Iterator[str]:
    """As many rows as test videos were read; none twice, none of an unreadable video."""
    counts = Counter(row[0] for row in _of(run).rows)
    read = _read(run)
    if len(counts) != read:
        yield f"predictions.csv has {len(counts)} videos, the record says that {read} were read"
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        yield f"predictions.csv has {len(twice)} videos more than once: {', '.join(twice[:3])}"
    lost = sorted(counts.keys() & set((run.record or {})["unreadable"]["ids"]))
    if lost and run.phase == "test":  # a probe's list has training videos too, whose ids are its own
        yield f"predictions.csv has {len(lost)} videos that the record calls unreadable: {', '.join(lost[:3])}"


@check
def classes_exist(run: RunFolder, runs: Runs) -> Iterator[str]:
    """Labels and predictions are classes of the model, and `correct` says whether they are the same."""
    classes = dig((run.record or {})["config"], "model.num_classes")
    rows = _of(run).rows
    if isinstance(classes, int):
        outside = [row for row in rows if not (0 <= row[1] < classes and 0 <= row[3] < classes)]
        if outside:
            yield f"{len(outside)} rows have classes outside 0..{classes - 1}, the first: {outside[0][0]}"
    wrong = [row for row in rows if row[4] != int(row[1] == row[3])]
    if wrong:
        yield f"`correct` contradicts label and prediction in {len(wrong)} rows, the first: {wrong[0][0]}"


@check
def groups_as_recorded(run: RunFolder, runs: Runs) -> Iterator[str]:
    """The groups of the rows are those of the record, with as many videos."""
    counts = Counter(row[2] for row in _of(run).rows if row[2])
    recorded = {name: numbers.get("readable", numbers.get("videos")) for name, numbers in _groups(run).items()}
    for name in sorted({*counts, *recorded}):
        if name not in recorded:
            yield f"predictions.csv has the group {name!r}, the record has not"
        elif recorded[name] is not None and recorded[name] != counts[name]:
            yield f"group {name} has {counts[name]} videos in predictions.csv, {recorded[name]:.0f} in the record"


@check
def top1_as_recorded(run: RunFolder, runs: Runs, *, slack: float) -> Iterator[str]:
    """Top-1, counted anew from the rows, is the record's to `slack` points, overall and for every group."""
    record, found = run.record or {}, _of(run)
    rows = found.rows
    share: list[float] = [row[1] == row[3] for row in rows]
    if record["config"].get("metric") == "clip":
        clips = dig(record, "config.num_clips")
        if found.clips_correct is None or len(found.clips_correct) != len(rows) or not clips:
            return  # what is committed of the file has no clips
        share = [count / clips for count in found.clips_correct]
    places: list[tuple[str, Any, list[float]]] = [("top1", record["metrics"]["top1"], share)]
    of_group: dict[str, list[float]] = {}
    for row, value in zip(rows, share, strict=True):
        of_group.setdefault(row[2], []).append(value)
    for name, numbers in sorted(_groups(run).items()):
        places.append((f"top1 of {name}", numbers.get("top1"), of_group.get(name, [])))
    for name, recorded, hits in places:
        if recorded is None or not hits:
            continue
        counted = 100 * sum(hits) / len(hits)
        if abs(counted - recorded) > slack:
            yield f"{name} is {recorded:.6g} in the record, predictions.csv gives {counted:.6g}"


@check
def labels_agree_between_runs(run: RunFolder, runs: Runs) -> Iterator[str]:
    """Runs that read the same test manifest, and all of it, have the same videos, labels and groups."""
    rows = _of(run).rows
    record = run.record or {}
    if record["unreadable"]["test"] or len(rows) != _read(run):
        return
    digest = hashlib.sha256(repr(sorted(row[:3] for row in rows)).encode()).hexdigest()
    manifest = record["data"]["manifest_sha256"]["test"]
    first, place = runs.labels.setdefault(manifest, (digest, run.path))
    if first != digest:
        yield f"its videos, labels or groups are not those of {place}, which read the same test manifest"


def _groups(run: RunFolder) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = (run.record or {})["groups"]
    return groups
