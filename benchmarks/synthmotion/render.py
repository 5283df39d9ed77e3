"""One video's frames: textured sprites over a textured background, at sub-pixel positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.synthmotion.motion import EXTENT, MAX_EDGE, Motion, draw_motion, streams
from benchmarks.synthmotion.spec import FAMILIES, Spec
from benchmarks.synthmotion.textures import colour_texture, draw_texture

SHAPES = ("disc", "ellipse", "square", "triangle", "hexagon", "star")
LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 weights of red, green and blue."""


@dataclass(frozen=True)
class Sprite:
    """What a sprite looks like; texture float32 [P, P, 3] with its centre in the middle."""

    shape: str
    radius: float
    angle: float
    edge: float
    texture: np.ndarray


@dataclass(frozen=True)
class Scene:
    """A motion and its looks. `order` lists the sprites from the back to the front."""

    spec: Spec
    motion: Motion
    background: np.ndarray
    sprites: tuple[Sprite, ...]
    order: tuple[int, ...]
    parameters: dict[str, Any]


def draw_scene(spec: Spec, subset: str, class_name: str, index: int) -> Scene:
    """Everything of one video; a pure function of its arguments. Raises SpecError for unknown ones."""
    motion = draw_motion(spec, subset, class_name, index)
    rng = streams(spec, subset, class_name, index)[1]
    count = len(motion.radii)
    families = rng.choice(FAMILIES[subset], count + 1)
    shapes = rng.choice(SHAPES, count)
    reach = int(np.ceil(np.abs(motion.camera).max())) + 2
    mean = rng.uniform(0.2, 0.8, 3)
    grey = draw_texture(rng, spec.size + 2 * reach, str(families[0]), rng.uniform(0.9, 1.5))
    background = colour_texture(grey, mean, _colour_axis(rng, rng.uniform(*spec.background_contrast)))
    sprites = []
    for radius, family, shape in zip(motion.radii, families[1:], shapes, strict=True):
        side = 2 * int(np.ceil(EXTENT * radius + MAX_EDGE)) + 3
        grey = draw_texture(rng, side, str(family), rng.uniform(0.5, 0.8))
        texture = colour_texture(grey, _apart(rng, mean, spec.contrast), _colour_axis(rng, rng.uniform(0.1, 0.18)))
        angle, edge = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, MAX_EDGE)
        sprites.append(Sprite(str(shape), float(radius), angle, edge, texture))
    order = tuple(int(i) for i in rng.permutation(count))
    parameters = {**motion.parameters, "families": families.tolist(), "shapes": shapes.tolist(), "order": list(order)}
    return Scene(spec, motion, background, tuple(sprites), order, parameters)


def render(scene: Scene) -> np.ndarray:
    """The frames of a scene, uint8 [F, size, size, 3]."""
    size = scene.spec.size
    frames = _backgrounds(scene)
    for number in scene.order:
        sprite = scene.sprites[number]
        corner, alpha, colour = _draw_sprite(sprite, scene.motion.positions[number])
        for frame, (x, y), a, c in zip(frames, corner, alpha, colour, strict=True):
            rows, columns, part = _overlap(x, y, alpha.shape[-1], size)
            if part is not None:
                frame[rows, columns] += a[part][..., None] * (c[part] - frame[rows, columns])
    return np.clip(np.rint(frames * 255), 0, 255).astype(np.uint8)


def coverage(scene: Scene, indices: np.ndarray) -> np.ndarray:
    """How much each sprite covers each pixel, occlusion not counted: float32 [S, len(indices), size, size]."""
    size = scene.spec.size
    covered = np.zeros((len(scene.sprites), len(indices), size, size), np.float32)
    for number, sprite in enumerate(scene.sprites):
        corner, alpha, _ = _draw_sprite(sprite, scene.motion.positions[number][indices])
        for plane, (x, y), a in zip(covered[number], corner, alpha, strict=True):
            rows, columns, part = _overlap(x, y, alpha.shape[-1], size)
            if part is not None:
                plane[rows, columns] = a[part]
    return covered


