"""Where everything is at every frame: the trajectories that make a class, and nothing of what they look like.

Two invariants make single frames worthless, by construction rather than by tuning:

- direction, change, order: positions live on a torus whose hidden part is wider than a sprite and a step, and the
  middle position is uniform on it; a translation of a uniform variable on a torus is uniform, so the positions are
  uniform at *every* frame of every class, and a sprite wraps only while out of sight;
- relation: in every class the pair travels along its own axis with the same distribution of centre, axis and
  speed, and its distance is uniform on [0, R] at every frame, whatever its course.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.synthmotion.spec import CLASSES, STREAMS, SUBSETS, TIER_OF, Spec, SpecError

NUM_ACTORS = 3
"""direction, change, order: sprites with the identical motion, a third of the torus apart on a diagonal, so that at
any time at least one of them is in view, in part at least."""
NUM_PAIR = 2
NUM_SPRITES = 4
"""In every tier: the actors (or the pair), then sprites that move with the camera only."""
EXTENT = 1.2
"""Largest reach of a shape's outline, in radii."""
MAX_EDGE = 2.0
"""Widest soft edge of a sprite, pixels."""


@dataclass(frozen=True)
class Motion:
    """The motion of one video. Positions are (x, y) in pixels, y down, pixel centres at whole numbers.

    positions: float64 [S, F, 2], where each sprite is drawn; paths: the same before wrapping, so that differences
    along time are true displacements; actors come first, sprites that follow the camera only come last.
    camera: float64 [F, 2], displacement of the scene (0 in the middle of the video).
    """

    class_name: str
    positions: np.ndarray
    paths: np.ndarray
    camera: np.ndarray
    radii: np.ndarray
    torus: float
    parameters: dict[str, Any]


def streams(spec: Spec, subset: str, class_name: str, index: int) -> list[np.random.Generator]:
    """Two independent generators of one video, for its motion and for its looks: a pure function of the arguments."""
    if subset not in SUBSETS or class_name not in TIER_OF or index < 0:
        raise SpecError(f"there is no synthmotion video {subset!r}, {class_name!r}, {index}")
    entropy = [spec.seed, STREAMS.index(spec.stream), SUBSETS.index(subset), CLASSES.index(class_name), index]
    return [np.random.default_rng(child) for child in np.random.SeedSequence(entropy).spawn(2)]


def draw_motion(spec: Spec, subset: str, class_name: str, index: int) -> Motion:
    """The motion of one video; a pure function of its arguments. Raises SpecError for unknown ones."""
    rng = streams(spec, subset, class_name, index)[0]
    tier = TIER_OF[class_name]
    times = np.arange(spec.frames) - (spec.frames - 1) / 2  # 0 in the middle, so that time reversal is t -> -t
    radii = rng.choice(spec.radii(subset), NUM_SPRITES)
    speed = _draw_speed(rng, spec.speeds(subset))
    # from out of sight on one side to out of sight on the other, plus the longest step of any class: a sprite is
    # never seen on both sides in two frames running
    longest = speed * (1 + spec.speed_change) + spec.drift
    torus = spec.size - 1 + 2 * (EXTENT * radii.max() + MAX_EDGE / 2) + longest
    low = (spec.size - 1 - torus) / 2
    drift = rng.uniform(0, spec.drift) * _unit(rng.uniform(0, 2 * np.pi))
    camera = times[:, None] * drift

    parameters: dict[str, Any] = {"speed": speed}
    if tier == "relation":
        pair, drawn = _relation(rng, spec, class_name, speed, times)
        actors = pair + (spec.size - 1) / 2
    else:
        path, drawn = _path(rng, spec, class_name, speed, times)
        third = torus / NUM_ACTORS * np.array([1.0, rng.choice([-1.0, 1.0])])
        corners = rng.uniform(0, torus, 2) + np.arange(NUM_ACTORS)[:, None] * third
        actors = corners[:, None] + path
    parameters.update(drawn)
    still = np.broadcast_to(
        rng.uniform(0, torus, (NUM_SPRITES - len(actors), 1, 2)), (NUM_SPRITES - len(actors), spec.frames, 2)
    )
    paths = np.concatenate([actors, still]) + camera
    positions = (paths - low) % torus + low
    if tier == "relation":  # the pair stays around the frame: wrapping would tear it apart in sight
        positions[:NUM_PAIR] = paths[:NUM_PAIR]
    parameters.update(drift=drift.tolist(), radii=radii.tolist(), torus=float(torus))
    return Motion(class_name, positions, paths, camera, radii, float(torus), parameters)


