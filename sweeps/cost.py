"""What a plan costs beside time: GPU hours, the longest chain of runs, and disk."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from hcml.config import FinetuneRun, ModelConfig, PretrainRun
from sweeps.launchers import Request
from sweeps.plan import Plan

FLOAT = 4
"""Bytes of a parameter in weights.pt and in a checkpoint."""
KEPT = 2
"""Checkpoints of a run that is going on; a finished one has none."""
STATES = {"adamw": 2, "sgd": 1}
"""Numbers that an optimiser keeps for each parameter."""
BUDGET = 15.0
"""Seconds that counting parameters may take; models beyond it stay unknown."""


@dataclass(frozen=True)
class Cost:
    gpu_hours: float
    longest: float
    """Seconds of the longest chain of runs, each starting as soon as its parent has ended: no cluster is faster."""
    disk: int
    """Bytes that finished runs keep (weights.pt; records and predictions are small beside it)."""
    checkpoints: int
    """Bytes on top of that if all runs of a phase were going on at the same time."""
    complete: bool
    """False where a time or a size is unknown and not counted."""


def cost(plan: Plan, seconds: Mapping[str, float], requests: Mapping[str, Request]) -> Cost:
    """`seconds` and `requests` by run_id; a run without seconds counts as 0 and makes the result incomplete."""
    gpu_seconds, disk, complete = 0.0, 0, True
    ends: dict[str, float] = {}
    going_on: dict[str, int] = {}
    counted: dict[str, int | None] = {}
    deadline = time.monotonic() + BUDGET
    for entry in plan.todo:
        run = entry.run
        took = seconds.get(run.run_id)
        complete = complete and took is not None
        ends[run.run_id] = ends.get(run.parent or "", 0.0) + (took or 0.0)
        gpu_seconds += (took or 0.0) * requests[run.run_id].gpus
        if not isinstance(run.config, PretrainRun | FinetuneRun):
            continue
        key = json.dumps(asdict(run.config.model), sort_keys=True)
        if key not in counted:
            counted[key] = parameters(run.config.model) if time.monotonic() < deadline else None
        size = counted[key]
        if size is None:
            complete = False
            continue
        disk += FLOAT * size
        going_on[run.phase] = going_on.get(run.phase, 0) + KEPT * FLOAT * size * (1 + STATES[run.config.optim.name])
    return Cost(gpu_seconds / 3600, max(ends.values(), default=0.0), disk, max(going_on.values(), default=0), complete)


def parameters(config: ModelConfig) -> int | None:
    """Parameters of a network; None if it cannot be built here (its run will say why)."""
    from hcml.training.costs import num_parameters
    from hcml.training.transfer import build_without_weights

    try:
        return num_parameters(build_without_weights(config))
    except (ValueError, RuntimeError, OSError):
        return None


def size_text(count: int) -> str:
    """`12 MB`, `3.4 GB`."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
