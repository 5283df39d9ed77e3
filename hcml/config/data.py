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
    window: int = 0
    """dense: source frames that must lie behind a start (TSM's dense sampling: 64, whatever the clip spans); 0 = as
    many as the clip spans."""
    rule: str = "parts"
    """uniform: parts (T equal parts) | tsm (the index formulas of TSM's public code, and with two test clips its second
    sample, taken at the starts of the parts)."""

    def __post_init__(self) -> None:
        choice("sampling.mode", self.mode, ("dense", "uniform"))
        choice("sampling.short_video", self.short_video, ("pad_last", "loop", "error"))
        at_least("sampling.num_frames", self.num_frames, 1)
        at_least("sampling.frame_stride", self.frame_stride, 1)
        at_least("sampling.first_frame", self.first_frame, -1)
        at_least("sampling.window", self.window, 0)
        choice("sampling.rule", self.rule, ("parts", "tsm"))
        if self.first_frame >= 0 and self.mode != "dense":
            raise ConfigError(
                f"sampling.first_frame={self.first_frame} needs sampling.mode=dense: uniform sampling has no window"
            )
        if self.rule != "parts" and self.mode != "uniform":
            raise ConfigError(f"sampling.rule={self.rule} needs sampling.mode=uniform: a dense clip has no parts")
        span = (self.num_frames - 1) * self.frame_stride + 1
        if self.window and self.mode != "dense":
            raise ConfigError(f"sampling.window={self.window} needs sampling.mode=dense: set sampling.window=0")
        if self.window and self.window < span:
            raise ConfigError(
                f"sampling.window={self.window} is shorter than the {span} frames that a clip of {self.num_frames} "
                f"frames with sampling.frame_stride={self.frame_stride} spans: set sampling.frame_stride="
                f"{max(self.window // self.num_frames, 1)} or sampling.window=0"
            )


@dataclass
class TransformConfig:
    """Frames -> square crops; one random draw for a whole clip."""

    resize: int = 0
    """Short side before cropping; 0 = keep the video's own size."""
    crop_size: int = 48
    scale: list[float] = field(default_factory=lambda: [1.0, 1.0])
    """Area range of the random resized crop in training; [1, 1] = a plain random crop of `crop_size`."""
    multiscale: list[float] = field(default_factory=list)
    """Sides of the training crop as shares of the short side (TSM: [1, 0.875, 0.75, 0.66]), width and height at most
    one step apart, at one of 13 fixed places; [] = `scale` decides."""
    flip: str = "none"
    """none | horizontal | mapped: random mirroring in training. horizontal is refused where classes depend on left and
    right; mapped gives a mirrored video the label of the mirrored class."""

    def __post_init__(self) -> None:
        choice("transform.flip", self.flip, ("none", "horizontal", "mapped"))
        at_least("transform.crop_size", self.crop_size, 8)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(f"transform.scale={self.scale} must be [low, high] with 0 < low <= high <= 1")
        if any(not 0 < share <= 1 for share in self.multiscale):
            raise ConfigError(
                f"transform.multiscale={self.multiscale} must be shares of the short side: 0 < share <= 1"
            )
        if self.multiscale and list(self.scale) != [1.0, 1.0]:
            raise ConfigError(
                f"transform.multiscale={self.multiscale} and transform.scale={self.scale} are two kinds of crop: set "
                "transform.scale=[1,1] or transform.multiscale=[]"
            )
        if self.resize and self.resize < self.crop_size:
            raise ConfigError(
                f"transform.resize={self.resize} is smaller than transform.crop_size={self.crop_size}: "
                "set resize to at least the crop, or to 0 to keep the video's size"
            )
