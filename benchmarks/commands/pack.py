"""Frame folders -> tar shards with an index: a handful of files in place of some millions, which file systems of
clusters count, limit and are slow with. The originals stay; only their owner deletes them."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.commands.frames import INDEX, SHARDS, frame_files
from benchmarks.commands.isolate import Lost, run_isolated
from benchmarks.commands.layout import PrepareError, cannot_write, check_room, check_root, locked, writing
from benchmarks.commands.locate import locate
from benchmarks.commands.prepare import listings_of
from benchmarks.commands.progress import Lines, Say, duration, quiet
from benchmarks.official import ListedVideo, Official
from hcml.data.container import VideoError

FORMAT = "1"
SHARD_SIZE = 2**30
TIME_LIMIT = 6 * 3600.0
"""Seconds for one shard."""
BLOCK = 512
"""Bytes of a tar header; a file takes a header and its bytes, filled up to whole blocks."""


@dataclass
class Packed:
    """What a run of `pack` did."""

    videos: int = 0
    """In the shards now."""
    packed_now: int = 0
    shards: int = 0
    frames: int = 0
    """In the shards now."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Id -> why it was not packed."""
    missing: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    """What was packed: each X beside its X.shards."""


@dataclass(frozen=True)
class _Shard:
    folder: Path
    """Of the frame folders (X)."""
    number: int
    ids: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.number:06d}.tar"

    @property
    def shards(self) -> Path:
        return self.folder.with_name(self.folder.name + SHARDS)


@dataclass(frozen=True)
class _Row:
    video_id: str
    frames: int
    places: bytes


def pack(
    data: Official,
    root: Path,
    *,
    shard_size: int = SHARD_SIZE,
    processes: int = 2,
    say: Say = quiet,
) -> Packed:
    """Packs all listed frame folders X/ID that are there into X.shards, about `shard_size` bytes a shard.

    A shard is written under another name, read back and compared with the frames, and only then entered into the
    index; a run that was interrupted goes on with the next shard. Raises :class:`PrepareError` and AnnotationError.
    """
    if not data.frame_folders:
        raise PrepareError(f"{data.name} consists of video files: only frame folders are packed")
    if shard_size < 1:
        raise PrepareError(f"--shard-size {shard_size} must be at least 1 byte")
    root = check_root(root)
    videos: dict[str, ListedVideo] = {}
    for listing in listings_of(data, root, (), say).values():
        videos.update({video.video_id: video for video in listing.videos})
    located = locate(data, root, list(videos.values()))
    if not located.paths:
        raise PrepareError(f"{root}: no frame folder of the {len(videos)} listed videos is there")
    outcome = Packed(missing=located.missing)
    by_folder: dict[Path, list[str]] = {}
    for path in located.paths.values():
        place = root / path
        by_folder.setdefault(place.parent, []).append(place.name)
    if root in by_folder:
        raise PrepareError(
            f"the frame folders lie in {root} itself: put them into a folder of their own there, so that the shards "
            "can lie beside it"
        )
    for folder, ids in sorted(by_folder.items()):
        _pack_folder(folder, sorted(ids), shard_size, processes, say, outcome)
        outcome.folders.append(folder)
    return outcome


def _pack_folder(folder: Path, ids: list[str], shard_size: int, processes: int, say: Say, outcome: Packed) -> None:
    shards = folder.with_name(folder.name + SHARDS)
    with writing(shards):
        shards.mkdir(exist_ok=True)
    with locked(shards / ".lock", say), _index(shards / INDEX) as index:
        _drop_leftovers(shards)
        packed = dict(index.execute("SELECT id, shard FROM videos"))
        todo = [video_id for video_id in ids if video_id not in packed and (folder / video_id).is_dir()]
        if len(todo) < len(ids):
            say(f"{len(ids) - len(todo)} of {len(ids)} videos of {folder.name} are packed already")
        first = 1 + max((int(name.partition(".")[0]) for name in packed.values()), default=-1)
        plan = list(_plan(folder, todo, first, shard_size, say, outcome))
        check_room(shards, sum(size for _, size in plan))
        lines = Lines(say, f"{folder.name}: wrote shard", len(plan))
        for shard, rows in run_isolated(_write, [shard for shard, _ in plan], processes=processes, limit=TIME_LIMIT):
            if isinstance(rows, Lost):
                raise PrepareError(f"{shard.shards / shard.name}: {rows.reason}; start the same command again")
            with writing(shards), _sqlite_errors(shards / INDEX), index:
                index.executemany(
                    "INSERT INTO videos VALUES (?, ?, ?, ?)",
                    [(row.video_id, shard.name, row.frames, row.places) for row in rows],
                )
            outcome.packed_now += len(rows)
            lines.step()
        videos, frames, names = index.execute(
            "SELECT COUNT(*), TOTAL(frames), COUNT(DISTINCT shard) FROM videos"
        ).fetchone()
        outcome.videos, outcome.frames = outcome.videos + videos, outcome.frames + int(frames)
        outcome.shards += names


