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
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp_min(0).sqrt()
    total = values.sum()
    if not total > 1e-9 * len(features) ** 0.5:
        return torch.ones((), device=features.device)
    share = values / total
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    return entropy.exp().float()
