"""Protocols on the command line, and what a job's settings mean for the test.

`protocol=NAME` is a configuration group made from benchmarks/protocols/*.yaml: it sets values, which may be overridden
behind it and which alone decide what a run is. The protocol that they amount to, name included, is copied into the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from benchmarks import class_names, module_of
from benchmarks.protocol import Protocol, named, protocol_of, settled_flip
from hcml.config import BenchmarkConfig, ConfigError, ModelConfig, TestRun, TransformConfig

GROUP = "protocol"


def register() -> None:
    """Make the named protocols known to Hydra (idempotent)."""
    for name, protocol in named().items():
        ConfigStore.instance().store(group=GROUP, name=name, node=node(protocol), package="_global_")


def node(protocol: Protocol) -> dict[str, Any]:
    """The settings that a protocol stands for. What the test shares with the training stays tied to it."""
    plain = protocol.settled(directed=False)
    sampling: dict[str, Any] = {
        "mode": plain.sampling,
        "frame_stride": plain.frame_stride,
        "window": plain.window,
        "first_frame": plain.first_frame,
        "rule": plain.rule,
        "short_video": plain.short_video,
    }
    same_frames, same_crop = plain.train_frames == plain.num_frames, plain.train_crop == plain.crop_size
    return {
        "num_frames": plain.train_frames,
        "input_size": plain.train_crop,
        "finetune": {"sampling": sampling, "transform": {"resize": plain.resize, "flip": protocol.flip}},
        "test": {
            "num_clips": plain.num_clips,
            "num_crops": plain.num_crops,
            "average": plain.average,
            "metric": plain.metric,
            "selection": plain.selection,
            "coverage": plain.coverage,
            "sampling": sampling | {"num_frames": "${num_frames}" if same_frames else plain.num_frames},
            "transform": {
                "resize": "${finetune.transform.resize}",
                "crop_size": "${input_size}" if same_crop else plain.crop_size,
            },
        },
    }


def is_directed(benchmark: str) -> bool:
    """Do classes of the benchmark depend on left and right?"""
    return bool(getattr(module_of(benchmark), "directed", False))


def transform_of(given: Mapping[str, Any], benchmark: BenchmarkConfig) -> TransformConfig:
    """The transform of a training or a test, `flip=auto` settled. Raises ConfigError for a flip that gives videos of
    this benchmark a wrong label."""
    directed = is_directed(benchmark.name)
    found = TransformConfig(**(dict(given) | {"flip": settled_flip(given["flip"], directed)}))
    pairs = getattr(module_of(benchmark.name), "mirrored", ())
    if found.flip == "horizontal" and directed:
        raise ConfigError(
            f"transform.flip=horizontal gives mirrored videos of {benchmark.name} the label of another class, for its "
            f"classes depend on left and right: set transform.flip={'mapped or none' if pairs else 'none'}"
        )
    if found.flip == "mapped" and not pairs:
        raise ConfigError(
            f"transform.flip=mapped: {benchmark.name} does not say which of its classes a mirror swaps; set "
            f"transform.flip={'none' if directed else 'horizontal or none'}"
        )
    return found


def with_protocol(test: TestRun, flip: str) -> TestRun:
    """The test run with the protocol that its values amount to; `flip` is that of the training. Raises ConfigError for
    crops that this benchmark or this backbone cannot have."""
    benchmark, directed = test.benchmark.name, is_directed(test.benchmark.name)
    if test.num_crops == 10 and directed:
        raise ConfigError(
            f"test.num_crops=10 mirrors its crops, but classes of {benchmark} depend on left and right: set "
            "test.num_crops=5 or 3"
        )
    side, own = test.transform.crop_size, test.model.input_size
    if side != own and _has_fixed_size(test.model.backbone.name):
        raise ConfigError(
            f"test.transform.crop_size={side}: {test.model.backbone.name} takes frames of the size it was trained on "
            f"alone: set test.transform.crop_size={own}"
        )
    return replace(test, protocol=protocol_of(test, flip, directed).to_dict())


def _has_fixed_size(backbone: str) -> bool:
    from timm.models import get_pretrained_cfg  # seconds to import

    cfg = get_pretrained_cfg(backbone)
    return bool(cfg and cfg.fixed_input_size)


def finetuned(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configuration of the fine-tuning run that wrote `checkpoint`, where it is to be tested as it is; None where
    there is none, or where it takes the place of a pretraining. Raises ConfigError for other files."""
    if settings["phase"] != "test" or not settings["checkpoint"]:
        return None
    path = Path(settings["checkpoint"]).expanduser().resolve()
    try:
        stat = path.stat()
    except OSError as error:
        raise ConfigError(f"checkpoint={path} cannot be read ({error.strerror}): give an existing file") from error
    phase, config = _contents(path, stat.st_mtime_ns, stat.st_size)
    return config if phase == "finetune" else None


@lru_cache(maxsize=32)
def _contents(path: Path, changed: int, size: int) -> tuple[str, dict[str, Any]]:
    """(phase, configuration) of a weights.pt; read once, however many jobs of a sweep name it. What is no weights.pt is
    refused by the run that would start from it."""
    from hcml.training.checkpoint import CheckpointError, read_file

    try:
        payload = read_file(path)
    except CheckpointError as error:
        raise ConfigError(f"checkpoint={path}: {error}") from error
    return str(payload.get("phase", "")), payload.get("config", {})


def check_tested(config: Mapping[str, Any], model: ModelConfig, benchmark: BenchmarkConfig, source: str) -> None:
    """ConfigError unless weights that a fine-tuning run of `config` wrote can be tested with this model and split."""
    from hcml.training.checkpoint import CheckpointError
    from hcml.training.transfer import check_same_model

    try:
        check_same_model({"config": config}, model, Path(source))
    except CheckpointError as error:
        raise ConfigError(f"checkpoint: {error}") from error
    trained = config["benchmark"]
    # two tiers of synthmotion have as many classes, but not the same ones
    if trained["name"] != benchmark.name or class_names(BenchmarkConfig(**trained)) != class_names(benchmark):
        raise ConfigError(
            f"checkpoint={source} tells {config['model']['num_classes']} classes of {trained['name']} apart, but "
            f"{benchmark.name}, split {benchmark.split}, has {model.num_classes} of its own: fine-tune on that first, "
            "or test on what it was fine-tuned on"
        )
