"""The true displacement of every pixel, computed from the motion that rendered it."""

from __future__ import annotations

import numpy as np

from benchmarks.synthmotion.render import Scene, coverage

PURE = 0.05
"""A pixel belongs to one thing if everything else contributes less than this: soft edges are mixtures, which no
single displacement explains."""


def displacement(scene: Scene, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of frame indices[t] came from in frame indices[t - 1].

    indices: int64 [T], frames of the video. Returns flow float32 [T-1, 2, H, W], (dx, dy) in pixels of the video:
    frame t at p shows what frame t - 1 showed at p + flow; and valid bool [T-1, H, W]: the pixel and its four
    neighbours around p + flow show that same thing alone (no occlusion, no soft edge, source inside the frame).
    Raises ValueError for indices outside the video or fewer than two of them.
    """
    indices = np.asarray(indices, np.int64)
    count, size = scene.spec.frames, scene.spec.size
    if indices.ndim != 1 or len(indices) < 2 or indices.min() < 0 or indices.max() >= count:
        raise ValueError(f"a displacement field needs at least two frame indices within 0..{count - 1}, not {indices}")
    label, pure = _visible(scene, indices)
    things = np.concatenate([scene.motion.paths, scene.motion.camera[None]])[:, indices]  # the background comes last
    moved = np.diff(things, axis=1)  # [S+1, T-1, 2]

    pairs = np.arange(len(indices) - 1)
    flow = -moved[label[1:], pairs[:, None, None]].transpose(0, 3, 1, 2)
    y, x = np.mgrid[:size, :size]
    left, top = np.floor(x + flow[:, 0]).astype(int), np.floor(y + flow[:, 1]).astype(int)
    valid = pure[1:] & (left >= 0) & (top >= 0) & (left < size - 1) & (top < size - 1)
    left, top = np.clip(left, 0, size - 2), np.clip(top, 0, size - 2)
    for row in (top, top + 1):
        for column in (left, left + 1):
            source = (pairs[:, None, None], row, column)
            valid &= (label[:-1][source] == label[1:]) & pure[:-1][source]
    return flow.astype(np.float32), valid


def _visible(scene: Scene, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is seen at each pixel: sprite number (the background is the last number), and whether it is that alone."""
    covered = coverage(scene, indices)
    share = np.empty((len(covered) + 1, *covered.shape[1:]), np.float32)
    through = np.ones(covered.shape[1:], np.float32)
    for number in reversed(scene.order):  # from the front to the back
        share[number] = covered[number] * through
        through = through * (1 - covered[number])
    share[-1] = through
    return share.argmax(axis=0), share.max(axis=0) > 1 - PURE
