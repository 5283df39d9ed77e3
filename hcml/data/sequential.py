"""PyAV, from the first frame on: slow, and right on every file that it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hcml.data.container import VideoError, check_file, pyav_errors, video_stream

Frames = NDArray[np.uint8]
Indices = NDArray[np.int64]


class PyAVReader:
    """PyAV, always from the first frame on, one thread, no seeking: the oracle that other readers are checked against.

    A frame that FFmpeg marks as damaged is a :class:`VideoError`.
    """

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
        return read_in_order(self._path, checked(self._path, indices, self._length))

    def close(self) -> None:
        """Nothing stays open between calls."""


def checked(path: str, indices: Indices, length: int) -> list[int]:
    """`indices` as a list. Raises :class:`VideoError` unless they are integers [T] within 0..length-1, T >= 1."""
    wanted = np.asarray(indices)
    if wanted.ndim != 1 or wanted.size == 0 or not np.issubdtype(wanted.dtype, np.integer):
        raise VideoError(path, f"frame indices must be integers of shape [T], not {wanted.dtype} {wanted.shape}")
    if wanted.min() < 0 or wanted.max() >= length:
        raise VideoError(
            path, f"frames {wanted.min()}..{wanted.max()} were asked for, but it has frames 0..{length - 1}"
        )
    return [int(number) for number in wanted]


def read_in_order(path: str, wanted: list[int]) -> Frames:
    """Frames `wanted` by decoding all frames from the first to the last of them, turned as they are to be shown."""
    from av.video.reformatter import VideoReformatter

    needed, last = set(wanted), max(wanted)
    # One reformatter for all frames: a fresh one each costs more than decoding a small frame.
    reformatter, images = VideoReformatter(), {}
    with contextlib.closing(_decoded(path)) as decoded:
        for number, frame in enumerate(decoded):
            if number in needed:
                image = reformatter.reformat(frame, format="rgb24").to_ndarray()
                images[number] = np.rot90(image, _quarter_turns(path, frame))
            if number == last:
                return stacked(path, [images[number] for number in wanted])
    raise VideoError(path, f"decoding ended before frame {last}; fetch or encode it again")


def stacked(path: str, images: list[Any]) -> Frames:
    """[H, W, 3] each -> [T, H, W, 3]; VideoError if the frame size changes on the way."""
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for height, width, _ in sorted(sizes))
        raise VideoError(path, f"its frames differ in size ({shown}); encode it again at one size")
    return np.stack(images)


def _quarter_turns(path: str, frame: Any) -> int:
    """Quarter turns, counter-clockwise, from the stored to the shown orientation."""
    if frame.rotation % 90:
        raise VideoError(path, f"is to be shown turned by {frame.rotation} degrees; encode it again as it is to be seen")
    return int(frame.rotation) // 90 % 4


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
