"""Videos that are folders of JPEGs, `00001.jpg` upwards, lying there or packed into tar files.

A folder `X/ID` that is not there is looked for in `X.shards/index.sqlite`, so a manifest is the same for both. Its
table `videos(id, shard, frames, places)` has for each video its tar file and, as little-endian uint64 pairs, where in
it each frame's bytes start and how many there are; `meta` holds format = 1. Reading is two system calls a frame.

What is checked: the numbering has no gap, files are not empty, JPEGs are whole and of one size, and what a shard holds
at a frame's place is that frame. A flipped byte inside a JPEG mostly decodes, without an error, to a damaged picture.
"""

from __future__ import annotations

import io
import os
import re
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hcml.data.container import VideoError, one_line
from hcml.data.sequential import Frames, Indices, checked, stacked

INDEX_FORMAT = "1"
TAR_BLOCK = 512
_NUMBERED = re.compile(r"([0-9]+)\.jpe?g", re.IGNORECASE)
_AGAIN = "extract its frames again"


class FramesReader:
    """A folder of JPEGs or a packed one. `len` is the number of frames; every failure names the frame."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._source: _Source = _folder(Path(path)) if _is_folder(self._path) else _packed(Path(path))

    def __len__(self) -> int:
        return len(self._source)

    def get(self, indices: Indices) -> Frames:
        wanted = checked(self._path, indices, len(self._source))
        images = {number: self._image(number) for number in sorted(set(wanted))}
        first = images[wanted[0]]
        for number, image in images.items():
            if image.shape != first.shape:
                (height, width), (other, wide) = image.shape[:2], first.shape[:2]
                raise VideoError(
                    self._path,
                    f"frame {self._source.name(number)} is {width}x{height}, but {self._source.name(wanted[0])} is "
                    f"{wide}x{other}; {_AGAIN} at one size",
                )
        return stacked(self._path, [images[number] for number in wanted])

    def close(self) -> None:
        self._source.close()

    def _image(self, number: int) -> NDArray[np.uint8]:
        from PIL import Image, UnidentifiedImageError

        what = f"frame {self._source.name(number)}"
        try:
            data = self._source.read(number)
            if not data:
                raise VideoError(self._path, f"{what} is empty (0 bytes); {_AGAIN}")
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                return np.asarray(image.convert("RGB"))
        # PIL raises all of these for damaged files, SyntaxError included.
        except (OSError, ValueError, SyntaxError, IndexError, Image.DecompressionBombError) as error:
            reason = "is not a JPEG" if isinstance(error, UnidentifiedImageError) else one_line(error)
            raise VideoError(self._path, f"{what} cannot be decoded ({reason}); {_AGAIN}") from error


class _Source(Protocol):
    """The encoded frames of one video, counted from 0."""

    def __len__(self) -> int: ...
    def name(self, number: int) -> str: ...
    def read(self, number: int) -> bytes: ...
    def close(self) -> None: ...


@dataclass
class _Folder:
    path: Path
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, number: int) -> str:
        return self.names[number]

    def read(self, number: int) -> bytes:
        return (self.path / self.names[number]).read_bytes()

    def close(self) -> None:
        """Nothing stays open."""


@dataclass
class _Shard:
    path: Path
    video_id: str
    places: NDArray[np.uint64]
    """[frames, 2]: start and size in bytes."""
    file: int

    def __len__(self) -> int:
        return len(self.places)

    def name(self, number: int) -> str:
        return f"{number + 1:05d}.jpg"

    def read(self, number: int) -> bytes:
        start, size = (int(value) for value in self.places[number])
        if start + size > os.fstat(self.file).st_size:  # also where a damaged index names a size to fill the memory
            raise OSError(f"{self.path} is truncated: it ends before byte {start + size}")
        member = f"{self.video_id}/{self.name(number)}".encode()
        # The tar header in front of the data names the frame; long names and others than ASCII are stored elsewhere.
        header = os.pread(self.file, TAR_BLOCK, max(start - TAR_BLOCK, 0))
        if len(member) <= 100 and member.isascii() and header[:100].rstrip(b"\0") != member:
            raise OSError(f"{self.path} holds something else there: index and shard do not belong together")
        return os.pread(self.file, size, start)

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def _is_folder(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise VideoError(path, f"cannot be opened ({error.strerror})") from error
    if not stat.S_ISDIR(mode):
        raise VideoError(path, "is a file, and benchmark.decoder=frames reads folders of JPEGs; set decord or pyav")
    return True


def _folder(path: Path) -> _Folder:
    try:
        names = sorted(name for name in os.listdir(path) if _NUMBERED.fullmatch(name))
    except OSError as error:
        raise VideoError(path, f"cannot be listed ({error.strerror})") from error
    found = {int(name.partition(".")[0]): name for name in names}
    if len(found) < len(names) or 0 in found:
        wrong = "starts at 0, not at 1" if 0 in found else "has two files for one frame"
        raise VideoError(path, f"the numbering of its frames {wrong} ({names[0]} ... {names[-1]}); {_AGAIN}")
    if not found:
        raise VideoError(path, f"holds no frames (00001.jpg, 00002.jpg, ...); {_AGAIN}")
    lost = next((number for number in range(1, len(found) + 1) if number not in found), None)
    if lost is not None:
        raise VideoError(path, f"frame {lost:05d}.jpg is missing, but there is {found[max(found)]}; {_AGAIN}")
    return _Folder(path, [found[number] for number in range(1, len(found) + 1)])


# One connection for each index and process: SQLite forbids the use of one across a fork, so a child opens its own.
_connections: dict[tuple[int, str], sqlite3.Connection] = {}


def _packed(path: Path) -> _Shard:
    folder = path.absolute().parent
    shards = folder.with_name(folder.name + ".shards")
    index = shards / "index.sqlite"
    if not index.is_file():
        raise VideoError(
            path, f"there is neither such a folder nor {index}; check the data root, or prepare the benchmark again"
        )
    try:
        row = _connection(index).execute("SELECT shard, frames, places FROM videos WHERE id = ?", (path.name,))
        found = row.fetchone()
    # A damaged index also gives texts that are none (UnicodeDecodeError).
    except (sqlite3.Error, ValueError) as error:
        raise VideoError(path, f"{index} cannot be read ({one_line(error)}); pack the frames again") from error
    if found is None:
        raise VideoError(path, f"{index} does not list it; pack the frames again")
    shard, frames, places = found
    if not (isinstance(shard, str) and isinstance(frames, int) and isinstance(places, bytes)):
        raise VideoError(path, f"{index} has a damaged row for it; pack the frames again")
    if frames < 1 or len(places) != 16 * frames:
        raise VideoError(path, f"{index} has {len(places)} bytes of places for {frames} frames; pack them again")
    try:
        file = os.open(shards / shard, os.O_RDONLY)
    except (OSError, ValueError) as error:
        raise VideoError(path, f"its shard {str(shards / shard)!r} cannot be opened ({one_line(error)})") from error
    table = np.frombuffer(places, dtype="<u8").reshape(-1, 2)
    return _Shard(shards / shard, path.name, table, file)


def _connection(index: Path) -> sqlite3.Connection:
    key = (os.getpid(), str(index.absolute()))
    if key not in _connections:
        # Immutable: no locks, which network file systems often do not have. Packing writes a new file.
        connection = sqlite3.connect(f"{index.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        if str(meta.get("format")) != INDEX_FORMAT:
            connection.close()
            raise sqlite3.DatabaseError(f"it has format {meta.get('format')}, not {INDEX_FORMAT}")
        _connections[key] = connection
    return _connections[key]
