import pytest

from hcml.config import BenchmarkConfig, ConfigError, FinetuneRun, ModelConfig, PretrainRun


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_label_smoothing_is_within_its_range(value: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"finetune\.label_smoothing={value} must be within 0 <= label_smoothing < 1"
    ):
        FinetuneRun(ModelConfig(), BenchmarkConfig(), label_smoothing=value)
    assert FinetuneRun(ModelConfig(), BenchmarkConfig(), label_smoothing=0.1).label_smoothing == 0.1


@pytest.mark.parametrize("value", [-1, 0])
def test_pretraining_is_measured_on_some_video(value: int) -> None:
    with pytest.raises(ConfigError, match=rf"pretrain\.eval_videos={value} must be at least 1"):
        PretrainRun(ModelConfig(), BenchmarkConfig(), eval_videos=value)
    assert PretrainRun(ModelConfig(), BenchmarkConfig(), eval_videos=1).eval_videos == 1
