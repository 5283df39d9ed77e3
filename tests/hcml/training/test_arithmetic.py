import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hcml.config import ComputeConfig, ConfigError, Runtime
from hcml.training.arithmetic import autocast, pick_device, place_clip, place_module, set_up, step_seed

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    set_up(ComputeConfig(deterministic="off", threads=threads), 0)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_set_up_fixes_threads_and_all_seeds() -> None:
    set_up(ComputeConfig(threads=1, deterministic="off"), 3)
    first = draws()
    assert torch.get_num_threads() == 1
    set_up(ComputeConfig(threads=2, deterministic="off"), 3)
    assert torch.get_num_threads() == 2
    assert draws() == first
    set_up(ComputeConfig(threads=1, deterministic="off"), 4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize(("mode", "expected"), [("off", 0), ("warn", 1), ("strict", 2)])
def test_deterministic_modes(mode: str, expected: int) -> None:
    set_up(ComputeConfig(deterministic=mode), 0)
    assert torch.get_deterministic_debug_mode() == expected


@given(seed=st.integers(0, 2**31), step=st.integers(0, 10**7))
def test_step_seeds_are_accepted_by_torch_and_differ(seed: int, step: int) -> None:
    value = step_seed(seed, step)
    assert 0 <= value < 2**63
    torch.Generator().manual_seed(value)
    assert value == step_seed(seed, step)
    assert len({value, step_seed(seed, step + 1), step_seed(seed + 1, step)}) == 3


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device(Runtime(device="auto")) == CPU
    with pytest.raises(ConfigError, match="runtime.device=cpu"):
        pick_device(Runtime(device="cuda"))


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_follows_the_configuration(precision: str, dtype: torch.dtype) -> None:
    with autocast(CPU, ComputeConfig(precision=precision)):
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


@pytest.mark.parametrize("channels_last", [True, False])
def test_frames_and_weights_take_the_configured_layout(channels_last: bool) -> None:
    compute = ComputeConfig(channels_last=channels_last)
    clip = torch.rand(2, 3, 3, 8, 8)
    placed = place_clip(clip, CPU, compute)
    assert torch.equal(placed, clip)
    frames = placed.flatten(0, 1)
    assert frames.data_ptr() == placed.data_ptr()
    assert frames.is_contiguous(memory_format=torch.channels_last) is channels_last
    convolution = nn.Conv2d(3, 4, 3)
    place_module(convolution, CPU, compute)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last) is channels_last
