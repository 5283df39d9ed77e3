"""Where everything is at every frame: the trajectories that make a class, and nothing of what they look like.

Two invariants make single frames worthless, by construction rather than by tuning:

- positions live on a torus whose hidden part is wider than a sprite and a step, and the middle position is uniform on
  it; a translation of a uniform variable on a torus is uniform, so the positions are uniform at *every* frame of every
  class, and a sprite wraps only while out of sight;
- relation: the distance of a pair is uniform on [0, R] at every frame, whatever its course, and its axis has the same
  distribution in every class.

In change, order and relation the mean direction of motion tells two classes from the other two, so knowing it alone is
worth 50 %; the rest takes what the tier is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.synthmotion.spec import CLASSES, STREAMS, SUBSETS, TIER_OF, Spec, SpecError

PLACES = np.array([[0.0, 0.0], [0.5, 0.25], [0.0, 0.5], [0.5, 0.75]])
"""Where the actors (relation: the pairs), all with the identical motion, stand on the torus, in units of its side, the
whole being shifted at random. Some are in view at any time; and no two pairs stand in a row, for `approach` looks like
`separate` from the right sprite of one to the left sprite of the next."""
NUM_STILL = 2
"""In every array, sprites that move with the camera only stand behind the actors."""
EXTENT = 1.2
"""Largest reach of a shape's outline, in radii."""
HEADINGS = {"right": 0.0, "down": 90.0, "left": 180.0, "up": 270.0}
"""Degrees clockwise from right on the screen."""
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
    actors = len(PLACES) * (2 if tier == "relation" else 1)
    radii = rng.choice(spec.radii(subset), actors + NUM_STILL)
    speed = _draw_speed(rng, spec.speeds(subset))
    # from out of sight on one side to out of sight on the other, plus the longest step of any class: a sprite is
    # never seen on both sides in two frames running
    parting = spec.relation_distance / (1 - spec.relation_duty) / spec.relation_period
    longest = speed * max(1 + spec.speed_change, spec.relation_travel + parting / 2) + spec.drift
    torus = spec.size - 1 + 2 * (EXTENT * radii.max() + MAX_EDGE / 2) + longest
    low = (spec.size - 1 - torus) / 2
    drift = rng.uniform(0, spec.drift) * _unit(rng.uniform(0, 2 * np.pi))
    camera = times[:, None] * drift

    parameters: dict[str, Any] = {"speed": speed}
    if tier == "relation":
        pair, drawn = _relation(rng, spec, class_name, speed, times)
        moves = np.tile(pair, (len(PLACES), 1, 1))
    else:
        single, drawn = _path(rng, spec, class_name, speed, times)
        moves = np.tile(single, (len(PLACES), 1, 1))
    parameters.update(drawn)
    places = rng.uniform(0, torus, 2) + torus * PLACES.repeat(actors // len(PLACES), axis=0)
    still = np.broadcast_to(rng.uniform(0, torus, (NUM_STILL, 1, 2)), (NUM_STILL, spec.frames, 2))
    paths = np.concatenate([places[:, None] + moves, still]) + camera
    positions = (paths - low) % torus + low
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
        angle = HEADINGS[class_name]
        angle += rng.uniform(-spec.direction_jitter, spec.direction_jitter)
        heading, rate = np.full(len(middles), np.deg2rad(angle)), np.ones(len(middles))
        drawn = {"angle": angle}
    elif TIER_OF[class_name] == "change":
        turns = class_name.startswith("turn")
        middle = HEADINGS["left" if turns else "right"] + rng.uniform(-spec.change_jitter, spec.change_jitter)
        turn = np.deg2rad(rng.uniform(*spec.turn)) if turns else 0.0
        turn = -turn if class_name == "turn_ccw" else turn
        change = {"accelerate": spec.speed_change, "decelerate": -spec.speed_change}.get(class_name, 0.0)
        heading, rate = np.deg2rad(middle) + turn * middles / (2 * half), 1 + change * middles / half
        drawn = {"angle": middle, "turn": float(np.rad2deg(turn))}
    else:
        # one jitter for both directions: the corner is always a right angle
        jitter = rng.uniform(-spec.order_jitter, spec.order_jitter)
        first, second = (HEADINGS[word] + jitter for word in class_name.split("_then_"))
        switch = rng.uniform(-spec.order_switch, spec.order_switch)
        # the step in which the switch falls is shared by both directions
        share = np.clip(switch - (middles - 0.5), 0, 1)[:, None]
        steps = speed * (share * _unit(np.deg2rad(first)) + (1 - share) * _unit(np.deg2rad(second)))
        return _integrate(steps), {"first": first, "second": second, "switch": switch}
    return _integrate(speed * rate[:, None] * _unit(heading)), drawn


def _integrate(steps: np.ndarray) -> np.ndarray:
    """Steps [F-1, 2] -> positions [F, 2] whose value in the middle of the video is 0."""
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    middle = (path[(len(path) - 1) // 2] + path[len(path) // 2]) / 2
    return path - middle


def _relation(
    rng: np.random.Generator, spec: Spec, class_name: str, speed: float, times: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Paths [2, F, 2] of a pair relative to the middle position of its centre, and what was drawn for them."""
    towards = "right" if class_name in ("approach", "separate") else "left"
    angle = HEADINGS[towards] + rng.uniform(-spec.relation_jitter, spec.relation_jitter)
    axis = _unit(np.deg2rad(angle))
    centre = times[:, None] * spec.relation_travel * speed * axis
    period = spec.relation_period / speed
    phase = rng.uniform(0, 1)
    distance = spec.relation_distance * _course(class_name, times / period + phase, spec.relation_duty)
    offset = rng.choice([-1.0, 1.0]) * distance[:, None] * axis / 2  # either may go ahead
    return np.stack([centre + offset, centre - offset]), {"angle": angle, "period": period, "phase": phase}


def _course(class_name: str, cycles: np.ndarray, duty: float) -> np.ndarray:
    """Signed distance in -1..1 at times counted in periods (>= 0 unless the pair crosses); |distance| of a random
    phase is uniform on 0..1 for every class, because every course is made of straight lines between 0 and 1."""
    if class_name == "follow":
        return np.full(len(cycles), cycles[0] % 1)
    if class_name == "cross":  # 1 -> -1 -> 1 in two periods: through each other and on
        return np.abs(cycles % 2 - 1) * 2 - 1
    cycles = (cycles if class_name == "approach" else -cycles) % 1
    return np.where(cycles < duty, 1 - cycles / duty, (cycles - duty) / (1 - duty))
