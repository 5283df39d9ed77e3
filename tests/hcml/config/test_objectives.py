import pytest

from hcml.config import ConfigError, ReconstructionConfig


@pytest.mark.parametrize("value", [0.0, -1e-3, float("nan")])
def test_charbonnier_eps_is_positive(value: float) -> None:
    with pytest.raises(ConfigError, match=rf"objective\.reconstruction\.charbonnier_eps={value} must be positive"):
        ReconstructionConfig(charbonnier_eps=value)
