"""What a subset of a benchmark consists of: a list of videos with labels, hashed by content.

A :class:`Manifest` is made once, at `prepare`, from annotation files; training and testing read nothing else about a
benchmark. Its hash goes into every record, because most results that cannot be reproduced differ in their data.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

FORMAT = 1
REQUIRED_COLUMNS = ("video_id", "path", "class", "num_frames", "fps")
MAX_PROBLEMS = 20

Number = TypeVar("Number", int, float)


class ManifestError(ValueError):
    """A manifest or an annotation file that cannot be used; the message says where, why and what to do."""


@dataclass(frozen=True)
class VideoEntry:
    """One video of a benchmark.

    `path` is relative to the manifest's root, with forward slashes; `label` indexes the manifest's classes;
    `num_frames` is the number of decodable frames; `fps` is in frames per second; `group` (such as a tier) may be ''.
    """

    video_id: str
    path: str
    label: int
    num_frames: int
    fps: float
    group: str = ""


_COLUMNS = tuple(f.name for f in fields(VideoEntry))


@dataclass
class Manifest:
    """The videos of one subset ('train' or 'test') of one split of a benchmark.

    `groups` maps a group's name to the indices of its classes ({} if the benchmark has none). Raises
    :class:`ManifestError` on labels, groups, ids or paths that contradict each other.
    """

    benchmark: str
    version: str
    split: str
    subset: str
    root: Path
    classes: list[str]
    groups: dict[str, list[int]] = field(default_factory=dict)
    entries: list[VideoEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        problems = list(self._problems())
        if problems:
            raise ManifestError(_listing(f"manifest of {self.benchmark} {self.subset}", problems))

    def _problems(self) -> Iterator[str]:
        if self.subset not in ("train", "test"):
            yield f"subset={self.subset!r} must be 'train' or 'test'"
        count = len(self.classes)
        if len(set(self.classes)) != count:
            yield "a class name occurs twice"
        for name, members in self.groups.items():
            if not members or any(not 0 <= label < count for label in members):
                yield f"group {name!r} must list class indices within 0..{count - 1}, not {members}"
        seen: set[str] = set()
        for entry in self.entries:
            if entry.video_id in seen:
                yield f"video id {entry.video_id!r} occurs twice"
            seen.add(entry.video_id)
            if not 0 <= entry.label < count:
                yield f"video {entry.video_id!r}: label {entry.label} is not within 0..{count - 1}"
            if entry.group and self.groups and entry.label not in self.groups.get(entry.group, ()):
                yield f"video {entry.video_id!r}: class {entry.label} is not one of group {entry.group!r}"
            reason = _bad_path(entry.path)
            if reason:
                yield f"video {entry.video_id!r}: path {entry.path!r} {reason}"

    @property
    def group_names(self) -> list[str]:
        """Sorted names; a batch's `group` numbers index this list (-1 = no group)."""
        return sorted(self.groups)

    def video_path(self, entry: VideoEntry) -> Path:
        """Where `entry` lies on this machine."""
        return self.root / entry.path

    def subset_per_class(self, count: int) -> Manifest:
        """The first `count` entries of each class, in the manifest's order; 0 = all of them."""
        if count < 0:
            raise ManifestError(f"videos per class must be at least 0 (0 = all), not {count}")
        if count == 0:
            return replace(self, entries=list(self.entries))
        taken: dict[int, int] = {}
        kept = []
        for entry in self.entries:
            taken[entry.label] = taken.get(entry.label, 0) + 1
            if taken[entry.label] <= count:
                kept.append(entry)
        return replace(self, entries=kept)

    def content_hash(self) -> str:
        """sha256 (hex) over everything but the root: equal on every machine that has the same data."""
        text = json.dumps(self._plain(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "benchmark": self.benchmark,
            "version": self.version,
            "split": self.split,
            "subset": self.subset,
            "classes": list(self.classes),
            "groups": {name: list(members) for name, members in self.groups.items()},
            "columns": list(_COLUMNS),
            "entries": [
                [e.video_id, e.path, int(e.label), int(e.num_frames), float(e.fps), e.group] for e in self.entries
            ],
        }

    def save(self, path: Path) -> None:
        """Writes JSON with its own hash, whole or not at all."""
        plain = {**self._plain(), "sha256": self.content_hash()}
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in plain.pop("entries"))
        head = json.dumps(plain, ensure_ascii=False, indent=1)[:-2]
        _write_atomically(Path(path), f'{head},\n "entries": [\n{rows}\n]}}\n')

    @classmethod
    def load(cls, path: Path, root: Path) -> Manifest:
        """Reads what :meth:`save` wrote; `root` is the folder that the entries' paths start from.

        Raises :class:`ManifestError` if the file is missing, damaged, of another format or edited by hand.
        """
        again = "run the benchmark's prepare step (again)"
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ManifestError(f"{path}: there is no manifest; {again}") from error
        except (OSError, ValueError) as error:
            raise ManifestError(f"{path}: not a readable manifest ({error}); {again}") from error
        if not isinstance(plain, dict) or plain.get("format") != FORMAT or plain.get("columns") != list(_COLUMNS):
            raise ManifestError(f"{path}: not a manifest of format {FORMAT}; {again}")
        try:
            manifest = cls(
                **{key: plain[key] for key in ("benchmark", "version", "split", "subset", "classes", "groups")},
                root=Path(root),
                entries=[VideoEntry(*row) for row in plain["entries"]],
            )
        except (KeyError, TypeError) as error:
            raise ManifestError(f"{path}: incomplete manifest ({error}); {again}") from error
        if manifest.content_hash() != plain.get("sha256"):
            raise ManifestError(f"{path}: its content does not have the hash written in it, so it was edited; {again}")
        return manifest


@dataclass
class Data:
    """Both subsets of one split of a benchmark."""

    train: Manifest
    test: Manifest

    def __post_init__(self) -> None:
        for key in ("benchmark", "version", "classes", "groups"):
            if getattr(self.train, key) != getattr(self.test, key):
                raise ManifestError(
                    f"the training and the test manifest differ in {key}; prepare both from the same annotations"
                )


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
        raise ManifestError(_listing(str(csv_path), problems))
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
    reason = _bad_path(cell["path"]) or inside.refusal(cell["path"])
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


def _bad_path(path: str) -> str:
    """Why the text of a path is refused ('' = it is not)."""
    if not path or "\0" in path:
        return "is empty or holds a null character; give a path relative to the data root"
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or path.startswith("\\"):
        return "is absolute; give it relative to the data root"
    if ".." in PurePosixPath(path.replace("\\", "/")).parts:
        return "leaves the data root ('..'); give a path inside it"
    return ""


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


def _listing(where: str, problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0] if problems[0].startswith(where) else f"{where}: {problems[0]}"
    shown = problems[:MAX_PROBLEMS]
    more = [f"... and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
    return "\n".join([f"{where}: {len(problems)} problems", *shown, *more])


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
