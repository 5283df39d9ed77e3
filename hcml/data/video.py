"""Frames of a video by their index, behind one small protocol.

| decoder | what |
| --- | --- |
| decord | the default: seeks where it is right (hcml/data/survey.py), reads the rest in order, refuses AVI and the like |
| torchcodec | the same rules, faster; an optional extra, because it needs FFmpeg's libraries on the machine |
| pyav | decodes from the first frame on: slow, right on every file that it reads; the oracle for the others |
| frames | folders of JPEGs, or the same packed in tar files (hcml/data/frames.py) |

Frames come in the order and orientation in which they are to be shown: a telephone's video that is stored lying on
its side is turned upright by every reader. Index t is the t-th frame shown, whatever the times between frames are.

A reader belongs to one item of a dataset: opened in the process that reads, closed there, never pickled or inherited
by a fork (decord then hangs or dies).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from hcml.data.container import VideoError
from hcml.data.frames import FramesReader
from hcml.data.seeking import DecordReader, TorchCodecReader
from hcml.data.sequential import Frames, Indices, PyAVReader

__all__ = [
    "READERS",
    "DecordReader",
    "FramesReader",
    "PyAVReader",
    "Reader",
    "TorchCodecReader",
    "VideoError",
    "open_reader",
    "read_frames",
]


class Reader(Protocol):
    """An open video. Every failure, in the constructor too, is a :class:`VideoError`; ImportError if the decoder is
    not installed."""

    def __init__(self, path: str | Path) -> None: ...

    def __len__(self) -> int:
        """Frames that can be read."""
        ...

    def get(self, indices: Indices) -> Frames:
        """Frames [T, H, W, 3], RGB, in the order of `indices` (int64 [T], within 0..len-1; repeats allowed)."""
        ...

    def close(self) -> None: ...


READERS: dict[str, type[Reader]] = {
    "decord": DecordReader,
    "pyav": PyAVReader,
    "torchcodec": TorchCodecReader,
    "frames": FramesReader,
}


def open_reader(path: str | Path, decoder: str = "decord") -> Reader:
    """Opens `path` with the reader named `decoder` (decord | pyav | torchcodec | frames).

    Raises :class:`VideoError` for a video that cannot be read, ValueError for an unknown decoder, and ImportError for
    one that is not installed.
    """
    if decoder not in READERS:
        raise ValueError(f"benchmark.decoder={decoder!r} is not one of {', '.join(READERS)}")
    return READERS[decoder](path)


def read_frames(path: str | Path, indices: Indices, decoder: str = "decord") -> Frames:
    """Opens, reads frames `indices` (int64 [T]) as uint8 [T, H, W, 3], closes. Raises as :func:`open_reader`."""
    with contextlib.closing(open_reader(path, decoder)) as reader:
        return reader.get(indices)
