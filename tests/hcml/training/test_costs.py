import pytest
import torch
from torch import nn

from hcml.config import BackboneConfig, ModelConfig
from hcml.model import build_model
from hcml.training.costs import gmacs, num_parameters, peak_memory_mb


def test_resnet50_at_224_has_the_published_multiply_adds() -> None:
    config = ModelConfig(backbone=BackboneConfig("resnet50"), levels=0, num_classes=1000, num_frames=1, input_size=224)
    model = build_model(config)
    model.train()
    model.backbone.model.layer4.eval()
    state, modes = torch.get_rng_state(), [module.training for module in model.modules()]
    assert gmacs(model, config) == pytest.approx(4.09, abs=0.01)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert num_parameters(model) == 25_557_032


def test_stopping_early_costs_less_and_levels_cost_more() -> None:
    plain, motion = (
        ModelConfig(backbone=BackboneConfig("test_resnet"), levels=levels, num_frames=4, input_size=32)
        for levels in (0, 2)
    )
    model = build_model(motion)
    full = gmacs(model, motion)
    assert gmacs(build_model(plain), plain) < full
    assert gmacs(model, motion, active_levels=1, classify=False) < full


def test_memory_is_in_mib() -> None:
    block = nn.Parameter(torch.ones(2**20))
    assert 50 < peak_memory_mb(torch.device("cpu")) < 200_000
    assert num_parameters(nn.ParameterList([block])) == 2**20
