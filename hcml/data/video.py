"""Frames of a video file by their index, behind one small protocol.

decord is the default. PyAV, decoding from the first frame on, is slow on long videos and right on every file that it
reads: it is the oracle that the others are checked against. A reader belongs to one item of a dataset: opened in
the process that reads, closed there, never pickled or inherited by a fork (decord then hangs or dies).
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hcml.data.container import (
    VideoError,
    check_file,
    one_line,
    pyav_errors,
    refuse_mpeg4,
    seeks_reliably,
    video_stream,
)

__all__ = ["READERS", "DecordReader", "PyAVReader", "Reader", "VideoError", "open_reader", "read_frames"]

Frames = NDArray[np.uint8]
Indices = NDArray[np.int64]


class Reader(Protocol):
    """An open video. Every failure, in the constructor too, is a :class:`VideoError`."""

    def __init__(self, path: str | Path) -> None: ...

    def __len__(self) -> int:
        """Frames that can be read."""
        ...

    def get(self, indices: Indices) -> Frames:
        """Frames [T, H, W, 3], RGB, in the order of `indices` (int64 [T], within 0..len-1; repeats allowed)."""
        ...

    def close(self) -> None: ...


class DecordReader:
    """decord with one thread: loader processes are the parallelism, and threads on top of them only fight."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        check_file(self._path)
        refuse_mpeg4(self._path)
        try:
            from decord import VideoReader, logging
        except (ImportError, OSError) as error:
            raise ImportError(
                f"decord cannot be imported ({error}): install the locked requirements, or set benchmark.decoder=pyav"
            ) from error
        logging.set_level(logging.QUIET)  # one VideoError in place of FFmpeg's line for every damaged packet
        # decord repeats the last good frame in place of a broken one unless it is told to tolerate (almost) none.
        with _decord_errors(self._path):
            self._reader: Any = VideoReader(self._path, num_threads=1, fault_tol=1e-9)
            self._length = len(self._reader)
            # Up to here no seek is needed.
            self._second_key = next(iter(self._reader.get_key_indices()[1:]), self._length)
        if self._length == 0:
            raise VideoError(self._path, "holds no frames; fetch or encode it again")

    def __len__(self) -> int:
        return self._length

    def get(self, indices: Indices) -> Frames:
        wanted = _checked(self._path, indices, self._length)
        if max(wanted) >= self._second_key and not seeks_reliably(self._path):
            return _read_in_order(self._path, wanted)
        with _decord_errors(self._path):
            frames: Frames = self._reader.get_batch(wanted).asnumpy()
        if frames.shape[0] != len(wanted) or frames.shape[-1] != 3:
            raise VideoError(self._path, f"decord gave frames of shape {frames.shape} for {len(wanted)} indices")
        return frames

    def close(self) -> None:
        self._reader = None


class PyAVReader:
    """PyAV, always from the first frame on, one thread, no seeking: slow and right."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        check_file(self._path)
        with contextlib.closing(_decoded(self._path)) as frames:
            self._length = sum(1 for _ in frames)
        if self._length == 0:
            raise VideoError(self._path, "holds no frames; fetch or encode it again")

    def __len__(self) -> int:
        return self._length

    def get(self, indices: Indices) -> Frames:
        return _read_in_order(self._path, _checked(self._path, indices, self._length))

    def close(self) -> None:
        """Nothing stays open between calls."""


READERS: dict[str, type[Reader]] = {"decord": DecordReader, "pyav": PyAVReader}


def open_reader(path: str | Path, decoder: str = "decord") -> Reader:
    """Opens `path` with the reader named `decoder` (decord | pyav).

    Raises :class:`VideoError` for a file that cannot be read and ValueError for an unknown decoder.
    """
    if decoder not in READERS:
        raise ValueError(f"benchmark.decoder={decoder!r} is not one of {', '.join(READERS)}")
    return READERS[decoder](path)


def read_frames(path: str | Path, indices: Indices, decoder: str = "decord") -> Frames:
    """Opens, reads frames `indices` (int64 [T]) as uint8 [T, H, W, 3], closes. Raises as :func:`open_reader`."""
    with contextlib.closing(open_reader(path, decoder)) as reader:
        return reader.get(indices)


def _checked(path: str, indices: Indices, length: int) -> list[int]:
    wanted = np.asarray(indices)
    if wanted.ndim != 1 or wanted.size == 0 or not np.issubdtype(wanted.dtype, np.integer):
        raise VideoError(path, f"frame indices must be integers of shape [T], not {wanted.dtype} {wanted.shape}")
    if wanted.min() < 0 or wanted.max() >= length:
        raise VideoError(
            path, f"frames {wanted.min()}..{wanted.max()} were asked for, but it has frames 0..{length - 1}"
        )
    return [int(number) for number in wanted]


def _read_in_order(path: str, wanted: list[int]) -> Frames:
    """Frames `wanted` by decoding all frames from the first to the last of them with PyAV."""
    from av.video.reformatter import VideoReformatter

    needed, last = set(wanted), max(wanted)
    # One reformatter for all frames: a fresh one each costs more than decoding a small frame.
    reformatter, images = VideoReformatter(), {}
    with contextlib.closing(_decoded(path)) as decoded:
        for number, frame in enumerate(decoded):
            if number in needed:
                images[number] = reformatter.reformat(frame, format="rgb24").to_ndarray()
            if number == last:
                return np.stack([images[number] for number in wanted])
    raise VideoError(path, f"decoding ended before frame {last}; fetch or encode it again")


def _decoded(path: str) -> Generator[Any, None, None]:
    import av

    with pyav_errors(path), av.open(path) as container:
        stream = video_stream(path, container)
        # Frame threads can deadlock beside torch's own (PyAV#1962).
        stream.codec_context.thread_type = "SLICE"
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise VideoError(path, "a frame is damaged; fetch or encode the video again")
            yield frame


@contextlib.contextmanager
def _decord_errors(path: str) -> Iterator[None]:
    from decord import DECORDError

    try:
        yield
    except (DECORDError, RuntimeError, OSError, IndexError, StopIteration) as error:
        raise VideoError(path, f"decord cannot decode it ({one_line(error)}); fetch or encode it again") from error
