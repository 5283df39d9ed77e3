"""Everything a run may depend on, as plain dataclasses.

A phase reads exactly one of :class:`PretrainRun`, :class:`FinetuneRun`, :class:`ProbeRun`, :class:`RetrievalRun` and
:class:`TestRun`; the hash of that dataclass (and of its parent's id) *is* the identity of the run, so a field belongs
here only if changing it may change the science. What cannot (device, workers, log and checkpoint intervals) is in
:class:`Runtime`.

Every ``__post_init__`` raises :class:`ConfigError` with the reason and with what to set instead. Choices that the
paper leaves open are documented, one row each, in docs/method.md.
"""

from hcml.config.base import ConfigError, to_dict
from hcml.config.data import BenchmarkConfig, SamplingConfig, TransformConfig
from hcml.config.evaluation import FeatureConfig, ProbeRun, RetrievalRun
from hcml.config.network import BackboneConfig, FusionConfig, ModelConfig, MotionConfig, TemporalConfig
from hcml.config.objectives import ContrastConfig, CurriculumConfig, ObjectiveConfig, ReconstructionConfig
from hcml.config.runs import FinetuneRun, PretrainRun, RunConfig, TestRun
from hcml.config.split import Split, science, split_batch
from hcml.config.training import ComputeConfig, LengthConfig, OptimConfig, Runtime

__all__ = [
    "BackboneConfig",
    "BenchmarkConfig",
    "ComputeConfig",
    "ConfigError",
    "ContrastConfig",
    "CurriculumConfig",
    "FeatureConfig",
    "FinetuneRun",
    "FusionConfig",
    "LengthConfig",
    "ModelConfig",
    "MotionConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "PretrainRun",
    "ProbeRun",
    "ReconstructionConfig",
    "RetrievalRun",
    "RunConfig",
    "Runtime",
    "SamplingConfig",
    "Split",
    "TemporalConfig",
    "TestRun",
    "TransformConfig",
    "science",
    "split_batch",
    "to_dict",
]
