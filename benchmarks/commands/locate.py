"""Where the listed videos lie: at the places of the known layouts, or anywhere under the root by their exact stem."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.commands.frames import SHARDS, packed_frames
from benchmarks.commands.layout import OURS, PrepareError
from benchmarks.official import ListedVideo, Official

VIDEO_SUFFIXES = (".mp4", ".avi", ".webm", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp")


@dataclass(frozen=True)
class Located:
    """What of the listed videos is there."""

    paths: dict[str, str] = field(default_factory=dict)
    """Id -> path relative to the root, POSIX. A folder for frames, which need not exist where X.shards holds it."""
    missing: list[str] = field(default_factory=list)
    """Ids, in the order of the list."""
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    """Id -> all its places, where several files have its stem; the first was taken."""


def locate(data: Official, root: Path, videos: Sequence[ListedVideo]) -> Located:
    """Finds every video of `videos` under `root`; reads no file but the indices of packed folders.

    A video that lies at one of its `places` is found there. For the others the tree is walked once, links to folders
    followed, and a file (a folder, for frames) whose stem is exactly the id is taken; of several the one nearest to
    the root.
    """
    root = Path(root)
    folders = _Folders(root)
    paths: dict[str, str] = {}
    lost: dict[str, None] = {}
    for video in videos:
        if video.video_id in paths:
            continue
        place = next((place for place in video.places if folders.holds(place, data.frame_folders)), None)
        if place is None:
            lost[video.video_id] = None
        else:
            paths[video.video_id] = place
    ambiguous: dict[str, list[str]] = {}
    if lost:
        candidates: dict[str, list[str]] = {}
        walk = _frame_folders(root, lost) if data.frame_folders else _video_files(root, lost)
        for video_id, path in walk:
            candidates.setdefault(video_id, []).append(path)
        for video_id, found in candidates.items():
            found.sort(key=lambda path: (path.count("/"), path))
            paths[video_id] = found[0]
            if len(found) > 1:
                ambiguous[video_id] = found
    missing = [video_id for video_id in lost if video_id not in paths]
    return Located(paths, missing, ambiguous)


class _Folders:
    """What lies in folders, each read once: a data set may have some hundred thousand places to look at."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, set[str]] = {}
        self._packed: dict[str, dict[str, int]] = {}

    def holds(self, place: str, frame_folder: bool) -> bool:
        parent, _, name = place.rpartition("/")
        if name in self._listing(parent):
            # a folder called like a video, or a file called like a frame folder, is something else
            return os.path.isdir(self._root / place) if frame_folder else True
        return frame_folder and name in self._index(parent)

    def _listing(self, parent: str) -> set[str]:
        if parent not in self._files:
            try:
                self._files[parent] = set(os.listdir(self._root / parent))
            except (FileNotFoundError, NotADirectoryError):
                self._files[parent] = set()
            except OSError as error:
                raise PrepareError(f"{self._root / parent} cannot be read ({error.strerror})") from error
        return self._files[parent]

    def _index(self, parent: str) -> dict[str, int]:
        if parent not in self._packed:
            self._packed[parent] = packed_frames(self._root / f"{parent}{SHARDS}") if parent else {}
        return self._packed[parent]


def _video_files(root: Path, wanted: dict[str, None]) -> Iterator[tuple[str, str]]:
    for folder, _, files in _walk(root):
        for name in files:
            stem, suffix = os.path.splitext(name)
            if stem in wanted and suffix.lower() in VIDEO_SUFFIXES:
                yield stem, f"{folder}{name}"


def _frame_folders(root: Path, wanted: dict[str, None]) -> Iterator[tuple[str, str]]:
    for folder, names, _ in _walk(root):
        for name in list(names):
            if name in wanted:
                yield name, f"{folder}{name}"
                names.remove(name)
            elif name.endswith(SHARDS):
                for video_id in packed_frames(root / folder / name):
                    # its folder may still be there too, and is then found by itself
                    place = f"{folder}{name.removesuffix(SHARDS)}/{video_id}"
                    if video_id in wanted and not (root / place).is_dir():
                        yield video_id, place
                names.remove(name)


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """(folder relative to the root, '' or ending in '/'; names of folders in it, which the caller may thin out; names
    of files), without our own and hidden folders, each real folder once."""
    seen: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True, onerror=_stop):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        relative = Path(folder).relative_to(root).as_posix()
        top = relative == "."
        names[:] = sorted(name for name in names if not name.startswith(".") and not (top and name in OURS))
        yield ("" if top else f"{relative}/"), names, files


def _stop(error: OSError) -> None:
    raise PrepareError(f"{error.filename} cannot be read ({error.strerror}); give yourself permission to") from error
