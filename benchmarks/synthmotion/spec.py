"""What synthmotion is: every number that decides a pixel, in one frozen dataclass, and the names of its classes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

TIERS: dict[str, tuple[str, ...]] = {
    "direction": ("right", "left", "up", "down"),
    "change": ("accelerate", "decelerate", "turn_cw", "turn_ccw"),
    "order": ("right_then_down", "up_then_left", "down_then_right", "left_then_up"),
    "relation": ("approach", "separate", "cross", "follow"),
}
"""Tier -> its classes. Neighbours (first/second, third/fourth) are time reversals of each other, except that `cross`
and `follow` are each their own reversal."""

CLASSES: tuple[str, ...] = tuple(name for names in TIERS.values() for name in names)
"""Class index -> name."""

TIER_OF: dict[str, str] = {name: tier for tier, names in TIERS.items() for name in names}

SUBSETS = ("train", "test")
STREAMS = ("main", "calibration")

FAMILIES: dict[str, tuple[str, ...]] = {
    "train": ("octaves", "stripes", "cells"),
    "test": ("blotches", "plaid", "spots"),
}
"""Subset -> its texture families: no family is in both."""

DEFAULT_PER_CLASS: dict[str, int] = {"train": 100, "test": 30}
"""Videos of each class when the configuration says 0."""


class SpecError(ValueError):
    """A specification or a folder of videos that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Spec:
    """Everything that decides the pixels of a video, counts excluded: a video is a pure function of
    (spec, subset, class, index), so a small set is a prefix, class by class, of a larger one.

    Lengths are pixels of the video, times are frames, angles are degrees. Raises :class:`SpecError`.
    """

    stream: str = "main"
    """main | calibration: calibration draws seeds (so motions and textures) that the benchmark never uses."""
    seed: int = 2007
    revision: int = 1
    """Raised when the drawing code changes what a given specification looks like."""
    size: int = 56
    frames: int = 18
    fps: int = 12
    crf: int = 18
    """x264's constant rate factor: 18 is called visually lossless by its makers."""
    gop: int = 8
    preset: str = "veryfast"
    drift: float = 0.25
    """Largest speed of the camera; the same constant velocity for everything in the scene."""
    radii_train: tuple[float, ...] = (7.0, 9.0, 11.0)
    radii_test: tuple[float, ...] = (8.0, 10.0)
    speeds_train: tuple[tuple[float, float], ...] = ((2.6, 3.2), (3.8, 4.4))
    speeds_test: tuple[tuple[float, float], ...] = ((3.2, 3.8),)
    direction_jitter: float = 45.0
    """direction: the heading is this close to that of its class; 45 fills the circle."""
    change_jitter: float = 15.0
    """change: the heading in the middle of the video is this close to right (*celerate) or left (turn_*)."""
    speed_change: float = 0.8
    """accelerate, decelerate: the speed runs linearly between (1 - c) and (1 + c) times its mean."""
    turn: tuple[float, float] = (120.0, 180.0)
    """turn_*: total change of heading over the video."""
    order_jitter: float = 15.0
    """order: both headings are turned by the same angle, at most this."""
    order_switch: float = 1.0
    """order: the switch is this close to the middle of the video."""
    relation_jitter: float = 15.0
    """relation: the pair's axis, along which its centre travels, is this close to horizontal."""
    relation_distance: float = 36.0
    """relation: the distance of the pair is uniform on 0..this at every frame of every class."""
    relation_period: float = 80.0
    """relation: period of the distance at speed 1; divided by the speed."""
    relation_duty: float = 0.8
    """relation: share of a period in which `approach` closes in (the rest moves out quickly)."""
    relation_travel: float = 0.6
    """relation: speed of the pair's centre, as a share of the speed."""
    background_contrast: tuple[float, float] = (0.03, 0.06)
    """Standard deviation of the background's texture around its mean colour (0..1), drawn within this range."""
    contrast: float = 0.3
    """Least difference between the mean brightness (0..1) of a sprite and of the background."""

    def __post_init__(self) -> None:
        if self.stream not in STREAMS:
            raise SpecError(f"stream={self.stream!r} is not one of {', '.join(STREAMS)}")
        if self.size < 16 or self.size % 2:
            raise SpecError(f"size={self.size} must be even (4:2:0 chroma) and at least 16")
        if self.frames < 4:
            raise SpecError(f"frames={self.frames}: a motion with two halves needs at least 4 frames")
        if not 0 < self.relation_duty < 1 or not 0 <= self.speed_change < 1:
            raise SpecError("relation_duty must be within 0..1 (exclusive) and speed_change within 0..1")
        if not 0 <= self.contrast <= 0.3:
            raise SpecError(f"contrast={self.contrast} must be within 0..0.3: beyond, no colour may be far enough")
        for name in ("radii_train", "radii_test"):
            if not getattr(self, name) or min(getattr(self, name)) < 2 or max(getattr(self, name)) > self.size / 4:
                raise SpecError(f"{name}={getattr(self, name)} must be within 2 and size / 4 = {self.size / 4}")
        for name in ("speeds_train", "speeds_test"):
            if not getattr(self, name) or any(not 0 < low <= high for low, high in getattr(self, name)):
                raise SpecError(f"{name}={getattr(self, name)} must be (low, high) pairs with 0 < low <= high")

    def radii(self, subset: str) -> tuple[float, ...]:
        """Sprite radii of a subset."""
        return self.radii_train if subset == "train" else self.radii_test

    def speeds(self, subset: str) -> tuple[tuple[float, float], ...]:
        """Speed intervals of a subset, pixels per frame."""
        return self.speeds_train if subset == "train" else self.speeds_test

    def content_hash(self) -> str:
        """sha256 over every field (there are no counts among them)."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Spec:
        """The inverse of :meth:`to_dict`; unknown or missing keys raise :class:`SpecError` naming them."""
        names = {item.name for item in fields(cls)}
        if set(plain) != names:
            raise SpecError(
                f"this is not a synthmotion specification of this version of the code: missing "
                f"{sorted(names - set(plain))}, unknown {sorted(set(plain) - names)}; render the videos anew"
            )
        return cls(**{key: _tuples(value) for key, value in plain.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


VERSIONS: dict[str, Spec] = {"v1": Spec(), "calibration": Spec(stream="calibration")}
"""BenchmarkConfig.version -> specification. Any other version is whatever its folder's spec.json says."""


def video_id(subset: str, class_name: str, index: int) -> str:
    """The name of a video: `train-turn_cw-00012`."""
    return f"{subset}-{class_name}-{index:05d}"


def parse_video_id(name: str) -> tuple[str, str, int]:
    """`train-turn_cw-00012` -> (subset, class, index); raises :class:`SpecError` for anything else."""
    parts = name.split("-")
    if len(parts) != 3 or parts[0] not in SUBSETS or parts[1] not in TIER_OF or not parts[2].isdecimal():
        raise SpecError(f"{name!r} is not a synthmotion video id (like {video_id('train', 'turn_cw', 12)})")
    return parts[0], parts[1], int(parts[2])
