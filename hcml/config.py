"""Everything a run may depend on, as plain dataclasses.

A phase reads exactly one of :class:`PretrainRun`, :class:`FinetuneRun` and :class:`TestRun`; the hash of that
dataclass (and of its parent's id) *is* the identity of the run, so a field belongs here only if changing it may
change the science. What cannot (device, workers, log and checkpoint intervals) is in :class:`Runtime`.

Every ``__post_init__`` raises :class:`ConfigError` with the reason and with what to set instead. Choices that the
paper leaves open are documented, one row each, in docs/method.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot run; the message says why and what to change."""


def _choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key}={value!r} is not one of {', '.join(allowed)}")


def _at_least(key: str, value: float, low: float) -> None:
    if not value >= low:
        raise ConfigError(f"{key}={value} must be at least {low}")


# ---------------------------------------------------------------- the network


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
        _choice("temporal.mode", self.mode, ("none", "shift"))
        _at_least("temporal.fold_div", self.fold_div, 2)


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
    """Stop gradients of level l at its input map, so that lower levels learn from their own losses alone."""

    def __post_init__(self) -> None:
        _at_least("motion.dim", self.dim, 1)
        _at_least("motion.max_displacement", self.max_displacement, 1)
        _choice("motion.prime", self.prime, ("cost_volume", "difference", "both"))
        _choice("motion.input", self.input, ("video", "static"))
        _choice("motion.norm", self.norm, ("group", "batch"))
        _choice("motion.pairing", self.pairing, ("causal", "lookahead"))


@dataclass
class FusionConfig:
    """F <- F + W P_l."""

    init: str = "random"
    """zero (a fresh HCML equals its backbone bit for bit) | random (learns faster from scratch)."""

    def __post_init__(self) -> None:
        _choice("fusion.init", self.init, ("zero", "random"))


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
        _at_least("num_classes", self.num_classes, 2)
        _at_least("num_frames", self.num_frames, 2 if self.levels else 1)
        _at_least("input_size", self.input_size, 8)


# ------------------------------------------------------------- the objectives


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
            _at_least(f"objective.reconstruction.{key}", getattr(self, key), 0)


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
        _at_least("objective.contrast.weight", self.weight, 0)
        _at_least("objective.contrast.delta", self.delta, 1)
        if not self.temperature > 0:
            raise ConfigError(f"objective.contrast.temperature={self.temperature} must be positive")
        for name in self.negatives:
            _choice("objective.contrast.negatives", name, ("space", "time", "clip"))
        if not self.negatives:
            raise ConfigError("objective.contrast.negatives is empty: name at least one of space, time, clip")
        if not 0 <= self.motion_queries <= 1:
            raise ConfigError(f"objective.contrast.motion_queries={self.motion_queries} must be within 0..1")
        for key in ("max_queries", "max_keys"):
            _at_least(f"objective.contrast.{key}", getattr(self, key), 1)
        _at_least("objective.contrast.exclusion_radius", self.exclusion_radius, 0)


@dataclass
class ObjectiveConfig:
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)


# ------------------------------------------------------------------- the data


@dataclass
class BenchmarkConfig:
    """What is measured; the reader of `name` is in benchmarks/."""

    name: str = "synthmotion"
    version: str = "v1"
    split: str = "1"
    train_per_class: int = 0
    """Videos of each class; 0 = all there are."""
    test_per_class: int = 0
    decoder: str = "decord"


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
        _choice("sampling.mode", self.mode, ("dense", "uniform"))
        _choice("sampling.short_video", self.short_video, ("pad_last", "loop", "error"))
        _at_least("sampling.num_frames", self.num_frames, 1)
        _at_least("sampling.frame_stride", self.frame_stride, 1)
        _at_least("sampling.first_frame", self.first_frame, -1)
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
        _choice("transform.flip", self.flip, ("none", "horizontal"))
        _at_least("transform.crop_size", self.crop_size, 8)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(f"transform.scale={self.scale} must be [low, high] with 0 < low <= high <= 1")
        if self.resize and self.resize < self.crop_size:
            raise ConfigError(
                f"transform.resize={self.resize} is smaller than transform.crop_size={self.crop_size}: "
                "set resize to at least the crop, or to 0 to keep the video's size"
            )


