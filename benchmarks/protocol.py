"""How a video becomes a score: a protocol is everything about a test that moves its number besides the weights.

`protocols/NAME.yaml` has the named ones, each value with its source. A run is told the values, never the name: the name
in its record is found by comparing them. TSN's 70.6 / 68.8 / 69.9 on Kinetics-400 are one checkpoint under three of
them (README of mit-han-lab/temporal-shift-module), so results under two protocols are two results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hcml.config import ConfigError, SamplingConfig, TestRun, TransformConfig

FOLDER = Path(__file__).parent / "protocols"
CUSTOM = "custom"
"""Name of a protocol whose values are those of no named one."""
FLIPS = ("none", "horizontal", "mapped", "auto")


@dataclass(frozen=True)
class Protocol:
    """The values of a test, and of the training what the test has to fit. Lengths in frames, sizes in pixels."""

    name: str
    sampling: str
    """dense | uniform."""
    num_frames: int
    """Of a test clip."""
    resize: int
    """Short side of the test frames before cropping; 0 = the video's own."""
    crop_size: int
    num_clips: int
    num_crops: int
    flip: str
    """Of the training videos: none | horizontal | mapped | auto (none where classes depend on left and right, else
    horizontal)."""
    frame_stride: int = 1
    """dense only."""
    window: int = 0
    """dense only."""
    first_frame: int = -1
    """dense only."""
    rule: str = "parts"
    """uniform only."""
    short_video: str = "pad_last"
    train_frames: int = 0
    """Of a training clip; 0 = those of the test."""
    train_crop: int = 0
    """Side of a training crop; 0 = that of the test."""
    metric: str = "video"
    average: str = "softmax"
    selection: str = "last"
    """last | best (of the test set: what some published rows are; no run of this suite)."""
    coverage: float = 0.97
    """Below this share of readable videos a row is not comparable with others."""

    def __post_init__(self) -> None:
        if self.flip not in FLIPS:
            raise ConfigError(f"protocol {self.name}: flip={self.flip!r} is not one of {', '.join(FLIPS)}")
        if self.selection not in ("last", "best"):
            raise ConfigError(f"protocol {self.name}: selection={self.selection!r} is not last or best")
        try:
            self.sampling_config()
            TransformConfig(resize=self.resize, crop_size=self.crop_size)
        except ConfigError as error:
            raise ConfigError(f"protocol {self.name}: {error}") from error

    @property
    def views(self) -> int:
        """Of a video."""
        return self.num_clips * self.num_crops

    def sampling_config(self) -> SamplingConfig:
        """The sampling of the test."""
        return SamplingConfig(
            mode=self.sampling,
            num_frames=self.num_frames,
            frame_stride=self.frame_stride,
            short_video=self.short_video,
            first_frame=self.first_frame,
            window=self.window,
            rule=self.rule,
        )

    def settled(self, directed: bool) -> Protocol:
        """The same with every value plain, on a benchmark whose classes do (`directed`) or do not depend on left and
        right."""
        return replace(
            self,
            flip=settled_flip(self.flip, directed),
            frame_stride=self.frame_stride if self.sampling == "dense" else 1,
            train_frames=self.train_frames or self.num_frames,
            train_crop=self.train_crop or self.crop_size,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def settled_flip(flip: str, directed: bool) -> str:
    """`auto` is the rule of TSM's public code (main.py): none for classes of left and right, horizontal for others."""
    return ("none" if directed else "horizontal") if flip == "auto" else flip


def read(path: Path) -> Protocol:
    """One named protocol; its name is the file's. Raises ConfigError naming file and key."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Protocol)} - {"name"}
    if not isinstance(values, Mapping) or (unknown := sorted(set(values) - known)):
        raise ConfigError(f"{path.name}: unknown keys {unknown if isinstance(values, Mapping) else values}")
    try:
        return Protocol(name=path.stem, **values)
    except TypeError as error:
        raise ConfigError(f"{path.name}: {error}") from error


@cache
def named() -> dict[str, Protocol]:
    """Every named protocol, by name."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def protocol_of(test: TestRun, flip: str, directed: bool) -> Protocol:
    """The protocol of a test of weights that were trained with `flip`; its name follows from its values."""
    sampling, transform = test.sampling, test.transform
    found = Protocol(
        name=CUSTOM,
        sampling=sampling.mode,
        num_frames=sampling.num_frames,
        resize=transform.resize,
        crop_size=transform.crop_size,
        num_clips=test.num_clips,
        num_crops=test.num_crops,
        flip=flip,
        frame_stride=sampling.frame_stride,
        window=sampling.window,
        first_frame=sampling.first_frame,
        rule=sampling.rule,
        short_video=sampling.short_video,
        train_frames=test.model.num_frames,
        train_crop=test.model.input_size,
        metric=test.metric,
        average=test.average,
        selection=test.selection,
        coverage=test.coverage,
    ).settled(directed)
    for name, protocol in named().items():
        if protocol.settled(directed) == replace(found, name=name):
            return replace(found, name=name)
    return found
