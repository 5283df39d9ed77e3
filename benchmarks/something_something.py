"""Something-Something V1 (folders of JPEG files) and V2 (WebM): hands doing something to something.

Three pairs of classes differ in left and right alone, so a plain mirror image is a wrong example of its class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lists import Lists, Once, agree_on_classes, folders_in, joined, refuse
from benchmarks.official import AnnotationError, ListedVideo, Listing, Official

ANNOTATION_FOLDERS = ("", "annotations", "labels", "label")
SUBSETS = (("train", "train"), ("test", "validation"))
"""Subset -> the word in the name of its file."""

_SIDES = re.compile(r"\b(left|right)\b")


def mirror_name(name: str) -> str:
    """The name with the words left and right swapped (upright is another word)."""
    return _SIDES.sub(lambda word: "right" if word[0] == "left" else "left", name)


def mirrored_pairs(classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of classes that a mirror swaps, by their names, sorted.

    A class whose swapped name is no class stays what it is under a label-mapped flip. There is one: "Plugging
    something into something but pulling it right out as you remove your hand", where right is not a side.
    """
    known = set(classes)
    return tuple(
        (name, other)
        for name in sorted(known)
        if (other := mirror_name(name)) != name and other in known and name < other
    )


@dataclass(frozen=True)
class SomethingSomething(Official):
    """What the readers of V1 and V2 share."""

    version: int = 2

    def _find(self, lists: Lists, what: str) -> Path:
        """The file of the labels, of the training or of the validation list, with or without its prefix."""
        ending = "csv" if self.version == 1 else "json"
        prefix = f"something-something-v{self.version}-"
        return lists.find(ANNOTATION_FOLDERS, (f"{prefix}{what}.{ending}", f"{what}.{ending}"))

    def _collect(
        self, lists: Lists, path: Path, rows: list[tuple[str, str, str]], subset: str, once: Once
    ) -> list[Any]:
        """Videos from rows of (place in the file, id, class name). Raises AnnotationError."""
        labels = {name: label for label, name in enumerate(self.classes())}
        named = (f"20bn-something-something-v{self.version}", "rawframes" if self.version == 1 else "videos")
        folders = folders_in(lists.root, named)
        ending = "" if self.version == 1 else ".webm"
        problems, videos = [], []
        for place, video_id, name in rows:
            try:
                if not (video_id.isascii() and video_id.isdecimal()):
                    raise ValueError(f"{video_id!r} is no id of a video (a number); fetch the official file again")
                if not name:
                    raise ValueError(
                        f"video {video_id} has no class: this is a test list, whose labels were never handed out; "
                        "put the training or validation list in its place"
                    )
                if name not in labels:
                    raise ValueError(f"unknown class {name!r} of video {video_id}; fetch the official file again")
                once.check(video_id, place)
                places = tuple(joined(folder, video_id + ending) for folder in folders)
                videos.append(ListedVideo(video_id, labels[name], subset, places))
            except ValueError as error:
                problems.append(f"{place}: {error}")
        refuse(path, problems)
        return videos


@dataclass(frozen=True)
class SomethingV1(SomethingSomething):
    """labels.csv: a class a line; train.csv, validation.csv: `id;class`, no header."""

    def listing(self, root: Path, split: str) -> Listing:
        self.check_split(split)
        lists, once, classes = Lists(root, self.title), Once(), self.classes()
        path = self._find(lists, "labels")
        agree_on_classes(path, [line.strip('"') for _, line in lists.lines(path)], classes)
        videos = []
        for subset, what in SUBSETS:
            path = self._find(lists, what)
            rows = []
            for number, line in lists.lines(path):
                video_id, _, name = line.partition(";")
                rows.append((f"{path}:{number}", video_id.strip().strip('"'), name.strip().strip('"')))
            videos += self._collect(lists, path, rows, subset, once)
        return lists.listing(classes, videos)


@dataclass(frozen=True)
class SomethingV2(SomethingSomething):
    """labels.json: class -> number as text; train.json, validation.json: objects with id and template, in which
    square brackets mark the things."""

    def listing(self, root: Path, split: str) -> Listing:
        self.check_split(split)
        lists, once, classes = Lists(root, self.title), Once(), self.classes()
        path = self._find(lists, "labels")
        agree_on_classes(path, _numbered(path, _json(lists, path, dict)), classes)
        videos = []
        for subset, what in SUBSETS:
            path = self._find(lists, what)
            rows = []
            for number, item in enumerate(_json(lists, path, list), 1):
                plain = item if isinstance(item, dict) else {}
                name = str(plain.get("template", "")).replace("[", "").replace("]", "").strip()
                # the reader of JSON does not tell lines
                rows.append((f"{path}: entry {number}", str(plain.get("id", "")), name))
            videos += self._collect(lists, path, rows, subset, once)
        return lists.listing(classes, videos)


def _json(lists: Lists, path: Path, kind: type) -> Any:
    try:
        plain = json.loads(lists.text(path))
    except ValueError as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(f"{path}: not JSON ({error}); fetch the official file again") from error
    if not isinstance(plain, kind):
        what = "an object (class -> number)" if kind is dict else "a list (of objects with id and template)"
        raise AnnotationError(f"{path}: holds {type(plain).__name__}, not {what}; fetch the official file again")
    return plain


def _numbered(path: Path, labels: dict[str, Any]) -> list[str]:
    """Classes in the order of their numbers, which must be 0, 1, 2, ..."""
    numbers = {}
    for name, number in labels.items():
        if not str(number).isdecimal():
            raise AnnotationError(f"{path}: class {name!r} has number {number!r}; fetch the official file again")
        numbers[name] = int(number)
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise AnnotationError(
            f"{path}: the classes' numbers are not 0 to {len(numbers) - 1}, each once; fetch the official file again"
        )
    return sorted(numbers, key=lambda name: numbers[name])


def _benchmark(kind: type[SomethingSomething], version: int, train: int, test: int) -> SomethingSomething:
    """A data set whose pairs come from its own class list."""
    name = f"sthv{version}"
    bare = kind(name=name, title="", splits=("val",), copies=("original",))
    return kind(
        name=name,
        title=f"Something-Something V{version}",
        splits=("val",),
        copies=("original",),
        sizes={"val": {"train": train, "test": test}},
        mirrored=mirrored_pairs(bare.classes()),
        directed=True,
        frame_folders=version == 1,
        version=version,
    )


V1 = _benchmark(SomethingV1, 1, train=86017, test=11522)
V2 = _benchmark(SomethingV2, 2, train=168913, test=24777)
