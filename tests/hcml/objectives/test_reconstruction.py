import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hcml.config import ReconstructionConfig
from hcml.objectives.reconstruction import (
    DisplacementHead,
    end_point_error,
    reconstruct,
    smoothness,
    structural_dissimilarity,
    warp,
)


def texture(size=24, seed=0):
    torch.manual_seed(seed)
    noise = torch.rand(1, 3, size // 4, size // 4)
    return torch.nn.functional.interpolate(noise, size=(size, size), mode="bicubic").clamp(0, 1)


def constant(dx, dy, size=24):
    return torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, size, size)


@settings(max_examples=20, deadline=None)
@given(st.integers(-5, 5), st.integers(-5, 5))
def test_warp_by_whole_pixels_is_a_shift(dx, dy):
    image = texture()
    warped, inside = warp(image, constant(dx, dy))
    shifted = torch.roll(image, shifts=(-dy, -dx), dims=(2, 3))
    torch.testing.assert_close(warped[inside.expand_as(warped)], shifted[inside.expand_as(shifted)], atol=1e-5, rtol=0)
    assert inside.sum() == (24 - abs(dx)) * (24 - abs(dy))


def test_true_displacement_reconstructs():
    reference = texture()
    current = torch.roll(reference, shifts=(0, 3), dims=(2, 3))  # moved 3 right: came from 3 to the left
    good = reconstruct(current, reference, constant(-3, 0), torch.zeros(()), ReconstructionConfig())
    still = reconstruct(current, reference, constant(0, 0), torch.zeros(()), ReconstructionConfig())
    assert good.ratio < 0.3 and still.ratio == 1
    assert good.loss < still.loss


def test_pointing_outside_never_pays():
    """A head that always points outside has ratio exactly 1, and so does any mixture on those pixels."""
    current, reference = texture(seed=1), texture(seed=2)
    result = reconstruct(current, reference, constant(1000, 1000), torch.zeros(()), ReconstructionConfig())
    assert result.ratio.item() == 1.0


def test_displacement_is_bounded_by_the_search_window():
    torch.manual_seed(0)
    head = DisplacementHead(dim=4, max_displacement=2)
    with torch.no_grad():
        head.layers[-1].bias.copy_(torch.tensor([1e6, -1e6]))
    displacement, at_bound = head(torch.randn(1, 4, 6, 6), 24, 24)
    assert displacement[:, 0].max() == 8 and displacement[:, 1].min() == -8  # d = 2 map pixels, reduction 4
    assert at_bound == 1


def test_gradient_descent_learns_the_shift():
    reference = texture(seed=3)
    current = torch.roll(reference, shifts=(0, 2), dims=(2, 3))
    field = torch.zeros(1, 2, 24, 24, requires_grad=True)
    optimiser = torch.optim.Adam([field], lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        result = reconstruct(current, reference, field, torch.zeros(()), ReconstructionConfig(smoothness_weight=0.1))
        result.loss.backward()
        optimiser.step()
    assert result.ratio < 0.6


def test_dissimilarity_of_an_image_with_itself_is_zero():
    image = texture()
    assert structural_dissimilarity(image, image).abs().max() < 1e-6
    assert structural_dissimilarity(image, 1 - image).mean() > 0.2


def test_smoothness_spares_edges():
    field = torch.zeros(1, 2, 8, 8)
    field[..., 4:] = 1
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    assert smoothness(field, edge, 10.0) < 0.01 * smoothness(field, torch.zeros(1, 3, 8, 8), 10.0)


def test_end_point_error_skips_unknown_pixels():
    truth = torch.zeros(1, 2, 2, 2)
    truth[0, :, 0, 0] = float("nan")
    total, count = end_point_error(torch.full((1, 2, 2, 2), 3.0), truth)
    assert count == 3 and total.item() == pytest.approx(3 * 18**0.5)
