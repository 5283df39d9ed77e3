from typing import Any

import pytest

from hcml.config import BenchmarkConfig, ConfigError, FeatureConfig, ModelConfig, ProbeRun, RetrievalRun, SamplingConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "classifier"}, "level, motion, final"),
        ({"pool": "max"}, "mean, concat"),
        ({"num_clips": 0}, "num_clips=0 must be at least 1"),
        ({"num_crops": 2}, r"num_crops=2 must be 1 \(centre\) or 3"),
    ],
)
def test_features_that_cannot_be_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**changes)


@pytest.mark.parametrize("run", [ProbeRun, RetrievalRun])
def test_what_both_phases_refuse(run: type[ProbeRun]) -> None:
    with pytest.raises(ConfigError, match=rf"{run.phase}\.features\.source=motion needs levels >= 1"):
        run(ModelConfig(levels=0), BenchmarkConfig(), features=FeatureConfig("motion"))
    assert run(ModelConfig(levels=0), BenchmarkConfig(), features=FeatureConfig("final")).phase == run.phase
    with pytest.raises(ConfigError, match=rf"{run.phase}\.sampling\.num_frames=4 but the model takes num_frames=8"):
        run(ModelConfig(), BenchmarkConfig(), sampling=SamplingConfig(num_frames=4))
    with pytest.raises(ConfigError, match="init=weights needs"):
        run(ModelConfig(), BenchmarkConfig(), init="weights")
    with pytest.raises(ConfigError, match=rf"{run.phase}\.batch_size=0"):
        run(ModelConfig(), BenchmarkConfig(), batch_size=0)


@pytest.mark.parametrize("l2", [[], [0.0], [0.1, -1.0], [0.1, 0.1], [float("nan")]])
def test_the_strength_of_the_probe_is_positive(l2: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"probe\.l2=.* must be one or more different positive numbers"):
        ProbeRun(ModelConfig(), BenchmarkConfig(), l2=l2)


def test_one_video_a_class_leaves_nothing_to_choose_with() -> None:
    with pytest.raises(ConfigError, match="benchmark.train_per_class=1 leaves none"):
        ProbeRun(ModelConfig(), BenchmarkConfig(train_per_class=1))
    assert ProbeRun(ModelConfig(), BenchmarkConfig(train_per_class=1), l2=[0.1]).l2 == [0.1]


def test_centring_is_one_of_three() -> None:
    with pytest.raises(ConfigError, match="none, train, each"):
        RetrievalRun(ModelConfig(), BenchmarkConfig(), center="test")
