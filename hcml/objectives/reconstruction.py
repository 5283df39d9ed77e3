"""Level 1's objective: warp the previous frame onto the present one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcml.config import ReconstructionConfig

AT_BOUND = 0.98
"""A displacement component beyond this share of its bound counts as at the bound."""
UNIT = 2.0
"""Pixels of the loss image per unit of the head's output near zero. Without it (tanh x bound) a unit would be the
whole bound, many times the usual motion, and training would start by unlearning that."""


class DisplacementHead(nn.Module):
    """P_1 [N, D, h, w] -> displacement [N, 2, H, W] as (dx, dy) in pixels of the H x W loss image.

    The displacement points from a pixel of frame t to where it was in frame t - 1. It is bounded by
    `max_displacement` map pixels (the search radius d), i.e. by d x reduction pixels of the loss image: motion that
    the cost volume cannot see cannot be predicted.
    """

    def __init__(self, dim: int, max_displacement: int) -> None:
        super().__init__()
        self.max_displacement = max_displacement
        last = nn.Conv2d(dim, 2, 3, padding=1)
        with torch.no_grad():  # start near zero motion, whose error is the yardstick
            for parameter in last.parameters():
                parameter.mul_(0.1)
        self.layers = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), nn.ReLU(inplace=True), last)

    def forward(self, motion: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Returns (displacement [N, 2, H, W], share of components at the bound, a scalar)."""
        reduction = torch.tensor([width / motion.shape[-1], height / motion.shape[-2]], device=motion.device)
        bound = self.max_displacement * reduction.view(1, 2, 1, 1)
        relative = torch.tanh(self.layers(motion).float() * UNIT / bound)
        displacement = F.interpolate(relative * bound, size=(height, width), mode="bilinear", align_corners=False)
        return displacement, (relative.detach().abs() > AT_BOUND).float().mean()


def warp(reference: Tensor, displacement: Tensor) -> tuple[Tensor, Tensor]:
    """Sample `reference` [N, C, H, W] at x + displacement(x), bilinearly.

    Args:
        displacement: [N, 2, H, W], (dx, dy) in pixels.

    Returns:
        (warped [N, C, H, W], inside [N, 1, H, W] bool): `inside` where the sampled point lies within the image.
    """
    height, width = reference.shape[-2:]
    x = torch.arange(width, device=reference.device, dtype=torch.float32) + displacement[:, 0]
    y = torch.arange(height, device=reference.device, dtype=torch.float32).unsqueeze(1) + displacement[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    warped = F.grid_sample(reference, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return warped, inside.unsqueeze(1)


def charbonnier(difference: Tensor, eps: float) -> Tensor:
    """sqrt(x^2 + eps^2), elementwise (Bruhn et al., IJCV 2005; the robust penalty of unsupervised optical flow)."""
    return torch.sqrt(difference.square() + eps * eps)


def structural_dissimilarity(a: Tensor, b: Tensor) -> Tensor:
    """(1 - SSIM) / 2 over 3x3 windows, [N, C, H, W] in [0, 1] -> [N, C, H - 2, W - 2] in [0, 1].

    SSIM: Wang et al., IEEE TIP 2004, with C1 = 0.01^2, C2 = 0.03^2.
    """
    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = F.avg_pool2d(a, 3, 1), F.avg_pool2d(b, 3, 1)
    var_a = F.avg_pool2d(a * a, 3, 1) - mean_a * mean_a
    var_b = F.avg_pool2d(b * b, 3, 1) - mean_b * mean_b
    covariance = F.avg_pool2d(a * b, 3, 1) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_a * mean_a + mean_b * mean_b + c1) * (var_a + var_b + c2))
    return ((1 - similarity) / 2).clamp(0, 1)


def smoothness(displacement: Tensor, image: Tensor, edge_weight: float) -> Tensor:
    """Mean |grad displacement| exp(-edge_weight |grad image|), first order (edge-aware, as in monodepth,
    arXiv 1609.03677, equation 3). displacement [N, 2, H, W] in pixels, image [N, C, H, W]."""
    loss = displacement.new_zeros(())
    for dim in (-1, -2):
        gradient = torch.diff(displacement, dim=dim).abs()
        edges = torch.diff(image, dim=dim).abs().mean(1, keepdim=True)
        loss = loss + (gradient * torch.exp(-edge_weight * edges)).mean()
    return loss


@dataclass
class Reconstruction:
    """What one batch of frame pairs gives; all tensors are scalars but `displacement`."""

    loss: Tensor
    """Photometric + SSIM + smoothness, weighted."""
    error: Tensor
    """Mean Charbonnier over all pixels of the reconstruction."""
    still_error: Tensor
    """The same of zero motion; the reconstruction ratio is error / still_error."""
    at_bound: Tensor
    """Share of displacement components at their bound."""
    displacement: Tensor
    """[N, 2, H, W], (dx, dy) in pixels."""

    @property
    def ratio(self) -> Tensor:
        return self.error / self.still_error


def reconstruct(
    current: Tensor, reference: Tensor, displacement: Tensor, at_bound: Tensor, config: ReconstructionConfig
) -> Reconstruction:
    """Reconstruct `current` from `reference` by a displacement.

    A pixel whose displacement points outside of the image keeps the reference's own value, so it pays exactly its
    zero-motion error: leaving the frame never pays, and a head that always points outside has ratio 1.

    Args:
        current: [N, C, H, W] in [0, 1], frame t.
        reference: [N, C, H, W] in [0, 1], frame t - 1.
        displacement: [N, 2, H, W], (dx, dy) in pixels.
        at_bound: passed on.
        config: weights.
    """
    current, reference = current.float(), reference.float()
    warped, inside = warp(reference, displacement)
    rebuilt = torch.where(inside, warped, reference)
    error = charbonnier(current - rebuilt, config.charbonnier_eps).mean()
    still_error = charbonnier(current - reference, config.charbonnier_eps).mean()
    loss = error
    if config.ssim_weight:
        loss = loss + config.ssim_weight * structural_dissimilarity(current, rebuilt).mean()
    if config.smoothness_weight:
        loss = loss + config.smoothness_weight * smoothness(displacement, current, config.edge_weight)
    return Reconstruction(loss, error, still_error, at_bound, displacement)


def end_point_error(displacement: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over known pixels of |displacement - truth|_2, and the number of known pixels.

    Args:
        displacement: [N, 2, H, W] in pixels.
        truth: the same shape; NaN where the true displacement is unknown (occluded, outside).
    """
    distance = (displacement - truth).square().sum(1).sqrt()
    known = torch.isfinite(distance)
    return distance[known].double().sum(), known.sum().double()
