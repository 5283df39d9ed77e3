"""The optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from hcml.config import OptimConfig


def build_optimizer(named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum, over the named parameters.

    Vectors and scalars (biases, normalisation weights) get no weight decay. Parameters whose ``grad`` is None at a
    step are left alone, weight decay included: that is how turns freeze and unfreeze without a second optimiser.
    The fused kernels are used because the plain ones take longer than the backward pass of a small model on a CPU.

    Raises ValueError when there is nothing to optimise.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for _, parameter in named_parameters:
        (decayed if parameter.ndim > 1 else plain).append(parameter)
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((decayed, config.weight_decay), (plain, 0.0))
        if params
    ]
    if not groups:
        raise ValueError("no parameter is trained: nothing to optimise")
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, fused=True)
    sgd = torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True)
    if config.momentum:
        sgd.register_step_pre_hook(_start_momentum)
    return sgd


def _start_momentum(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """torch's fused SGD fails when some parameters have a momentum and others, which a new turn has unfrozen, have
    none yet. Zero is what it starts from."""
    for group in optimizer.param_groups:
        trained = [p for p in group["params"] if p.grad is not None]
        fresh = [p for p in trained if optimizer.state[p].get("momentum_buffer") is None]
        if len(fresh) < len(trained):
            for parameter in fresh:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def lr_at(step: int, steps: int, config: OptimConfig) -> float:
    """Learning rate at ``step`` (0-based) of a turn of ``steps`` steps.

    Linear warm-up over the share ``config.warmup``, reaching ``config.lr`` at its last step; then ``cosine`` down
    towards 0 (half a period, SGDR, arXiv 1608.03983) or ``step``: times ``gamma`` at each share in ``milestones``.
    """
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "step":
        return config.lr * config.gamma ** sum(step >= share * steps for share in config.milestones)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
