"""What a run costs: parameters, multiply-adds, memory."""

from __future__ import annotations

import resource
import sys

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hcml.config import ModelConfig
from hcml.model import HCML


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def gmacs(model: HCML, config: ModelConfig, active_levels: int | None = None, classify: bool = True) -> float:
    """10^9 multiply-adds of one forward pass of one clip (one view).

    Counted by torch's FlopCounterMode (convolutions and matrix products) and halved, because it counts a multiply-add
    as two operations while papers count it as one. The model's modes and the random state stay as they are.
    """
    device = next(model.parameters()).device
    modes = [(module, module.training) for module in model.modules()]
    clip = torch.zeros(1, config.num_frames, 3, config.input_size, config.input_size, device=device)
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(clip, active_levels=active_levels, classify=classify)
    for module, training in modes:
        module.training = training
    return counter.get_total_flops() / 2 / 1e9


def peak_memory_mb(device: torch.device) -> float:
    """Peak since the start of the process: allocated on a GPU, resident in memory otherwise (loader workers left
    out)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage gives bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
