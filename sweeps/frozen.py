"""The runs that measure a frozen network (phase=probe, phase=retrieval), from a job's settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hcml.config import (
    BenchmarkConfig,
    ComputeConfig,
    FeatureConfig,
    ModelConfig,
    PretrainRun,
    ProbeRun,
    RetrievalRun,
    RunConfig,
)
from sweeps.parts import Settings

FROZEN = ("probe", "retrieval")
"""They measure a network as it is: of a pretraining run, from a file (fine-tuned ones too), or untrained."""


def frozen_run(
    settings: Settings,
    init: str,
    pretrained: RunConfig | None,
    model: ModelConfig,
    benchmark: BenchmarkConfig,
    compute: ComputeConfig,
    parts: dict[str, Any],
) -> ProbeRun | RetrievalRun:
    """The run of `settings["phase"]`; ConfigError for what cannot be.

    Args:
        init: run | weights | scratch.
        pretrained: the pretraining run of the plan; None for a checkpoint=FILE and for an untrained network.
        parts: sampling and transform.
    """
    phase = settings["phase"]
    section = settings[phase]
    features = FeatureConfig(**section["features"])
    if model.levels == 0:  # a plain backbone has no level: it stays the baseline row of a sweep over levels
        features = replace(features, source="final")
    seed = settings["seed"]
    # nothing is drawn where all weights are loaded: two seeds of such a run would be one run counted twice
    if init == "weights" and model.levels == 0:
        seed = 0
    elif init == "run":
        seed = pretrained.seed if isinstance(pretrained, PretrainRun) else 0
    shared: dict[str, Any] = {
        "model": model,
        "benchmark": benchmark,
        "init": init,
        "features": features,
        "batch_size": section["batch_size"],
        "within_group": settings["benchmark"]["within_group"],
        "compute": compute,
        "seed": seed,
        **parts,
    }
    if phase == "retrieval":
        return RetrievalRun(**shared, center=section["center"])
    return ProbeRun(**shared, l2=section["l2"], max_iterations=section["max_iterations"])
