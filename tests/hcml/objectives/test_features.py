import pytest
import torch

from hcml.objectives.features import effective_rank, feature_std


def test_spread_and_collapsed():
    torch.manual_seed(0)
    spread = torch.randn(4000, 16)
    assert feature_std(spread) == pytest.approx(1, abs=0.05)
    assert effective_rank(spread) == pytest.approx(16, abs=0.5)
    collapsed = torch.ones(4000, 16) + 1e-9 * torch.randn(4000, 16)
    assert feature_std(collapsed) < 1e-3
    assert effective_rank(torch.ones(4000, 16)) == 1


def test_two_directions_have_rank_two():
    torch.manual_seed(0)
    plane = torch.randn(4000, 2) @ torch.randn(2, 16)
    assert effective_rank(plane) == pytest.approx(2, abs=0.1)
