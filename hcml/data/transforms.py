"""Frames of a clip -> square crops in [0, 1], with one random draw for the whole clip.

The same geometry serves frames and, through :class:`CropGeometry`, displacement fields. Mean and standard deviation
are the model's: it normalises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from hcml.config import TransformConfig

RATIO = (3 / 4, 4 / 3)
"""Width / height of random resized crops, of the GoogLeNet recipe (arXiv 1409.4842)."""
CROPS = (1, 3, 5, 10)
"""Numbers of test crops."""
PLACES = [*((row, column) for row in (0, 2, 4) for column in (0, 2, 4)), (1, 1), (1, 3), (3, 1), (3, 3)]
"""Where a multi-scale crop may lie, in quarters (row, column) of the free pixels: corners, edges, centre, between."""


@dataclass(frozen=True)
class CropGeometry:
    """A frame is resized by `scale` (resized / original); then a square of side `size` is cut out with its corner at
    (`top`, `left`), in pixels of the resized frame; and `mirrored` from left to right."""

    scale: float
    top: int
    left: int
    size: int
    mirrored: bool = False


def resized_size(height: int, width: int, spec: TransformConfig) -> tuple[int, int]:
    """(height, width) before cropping: the short side becomes `spec.resize`, or, with resize=0, stays as it is unless
    it is smaller than the crop, to which it is then enlarged."""
    short = min(height, width)
    target = spec.resize or max(short, spec.crop_size)
    if short == target:
        return height, width
    return _rounded(height * target / short), _rounded(width * target / short)


def test_geometry(height: int, width: int, spec: TransformConfig, num_crops: int = 1) -> list[CropGeometry]:
    """Where the test crops of a frame of `height` x `width` pixels lie: 1 = the centre, 3 = start, centre and end
    of the longer side, 5 = corners (row by row) and centre, 10 = these and then their mirrors. Raises ValueError for
    another number."""
    if num_crops not in CROPS:
        raise ValueError(f"num_crops={num_crops} is not one of {', '.join(map(str, CROPS))}")
    high, wide = resized_size(height, width, spec)
    scale = min(high, wide) / min(height, width)
    free_y, free_x = high - spec.crop_size, wide - spec.crop_size
    places = [(free_y // 2, free_x // 2)]
    if num_crops == 3:
        ends = [(0, free_x // 2), (free_y, free_x // 2)] if high > wide else [(free_y // 2, 0), (free_y // 2, free_x)]
        places = [ends[0], places[0], ends[1]]
    elif num_crops >= 5:
        places = [*((top, left) for top in (0, free_y) for left in (0, free_x)), places[0]]
    crops = [CropGeometry(scale, top, left, spec.crop_size) for top, left in places]
    return crops + [replace(crop, mirrored=True) for crop in crops] if num_crops == 10 else crops


def test_transform(frames: NDArray[np.uint8], spec: TransformConfig, num_crops: int = 1) -> Tensor:
    """uint8 [T, H, W, 3] -> float32 [num_crops, T, 3, s, s] in [0, 1], crops as in :func:`test_geometry`."""
    height, width = _frame_size(frames)
    crops = test_geometry(height, width, spec, num_crops)
    images = _resize(_to_tensor(frames), resized_size(height, width, spec))
    views = [images[..., c.top : c.top + c.size, c.left : c.left + c.size] for c in crops]
    return _unit(torch.stack([v.flip(-1) if c.mirrored else v for v, c in zip(views, crops, strict=True)]))


def train_transform(
    frames: NDArray[np.uint8], spec: TransformConfig, rng: np.random.Generator
) -> tuple[Tensor, bool]:
    """uint8 [T, H, W, 3] -> (float32 [T, 3, s, s] in [0, 1], mirrored): one random crop and mirroring for all frames.

    With scale = [1, 1] a square of `crop_size` at a random place of the resized frame; otherwise a random resized
    crop (area in `scale`, aspect ratio in 3/4..4/3), or with `multiscale` one of its fixed boxes. Five draws from
    `rng`, whatever the configuration.
    """
    height, width = _frame_size(frames)
    area, ratio, y, x, mirror = rng.random(5)
    side = spec.crop_size
    if spec.multiscale:
        top, left, high, wide = _fixed_box(height, width, spec.multiscale, area, y)
        images = _resize(_to_tensor(frames[:, top : top + high, left : left + wide]), (side, side))
    elif list(spec.scale) == [1.0, 1.0]:
        images = _resize(_to_tensor(frames), resized_size(height, width, spec))
        top = int(y * (images.shape[-2] - side + 1))
        left = int(x * (images.shape[-1] - side + 1))
        images = images[..., top : top + side, left : left + side]
    else:
        # Cut before resizing: the crop alone is resized, once, in place of the whole frame first.
        high, wide = _random_box(height, width, spec.scale, area, ratio)
        top, left = int(y * (height - high + 1)), int(x * (width - wide + 1))
        images = _resize(_to_tensor(frames[:, top : top + high, left : left + wide]), (side, side))
    mirrored = spec.flip != "none" and bool(mirror < 0.5)
    return _unit(images.flip(-1) if mirrored else images), mirrored


# pytest collects functions named test_*; these are imported into test modules and are not tests.
test_geometry.__test__ = False  # type: ignore[attr-defined]
test_transform.__test__ = False  # type: ignore[attr-defined]


def _random_box(height: int, width: int, scale: list[float], area: float, ratio: float) -> tuple[int, int]:
    """(height, width) of a crop from two uniform draws; a side longer than the frame is cut to fit."""
    pixels = height * width * (scale[0] + (scale[1] - scale[0]) * area)
    low, high = (math.log(bound) for bound in RATIO)
    aspect = math.exp(low + (high - low) * ratio)
    box_height = min(max(_rounded(math.sqrt(pixels / aspect)), 1), height)
    box_width = min(max(_rounded(math.sqrt(pixels * aspect)), 1), width)
    return box_height, box_width


def _fixed_box(height: int, width: int, shares: list[float], size: float, place: float) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a box of TSN's scale jittering (arXiv 1608.00859), from two uniform draws: sides in
    shares of the short one, at most one step of the list apart; 13 places on a grid of quarters of the free pixels."""
    sides = [max(int(min(height, width) * share), 1) for share in shares]
    boxes = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    high, wide = boxes[int(size * len(boxes))]
    row, column = PLACES[int(place * len(PLACES))]
    return row * ((height - high) // 4), column * ((width - wide) // 4), high, wide


def _rounded(value: float) -> int:
    """Halves go up (Python's round sends them to the even neighbour, which differs from size to size)."""
    return math.floor(value + 0.5)


def _frame_size(frames: NDArray[np.uint8]) -> tuple[int, int]:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8 [T, H, W, 3], not {frames.dtype} {frames.shape}")
    return int(frames.shape[1]), int(frames.shape[2])


def _to_tensor(frames: NDArray[np.uint8]) -> Tensor:
    """uint8 [T, 3, H, W]; a view of `frames`."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """[T, 3, H, W] -> [T, 3, *size]; uint8 stays uint8 when nothing is to do and becomes float32 (0..255) else."""
    if tuple(images.shape[-2:]) == size:
        return images
    return interpolate(images.float(), size=size, mode="bilinear", antialias=True, align_corners=False)


def _unit(images: Tensor) -> Tensor:
    """0..255 -> contiguous float32 in [0, 1]. In place on floats, which are always our own copy; bytes, which may
    belong to the reader, are copied."""
    return images.contiguous().float().div_(255.0).clamp_(0.0, 1.0)
