"""Whether frames that a decoder gave are the ones that were asked for, judged by their pixels.

Decoders round colours differently, so equality says nothing. A frame is wrong when another frame of the video, decoded
in order, is clearly nearer to it than the one asked for, on those pixels where these two differ clearly. Frames that do
not differ (a static video) cannot be told apart, and need not be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Small = NDArray[np.uint8]
"""A frame as grey values [h * w], reduced by whole factors."""

SHORT_SIDE = 112
CLEARLY = 4
"""Grey levels (of 255) by which two pixels must differ to be told apart: above what rounding does."""
PIXELS = 4
"""That many must differ, lest a speck decides."""
CHUNK = 256
STRANGE = 30.0
"""Root mean square distance, in grey levels, to the nearest frame of the video, above which a frame is none of it."""


@dataclass(frozen=True)
class Wrong:
    """Frame `asked` was asked for, and frame `got` (-1: none of the video's) came."""

    asked: int
    got: int


def reduced(frame: NDArray[np.uint8]) -> Small:
    """A frame uint8 [H, W, 3] as grey values uint8 [h * w], its short side at most 112."""
    height, width = frame.shape[:2]
    factor = max(1, -(-min(height, width) // SHORT_SIDE))
    rows, columns = max(1, height // factor), max(1, width // factor)
    block_height, block_width = min(factor, height), min(factor, width)
    part = np.ascontiguousarray(frame[: rows * block_height, : columns * block_width])
    sums = part.reshape(rows, block_height, -1).sum(axis=1, dtype=np.uint32)
    sums = sums.reshape(rows, columns, block_width * 3).sum(axis=2, dtype=np.uint32)
    return (sums // (block_height * block_width * 3)).astype(np.uint8).reshape(-1)


def wrong_frames(given: NDArray[np.uint8], asked: list[int], reference: NDArray[np.uint8]) -> list[Wrong]:
    """Which of the frames `given` uint8 [T, D] are not `asked`; reference uint8 [N, D] are all frames in order."""
    nearest, distance = _nearest(given, reference)
    found = []
    for frame, wanted, near, far in zip(given, asked, nearest, distance, strict=True):
        if far > STRANGE:
            found.append(Wrong(wanted, -1))
        elif near != wanted and _is_other(frame, reference[wanted], reference[near]):
            found.append(Wrong(wanted, int(near)))
    return found


def distance_to(given: NDArray[np.uint8], asked: list[int], reference: NDArray[np.uint8]) -> float:
    """Mean root mean square distance of frames [T, D] to those asked for, in grey levels."""
    difference = given.astype(np.float32) - reference[asked]
    return float(np.sqrt((difference**2).mean(axis=1)).mean())


def _is_other(frame: Small, wanted: Small, near: Small) -> bool:
    frame_, wanted_, near_ = (values.astype(np.int16) for values in (frame, wanted, near))
    telling = np.abs(wanted_ - near_) > CLEARLY
    if telling.sum() < PIXELS:
        return False
    to_wanted, to_near = (np.abs(frame_ - other)[telling].mean() for other in (wanted_, near_))
    return bool(to_near < 0.5 * to_wanted)


def _nearest(given: NDArray[np.uint8], reference: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of [T, D] the nearest row of [N, D] and its root mean square distance."""
    points = given.astype(np.float32)
    best = np.full(len(points), np.inf, dtype=np.float32)
    index = np.zeros(len(points), dtype=np.int64)
    for start in range(0, len(reference), CHUNK):  # float32 of a long video would not fit in memory
        some = reference[start : start + CHUNK].astype(np.float32)
        squares = (points**2).sum(1)[:, None] + (some**2).sum(1)[None] - 2 * points @ some.T
        place = squares.argmin(axis=1)
        value = squares[np.arange(len(points)), place]
        nearer = value < best
        best[nearer], index[nearer] = value[nearer], place[nearer] + start
    return index, np.sqrt(np.maximum(best, 0) / points.shape[1])
