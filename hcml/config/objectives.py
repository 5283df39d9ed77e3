"""The self-supervised objectives and their curriculum."""

from __future__ import annotations

from dataclasses import dataclass, field

from hcml.config.base import ConfigError, at_least, choice


@dataclass
class ReconstructionConfig:
    """Level 1: warp frame t-1 onto frame t."""

    weight: float = 1.0
    charbonnier_eps: float = 1e-3
    ssim_weight: float = 0.15
    smoothness_weight: float = 0.01
    edge_weight: float = 10.0
    """beta in exp(-beta |grad I|), the edge-aware weight of the smoothness term."""

    def __post_init__(self) -> None:
        for key in ("weight", "ssim_weight", "smoothness_weight", "edge_weight"):
            at_least(f"objective.reconstruction.{key}", getattr(self, key), 0)
        if not self.charbonnier_eps > 0:  # at 0 the penalty has no gradient where two frames agree
            raise ConfigError(f"objective.reconstruction.charbonnier_eps={self.charbonnier_eps} must be positive")


@dataclass
class ContrastConfig:
    """Level l >= 2: P_l(t) predicts P_(l-1)(t + delta) by InfoNCE."""

    weight: float = 1.0
    temperature: float = 0.1
    delta: int = 1
    negatives: list[str] = field(default_factory=lambda: ["space", "time", "clip"])
    """Where negatives come from: other places of the same time, other times of the same clip, other clips."""
    exclusion_radius: int = 1
    """Keys this near the positive (Chebyshev, in space and in time) are neither positive nor negative."""
    motion_queries: float = 0.5
    """Share of the queries drawn in proportion to ||P_(l-1)||, so that static background does not dominate."""
    max_queries: int = 1024
    max_keys: int = 2048

    def __post_init__(self) -> None:
        at_least("objective.contrast.weight", self.weight, 0)
        at_least("objective.contrast.delta", self.delta, 1)
        if not self.temperature > 0:
            raise ConfigError(f"objective.contrast.temperature={self.temperature} must be positive")
        for name in self.negatives:
            choice("objective.contrast.negatives", name, ("space", "time", "clip"))
        if not self.negatives:
            raise ConfigError("objective.contrast.negatives is empty: name at least one of space, time, clip")
        if not 0 <= self.motion_queries <= 1:
            raise ConfigError(f"objective.contrast.motion_queries={self.motion_queries} must be within 0..1")
        for key in ("max_queries", "max_keys"):
            at_least(f"objective.contrast.{key}", getattr(self, key), 1)
        at_least("objective.contrast.exclusion_radius", self.exclusion_radius, 0)


@dataclass
class ObjectiveConfig:
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)


@dataclass
class CurriculumConfig:
    name: str = "progressive"
    """progressive (levels join one after the other; a started loss stays on) | joint (all from the start)."""
    steps_per_level: list[int] = field(default_factory=list)
    """Lengths of the turns; empty = the steps split evenly."""
    freeze_lower: bool = False
    """Progressive: levels of earlier turns (and the backbone below) are frozen in later turns."""

    def __post_init__(self) -> None:
        choice("curriculum.name", self.name, ("progressive", "joint"))
        for steps in self.steps_per_level:
            at_least("curriculum.steps_per_level", steps, 1)
