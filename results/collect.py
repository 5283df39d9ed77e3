"""Run folders -> one tidy DataFrame, a row for every finished run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from results.equivalent import canonical
from results.flatten import NUMBER_PREFIXES, row_of
from results.garbage import no_search_for_cycles
from results.processes import over_processes, usable
from results.record import FILE_NAME, RecordError, read_record

_WHOLE_NUMBERS = ("levels", "seed", "videos_train", "videos_test", "unreadable_train", "unreadable_test")
_FOLDER_ID = re.compile(r"-([0-9a-f]{12})$")


@dataclass(frozen=True)
class Problem:
    """Something under a root that gave no row, and why. ``kind``: unusable, unfinished, duplicate, no root."""

    kind: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}: {self.reason}"


class _Problems(tuple[Problem, ...]):
    """Never changed, so never copied: pandas copies, deeply, what a frame carries with every column it hands out."""

    def __deepcopy__(self, memo: object) -> _Problems:
        return self


@no_search_for_cycles()
def collect(*roots: str | os.PathLike[str]) -> pd.DataFrame:
    """One row per finished run below `roots` (folders searched for record.json, or record files themselves).

    Folders below a root whose names begin with ``_`` or ``.`` are passed over.

    Columns: see :mod:`results.flatten`. Rows are sorted by phase, slug, run id and fingerprint, so the order of the
    file system shows nowhere. What could not be used is never fatal: it is in :func:`problems` of the frame.
    """
    found: list[Problem] = []
    paths = list(_record_files(roots, found))
    read = over_processes(_read, paths, usable(len(paths)))
    found += [item for item in read if isinstance(item, Problem)]
    rows = _without_duplicates([item for item in read if not isinstance(item, Problem)], found)
    _add_ancestry(rows)
    frame = _typed(rows)
    frame.attrs["problems"] = _Problems(found)
    return frame


def _read(paths: Sequence[str]) -> list[dict[str, Any] | Problem]:
    """The row of each record, or why there is none."""
    read: list[dict[str, Any] | Problem] = []
    for path in paths:
        try:
            read.append(_row(path))
        except RecordError as error:
            read.append(Problem("unusable", path, "; ".join(error.problems)))
    return read


def _row(path: str) -> dict[str, Any]:
    """Raises :class:`RecordError`."""
    record = read_record(path)
    named = _FOLDER_ID.search(os.path.dirname(path))
    if named and not record["run_id"].startswith(named[1]):
        reason = f"is the record of run {record['run_id']}, not of the run that the folder is named after"
        raise RecordError(path, [reason])
    try:
        return row_of(record) | {"path": path}
    except ValueError as error:
        raise RecordError(path, [str(error)]) from error


def problems(frame: pd.DataFrame) -> list[Problem]:
    """What :func:`collect` found but could not use."""
    return list(frame.attrs.get("problems", []))


def _record_files(roots: tuple[str | os.PathLike[str], ...], found: list[Problem]) -> Iterator[str]:
    seen: set[str] = set()
    for root in map(Path, roots):
        if not root.exists():
            found.append(Problem("no root", str(root), "there is no such file or folder"))
            continue
        for path, real in [(str(root), os.path.realpath(root))] if root.is_file() else _below(root, found):
            if real not in seen:
                seen.add(real)
                yield path


def _below(root: Path, found: list[Problem]) -> Iterator[tuple[str, str]]:
    """(path, the same without symbolic links) of each record. Links to folders are not followed, so that only the root
    and the record itself can be one: asking the system for every folder of the way takes longer than reading."""
    folders = [("" if str(root) == "." else str(root), os.path.realpath(root))]
    while folders:
        folder, real = folders.pop()
        try:
            with os.scandir(folder or ".") as entries:
                listed = {entry.name: entry for entry in entries}
        except OSError as error:
            found.append(Problem("unusable", folder or ".", f"cannot be listed: {error.strerror}"))
            continue
        inner = {name for name, entry in listed.items() if _is_folder(entry)}
        if FILE_NAME in listed.keys() - inner:
            path = os.path.join(folder, FILE_NAME)
            yield path, os.path.realpath(path) if listed[FILE_NAME].is_symlink() else os.path.join(real, FILE_NAME)
        elif {"config.json", "status.json"} <= listed.keys() - inner:
            found.append(Problem("unfinished", folder or ".", _state(Path(folder, "status.json"))))
        # _stale holds runs that were done anew, _code copies of the code; the last one in is the first one out
        for name in sorted(inner, reverse=True):
            if name != "checkpoints" and not name.startswith(("_", ".")) and not listed[name].is_symlink():
                folders.append((os.path.join(folder, name), os.path.join(real, name)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere, or in a circle
        return False


def _state(path: Path) -> str:
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
        steps = f" at step {status['step']} of {status['total_steps']}" if status.get("total_steps") else ""
        message = f": {status['message']}" if status.get("message") else ""
        return f"{status['state']}{steps}, no {FILE_NAME}{message}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"no {FILE_NAME}, and status.json cannot be read ({type(error).__name__}: {error})"


def _without_duplicates(rows: list[dict[str, Any]], found: list[Problem]) -> list[dict[str, Any]]:
    """The same run by the same code (or equivalent code) is one run, wherever it was copied to: counted once, the one
    finished last."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["finished"], row["path"]), reverse=True):
        first = kept.setdefault((row["run_id"], canonical(row["fingerprint"])), row)
        if first is not row:
            found.append(Problem("duplicate", row["path"], f"the same run as {first['path']}, which is used"))
    return sorted(kept.values(), key=lambda row: (row["phase"], row["slug"], row["run_id"], row["fingerprint"]))


