import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hcml.motion.cost_volume import cost_volume, fitting_displacement


def definition(current, reference, d):
    """The definition, one product at a time."""
    h, w = current.shape[-2:]
    padded = F.pad(reference, (d,) * 4)
    shifts = [(i, j) for i in range(2 * d + 1) for j in range(2 * d + 1)]
    return torch.stack([(current * padded[:, :, i : i + h, j : j + w]).sum(1) for i, j in shifts], 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_equals_its_definition(n, dim, h, w, d):
    generator = torch.Generator().manual_seed(n * 1000 + dim * 100 + h * 10 + w)
    current, reference = (torch.randn(n, dim, h, w, generator=generator) for _ in range(2))
    torch.testing.assert_close(cost_volume(current, reference, d), definition(current, reference, d))


def test_gradients_equal_the_definitions():
    current, reference = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(2))
    weight = torch.randn(2, 25, 5, 4)
    ours = torch.autograd.grad((cost_volume(current, reference, 2) * weight).sum(), (current, reference))
    theirs = torch.autograd.grad((definition(current, reference, 2) * weight).sum(), (current, reference))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_peak_is_where_the_content_came_from():
    reference = F.normalize(torch.randn(1, 16, 9, 9), dim=1)
    current = torch.roll(reference, shifts=(1, -2), dims=(2, 3))  # content moved 1 down and 2 left
    best = cost_volume(current, reference, 3)[0, :, 4, 4].argmax().item()
    assert (best // 7 - 3, best % 7 - 3) == (-1, 2)


@pytest.mark.parametrize(("size", "expected"), [((12, 12), 3), ((7, 20), 3), ((6, 6), 2), ((3, 9), 1)])
def test_radius_fits_the_map(size, expected):
    assert fitting_displacement(3, *size, "map") == expected


def test_too_small_a_map_is_named():
    with pytest.raises(ValueError, match="the map of level 4 has 2x2 pixels"):
        fitting_displacement(3, 2, 2, "the map of level 4")
