import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hcml.config import OptimConfig
from hcml.training.optim import build_optimizer, lr_at, set_lr


def test_cosine_warms_up_then_falls() -> None:
    config = OptimConfig(lr=1.0, warmup=0.2)
    rates = [lr_at(step, 10, config) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)  # half of the 8 steps behind the warm-up
    assert all(a > b for a, b in zip(rates[2:], rates[3:], strict=False))
    assert 0 < rates[-1] < 0.1


def test_step_schedule_multiplies_at_milestones() -> None:
    config = OptimConfig(lr=1.0, warmup=0.0, schedule="step", milestones=[0.4, 0.8], gamma=0.1)
    assert [lr_at(step, 10, config) for step in (0, 3, 4, 7, 8, 9)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@given(steps=st.integers(1, 300), warmup=st.floats(0, 0.99), name=st.sampled_from(["cosine", "step"]))
def test_rates_stay_within_zero_and_lr(steps: int, warmup: float, name: str) -> None:
    config = OptimConfig(lr=0.3, warmup=warmup, schedule=name)
    assert all(0 < lr_at(step, steps, config) <= 0.3 + 1e-12 for step in range(steps))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_vectors_are_not_decayed(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = build_optimizer(model.named_parameters(), OptimConfig(name=name, weight_decay=0.3))
    decay = {p: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert {decay[p] for p in model.parameters() if p.ndim == 1} == {0.0}
    assert decay[model[0].weight] == 0.3
    assert len(decay) == 4


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_parameters_without_gradient_are_left_alone(name: str) -> None:
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = build_optimizer([("a", used), ("b", unused)], OptimConfig(name=name, weight_decay=0.5))
    used.sum().backward()
    set_lr(optimizer, 0.1)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2, 2))
    assert (used < 1).all()


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to optimise"):
        build_optimizer([], OptimConfig())


def test_sgd_takes_up_parameters_that_a_later_turn_unfreezes() -> None:
    early, late = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = build_optimizer([("early", early), ("late", late)], OptimConfig(name="sgd", lr=0.1, weight_decay=0.0))
    early.grad = torch.ones(2, 2)
    optimizer.step()
    late.grad = torch.ones(2, 2)
    optimizer.step()
    assert torch.allclose(late, torch.full((2, 2), 1 - 0.1 * 1.9))  # Nesterov's first step: g + momentum * g
    assert torch.allclose(early, torch.full((2, 2), 1 - 0.1 * 1.9 - 0.1 * (1 + 0.9 * 1.9)))
