"""What is read by the phases that measure a network without training it: linear probe and retrieval."""

from __future__ import annotations

from dataclasses import dataclass, field

from hcml.config.base import ConfigError, at_least, choice
from hcml.config.clip import check_clip
from hcml.config.data import BenchmarkConfig, SamplingConfig, TransformConfig
from hcml.config.network import ModelConfig
from hcml.config.training import ComputeConfig


@dataclass
class FeatureConfig:
    """How a frozen network turns a video into one vector: pooled over space, over time, averaged over views."""

    source: str = "level"
    """level (the top level's map and its motion feature: all that pretraining has trained, nothing that it has not) |
    motion (the motion features of all levels) | final (what the classifier reads: in a pretrained network of fewer
    than 4 levels the stages behind the top level are as random as they began)."""
    pool: str = "mean"
    """mean | concat (one vector for each time, side by side: a linear classifier on a mean cannot see an order)."""
    num_clips: int = 1
    num_crops: int = 1
    """1 = centre, 3 = three crops along the longer side."""

    def __post_init__(self) -> None:
        choice("features.source", self.source, ("level", "motion", "final"))
        choice("features.pool", self.pool, ("mean", "concat"))
        at_least("features.num_clips", self.num_clips, 1)
        if self.num_crops not in (1, 3):
            raise ConfigError(f"features.num_crops={self.num_crops} must be 1 (centre) or 3 (along the longer side)")


@dataclass
class _FrozenRun:
    """What both phases read."""

    model: ModelConfig
    benchmark: BenchmarkConfig
    init: str = "run"
    """run (a pretraining run, or `checkpoint=FILE`) | weights (backbone.pretrained) | scratch (a random network: what
    every figure must be compared with)."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    batch_size: int = 16
    """Views of a step."""
    within_group: bool = False
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    seed: int = 0
    """Of the weights that were not loaded; with init=run, where there are none, that of the pretraining."""

    phase = ""

    def __post_init__(self) -> None:
        choice("init", self.init, ("run", "weights", "scratch"))
        if self.init == "weights" and not self.model.backbone.pretrained:
            raise ConfigError("init=weights needs backbone.pretrained=timm or backbone.pretrained=FILE")
        if self.features.source != "final" and self.model.levels == 0:
            raise ConfigError(
                f"{self.phase}.features.source={self.features.source} needs levels >= 1: of a plain backbone there is "
                f"only {self.phase}.features.source=final"
            )
        at_least(f"{self.phase}.batch_size", self.batch_size, 1)
        check_clip(self.model, self.sampling, self.transform, self.phase)


@dataclass
class ProbeRun(_FrozenRun):
    """A linear classifier on frozen features; `within_group` masks other groups' classes, as in fine-tuning."""

    l2: list[float] = field(default_factory=lambda: [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    """Weight of |W|^2 / 2 beside the mean cross-entropy of standardised features. Of several values the one with the
    lowest cross-entropy on a held-out fifth of the training videos is taken; the test videos decide nothing."""
    max_iterations: int = 1000
    """Of L-BFGS; the problem is convex, and a probe that has not converged raises an alarm."""

    phase = "probe"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.l2 or any(not value > 0 for value in self.l2) or len(set(self.l2)) < len(self.l2):
            raise ConfigError(f"probe.l2={self.l2} must be one or more different positive numbers")
        at_least("probe.max_iterations", self.max_iterations, 1)
        if len(self.l2) > 1 and self.benchmark.train_per_class == 1:
            raise ConfigError(
                f"probe.l2={self.l2} is chosen on held-out training videos, but benchmark.train_per_class=1 leaves "
                "none: give one value, or more videos"
            )


@dataclass
class RetrievalRun(_FrozenRun):
    """Test videos look for their nearest training videos; `within_group` searches the query's group alone."""

    center: str = "none"
    """none | train (the training videos' mean is subtracted) | each (from each subset its own mean)."""

    phase = "retrieval"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("retrieval.center", self.center, ("none", "train", "each"))
