"""The run folders below some roots, and how one run finds another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from results.record import FILE_NAME, PHASES, RecordError, read_record
from results.rules.folder import RunFolder

_OURS = {FILE_NAME, "config.json"}


@dataclass
class Runs:
    """All run folders of one check, in the order of their paths; `foreign` = (path, why it is no run folder)."""

    folders: list[RunFolder] = field(default_factory=list)
    foreign: list[tuple[str, str]] = field(default_factory=list)
    labels: dict[str, tuple[str, Path]] = field(default_factory=dict)
    """Hash of a test manifest -> (digest of ids, labels and groups of its videos, the folder that said so first)."""
    count: int = 0
    """How many folders were found: a check takes them out of `folders` one by one, so that what was read is let go."""
    _by_id: dict[str, list[Path]] = field(default_factory=dict)
    # of this check alone: files change between two
    _record: Callable[[Path], dict[str, Any] | None] = field(default_factory=lambda: lru_cache(maxsize=512)(_record))
    _listing: Callable[[str], tuple[str, ...]] = field(default_factory=lambda: lru_cache(maxsize=32)(_listing))

    def add(self, folder: RunFolder) -> None:
        self.folders.append(folder)
        self.count += 1
        self._by_id.setdefault(folder.path.name.rpartition("-")[2], []).append(folder.path)

    def places(self, run_id: str) -> list[Path]:
        """The folders that are named after a run."""
        return self._by_id.get(run_id[:12], [])

    def find(self, run_id: str, beside: Path) -> dict[str, Any] | None:
        """The record of a run: from among these folders or, when only one folder is checked, from where it must lie
        on the disk (`beside` is that folder). None if there is none that is valid."""
        places = self.places(run_id) or self._on_disk(Path(os.path.abspath(beside)).parent.parent, run_id[:12])
        for place in places:
            record = self._record(place / FILE_NAME)
            if record is not None and record["run_id"] == run_id:
                return record
        return None

    def _on_disk(self, root: Path, short: str) -> list[Path]:
        folders = ((root / phase, name) for phase in PHASES for name in self._listing(str(root / phase)))
        return [folder / name for folder, name in folders if name.endswith(f"-{short}")]


def find_runs(paths: Iterable[str | os.PathLike[str]]) -> Runs:
    """The run folders at and below `paths`: folders with a record.json or a frozen config.json.

    Folders whose names begin with ``_`` or ``.`` are passed over, as :func:`results.collect.collect` does.
    """
    runs, seen = Runs(), set[Path]()
    for given in map(Path, paths):
        root = given.parent if given.name == FILE_NAME else given
        if root.name in ("", ".."):
            root = Path(os.path.abspath(root))  # the name of the folder must be there to be compared with the id
        if not root.is_dir():
            runs.foreign.append((str(given), "is no folder" if given.exists() else "there is no such folder"))
            continue
        known, empty = len(runs.foreign), True
        for path, names in _below(root, runs):
            empty = False
            if path.resolve() not in seen:
                seen.add(path.resolve())
                runs.add(RunFolder(path, frozenset(names)))
        if empty and len(runs.foreign) == known:
            runs.foreign.append((str(given), "there is no run folder in it (none with record.json or config.json)"))
    runs.folders.sort(key=lambda folder: str(folder.path))
    runs.foreign.sort()
    return runs


def _below(root: Path, runs: Runs) -> Iterator[tuple[Path, list[str]]]:
    def unlisted(error: OSError) -> None:
        runs.foreign.append((str(error.filename), f"cannot be listed: {error.strerror}"))

    for folder, inner, names in os.walk(root, onerror=unlisted):
        if _OURS & set(names):
            inner[:] = []
            yield Path(folder), names
            continue
        inner[:] = sorted(name for name in inner if not name.startswith(("_", ".")))
        path = Path(folder)
        if path.parent.name in PHASES and path != root:
            inner[:] = []
            held = ", ".join(sorted(os.listdir(folder))[:3]) or "nothing"
            runs.foreign.append((folder, f"is no run folder: no file record.json or config.json, only {held}"))


def _listing(folder: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(folder)))
    except OSError:
        return ()


def _record(path: Path) -> dict[str, Any] | None:
    try:
        return read_record(path)
    except (RecordError, UnicodeDecodeError):
        return None  # its own folder's check says why
