"""Frame folders as handed out (`00001.jpg`, `00002.jpg`, ... without a gap), and as `pack` packs them.

For a folder X/ID that is not there, X.shards/index.sqlite says where its frames lie in X.shards/*.tar:
table videos(id, shard, frames, places), with `places` the (offset, size) of each frame as little-endian uint64.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from benchmarks.commands.layout import PrepareError
from hcml.data.container import VideoError

SHARDS = ".shards"
"""X.shards holds the packed frame folders of X."""
INDEX = "index.sqlite"
_FRAME = re.compile(r"([0-9]+)\.jpe?g", re.IGNORECASE)


def frame_files(folder: Path) -> list[str]:
    """Names of a folder's frames in their order. Raises :class:`VideoError`: no folder, no frames, or a gap."""
    try:
        numbers = {int(match[1]): name for name in os.listdir(folder) if (match := _FRAME.fullmatch(name))}
    except OSError as error:
        raise VideoError(folder, f"cannot be read as a folder of frames ({error.strerror}); unpack it again") from error
    if not numbers:
        raise VideoError(folder, "holds no frames (00001.jpg, ...); unpack it again")
    for number in range(1, len(numbers) + 1):
        if number not in numbers:
            raise VideoError(folder, f"has {len(numbers)} frames, but no {number:05d}.jpg; unpack it again")
    return [numbers[number] for number in sorted(numbers)]


def packed_frames(shards: Path) -> dict[str, int]:
    """Id -> number of frames of the videos that a folder X.shards holds; {} if it holds no index.

    Raises :class:`PrepareError` for an index that cannot be read.
    """
    return {video_id: frames for video_id, frames, *_ in _rows(shards)}


def encoded_images(folder: Path) -> Iterator[bytes]:
    """The bytes of a video's frames in their order: from its folder or, where that is not there, from the shards."""
    if folder.is_dir():
        for name in frame_files(folder):
            try:
                yield (folder / name).read_bytes()
            except OSError as error:
                raise VideoError(folder, f"frame {name} cannot be read ({error.strerror}); unpack it again") from error
        return
    shards = folder.parent.with_name(folder.parent.name + SHARDS)
    for _, _, shard, places in _rows(shards, folder.name):
        try:
            with (shards / shard).open("rb") as stream:
                for offset, size in np.frombuffer(places, dtype="<u8").reshape(-1, 2).tolist():
                    stream.seek(offset)
                    yield stream.read(size)
        except OSError as error:
            raise VideoError(shards / shard, f"cannot be read ({error.strerror}); pack it again") from error
        return
    raise VideoError(folder, "there is no such file, nor is it packed; unpack it again")


def frames_hash(folder: Path) -> str:
    """sha256 (hex) of a video's frames, packed or not. Raises :class:`VideoError`."""
    digest = hashlib.sha256()
    for data in encoded_images(folder):
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def images_of(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Frames uint8 [H, W, 3] of a video, decoded one by one. Raises :class:`VideoError`."""
    from PIL import Image, UnidentifiedImageError

    for number, data in enumerate(encoded_images(folder), 1):
        try:
            with Image.open(io.BytesIO(data)) as image:
                yield np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, ValueError) as error:
            raise VideoError(folder, f"frame {number:05d}.jpg is damaged ({error}); unpack it again") from error


def _rows(shards: Path, video_id: str = "") -> list[tuple[str, int, str, bytes]]:
    """(id, frames, shard, places) of one video or, without the places, of all."""
    index = shards / INDEX
    if not index.is_file():
        return []
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(index.resolve()))}?mode=ro", uri=True)) as connection:
            if video_id:
                text = "SELECT id, frames, shard, places FROM videos WHERE id = ?"
                return list(connection.execute(text, (video_id,)))
            return list(connection.execute("SELECT id, frames, shard, x'' FROM videos"))
    except sqlite3.Error as error:
        raise PrepareError(
            f"{index} cannot be read ({error}); remove {shards} and pack again from the frame folders"
        ) from error
