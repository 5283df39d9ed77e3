"""What each phase reads, and so what its runs are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hcml.config.base import ConfigError, at_least, choice
from hcml.config.clip import check_clip
from hcml.config.data import BenchmarkConfig, SamplingConfig, TransformConfig
from hcml.config.evaluation import ProbeRun, RetrievalRun
from hcml.config.network import ModelConfig
from hcml.config.objectives import CurriculumConfig, ObjectiveConfig
from hcml.config.training import ComputeConfig, LengthConfig, OptimConfig


@dataclass
class PretrainRun:
    """Self-supervised pretraining: what it reads, and so what it is."""

    model: ModelConfig
    benchmark: BenchmarkConfig
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    length: LengthConfig = field(default_factory=lambda: LengthConfig(steps=80))
    optim: OptimConfig = field(default_factory=OptimConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    train: str = "all"
    """all | motion: motion freezes the backbone (its batch-norm statistics too)."""
    eval_videos: int = 64
    """Held-out videos of each group on which the losses and their baselines are measured after training."""
    seed: int = 0

    phase = "pretrain"

    def __post_init__(self) -> None:
        choice("pretrain.train", self.train, ("all", "motion"))
        at_least("pretrain.eval_videos", self.eval_videos, 1)  # none would be found out only after the training
        if self.model.levels == 0:
            raise ConfigError("levels=0 is the plain backbone: it has nothing to pretrain")
        check_clip(self.model, self.sampling, self.transform, "pretrain")
        _check_contrast(self.model, self.objective, self.length, "pretrain")
        per_level = self.curriculum.steps_per_level
        if per_level and len(per_level) != self.model.levels:
            raise ConfigError(
                f"curriculum.steps_per_level={per_level} names {len(per_level)} turns but levels={self.model.levels}"
            )
        if per_level and sum(per_level) != self.length.steps:
            raise ConfigError(
                f"curriculum.steps_per_level={per_level} adds up to {sum(per_level)}, but pretrain.length.steps="
                f"{self.length.steps}: set steps={sum(per_level)}"
            )


@dataclass
class FinetuneRun:
    """Supervised training, from scratch, from weights or from a pretraining run (its parent)."""

    model: ModelConfig
    benchmark: BenchmarkConfig
    init: str = "scratch"
    """scratch | weights (backbone.pretrained) | run (a pretraining run, or `checkpoint=FILE`)."""
    auxiliary_weight: float = 0.0
    """lambda: the self-supervised losses beside the classification loss."""
    objective: ObjectiveConfig | None = None
    """Read (and part of the identity) only when `auxiliary_weight` > 0."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    length: LengthConfig = field(default_factory=lambda: LengthConfig(steps=130))
    optim: OptimConfig = field(default_factory=OptimConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    label_smoothing: float = 0.0
    within_group: bool = False
    """The group (tier) of a video is given: logits of other groups' classes are masked."""
    seed: int = 0

    phase = "finetune"

    def __post_init__(self) -> None:
        choice("init", self.init, ("scratch", "weights", "run"))
        if self.init == "weights" and not self.model.backbone.pretrained:
            raise ConfigError("init=weights needs backbone.pretrained=timm or backbone.pretrained=FILE")
        at_least("finetune.auxiliary_weight", self.auxiliary_weight, 0)
        if self.auxiliary_weight > 0 and self.objective is None:
            raise ConfigError("finetune.auxiliary_weight > 0 needs an objective")
        if self.auxiliary_weight > 0 and self.model.levels == 0:
            raise ConfigError("finetune.auxiliary_weight > 0 needs levels >= 1: a plain backbone has no motion losses")
        if self.auxiliary_weight > 0 and self.objective is not None:
            _check_contrast(self.model, self.objective, self.length, "finetune")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"finetune.label_smoothing={self.label_smoothing} must be within 0 <= label_smoothing < 1"
            )
        check_clip(self.model, self.sampling, self.transform, "finetune")


