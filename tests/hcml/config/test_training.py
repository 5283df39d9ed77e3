import pytest

from hcml.config import ConfigError, OptimConfig


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_momentum_is_within_its_range(value: float) -> None:
    with pytest.raises(ConfigError, match=rf"optim\.momentum={value} must be within 0 <= momentum < 1"):
        OptimConfig(momentum=value)
    assert OptimConfig(momentum=0.0).momentum == 0


@pytest.mark.parametrize("value", [-0.1, 0.0, 1.1, float("nan")])
def test_gamma_is_within_its_range(value: float) -> None:
    with pytest.raises(ConfigError, match=rf"optim\.gamma={value} is the factor of a drop: 0 < gamma <= 1"):
        OptimConfig(gamma=value)
    assert OptimConfig(gamma=1.0).gamma == 1
