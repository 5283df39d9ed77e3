"""What the numbers depend on beside the configuration of the method: device, threads, precision, layout, seeds."""

from __future__ import annotations

import os
import random

import numpy as np
import torch
import torch.utils.deterministic
from torch import Tensor, nn

from hcml.config import ComputeConfig, ConfigError, Runtime


def pick_device(runtime: Runtime) -> torch.device:
    """``auto`` is cuda when there is one; ConfigError when cuda is asked for and absent."""
    if runtime.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("runtime.device=cuda but torch sees no CUDA device: set runtime.device=cpu or auto")
    return torch.device(runtime.device)


def set_up(compute: ComputeConfig, seed: int) -> None:
    """Fix threads, deterministic kernels and all global seeds; call before the first operation of a run."""
    torch.set_num_threads(compute.threads)
    strict = compute.deterministic == "strict"
    if compute.deterministic != "off":
        # cuBLAS reads it when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(compute.deterministic != "off", warn_only=not strict)
    # Filling every fresh tensor with NaN finds reads of uninitialised memory; only `strict` should pay for that.
    torch.utils.deterministic.fill_uninitialized_memory = strict  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = compute.deterministic == "off"
    seed_everything(seed)


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A seed for (seed, step), within 0..2^63-1; another one for each rank, where that matters (dropout).

    The loop seeds everything anew at each step, so what a step draws (dropout, queries, keys) is a pure function of
    the run's seed and the step: there is no generator state that a checkpoint could miss, or a loader disturb.
    """
    entropy = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def autocast(device: torch.device, compute: ComputeConfig) -> torch.autocast:
    """The context of the network's forward pass; losses are computed outside of it, in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=compute.precision == "bf16")


def place_module(module: nn.Module, device: torch.device, compute: ComputeConfig) -> None:
    """Move a module to the device, in the configured memory format, in place."""
    module.to(device)
    if compute.channels_last:
        module.to(memory_format=torch.channels_last)


def place_clip(clip: Tensor, device: torch.device, compute: ComputeConfig) -> Tensor:
    """[B, T, 3, H, W] onto the device; with channels_last, its frames [B * T, 3, H, W] have that layout."""
    clip = clip.to(device, non_blocking=True)
    if compute.channels_last:
        frames = clip.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        clip = frames.unflatten(0, clip.shape[:2])
    return clip
