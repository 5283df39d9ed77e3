"""Number of frames of a video -> indices of the frames of its clips. Pure functions; the only randomness is `rng`.

Dense: one window, `frame_stride` source frames between two frames of the clip; with `window`, a clip starts only where
that many frames follow (TSM's dense sampling: 64). Uniform: the sampling of TSN (arXiv 1608.00859): the video is cut
into T equal parts, one frame from each, at random in training and in the middle of the part in testing. With n frames,
part t of T holds frames floor(t n / T) .. floor((t + 1) n / T) - 1.

`rule=tsm` has the index formulas of TSM's public code (mit-han-lab/temporal-shift-module, ops/dataset.py) in place of
these parts. In training its parts are floor(n / T) frames wide, so that the last n mod T frames are never drawn, and a
video of fewer than T frames repeats its first one. In testing it takes frames floor(n (2 t + 1) / 2 T), which differ
from ours by at most one, and as the second of two clips ("twice sample") the frames floor(n t / T).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hcml.config import SamplingConfig

Indices = NDArray[np.int64]


def frames_needed(spec: SamplingConfig) -> int:
    """Frames that a video must have so that no frame is repeated or padded."""
    if spec.mode == "uniform":
        return spec.num_frames
    return max(spec.first_frame, 0) + max((spec.num_frames - 1) * spec.frame_stride + 1, spec.window)


def train_indices(num_frames: int, spec: SamplingConfig, rng: np.random.Generator) -> Indices:
    """Indices int64 [T], not decreasing (but under `loop`), of one random clip of a video with `num_frames` frames.

    Exactly one draw from `rng` (dense) or T draws (uniform) whatever the length, so that what follows in the stream
    of random numbers does not depend on the video. Raises ValueError on an empty video, and on a short one under
    `short_video=error`.
    """
    _check_length(num_frames, spec)
    if spec.mode == "dense":
        free = max(num_frames - frames_needed(spec), 0)
        start = int(rng.random() * (free + 1))
        if spec.first_frame >= 0:
            start = spec.first_frame
        return _settle(start + spec.frame_stride * np.arange(spec.num_frames), num_frames, spec)
    draws = rng.random(spec.num_frames)
    if spec.rule == "tsm":
        width = num_frames // spec.num_frames
        return width * np.arange(spec.num_frames, dtype=np.int64) + (draws * width).astype(np.int64)
    if num_frames < spec.num_frames:
        return _settle(np.arange(spec.num_frames), num_frames, spec)
    first, size = _parts(num_frames, spec.num_frames)
    return first + (draws * size).astype(np.int64)


def test_indices(num_frames: int, spec: SamplingConfig, num_clips: int = 1) -> Indices:
    """Indices int64 [V, T] of V = `num_clips` clips, the same at every call.

    Dense: windows whose starts are evenly spaced from the first possible to the last; one window is centred.
    Uniform: clip v takes the frame at share (v + 1/2) / V of each part, so one clip takes the middles. Raises as
    :func:`train_indices`, and ValueError for less than one clip, or more than two under `rule=tsm`.
    """
    _check_length(num_frames, spec)
    if num_clips < 1:
        raise ValueError(f"num_clips={num_clips} must be at least 1")
    if spec.mode == "dense":
        free = max(num_frames - frames_needed(spec), 0)
        if spec.first_frame >= 0:
            starts = np.full(num_clips, spec.first_frame)
        elif num_clips == 1:
            starts = np.array([free // 2])
        else:
            starts = np.arange(num_clips) * free // (num_clips - 1)
        clips = starts[:, None] + spec.frame_stride * np.arange(spec.num_frames)
        return _settle(clips, num_frames, spec)
    if spec.rule == "tsm":
        if num_clips > 2:
            raise ValueError(f"num_clips={num_clips}: sampling.rule=tsm has 1 or 2 clips; use sampling.rule=parts")
        middle_then_start = np.array([1, 0])[:num_clips, None]
        return num_frames * (2 * np.arange(spec.num_frames) + middle_then_start) // (2 * spec.num_frames)
    if num_frames < spec.num_frames:
        return np.tile(_settle(np.arange(spec.num_frames), num_frames, spec), (num_clips, 1))
    first, size = _parts(num_frames, spec.num_frames)
    # (2 v + 1) size // (2 V): the middle of the v-th of V shares of a part, in whole numbers.
    odd = 2 * np.arange(num_clips)[:, None] + 1
    return first + odd * size // (2 * num_clips)


# pytest collects functions named test_*; this one is imported into test modules and is not a test.
test_indices.__test__ = False  # type: ignore[attr-defined]


def _parts(num_frames: int, count: int) -> tuple[Indices, Indices]:
    """First frame and size of each of `count` equal parts, int64 [T] each; num_frames >= count."""
    edges = np.arange(count + 1, dtype=np.int64) * num_frames // count
    return edges[:-1], np.diff(edges)


def _settle(indices: NDArray[np.integer], num_frames: int, spec: SamplingConfig) -> Indices:
    """Indices behind the end of a short video: the last frame again (pad_last), or from the start (loop)."""
    settled = indices % num_frames if spec.short_video == "loop" else np.minimum(indices, num_frames - 1)
    return settled.astype(np.int64)


def _check_length(num_frames: int, spec: SamplingConfig) -> None:
    if num_frames < 1:
        raise ValueError(f"a video with num_frames={num_frames} has no clip")
    needed = frames_needed(spec)
    if spec.short_video == "error" and num_frames < needed:
        stride = f" with frame_stride={spec.frame_stride}" if spec.mode == "dense" else ""
        raise ValueError(
            f"a {spec.mode} clip of {spec.num_frames} frames{stride} needs a video of {needed} frames, but this "
            f"one has {num_frames}: set sampling.short_video=pad_last or loop, or sample fewer frames"
        )
