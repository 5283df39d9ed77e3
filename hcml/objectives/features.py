"""Health of a set of feature vectors: does it still have directions?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def feature_std(features: Tensor) -> Tensor:
    """sqrt(D) x the mean over channels of the standard deviation of L2-normalised features [M, D].

    1 for directions spread uniformly, 0 for a collapsed set (the measure of SimSiam, arXiv 2011.10566, figure 2,
    times sqrt(D)).
    """
    unit = F.normalize(features.float(), dim=1)
    return unit.std(0, correction=0).mean() * features.shape[1] ** 0.5


def effective_rank(features: Tensor) -> Tensor:
    """exp(entropy of the normalised singular values) of the centred, L2-normalised features [M, D], in [1, D]
    (Roy and Vetterli, EUSIPCO 2007); 1 for features that do not vary at all."""
    unit = F.normalize(features.double(), dim=1)
    centred = unit - unit.mean(0)
    return _rank(centred.T @ centred, 1e-9 * len(features) ** 0.5)


def _rank(scatter: Tensor, nothing: Tensor | float) -> Tensor:
    """From sum_i (u_i - mean)(u_i - mean)^T [D, D], float64; `nothing`: what rounding alone makes of its roots."""
    values = torch.linalg.eigvalsh(scatter).clamp_min(0).sqrt()
    total = values.sum()
    if not total > nothing:
        return torch.ones((), device=scatter.device)
    share = values / total
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    return entropy.exp().float()


def moments(features: Tensor) -> Tensor:
    """[1 + D + D * D], float64: count, sum and second moments of L2-normalised features [M, D]. Those of parts of a set
    add up to those of the set, from which :func:`std_of` and :func:`rank_of` follow."""
    unit = F.normalize(features.double(), dim=1)
    count = torch.full((1,), len(unit), dtype=unit.dtype, device=unit.device)
    return torch.cat([count, unit.sum(0), (unit.T @ unit).flatten()])


def std_of(found: Tensor, dim: int) -> Tensor:
    """:func:`feature_std` of the set whose moments were `found`; `dim`: D."""
    mean, second = found[1 : 1 + dim] / found[0], found[1 + dim :].view(dim, dim) / found[0]
    return ((second.diagonal() - mean * mean).clamp_min(0).sqrt().mean() * dim**0.5).float()


def rank_of(found: Tensor, dim: int) -> Tensor:
    """:func:`effective_rank` of the set whose moments were `found`; `dim`: D."""
    count, total = found[0], found[1 : 1 + dim]
    scatter = found[1 + dim :].view(dim, dim) - torch.outer(total, total) / count
    return _rank(scatter, 1e-5 * count.sqrt())  # a difference of big numbers: more rounding than above
