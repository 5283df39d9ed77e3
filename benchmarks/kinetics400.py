"""Kinetics-400: ten-second clips of YouTube videos, a CSV file for each split, and no two copies that agree.

Many of the listed clips are no longer to be had, so a missing file is no error; what is missing stays in the manifest.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lists import Lists, Once, joined, refuse
from benchmarks.official import ListedVideo, Listing, Official

COLUMNS = ("label", "youtube_id", "time_start", "time_end")
ANNOTATION_FOLDERS = ("", "annotations")
FILES = {
    "train": ("train.csv", "kinetics_train.csv", "kinetics400_train.csv"),
    "val": ("val.csv", "validate.csv", "kinetics_val.csv", "kinetics400_val.csv", "kinetics_validate.csv"),
    "test": ("test.csv", "kinetics_test.csv", "kinetics400_test.csv"),
}
"""List -> names that its file has: as handed out, as CVDF hosts it, as mmaction2 renames it."""
FOLDERS = {
    "train": ("train", "videos/train", "videos_train", "videos/train_split", "train_split"),
    "val": ("val", "videos/val", "videos_val", "videos/val_split", "val_split", "validate", "validation"),
    "test": ("test", "videos/test", "videos_test", "videos/test_split", "test_split"),
}
"""List -> folders of its videos: torchvision's, mmaction2's, and DPC's first."""
EXTENSIONS = (".mp4", ".mkv", ".webm")

_ID = re.compile(r"[A-Za-z0-9_-]+")
_WHOLE = re.compile(r"(\d{1,6})(?:\.0+)?")


@dataclass(frozen=True)
class Kinetics(Official):
    """The reader of Kinetics' CSV files. `test` needs a test list with labels: the first one handed out had none."""

    def listing(self, root: Path, split: str) -> Listing:
        self.check_split(split)
        lists, once, classes = Lists(root, self.title), Once(), self.classes()
        labels = {form: label for label, name in enumerate(classes) for form in (name, *folder_names(name))}
        videos: list[ListedVideo] = []
        for subset, which in (("train", "train"), ("test", split)):
            path = lists.find(ANNOTATION_FOLDERS, FILES[which])
            tree = _Tree(lists.root, FOLDERS[which], classes)
            problems: list[str] = []
            for line, row in _rows(path, lists.text(path), which):
                place = f"{path}:{line}"
                try:
                    video_id, label = _clip(row, labels)
                    once.check(video_id, place)
                    videos.append(ListedVideo(video_id, label, subset, tree.places(video_id, label)))
                except ValueError as error:
                    problems.append(f"{place}: {error}")
            refuse(path, problems)
        return lists.listing(classes, videos)

    def source_of(self, video_id: str) -> str:
        """The YouTube video: what is before the two times."""
        return video_id[:-14] if re.fullmatch(r".+_\d{6}_\d{6}", video_id) else video_id


def folder_names(name: str) -> list[str]:
    """The names that folders of a class have, torchvision's first: it joins words by _ and drops ' ( ), mmaction2
    joins them by _ alone; and both ways with spaces."""
    bare = re.sub(r"['()]", "", name)
    return list(dict.fromkeys((bare.replace(" ", "_"), name.replace(" ", "_"), name, bare)))


def _rows(path: Path, text: str, which: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, column -> cell) of each row. Raises AnnotationError."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        if which == "test" and "youtube_id" in header and "label" not in header:
            refuse(
                path,
                [
                    f"{path}:1: this test list has no labels (columns {', '.join(header)}), so nothing can be tested "
                    "on it; get the test.csv with a column label, or use benchmark.split=val"
                ],
            )
        if lacking := [name for name in COLUMNS if name not in header]:
            refuse(
                path,
                [
                    f"{path}:1: no column {', '.join(lacking)} in the header {','.join(header)!r}; the official file "
                    f"begins with {','.join(COLUMNS)}; lists of paths of other projects cannot be used"
                ],
            )
        for row in rows:
            if row:
                cells = [cell.strip() for cell in row]
                yield rows.line_num, dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=False))
    except csv.Error as error:
        refuse(path, [f"{path}:{rows.line_num}: not CSV ({error}); fetch the official file again"])


def _clip(row: dict[str, str], labels: dict[str, int]) -> tuple[str, int]:
    """Id and label of a row; ValueError says what is wrong with it."""
    name, youtube_id = row["label"], row["youtube_id"]
    if name not in labels:
        hint = "the line has no label" if not name else "only the 400 classes of Kinetics-400 are known"
        raise ValueError(f"unknown class {name!r}: {hint}; fetch the official Kinetics-400 list")
    if not _ID.fullmatch(youtube_id):
        raise ValueError(
            f"youtube_id={youtube_id!r} is no id of a video (letters, digits, - and _); spread sheets damage ids that "
            "begin with -, so fetch the official file again"
        )
    start, end = (_WHOLE.fullmatch(row[key]) for key in ("time_start", "time_end"))
    if start is None or end is None:
        raise ValueError(
            f"times {row['time_start']!r} to {row['time_end']!r} must be whole seconds; fetch the official file again"
        )
    return f"{youtube_id}_{int(start[1]):06}_{int(end[1]):06}", labels[name]


class _Tree:
    """Which folders of classes there are. Every layout for every clip would be 60 paths for each of 260,000 clips, so
    only those whose folder exists are given, or the official one where none does."""

    def __init__(self, root: Path, folders: tuple[str, ...], classes: list[str]) -> None:
        inside = {base: _folders_of(root / base) for base in folders}
        bases = [base for base in folders if inside[base] is not None]
        self._parents: list[tuple[str, ...]] = []
        for name in classes:
            forms = folder_names(name)
            there = [f"{base}/{form}" for base in bases for form in forms if form in (inside[base] or ())]
            # without folders of classes, the clips lie in the folder of the list
            self._parents.append(tuple(there or bases or [f"{folders[0]}/{forms[0]}"]))

    def places(self, video_id: str, label: int) -> tuple[str, ...]:
        parents = self._parents[label]
        return tuple(joined(parent, video_id + extension) for parent in parents for extension in EXTENSIONS)


def _folders_of(folder: Path) -> set[str] | None:
    """Names of the folders in a folder; None if it is not there."""
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_dir()}


BENCHMARK = Kinetics(
    name="kinetics400",
    title="Kinetics-400",
    splits=("val", "test"),
    copies=("original", "short256", "340x256"),
    # video-nonlocal-net, TPN, mmaction2 (train); those three, UniFormer and CT-Net twice (val)
    known_sizes={"train": (246535, 234643, 240403, 240436), "test": (19761, 19769, 19796, 19787, 19760, 19754)},
)