def _draw_speed(rng: np.random.Generator, intervals: tuple[tuple[float, float], ...]) -> float:
    lengths = np.array([high - low for low, high in intervals])
    share = lengths / lengths.sum() if lengths.sum() > 0 else None
    low, high = intervals[rng.choice(len(intervals), p=share)]
    return float(rng.uniform(low, high))


def _unit(angle: float | np.ndarray) -> np.ndarray:
    """Unit vectors [..., 2] at angles in radians, clockwise from right on the screen (y points down)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _path(
    rng: np.random.Generator, spec: Spec, class_name: str, speed: float, times: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Path [F, 2] of an actor relative to its middle position, and what was drawn for it."""
    middles = (times[1:] + times[:-1]) / 2  # velocities hold between frames: this keeps reversal exact
    half = times[-1]
    if TIER_OF[class_name] == "direction":
        angle = {"right": 0.0, "down": 90.0, "left": 180.0, "up": 270.0}[class_name]
        angle += rng.uniform(-spec.direction_jitter, spec.direction_jitter)
        heading, rate = np.full(len(middles), np.deg2rad(angle)), np.ones(len(middles))
        drawn = {"angle": angle}
    elif TIER_OF[class_name] == "change":
        start = rng.uniform(0, 2 * np.pi)
        turn = np.deg2rad(rng.uniform(*spec.turn)) if class_name.startswith("turn") else 0.0
        turn = -turn if class_name == "turn_ccw" else turn
        change = {"accelerate": spec.speed_change, "decelerate": -spec.speed_change}.get(class_name, 0.0)
        heading, rate = start + turn * middles / (2 * half), 1 + change * middles / half
        drawn = {"angle": float(np.rad2deg(start)), "turn": float(np.rad2deg(turn))}
    else:
        # `rising` moves along the "/" axis, `falling` along the "\" one, each with a random sign
        axes = {"horizontal": 0.0, "vertical": 90.0, "rising": -45.0, "falling": 45.0}
        first, second = (axes[word] + 180 * rng.integers(2) for word in class_name.split("_then_"))
        switch = rng.uniform(-spec.order_jitter, spec.order_jitter)
        # the step in which the switch falls is shared by both directions
        share = np.clip(switch - (middles - 0.5), 0, 1)[:, None]
        steps = speed * (share * _unit(np.deg2rad(first)) + (1 - share) * _unit(np.deg2rad(second)))
        return _integrate(steps), {"first": float(first), "second": float(second), "switch": switch}
    return _integrate(speed * rate[:, None] * _unit(heading)), drawn


def _integrate(steps: np.ndarray) -> np.ndarray:
    """Steps [F-1, 2] -> positions [F, 2] whose value in the middle of the video is 0."""
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    middle = (path[(len(path) - 1) // 2] + path[len(path) // 2]) / 2
    return path - middle


def _relation(
    rng: np.random.Generator, spec: Spec, class_name: str, speed: float, times: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Paths [2, F, 2] of the pair relative to the middle of the frame, and what was drawn for them."""
    angle = rng.uniform(0, 2 * np.pi)
    axis = _unit(angle)
    side = spec.relation_spread * spec.size
    travel = spec.relation_travel * speed * rng.choice([-1.0, 1.0])
    centre = rng.uniform(-side / 2, side / 2, 2) + times[:, None] * travel * axis
    period = spec.relation_period / speed
    phase = rng.uniform(0, 1)
    distance = spec.relation_distance * _course(class_name, times / period + phase, spec.relation_duty)
    offset = distance[:, None] * axis / 2
    drawn = {"angle": float(np.rad2deg(angle)), "travel": float(travel), "period": period, "phase": phase}
    return np.stack([centre + offset, centre - offset]), drawn


def _course(class_name: str, cycles: np.ndarray, duty: float) -> np.ndarray:
    """Signed distance in -1..1 at times counted in periods (>= 0 unless the pair crosses); |distance| of a random
    phase is uniform on 0..1 for every class, because every course is made of straight lines between 0 and 1."""
    if class_name == "follow":
        return np.full(len(cycles), cycles[0] % 1)
    if class_name == "cross":  # 1 -> -1 -> 1 in two periods: through each other and on
        return np.abs(cycles % 2 - 1) * 2 - 1
    cycles = (cycles if class_name == "approach" else -cycles) % 1
    return np.where(cycles < duty, 1 - cycles / duty, (cycles - duty) / (1 - duty))
