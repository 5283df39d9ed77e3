"""The parts of a job that its phases share, from its settings: model, objective, benchmark.

Each is normalised: what a job does not read gets its default, so that equal runs have equal identities. Every function
raises ConfigError with what is wrong and what to set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    ConfigError,
    ContrastConfig,
    FusionConfig,
    LengthConfig,
    ModelConfig,
    MotionConfig,
    ObjectiveConfig,
    ReconstructionConfig,
    TemporalConfig,
    split_batch,
)
from sweeps.identity import file_hash

Settings = Mapping[str, Any]


def model_of(settings: Settings, num_classes: int) -> ModelConfig:
    """The network that all phases build; a plain backbone (levels=0) reads no motion and fusion settings."""
    from hcml.backbone import resolve_name  # timm takes seconds to import

    given = settings["backbone"]
    pretrained = "" if settings["init"] == "scratch" else given["pretrained"]
    if pretrained not in ("", "timm"):
        pretrained = str(Path(pretrained).expanduser().resolve())
        file_hash(pretrained, "backbone.pretrained")  # a missing file is a problem of the job, told with the others
    if settings["init"] == "weights" and not pretrained:
        raise ConfigError("init=weights needs backbone.pretrained=timm or backbone.pretrained=FILE")
    backbone = BackboneConfig(**(given | {"name": resolve_name(given["name"], pretrained), "pretrained": pretrained}))
    temporal = TemporalConfig(**settings["temporal"])
    if temporal.mode == "none":
        temporal = TemporalConfig()
    motion = MotionConfig(**settings["motion"])
    fusion = settings["fusion"]["init"]
    if fusion == "auto":
        fusion = "zero" if pretrained else "random"
    init = FusionConfig(fusion)
    if settings["levels"] == 0:  # a plain backbone reads neither, so all such rows are one
        motion, init = MotionConfig(), FusionConfig()
    return ModelConfig(
        backbone=backbone,
        temporal=temporal,
        levels=settings["levels"],
        motion=motion,
        fusion=init,
        num_classes=num_classes,
        num_frames=settings["num_frames"],
        input_size=settings["input_size"],
    )


def objective_of(given: Settings, levels: int) -> ObjectiveConfig:
    """The self-supervised losses that `levels` levels can have; 0 levels: the defaults, whatever was given."""
    reconstruction = ReconstructionConfig(**given["reconstruction"])
    contrast = ContrastConfig(**given["contrast"])
    if levels == 1 and reconstruction.weight == 0:
        raise ConfigError(
            "objective.reconstruction.weight=0 leaves levels=1 without a loss (contrast begins at level 2): "
            "use levels >= 2 or objective=both"
        )
    if levels >= 2 and reconstruction.weight == 0 and contrast.weight == 0:
        raise ConfigError("objective: both weights are 0, nothing would be learned; use objective=both")
    if levels <= 1:
        contrast = ContrastConfig()
    elif contrast.weight == 0:
        contrast = ContrastConfig(weight=0.0)
    if levels == 0:
        reconstruction = ReconstructionConfig()
    elif reconstruction.weight == 0:
        reconstruction = ReconstructionConfig(weight=0.0)
    return ObjectiveConfig(reconstruction, contrast)


def benchmark_of(given: Settings) -> BenchmarkConfig:
    """A known benchmark and split."""
    from benchmarks import BENCHMARKS

    if given["name"] not in BENCHMARKS:
        raise ConfigError(f"benchmark.name={given['name']!r} is unknown; known: {', '.join(sorted(BENCHMARKS))}")
    config = BenchmarkConfig(**{f.name: given[f.name] for f in fields(BenchmarkConfig)})
    num_classes_of(config)  # refuses unknown splits
    return config


def num_classes_of(config: BenchmarkConfig) -> int:
    """Classes of the split."""
    from benchmarks import num_classes

    try:
        return num_classes(config)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def check_batch(phase: str, length: LengthConfig, benchmark: BenchmarkConfig, world: int = 1) -> LengthConfig:
    """`length` with the micro-batch that each of `world` processes takes.

    No batch holds a video twice. (Batches come from an endless stream of epochs, so only the split over processes and
    forward passes has to divide.)
    """
    classes = num_classes_of(benchmark)
    videos = benchmark.train_per_class * classes
    if videos and length.batch_size > videos:
        raise ConfigError(
            f"{phase}.length.batch_size={length.batch_size} is larger than the training set of {videos} videos "
            f"(benchmark.train_per_class={benchmark.train_per_class} x {classes} classes), so one "
            f"batch would hold a video twice: set {phase}.length.batch_size={videos} or less, or more train_per_class"
        )
    return replace(length, micro_batch=split_batch(length, world, f"{phase}.length").micro_batch)


def held_out_of(wanted: int, benchmark: BenchmarkConfig) -> int:
    """Held-out videos of each group that there will be: what is measured must follow from the run's identity, and a
    small `test_per_class`, which is no part of that, would lower it."""
    from benchmarks import module_of

    module = module_of(benchmark.name)
    if not hasattr(module, "counts"):
        return wanted
    return min(wanted, module.counts(benchmark)["test"] * min(map(len, module.GROUPS.values())))
