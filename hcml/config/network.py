"""The network: backbone, temporal modelling, motion hierarchy."""

from __future__ import annotations

from dataclasses import dataclass, field

from hcml.config.base import ConfigError, at_least, choice


@dataclass
class BackboneConfig:
    """A timm image model, run on every frame."""

    name: str = "resnet18"
    """timm model name; with ``pretrained='timm'`` it must carry a tag (``resnet50.tv_in1k``), because an untagged
    name has meant different weights in different timm versions."""
    pretrained: str = ""
    """'' = random initialisation, 'timm' = the weights of the name's tag (offline-safe: from timm's cache only when
    HF_HUB_OFFLINE=1), anything else = path of a .safetensors or .pth file with timm's parameter names."""
    drop_rate: float = 0.0
    """Dropout in front of the classifier."""
    zero_init_last: bool = False
    """Keep timm's zero for the last norm of each residual block of a fresh network. Off, because a block that starts
    as the identity hides what temporal modelling does in front of its first convolution; weights overwrite it."""

    def __post_init__(self) -> None:
        if not 0 <= self.drop_rate < 1:
            raise ConfigError(f"backbone.drop_rate={self.drop_rate} must be within 0 <= drop_rate < 1")
        if not self.name:
            raise ConfigError("backbone.name is empty: give r18, r34, r50, r101 or a timm model name")
        if self.pretrained == "timm" and "." not in self.name:
            raise ConfigError(
                f"backbone.pretrained=timm needs a tagged name such as {self.name}.tv_in1k: "
                "an untagged timm name stands for different weights in different timm versions"
            )


@dataclass
class TemporalConfig:
    """Temporal modelling on the 2D backbone."""

    mode: str = "none"
    """none | shift (TSM's channel shift in front of each residual block's first convolution)."""
    causal: bool = True
    """Look at past frames only; contrastive pretraining requires it."""
    fold_div: int = 8
    """1 / fold_div of the channels are shifted in each direction (TSM, arXiv 1811.08383, uses 8)."""

    def __post_init__(self) -> None:
        choice("temporal.mode", self.mode, ("none", "shift"))
        at_least("temporal.fold_div", self.fold_div, 2)


@dataclass
class MotionConfig:
    """The motion blocks of the hierarchy (DESIGN.md section 1)."""

    dim: int = 32
    """Channels D of every motion feature P_l."""
    max_displacement: int = 3
    """Search radius d of the cost volume, in pixels of the tapped map; clipped per level to fit the map."""
    prime: str = "cost_volume"
    """cost_volume | difference | both: what level 1 is made from."""
    input: str = "video"
    """video | static: static compares frame t with itself (same parameters, no motion: a control)."""
    semantic_cost_volume: bool = False
    """Levels >= 2 see a cost volume beside the feature difference."""
    norm: str = "group"
    """group | batch: the normalisation between a motion block's two 3x3 convolutions."""
    pairing: str = "causal"
    """causal | lookahead: lookahead pairs frame t with t+1, an ablation in which the target is visible."""
    detach_levels: bool = False
    """No gradient of a level's losses through the fusions below it: the motion blocks of lower levels learn from
    their own losses alone (in fine-tuning from the labels too). What pretraining trains is the same."""

    def __post_init__(self) -> None:
        at_least("motion.dim", self.dim, 1)
        at_least("motion.max_displacement", self.max_displacement, 1)
        choice("motion.prime", self.prime, ("cost_volume", "difference", "both"))
        choice("motion.input", self.input, ("video", "static"))
        choice("motion.norm", self.norm, ("group", "batch"))
        choice("motion.pairing", self.pairing, ("causal", "lookahead"))


@dataclass
class FusionConfig:
    """F <- F + W P_l."""

    init: str = "random"
    """zero (a fresh HCML equals its backbone bit for bit) | random (learns faster from scratch)."""

    def __post_init__(self) -> None:
        choice("fusion.init", self.init, ("zero", "random"))


@dataclass
class ModelConfig:
    """HCML = backbone + hierarchy + classifier."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    temporal: TemporalConfig = field(default_factory=TemporalConfig)
    levels: int = 3
    """Motion levels, tied to the backbone's maps at reductions 4, 8, 16, 32 (the first ``levels`` of them)."""
    motion: MotionConfig = field(default_factory=MotionConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    num_classes: int = 2
    num_frames: int = 8
    input_size: int = 48
    """Side of the square input in pixels."""

    def __post_init__(self) -> None:
        if not 0 <= self.levels <= 4:
            raise ConfigError(
                f"levels={self.levels}: the hierarchy has at most 4 levels, one for each backbone map at "
                "reductions 4, 8, 16 and 32; levels=0 is the plain backbone"
            )
        at_least("num_classes", self.num_classes, 2)
        at_least("num_frames", self.num_frames, 2 if self.levels else 1)
        at_least("input_size", self.input_size, 8)