def _colour_axis(rng: np.random.Generator, strength: float) -> np.ndarray:
    """A colour direction [3] in which mostly brightness changes (4:2:0 halves the resolution of the rest)."""
    return strength * (1 + 0.5 * rng.standard_normal(3))


def _apart(rng: np.random.Generator, mean: np.ndarray, contrast: float) -> np.ndarray:
    """A colour [3] whose brightness differs from that of `mean` by at least `contrast`."""
    while True:  # at contrast <= 0.3 every second draw or so is good
        colour = rng.uniform(0.1, 0.9, 3)
        if abs((colour - mean) @ LUMA) >= contrast:
            return colour


def _backgrounds(scene: Scene) -> np.ndarray:
    """The background alone, float32 [F, size, size, 3]: one window of the texture per frame, bilinear."""
    size, reach = scene.spec.size, (scene.background.shape[0] - scene.spec.size) // 2
    frames = np.empty((scene.spec.frames, size, size, 3), np.float32)
    for frame, (x, y) in zip(frames, reach - scene.motion.camera, strict=True):
        left, top = int(np.floor(x)), int(np.floor(y))
        fx, fy = np.float32(x - left), np.float32(y - top)
        window = scene.background[top : top + size + 1, left : left + size + 1]
        rows = window[:-1] * (1 - fy) + window[1:] * fy
        frame[:] = rows[:, :-1] * (1 - fx) + rows[:, 1:] * fx
    return frames


def _draw_sprite(sprite: Sprite, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sprite at positions [F, 2]: corners (x, y) int [F, 2] of its windows, alpha [F, K, K], colour [F, K, K, 3]."""
    reach = int(np.ceil(EXTENT * sprite.radius + sprite.edge / 2)) + 1
    whole = np.floor(positions).astype(int)
    ruler = np.arange(-reach, reach + 2)
    dx = ruler - (positions - whole)[:, 0:1]  # [F, K]: window pixels relative to the exact centre
    dy = ruler - (positions - whole)[:, 1:2]
    distance = np.hypot(dx[:, None, :], dy[:, :, None])
    angle = np.arctan2(dy[:, :, None], dx[:, None, :]) - sprite.angle
    outline = sprite.radius * _outline(sprite.shape, angle)
    alpha = np.clip((outline - distance) / sprite.edge + 0.5, 0, 1).astype(np.float32)

    # the fractional part is the same for a whole window: bilinear sampling is a blend of four shifted windows
    fx, fy = (1 - (positions - whole).astype(np.float32)).T[:, :, None, None, None]
    start = sprite.texture.shape[0] // 2 - reach - 1
    t = sprite.texture[start : start + len(ruler) + 1, start : start + len(ruler) + 1]
    rows = t[:-1] * (1 - fy) + t[1:] * fy
    colour = rows[:, :, :-1] * (1 - fx) + rows[:, :, 1:] * fx
    return whole - reach, alpha, colour


def _outline(shape: str, angle: np.ndarray) -> np.ndarray:
    """Distance from the centre to the outline in radii, at angles in radians; at most EXTENT."""
    if shape == "disc":
        return np.ones_like(angle)
    if shape == "ellipse":
        a, b = EXTENT, 0.75
        return a * b / np.hypot(b * np.cos(angle), a * np.sin(angle))
    if shape == "star":
        return 0.85 + 0.35 * np.cos(5 * angle)
    sides = {"triangle": 3, "square": 4, "hexagon": 6}[shape]
    half = np.pi / sides
    return EXTENT * np.cos(half) / np.cos(angle % (2 * half) - half)


def _overlap(x: int, y: int, side: int, size: int) -> tuple[slice, slice, tuple[slice, slice] | None]:
    """Where a window with corner (x, y) meets the frame: slices of the frame, and of the window (None if nowhere)."""
    left, right, top, bottom = max(x, 0), min(x + side, size), max(y, 0), min(y + side, size)
    if left >= right or top >= bottom:
        return slice(0), slice(0), None
    part = (slice(top - y, bottom - y), slice(left - x, right - x))
    return slice(top, bottom), slice(left, right), part
