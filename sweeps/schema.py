"""The schema of everything that can be typed behind `python sweeps/run.py`.

It composes the dataclasses of hcml.config, so a key's meaning is documented there, once. Hydra refuses any key that
is not in it, unless it is typed with a `+`: those are found here. Values that must agree (frames, sizes, seeds) are
single-sourced by interpolation in conf/config.yaml.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore

from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    ComputeConfig,
    CurriculumConfig,
    FeatureConfig,
    LengthConfig,
    MotionConfig,
    ObjectiveConfig,
    OptimConfig,
    Runtime,
    SamplingConfig,
    TemporalConfig,
    TransformConfig,
)
from sweeps import protocols
from sweeps.launchers import LauncherConfig


@dataclass
class BenchmarkChoice(BenchmarkConfig):
    """A benchmark and what follows from choosing it."""

    within_group: bool = False
    """The group (tier) of a video is given: top-1 is measured among the classes of its group."""


@dataclass
class FusionChoice:
    init: str = "auto"
    """auto (zero with pretrained weights, random from scratch) | zero | random."""


@dataclass
class PretrainSection:
    train: str = "all"
    eval_videos: int = 64
    seed: int = 0
    benchmark: BenchmarkChoice | None = None
    """Where to pretrain; null = the benchmark that is tested. `+benchmark@pretrain.benchmark=NAME` sets it."""
    split: str = ""
    """The split to pretrain on; '' = that of the benchmark. Splits can so share a pretraining."""
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    length: LengthConfig = field(default_factory=lambda: LengthConfig(steps=80))
    optim: OptimConfig = field(default_factory=OptimConfig)


@dataclass
class FinetuneSection:
    auxiliary_weight: float = 0.0
    label_smoothing: float = 0.0
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    length: LengthConfig = field(default_factory=lambda: LengthConfig(steps=130))
    optim: OptimConfig = field(default_factory=OptimConfig)


@dataclass
class TestSection:
    num_clips: int = 1
    num_crops: int = 1
    average: str = "softmax"
    metric: str = "video"
    selection: str = "last"
    coverage: float = 0.97
    batch_size: int = 16
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)


@dataclass
class DataPaths:
    """Where the videos are: of the embedded benchmark in `root`, of each other data set in its own folder or, where
    that is '', in ROOT/NAME."""

    root: str = "data"
    kinetics400: str = ""
    sthv1: str = ""
    sthv2: str = ""
    ucf101: str = ""
    hmdb51: str = ""

    def of(self, benchmark: str) -> Path:
        """The absolute folder of a benchmark."""
        own = getattr(self, benchmark, self.root) or str(Path(self.root, benchmark))
        return Path(own).expanduser().resolve()


@dataclass
class ProbeSection:
    features: FeatureConfig = field(default_factory=FeatureConfig)
    l2: list[float] = field(default_factory=lambda: [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    max_iterations: int = 1000
    batch_size: int = 16
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)


@dataclass
class RetrievalSection:
    features: FeatureConfig = field(default_factory=FeatureConfig)
    center: str = "none"
    batch_size: int = 16
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)


@dataclass
class Paths:
    runs: str = "runs"
    """Run folders; relative paths start where the command is typed."""
    data: DataPaths = field(default_factory=DataPaths)
    cache: str = ""
    """Where runs find downloaded weights: HF_HOME=CACHE/huggingface and TORCH_HOME=CACHE/torch; '' = as they are."""


@dataclass
class ExperimentConfig:
    """One job of a sweep: a leaf run (`phase`) and the runs it needs."""

    phase: str = "test"
    """test | finetune | pretrain | probe | retrieval: the run to reach."""
    seed: int = 0
    init: str = "run"
    """run (self-supervised pretraining first) | scratch | weights (`backbone.pretrained`)."""
    checkpoint: str = ""
    """A weights.pt in place of running what made it: of a pretraining, to fine-tune from or to measure (init=run); with
    phase=test also of a fine-tuning, to be tested as it is."""
    levels: int = 3
    num_frames: int = 8
    input_size: int = 48
    profile: str = ""
    """Name of the chosen profile; a note for the tables, never part of a run's identity."""
    experiment: str = ""
    """Name of the chosen experiment; a note too."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    temporal: TemporalConfig = field(default_factory=TemporalConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    fusion: FusionChoice = field(default_factory=FusionChoice)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    benchmark: BenchmarkChoice = field(default_factory=BenchmarkChoice)
    pretrain: PretrainSection = field(default_factory=PretrainSection)
    finetune: FinetuneSection = field(default_factory=FinetuneSection)
    test: TestSection = field(default_factory=TestSection)
    probe: ProbeSection = field(default_factory=ProbeSection)
    retrieval: RetrievalSection = field(default_factory=RetrievalSection)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    runtime: Runtime = field(default_factory=Runtime)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    """How runs are executed; `launcher=local` or `launcher=slurm` chooses."""
    paths: Paths = field(default_factory=Paths)
    rerun_stale: bool = False
    """Run anew what was finished by other code (its folder is moved to runs/_stale, nothing is lost)."""
    plan: bool = False
    """Print the plan and its estimate, run nothing."""


def register() -> None:
    """Make the schema known to Hydra as `base_config`, and the named protocols (idempotent)."""
    ConfigStore.instance().store(name="base_config", node=ExperimentConfig)
    protocols.register()


def unknown_keys(settings: Mapping[str, Any], known: type = ExperimentConfig, where: str = "") -> Iterator[str]:
    """What is wrong with keys of `settings` (an ExperimentConfig as plain types) that the schema does not have: Hydra
    appends whatever is typed as `+key=value`, and nothing would ever read it."""
    hints = get_type_hints(known)
    for key, value in settings.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {where}{near[0]}?" if near else f"there are: {', '.join(hints)}"
            yield f"unknown key {where}{key}: {hint}"
            continue
        kinds = get_args(hints[key]) if get_origin(hints[key]) is types.UnionType else (hints[key],)
        inner = next((kind for kind in kinds if is_dataclass(kind)), None)
        if isinstance(value, Mapping) and isinstance(inner, type):
            yield from unknown_keys(value, inner, f"{where}{key}.")