@dataclass
class TestRun:
    """Testing with views, a phase of its own, of the last checkpoint of a fine-tuning run (its parent).

    Frames and crops of the test may be others than those of the training: nothing in the network is tied to either, but
    for backbones of a fixed size, which are refused when the network is there to be asked.
    """

    model: ModelConfig
    benchmark: BenchmarkConfig
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    num_clips: int = 1
    num_crops: int = 1
    """1 = centre, 3 = three crops along the longer side, 5 = corners and centre, 10 = these and their mirrors."""
    average: str = "softmax"
    """What of the views of a video is averaged: softmax (probabilities) | logits."""
    metric: str = "video"
    """What top-1 counts: video (all views averaged) | clip (each clip on its own, its crops averaged)."""
    selection: str = "last"
    """The checkpoint that is tested: last. Published results may use the best on the test set; this suite does not."""
    coverage: float = 0.97
    """Share of the listed videos that must be readable for the result to be comparable with others."""
    batch_size: int = 16
    """Views of a step, and so of the memory it takes."""
    within_group: bool = False
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    protocol: dict[str, Any] = field(default_factory=dict)
    """The whole protocol (benchmarks/protocol.py) as plain types, its name and the flip of the training included: for
    tables to read, no part of the identity."""

    phase = "test"

    def __post_init__(self) -> None:
        at_least("test.num_clips", self.num_clips, 1)
        if self.num_crops not in (1, 3, 5, 10):
            raise ConfigError(
                f"test.num_crops={self.num_crops} must be 1 (centre), 3 (along the longer side), 5 (corners and "
                "centre) or 10 (these and their mirrors)"
            )
        choice("test.average", self.average, ("softmax", "logits"))
        choice("test.metric", self.metric, ("video", "clip"))
        if self.selection != "last":
            raise ConfigError(
                f"test.selection={self.selection!r}: only the last checkpoint is tested; one that was chosen by its "
                "accuracy on the test videos is no measurement. Set test.selection=last"
            )
        if not 0 <= self.coverage <= 1:
            raise ConfigError(f"test.coverage={self.coverage} is a share of the listed videos: 0 <= coverage <= 1")
        at_least("test.batch_size", self.batch_size, 1)
        if self.sampling.rule == "tsm" and self.num_clips > 2:
            raise ConfigError(
                f"test.num_clips={self.num_clips}: sampling.rule=tsm has 1 clip or, twice sampled, 2; set "
                "test.sampling.rule=parts"
            )


def _check_contrast(model: ModelConfig, objective: ObjectiveConfig, length: LengthConfig, phase: str) -> None:
    """What a prediction of the future needs, in pretraining and as an auxiliary loss alike."""
    contrast = objective.contrast
    if model.levels >= 2 and contrast.weight > 0:
        if model.motion.pairing == "causal" and model.temporal.mode != "none" and not model.temporal.causal:
            raise ConfigError(
                "temporal.causal=false lets a query see the frames it must predict: the contrastive loss "
                "needs temporal.causal=true (or motion.pairing=lookahead, an ablation whose rows say so)"
            )
        last = model.num_frames - 1 - contrast.delta
        if last < model.levels:
            raise ConfigError(
                f"no query is valid at level {model.levels}: levels <= t <= num_frames - 1 - delta asks for "
                f"{model.levels} <= t <= {last} (num_frames={model.num_frames}, delta={contrast.delta}); "
                "use more frames, fewer levels or a smaller delta"
            )
        if length.accumulation > 1:
            raise ConfigError(
                f"{phase}.length.accumulation={length.accumulation} gives a contrastive loss fewer negatives, those of "
                f"one forward pass: set {phase}.length.accumulation=1 and use more devices, which share theirs, or a "
                f"smaller {phase}.length.batch_size"
            )


RunConfig = PretrainRun | FinetuneRun | ProbeRun | RetrievalRun | TestRun
