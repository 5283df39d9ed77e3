"""What every phase checks: the clips that the data gives are those that the network takes."""

from __future__ import annotations

from hcml.config.base import ConfigError
from hcml.config.data import SamplingConfig, TransformConfig
from hcml.config.network import ModelConfig


def check_clip(model: ModelConfig, sampling: SamplingConfig, transform: TransformConfig, phase: str) -> None:
    """ConfigError, naming both numbers, unless frames and pixels agree."""
    if sampling.num_frames != model.num_frames:
        raise ConfigError(
            f"{phase}.sampling.num_frames={sampling.num_frames} but the model takes num_frames={model.num_frames}"
        )
    if transform.crop_size != model.input_size:
        raise ConfigError(
            f"{phase}.transform.crop_size={transform.crop_size} but the model takes input_size={model.input_size}"
        )
