"""How to train: optimiser, length, arithmetic; and what may differ between executions of one run."""

from __future__ import annotations

from dataclasses import dataclass, field

from hcml.config.base import ConfigError, at_least, choice


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
        choice("optim.name", self.name, ("adamw", "sgd"))
        choice("optim.schedule", self.schedule, ("cosine", "step"))
        if not self.lr > 0:
            raise ConfigError(f"optim.lr={self.lr} must be positive")
        at_least("optim.weight_decay", self.weight_decay, 0)
        at_least("optim.clip_norm", self.clip_norm, 0)
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"optim.warmup={self.warmup} is a share of the steps: 0 <= warmup < 1")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optim.momentum={self.momentum} must be within 0 <= momentum < 1")
        if not 0 < self.gamma <= 1:
            raise ConfigError(f"optim.gamma={self.gamma} is the factor of a drop: 0 < gamma <= 1")


@dataclass
class LengthConfig:
    """How long to train: in steps or in epochs, one of them."""

    steps: int = 0
    epochs: float = 0.0
    batch_size: int = 16
    """Clips of one optimiser step, over all ranks."""
    micro_batch: int = 0
    """Clips of one forward pass on one device; 0 = batch_size / (processes x accumulation)."""
    accumulation: int = 1
    """Forward passes of a device behind one another whose gradients make one step."""

    def __post_init__(self) -> None:
        at_least("batch_size", self.batch_size, 1)
        at_least("micro_batch", self.micro_batch, 0)
        at_least("accumulation", self.accumulation, 1)
        at_least("steps", self.steps, 0)
        at_least("epochs", self.epochs, 0)
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
    bn: str = "local"
    """What batch normalisation takes its statistics from in training: local (the micro-batch of a device) | sync (those
    of all devices; GPUs only) | frozen (the running statistics, which stay as they are; weights still learn)."""

    def __post_init__(self) -> None:
        choice("compute.precision", self.precision, ("bf16", "fp32"))
        choice("compute.deterministic", self.deterministic, ("off", "warn", "strict"))
        choice("compute.bn", self.bn, ("local", "sync", "frozen"))
        at_least("compute.threads", self.threads, 1)


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
        choice("runtime.device", self.device, ("auto", "cpu", "cuda"))
        at_least("runtime.workers", self.workers, 0)
        at_least("runtime.log_every", self.log_every, 1)
        at_least("runtime.save_every", self.save_every, 1)
