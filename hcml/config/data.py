"""The data: benchmark, sampling, transforms."""

from __future__ import annotations

from dataclasses import dataclass, field

from hcml.config.base import ConfigError, at_least, choice

DECODERS = ("decord", "pyav", "torchcodec", "frames")
"""Names of the readers in hcml/data/video.py, which this package must not import; a test compares them."""


@dataclass
class BenchmarkConfig:
    """What is measured; the reader of `name` is in benchmarks/."""

    name: str = "synthmotion"
    version: str = "v1"
    split: str = "all"
    """Which split, fold or part of the benchmark (synthmotion: all | one tier)."""
    train_per_class: int = 0
    """Videos of each class; 0 = all there are."""
    test_per_class: int = 0
    decoder: str = "decord"

    def __post_init__(self) -> None:
        choice("benchmark.decoder", self.decoder, DECODERS)


@dataclass
class SamplingConfig:
    """num_frames of the source -> frame indices."""

    mode: str = "dense"
    """dense (one window, frames `frame_stride` apart) | uniform (TSN: one frame in each of T equal parts)."""
    num_frames: int = 8
    frame_stride: int = 2
    short_video: str = "pad_last"
    """pad_last | loop | error: what to do when the video is shorter than the window."""
    first_frame: int = -1
    """dense: where the window starts, in training and in testing; -1 = anywhere in training, centred in testing."""

    def __post_init__(self) -> None:
        choice("sampling.mode", self.mode, ("dense", "uniform"))
        choice("sampling.short_video", self.short_video, ("pad_last", "loop", "error"))
        at_least("sampling.num_frames", self.num_frames, 1)
        at_least("sampling.frame_stride", self.frame_stride, 1)
        at_least("sampling.first_frame", self.first_frame, -1)
        if self.first_frame >= 0 and self.mode != "dense":
            raise ConfigError(
                f"sampling.first_frame={self.first_frame} needs sampling.mode=dense: uniform sampling has no window"
            )


@dataclass
class TransformConfig:
    """Frames -> square crops; one random draw for a whole clip."""

    resize: int = 0
    """Short side before cropping; 0 = keep the video's own size."""
    crop_size: int = 48
    scale: list[float] = field(default_factory=lambda: [1.0, 1.0])
    """Area range of the random resized crop in training; [1, 1] = a plain random crop of `crop_size`."""
    flip: str = "none"
    """none | horizontal: random mirroring in training; only where no class depends on left and right."""

    def __post_init__(self) -> None:
        choice("transform.flip", self.flip, ("none", "horizontal"))
        at_least("transform.crop_size", self.crop_size, 8)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(f"transform.scale={self.scale} must be [low, high] with 0 < low <= high <= 1")
        if self.resize and self.resize < self.crop_size:
            raise ConfigError(
                f"transform.resize={self.resize} is smaller than transform.crop_size={self.crop_size}: "
                "set resize to at least the crop, or to 0 to keep the video's size"
            )
