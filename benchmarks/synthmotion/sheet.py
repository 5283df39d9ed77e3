"""A contact sheet: one video of every class, frame by frame, and the true displacement in its middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.synthmotion.fields import displacement
from benchmarks.synthmotion.render import draw_scene, render
from benchmarks.synthmotion.spec import CLASSES, TIERS, Spec

STRIDE = 2
"""Frames between two tiles, as a clip has them by default."""
GAP = 2
LABEL = 104
"""Pixels for the name of the class."""


def contact_sheet(spec: Spec, subset: str = "train", index: int = 0) -> Image.Image:
    """Two columns of classes, tier by tier; each row holds the class, frames `STRIDE` apart, and the displacement
    between the two in the middle (hue: direction, red is right; brightness: length). Raises SpecError."""
    tile = spec.size + GAP
    indices = np.arange(0, spec.frames, STRIDE)
    width, rows = LABEL + tile * (len(indices) + 1), len(CLASSES) // 2
    sheet = Image.new("RGB", (2 * width, rows * tile), "white")
    draw = ImageDraw.Draw(sheet)
    for number, name in enumerate(CLASSES):
        left, top = number // rows * width, number % rows * tile
        draw.text((left + 4, top + spec.size // 2 - 5), name, fill="black")
        for place, picture in enumerate(_row(spec, subset, name, index, indices)):
            sheet.paste(Image.fromarray(picture), (left + LABEL + place * tile, top))
    for line in range(1, len(TIERS) // 2):  # between two tiers
        draw.line((0, line * 4 * tile - 2, 2 * width, line * 4 * tile - 2), fill="black", width=2)
    return sheet


def _row(spec: Spec, subset: str, name: str, index: int, indices: np.ndarray) -> list[np.ndarray]:
    scene = draw_scene(spec, subset, name, index)
    middle = len(indices) // 2
    flow, _ = displacement(scene, indices[middle - 1 : middle + 1])
    return [*render(scene)[indices], coloured(flow[0])]


def coloured(flow: np.ndarray, longest: float | None = None) -> np.ndarray:
    """Backward displacement float [2, H, W] (where a pixel came from) as uint8 [H, W, 3], as motion forward.

    Hue is the direction (red: right), brightness the length, full at `longest` pixels (default: the longest there is).
    """
    angle = np.arctan2(-flow[1], -flow[0]) % (2 * np.pi)
    length = np.hypot(*flow)
    value = np.clip(length / max(float(length.max() if longest is None else longest), 1e-9), 0, 1)
    hsv = np.stack([angle / (2 * np.pi), np.ones_like(angle), value], axis=-1)
    return np.asarray(Image.fromarray(np.rint(255 * hsv).astype(np.uint8), "HSV").convert("RGB"))


def write_sheet(path: Path, spec: Spec) -> None:
    """Raises ValueError for a suffix that is no picture's, OSError when the file cannot be written."""
    contact_sheet(spec).save(path, quality=88)