@contextlib.contextmanager
def _index(path: Path) -> Iterator[sqlite3.Connection]:
    """The index, to be written: under another name, which becomes the index's own when all is in it. Readers take an
    index for a file that never changes."""
    partial = path.with_name(f"{path.name}.new")
    with writing(path):
        if path.exists() and not partial.exists():
            copy = path.with_name(f"{path.name}.copy")
            shutil.copyfile(path, copy)
            copy.replace(partial)
    with _sqlite_errors(path), contextlib.closing(sqlite3.connect(partial)) as connection:
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS videos (id TEXT PRIMARY KEY, shard TEXT, frames INTEGER, places BLOB)"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT)")
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
        found = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0]
        if found != FORMAT:
            raise PrepareError(f"{path} is of format {found}, not {FORMAT}; remove {path.parent} and pack again")
        yield connection
    with writing(path):
        partial.replace(path)


@contextlib.contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise PrepareError(
            f"{path} cannot be written ({error}): check the disk and the permissions, then start the same command again"
        ) from error


def _drop_leftovers(shards: Path) -> None:
    with writing(shards):
        for path in shards.iterdir():
            if path.suffix == ".partial":
                path.unlink()


def _plan(
    folder: Path, ids: Sequence[str], first: int, shard_size: int, say: Say, outcome: Packed
) -> Iterator[tuple[_Shard, int]]:
    """(shard, its bytes): videos in their order, a shard closed when it is full."""
    lines = Lines(say, f"{folder.name}: measured", len(ids))
    some: list[str] = []
    filled, number = 0, first
    # threads, because all the time goes by waiting for the file system
    with ThreadPoolExecutor(16) as pool:
        for video_id, size in zip(ids, pool.map(functools.partial(_size, folder), ids), strict=True):
            lines.step()
            if isinstance(size, str):
                outcome.unreadable[video_id] = size
                continue
            some.append(video_id)
            filled += size
            if filled >= shard_size:
                yield _Shard(folder, number, tuple(some)), filled
                some, filled, number = [], 0, number + 1
    if some:
        yield _Shard(folder, number, tuple(some)), filled


def _size(folder: Path, video_id: str) -> int | str:
    """Bytes that a video takes in a tar file, or why it cannot be packed."""
    try:
        sizes = [(folder / video_id / name).stat().st_size for name in frame_files(folder / video_id)]
    except VideoError as error:
        return str(error)
    except OSError as error:
        return f"{folder / video_id}: cannot be read ({error.strerror})"
    if 0 in sizes:
        return f"{folder / video_id}: frame {sizes.index(0) + 1:05d}.jpg is empty; unpack it again"
    return sum(BLOCK + -(-size // BLOCK) * BLOCK for size in sizes)


def _write(shard: _Shard) -> list[_Row]:
    """Writes one shard and reads it back; runs in a process of its own. Raises :class:`PrepareError`."""
    target = shard.shards / shard.name
    partial = target.with_name(f"{shard.name}.{os.getpid()}.partial")
    sums: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
            for video_id in shard.ids:
                for number, name in enumerate(frame_files(shard.folder / video_id), 1):
                    content = _read(shard.folder / video_id / name)
                    member = tarfile.TarInfo(f"{video_id}/{number:05d}.jpg")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                    sums[member.name] = (len(content), zlib.crc32(content))
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())  # the index must never know of a shard that a power cut takes away
        rows = _read_back(partial, shard.ids, sums)
        partial.replace(target)
    except VideoError as error:
        raise PrepareError(f"{error} (it changed while it was packed); start the same command again") from error
    except OSError as error:
        raise cannot_write(target, error) from error
    return rows


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VideoError(path, f"cannot be read ({error.strerror})") from error


def _read_back(partial: Path, ids: Sequence[str], sums: dict[str, tuple[int, int]]) -> list[_Row]:
    """Rows for the index, from what is in the file now. Raises :class:`PrepareError` if that is not what went in."""
    places: dict[str, list[tuple[int, int]]] = {video_id: [] for video_id in ids}
    found = 0
    with tarfile.open(partial, "r:") as archive, partial.open("rb") as stream:
        for member in archive:
            stream.seek(member.offset_data)
            content = stream.read(member.size)
            if sums.get(member.name) != (len(content), zlib.crc32(content)):
                raise PrepareError(f"{partial}: {member.name} reads back differently; check the disk, then pack again")
            places[member.name.partition("/")[0]].append((member.offset_data, member.size))
            found += 1
    if found != len(sums):
        raise PrepareError(f"{partial}: {found} of {len(sums)} frames read back; check the disk, then pack again")
    return [_Row(video_id, len(spots), np.array(spots, dtype="<u8").tobytes()) for video_id, spots in places.items()]


def describe(outcome: Packed, seconds: float) -> list[str]:
    """What a run did, in lines; inodes before and after among them."""
    before = outcome.videos + outcome.frames
    after = outcome.shards + len(outcome.folders)
    lines = [
        f"packed {outcome.packed_now} videos ({duration(seconds)}); the shards hold {outcome.videos} videos, "
        f"{outcome.frames} frames: {before} files and folders become {after} files",
    ]
    lines += [f"{len(outcome.unreadable)} videos could not be packed:"] if outcome.unreadable else []
    lines += [f"  {reason}" for reason in list(outcome.unreadable.values())[:20]]
    if not outcome.unreadable:
        lines += [
            f"every frame was read back; {folder} is not needed any more, and deleting it is yours to do"
            for folder in outcome.folders
        ]
    return lines