# ------------------------------------------------------------------- training


@dataclass
class OptimConfig:
    name: str = "adamw"
    """adamw | sgd (Nesterov momentum)."""
    lr: float = 1e-3
    """For the whole (global) batch; no scaling rule is applied behind your back."""
    weight_decay: float = 0.05
    momentum: float = 0.9
    schedule: str = "cosine"
    """cosine | step, both after a linear warm-up."""
    warmup: float = 0.1
    """Share of the steps."""
    milestones: list[float] = field(default_factory=lambda: [0.4, 0.8])
    """step: shares of the steps at which lr is multiplied by gamma."""
    gamma: float = 0.1
    clip_norm: float = 1.0
    """Gradient norm above which gradients are scaled down; 0 = never."""

    def __post_init__(self) -> None:
        _choice("optim.name", self.name, ("adamw", "sgd"))
        _choice("optim.schedule", self.schedule, ("cosine", "step"))
        if not self.lr > 0:
            raise ConfigError(f"optim.lr={self.lr} must be positive")
        _at_least("optim.weight_decay", self.weight_decay, 0)
        _at_least("optim.clip_norm", self.clip_norm, 0)
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"optim.warmup={self.warmup} is a share of the steps: 0 <= warmup < 1")


@dataclass
class LengthConfig:
    """How long to train: in steps or in epochs, one of them."""

    steps: int = 0
    epochs: float = 0.0
    batch_size: int = 16
    """Clips of one optimiser step, over all ranks."""

    def __post_init__(self) -> None:
        _at_least("batch_size", self.batch_size, 1)
        _at_least("steps", self.steps, 0)
        _at_least("epochs", self.epochs, 0)
        if bool(self.steps) == bool(self.epochs):
            raise ConfigError(
                f"steps={self.steps} and epochs={self.epochs}: set exactly one of them above 0 "
                "(steps=N epochs=0, or steps=0 epochs=E)"
            )

    def total_steps(self, num_videos: int) -> int:
        """Optimiser steps for a training set of `num_videos` (the last, smaller batch of an epoch is not dropped:
        epochs are cut from one endless shuffled stream)."""
        return self.steps or max(1, round(self.epochs * num_videos / self.batch_size))


@dataclass
class ComputeConfig:
    """Arithmetic: resolved from the configuration, never from the machine that submits."""

    precision: str = "bf16"
    """bf16 (autocast) | fp32."""
    channels_last: bool = True
    threads: int = 2
    """Intra-op CPU threads; part of the identity, because sums are split over them."""
    deterministic: str = "warn"
    """off | warn | strict: torch.use_deterministic_algorithms."""

    def __post_init__(self) -> None:
        _choice("compute.precision", self.precision, ("bf16", "fp32"))
        _choice("compute.deterministic", self.deterministic, ("off", "warn", "strict"))
        _at_least("compute.threads", self.threads, 1)


