"""Rules that name the class from the true trajectories: what perfect tracking would be worth, for calibration."""

from __future__ import annotations

import numpy as np

from benchmarks.synthmotion.motion import draw_motion
from benchmarks.synthmotion.spec import TIERS, VERSIONS, Spec

STEADY = 0.5
"""A distance whose range is below this (pixels) is constant."""

_UNITS = {"right": (1, 0), "down": (0, 1), "left": (-1, 0), "up": (0, -1)}  # y points down


def classify(paths: np.ndarray, tier: str) -> str:
    """The class of true paths float64 [S, F, 2] (unwrapped; actors first, the last sprite still in the scene), the tier
    being given. Any contiguous or strided selection of at least 4 frames will do. Raises ValueError otherwise."""
    if tier not in TIERS:
        raise ValueError(f"tier={tier!r} is not one of {', '.join(TIERS)}")
    if paths.ndim != 3 or paths.shape[2] != 2 or paths.shape[0] < 3 or paths.shape[1] < 4:
        raise ValueError(f"paths must be [sprites >= 3, frames >= 4, 2], not {list(paths.shape)}")
    scene = paths - paths[-1]  # relative to a sprite that moves with the camera alone
    steps = np.diff(scene[0], axis=0)
    rules = {"direction": _direction, "change": _change, "order": _order}
    return rules[tier](steps) if tier in rules else _relation(scene[0] - scene[1])


def _direction(steps: np.ndarray) -> str:
    x, y = steps.sum(axis=0)
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "down" if y > 0 else "up"


def _change(steps: np.ndarray) -> str:
    (x0, y0), (x1, y1) = steps[:-1].T, steps[1:].T
    turned = np.arctan2(x0 * y1 - y0 * x1, x0 * x1 + y0 * y1).sum()  # > 0: clockwise on the screen, y being down
    if abs(turned) > np.pi / 6:
        return "turn_cw" if turned > 0 else "turn_ccw"
    speeds = np.hypot(*steps.T)
    return "accelerate" if speeds[-1] > speeds[0] else "decelerate"


def _order(steps: np.ndarray) -> str:
    # both ends are judged together, because only four of the sixteen orders exist
    first, last = (step / max(float(np.hypot(*step)), 1e-9) for step in steps[[0, -1]])
    fits = {name: [_UNITS[word] for word in name.split("_then_")] for name in TIERS["order"]}
    return max(fits, key=lambda name: float(first @ fits[name][0] + last @ fits[name][1]))


def _relation(offset: np.ndarray) -> str:
    axis = offset[np.argmax(np.hypot(*offset.T))]
    signed = offset @ (axis / max(float(np.hypot(*axis)), 1e-9))
    distance = np.abs(signed)
    if np.ptp(signed) < STEADY:
        return "follow"
    steps = np.diff(distance)
    rates = {sign: np.abs(steps[np.sign(steps) == sign]) for sign in (-1, 1)}
    turns = len(rates[-1]) > 1 and len(rates[1]) > 1
    # a crossing pair closes in and moves out equally fast; the other two do one of them quickly
    even = turns and 0.5 < np.quantile(rates[-1], 0.6) / np.quantile(rates[1], 0.6) < 2
    if signed.min() < -1e-6 or even:
        return "cross"
    return "approach" if len(rates[-1]) > len(rates[1]) else "separate"


def accuracy(
    subset: str, per_class: int, spec: Spec = VERSIONS["v1"], indices: np.ndarray | None = None
) -> dict[str, float]:
    """Tier -> per cent of the first `per_class` videos of each class named rightly, from the frames `indices` alone
    (default: all)."""
    chosen = np.arange(spec.frames) if indices is None else indices
    right = {
        name: sum(classify(draw_motion(spec, subset, name, i).paths[:, chosen], tier) == name for i in range(per_class))
        for tier, names in TIERS.items()
        for name in names
    }
    return {tier: 100 * sum(right[name] for name in names) / (per_class * len(names)) for tier, names in TIERS.items()}