def _add_ancestry(rows: list[dict[str, Any]]) -> None:
    """Adds what only the ancestors' own records know.

    ``fingerprints``: of all code that made the row, when an ancestor was run by other code than the run itself (code
    that is known to give the same numbers is one: :mod:`results.equivalent`);
    ``pretrain_manifest``: training videos of the pretraining run, when they are others ('unknown' if its record is not
    here and it was of another data set or part of one).
    """
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_id.setdefault(row["run_id"], []).append(row)
    for row in rows:
        prints, row["pretrain_manifest"] = [canonical(row["fingerprint"])], ""
        for run_id in row["lineage"].split():
            ancestors = by_id.get(run_id, [])
            others = [canonical(ancestor["fingerprint"]) for ancestor in ancestors]
            if prints[0] not in others:
                prints += others
            for ancestor in ancestors:
                if run_id == row["pretrain_id"] and ancestor["manifest_train"] != row["manifest_train"]:
                    row["pretrain_manifest"] = ancestor["manifest_train"]
        if row["pretrain_id"] not in by_id and _pretrained_elsewhere(row):
            row["pretrain_manifest"] = "unknown"
        row["fingerprints"] = "+".join([prints[0], *sorted(set(prints[1:]))])


def _pretrained_elsewhere(row: dict[str, Any]) -> bool:
    own = "finetune" if "finetune.benchmark.name" in row else row["phase"]
    keys = ("name", "version", "split", "train_per_class")
    return "pretrain.benchmark.name" in row and any(
        row.get(f"pretrain.benchmark.{key}") != row.get(f"{own}.benchmark.{key}") for key in keys
    )


def _typed(rows: list[dict[str, Any]]) -> pd.DataFrame:
    # object first: a column of whole numbers with a gap would otherwise turn 8 into 8.0
    frame = pd.DataFrame(rows, dtype=object)
    columns = {str(name): frame[name] for name in frame.columns}
    for name, column in columns.items():
        if name.startswith(NUMBER_PREFIXES) or name in ("chance", "expected_train", "expected_test"):
            columns[name] = column.astype("float64")
        elif name in _WHOLE_NUMBERS:
            columns[name] = column.astype("int64")
    return pd.DataFrame(columns)