@dataclass
class CurriculumConfig:
    name: str = "progressive"
    """progressive (levels join one after the other; a started loss stays on) | joint (all from the start)."""
    steps_per_level: list[int] = field(default_factory=list)
    """Lengths of the turns; empty = the steps split evenly."""
    freeze_lower: bool = False
    """Progressive: levels of earlier turns (and the backbone below) are frozen in later turns."""

    def __post_init__(self) -> None:
        _choice("curriculum.name", self.name, ("progressive", "joint"))
        for steps in self.steps_per_level:
            _at_least("curriculum.steps_per_level", steps, 1)


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
        _choice("pretrain.train", self.train, ("all", "motion"))
        if self.model.levels == 0:
            raise ConfigError("levels=0 is the plain backbone: it has nothing to pretrain")
        _check_clip(self.model, self.sampling, self.transform, "pretrain")
        contrast = self.objective.contrast
        if self.model.levels >= 2 and contrast.weight > 0:
            if (
                self.model.motion.pairing == "causal"
                and self.model.temporal.mode != "none"
                and not self.model.temporal.causal
            ):
                raise ConfigError(
                    "temporal.causal=false lets a query see the frames it must predict: contrastive pretraining "
                    "needs temporal.causal=true (or motion.pairing=lookahead, an ablation whose rows say so)"
                )
            last = self.model.num_frames - 1 - contrast.delta
            if last < self.model.levels:
                raise ConfigError(
                    f"no query is valid at level {self.model.levels}: levels <= t <= num_frames - 1 - delta asks for "
                    f"{self.model.levels} <= t <= {last} (num_frames={self.model.num_frames}, delta={contrast.delta}); "
                    "use more frames, fewer levels or a smaller delta"
                )
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
        _choice("init", self.init, ("scratch", "weights", "run"))
        if self.init == "weights" and not self.model.backbone.pretrained:
            raise ConfigError("init=weights needs backbone.pretrained=timm or backbone.pretrained=FILE")
        _at_least("finetune.auxiliary_weight", self.auxiliary_weight, 0)
        if self.auxiliary_weight > 0 and self.objective is None:
            raise ConfigError("finetune.auxiliary_weight > 0 needs an objective")
        if self.auxiliary_weight > 0 and self.model.levels == 0:
            raise ConfigError("finetune.auxiliary_weight > 0 needs levels >= 1: a plain backbone has no motion losses")
        _check_clip(self.model, self.sampling, self.transform, "finetune")


@dataclass
class TestRun:
    """Testing with views, a phase of its own, of the last checkpoint of a fine-tuning run (its parent)."""

    model: ModelConfig
    benchmark: BenchmarkConfig
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    num_clips: int = 1
    num_crops: int = 1
    """1 = centre, 3 = three crops along the longer side."""
    batch_size: int = 16
    """Videos of a step."""
    within_group: bool = False
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    phase = "test"

    def __post_init__(self) -> None:
        _at_least("test.num_clips", self.num_clips, 1)
        if self.num_crops not in (1, 3):
            raise ConfigError(f"test.num_crops={self.num_crops} must be 1 (centre) or 3 (along the longer side)")
        _at_least("test.batch_size", self.batch_size, 1)
        _check_clip(self.model, self.sampling, self.transform, "test")


def _check_clip(model: ModelConfig, sampling: SamplingConfig, transform: TransformConfig, phase: str) -> None:
    if sampling.num_frames != model.num_frames:
        raise ConfigError(
            f"{phase}.sampling.num_frames={sampling.num_frames} but the model takes num_frames={model.num_frames}"
        )
    if transform.crop_size != model.input_size:
        raise ConfigError(
            f"{phase}.transform.crop_size={transform.crop_size} but the model takes input_size={model.input_size}"
        )


RunConfig = PretrainRun | FinetuneRun | TestRun


@dataclass
class Runtime:
    """What may differ between two executions of the same run without changing its result."""

    device: str = "auto"
    """auto (cuda if there is one) | cpu | cuda."""
    workers: int = 1
    """Loader processes; 0 = decode in the training process."""
    loader_timeout: float = 120.0
    """Seconds after which a hanging loader is an error (0 = never)."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    save_every: int = 100
    """Steps between two checkpoints."""
    save_minutes: float = 10.0
    """A checkpoint at least this often, whatever `save_every` says."""
    heartbeat: float = 10.0
    """Seconds between two heartbeats of status.json and the lock."""

    def __post_init__(self) -> None:
        _choice("runtime.device", self.device, ("auto", "cpu", "cuda"))
        _at_least("runtime.workers", self.workers, 0)
        _at_least("runtime.log_every", self.log_every, 1)
        _at_least("runtime.save_every", self.save_every, 1)


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as nested plain types, its phase included (what is hashed, stored and compared)."""
    plain = asdict(config)
    if hasattr(config, "phase"):
        plain["phase"] = config.phase
    return plain
