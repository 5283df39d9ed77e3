"""What a subset of a benchmark consists of: a list of videos with labels, hashed by content.

A :class:`Manifest` is made once, at `prepare`, from annotation files; training and testing read nothing else about a
benchmark. Its hash goes into every record, because most results that cannot be reproduced differ in their data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

FORMAT = 1
MAX_PROBLEMS = 20


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


EXTRAS = ("missing", "quarantine", "mirror", "origin")
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
    missing: list[str] = field(default_factory=list)
    """Ids of videos that the official lists name and that are not there."""
    quarantine: dict[str, str] = field(default_factory=dict)
    """Id -> why a video must not be used: never trained on, unreadable in tests (so counted, not replaced)."""
    mirror: list[list[int]] = field(default_factory=list)
    """Pairs of labels that a horizontal flip swaps."""
    origin: dict[str, Any] = field(default_factory=dict)
    """Where the entries come from: hashes of the annotation files, how the copy was encoded."""

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        problems = list(self._problems())
        if problems:
            raise ManifestError(listing_of(f"manifest of {self.benchmark} {self.subset}", problems))

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
            reason = bad_path(entry.path)
            if reason:
                yield f"video {entry.video_id!r}: path {entry.path!r} {reason}"
        yield from self._problems_of_extras(seen)

    def _problems_of_extras(self, seen: set[str]) -> Iterator[str]:
        count = len(self.classes)
        if lost := set(self.quarantine) - seen:
            yield f"quarantined videos that it does not list: {', '.join(sorted(lost)[:5])}"
        if both := seen.intersection(self.missing):
            yield f"videos both listed and missing: {', '.join(sorted(both)[:5])}"
        labels = [label for pair in self.mirror for label in pair]
        if any(len(pair) != 2 for pair in self.mirror) or len(set(labels)) != len(labels):
            yield f"mirror={self.mirror} must be pairs, with each label in at most one of them"
        if any(not 0 <= label < count for label in labels):
            yield f"mirror={self.mirror} must hold class indices within 0..{count - 1}"

    @property
    def listed(self) -> int:
        """Videos that the benchmark has in this subset, those that are missing here included."""
        return len(self.entries) + len(self.missing)

    def mirrored_label(self, label: int) -> int:
        """The label of the mirrored video."""
        return next((pair[1 - pair.index(label)] for pair in self.mirror if label in pair), label)

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
        bad = {entry.video_id for entry in kept} & self.quarantine.keys()
        # A part of the videos lacks none: what is missing is known of the whole list only. All of them are no part.
        missing = list(self.missing) if len(kept) == len(self.entries) else []
        return replace(self, entries=kept, quarantine={i: self.quarantine[i] for i in sorted(bad)}, missing=missing)

    def healthy(self) -> Manifest:
        """The same without the quarantined videos."""
        if not self.quarantine:
            return self
        return replace(self, entries=[e for e in self.entries if e.video_id not in self.quarantine], quarantine={})

    def content_hash(self) -> str:
        """sha256 (hex) over everything but the root: equal on every machine that has the same data."""
        text = json.dumps(self._plain(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _plain(self) -> dict[str, Any]:
        # What most benchmarks do not have is left out when empty, so that it changes no hash.
        extras = {name: value for name in EXTRAS if (value := getattr(self, name))}
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
            **extras,
        }

    def save(self, path: Path) -> None:
        """Writes JSON with its own hash, whole or not at all."""
        plain = {**self._plain(), "sha256": self.content_hash()}
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in plain.pop("entries"))
        head = json.dumps(plain, ensure_ascii=False, indent=1)[:-2]
        write_atomically(Path(path), f'{head},\n "entries": [\n{rows}\n]}}\n')

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
                **{key: plain[key] for key in EXTRAS if key in plain},
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
        for key in ("benchmark", "version", "classes", "groups", "mirror"):
            if getattr(self.train, key) != getattr(self.test, key):
                raise ManifestError(
                    f"the training and the test manifest differ in {key}; prepare both from the same annotations"
                )


def bad_path(path: str) -> str:
    """Why the text of a path is refused ('' = it is not)."""
    if not path or "\0" in path:
        return "is empty or holds a null character; give a path relative to the data root"
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or path.startswith("\\"):
        return "is absolute; give it relative to the data root"
    if ".." in PurePosixPath(path.replace("\\", "/")).parts:
        return "leaves the data root ('..'); give a path inside it"
    return ""


def listing_of(where: str, problems: list[str]) -> str:
    """One message from many problems; the first 20 are shown."""
    if len(problems) == 1:
        return problems[0] if problems[0].startswith(where) else f"{where}: {problems[0]}"
    shown = problems[:MAX_PROBLEMS]
    more = [f"... and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
    return "\n".join([f"{where}: {len(problems)} problems", *shown, *more])


def write_atomically(path: Path, text: str) -> None:
    """The whole text or nothing, on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # newline="": the csv module ends its lines itself
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
