"""Videos from a CSV file of ours: the embedded benchmark's, and lists of one's own."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hcml.data.manifest import ManifestError, VideoEntry, bad_path, listing_of

REQUIRED_COLUMNS = ("video_id", "path", "class", "num_frames", "fps")

Number = TypeVar("Number", int, float)


def read_annotations(csv_path: Path, root: Path, classes: Sequence[str]) -> list[VideoEntry]:
    """Reads a CSV file (UTF-8) with the header `video_id,path,class,num_frames,fps[,group]`.

    A video that is missing on disk is no error here: the reader reports it, by name, where it matters.
    Raises :class:`ManifestError` naming file, line and remedy for every bad line (the first 20 of them).
    """
    csv_path, entries, problems = Path(csv_path), [], []
    labels = {name: label for label, name in enumerate(classes)}
    inside = _Inside(Path(root))
    lines: dict[str, int] = {}
    try:
        with csv_path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream, strict=True)
            header = next(rows, [])
            if tuple(header) not in (REQUIRED_COLUMNS, (*REQUIRED_COLUMNS, "group")):
                raise ManifestError(
                    f"{csv_path}:1: the header is {','.join(header)!r}; it must be "
                    f"{','.join(REQUIRED_COLUMNS)!r}, optionally followed by ',group'"
                )
            for row in rows:
                if not row:
                    continue
                try:
                    entry = _entry(row, header, labels, inside)
                    if entry.video_id in lines:
                        first = lines[entry.video_id]
                        raise ValueError(f"video id {entry.video_id!r} is already on line {first}; remove one of them")
                    lines[entry.video_id] = rows.line_num
                    entries.append(entry)
                except ValueError as error:
                    problems.append(f"{csv_path}:{rows.line_num}: {error}")
    except FileNotFoundError as error:
        raise ManifestError(f"{csv_path}: there is no such annotation file; check the data folder") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{csv_path}: not a readable CSV file in UTF-8 ({error}); write it again") from error
    if problems:
        raise ManifestError(listing_of(str(csv_path), problems))
    return entries


def _entry(row: list[str], header: list[str], labels: dict[str, int], inside: _Inside) -> VideoEntry:
    if len(row) != len(header):
        few = len(row) < len(header)
        hint = "complete or remove the line" if few else "put fields that contain a comma in double quotes"
        raise ValueError(f"too {'few' if few else 'many'} fields: {len(row)} in place of {len(header)}; {hint}")
    cell = {name: text.strip() for name, text in zip(header, row, strict=True)}
    if not cell["video_id"]:
        raise ValueError("the video id is empty; every video needs one of its own")
    if cell["class"] not in labels:
        known = ", ".join(list(labels)[:8]) + (", ..." if len(labels) > 8 else "")
        raise ValueError(f"unknown class {cell['class']!r}; the {len(labels)} classes are {known}")
    reason = bad_path(cell["path"]) or inside.refusal(cell["path"])
    if reason:
        raise ValueError(f"path {cell['path']!r} {reason}")
    return VideoEntry(
        video_id=cell["video_id"],
        path=cell["path"],
        label=labels[cell["class"]],
        num_frames=_positive("num_frames", cell["num_frames"], int),
        fps=_positive("fps", cell["fps"], float),
        group=cell.get("group", ""),
    )


def _positive(name: str, text: str, kind: Callable[[str], Number]) -> Number:
    what = "whole number" if kind is int else "number"
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"{name}={text!r} is not a {what}; correct it") from None
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={text!r} must be a {what} above 0; correct it")
    return value


class _Inside:
    """Whether links lead a path out of the root; folders are resolved once (a benchmark has few, and many files)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._folders: dict[str, str] = {}

    def refusal(self, path: str) -> str:
        folder, name = os.path.split(os.path.join(self._root, path))
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        real = os.path.join(self._folders[folder], name)
        if os.path.islink(real):
            real = os.path.realpath(real)
        if os.path.commonpath([real, self._real_root]) == self._real_root:
            return ""
        return "leads out of the data root by a symbolic link; move the video inside, or name the root it lies in"
