"""Levels >= 2: the motion feature of a level predicts the future of the level below (InfoNCE)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hcml.config import ContrastConfig

CHUNK = 512
"""Queries that are compared with all keys at once."""

TIE = 1e-6
"""Cosine similarities this near each other are tied: equal features differ by up to 2e-7 in float32, because a
positive's score and its candidates' are summed in different orders."""


class Predictor(nn.Sequential):
    """P_l [N, D, h, w] -> a prediction of P_(l-1) in the future, the same shape; a two-layer perceptron per place."""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Conv2d(dim, 2 * dim, 1), nn.ReLU(inplace=True), nn.Conv2d(2 * dim, dim, 1))


def pool_target(motion: Tensor, height: int, width: int) -> Tensor:
    """P_(l-1) [B, T-1, D, h', w'] -> [B, T-1, D, h, w], average-pooled, detached, float32, not yet normalised."""
    batch = motion.shape[0]
    pooled = F.adaptive_avg_pool2d(motion.detach().float().flatten(0, 1), (height, width))
    return pooled.view(batch, -1, *pooled.shape[1:])


@dataclass
class Places:
    """Where queries or keys are taken: int64 [M] each. `time` indexes dimension 1 of P (frame t is index t - 1)."""

    clip: Tensor
    time: Tensor
    y: Tensor
    x: Tensor

    def __len__(self) -> int:
        return len(self.clip)

    def of(self, features: Tensor) -> Tensor:
        """[B, T-1, D, h, w] -> [M, D]."""
        return features[self.clip, self.time, :, self.y, self.x]

    def at(self, index: Tensor | slice) -> Places:
        return Places(self.clip[index], self.time[index], self.y[index], self.x[index])

    def later(self, delta: int) -> Places:
        return Places(self.clip, self.time + delta, self.y, self.x)

    def to(self, device: torch.device) -> Places:
        return Places(self.clip.to(device), self.time.to(device), self.y.to(device), self.x.to(device))


def grid(batch: int, times: range, height: int, width: int) -> Places:
    """All places of `batch` clips at `times`, in (clip, time, y, x) order."""
    axes = (
        torch.arange(batch),
        torch.tensor(list(times), dtype=torch.int64),
        torch.arange(height),
        torch.arange(width),
    )
    return Places(*(axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")))


def query_times(level: int, num_steps: int, delta: int) -> range:
    """Indices into P's time dimension at which a query is valid: frames l <= t <= T-1-delta, as index t - 1.

    Raises:
        ValueError: if there is none, with the numbers.
    """
    times = range(level - 1, num_steps - delta)
    if not times:
        raise ValueError(
            f"no valid query at level {level}: frames {level} <= t <= {num_steps - delta} "
            f"(num_frames={num_steps + 1}, delta={delta}); use more frames or a smaller delta"
        )
    return times


def first_target(level: int) -> int:
    """Index into P's time dimension before which there are no targets at `level`: P_(l-1) has not seen l frames
    there, and would be told apart by that."""
    return level - 2


def draw(weights: Tensor, count: int, motion_share: float, generator: torch.Generator) -> Tensor:
    """`count` of the len(weights) candidates without repetition, ascending: a share in proportion to the weights,
    the rest uniformly. All of them if there are no more than `count`.

    On the CPU from `generator`, so that a draw does not depend on the device.
    """
    total = len(weights)
    if total <= count:
        return torch.arange(total)
    weights = weights.detach().double().cpu()
    by_motion = min(round(count * motion_share), int((weights > 0).sum()))
    chosen = torch.zeros(total, dtype=torch.bool)
    if by_motion:
        # Exponential races (Gumbel top-k): torch.multinomial allows no more than 2^24 candidates.
        race = torch.empty(total, dtype=torch.float64).exponential_(generator=generator) / weights
        chosen[race.topk(by_motion, largest=False).indices] = True
    rest = torch.nonzero(~chosen).flatten()
    order = torch.randperm(len(rest), generator=generator)[: count - by_motion]
    chosen[rest[order]] = True
    return torch.nonzero(chosen).flatten()


def left_out(positives: Places, keys: Places, config: ContrastConfig) -> Tensor:
    """Which keys are no negatives of which query, bool [Q, K]: too near the positive (or the positive itself), or
    of a kind that `config.negatives` switches off."""
    same_clip = positives.clip[:, None] == keys.clip[None]
    dt = (positives.time[:, None] - keys.time[None]).abs()
    dy = (positives.y[:, None] - keys.y[None]).abs()
    dx = (positives.x[:, None] - keys.x[None]).abs()
    radius = config.exclusion_radius
    out = same_clip & (dt <= radius) & (dy <= radius) & (dx <= radius)
    if "clip" not in config.negatives:
        out |= ~same_clip
    if "time" not in config.negatives:
        out |= same_clip & (dt > 0)
    if "space" not in config.negatives:
        out |= same_clip & (dt == 0)
    return out


def wins(own: Tensor, scores: Tensor) -> Tensor:
    """The part of first place that each positive has: 0 when a candidate beats it, else 1 / (number of tied ones).

    The one rule for every top-1, in training and held-out: a level whose features are all the same scores its chance.

    Args:
        own: [Q], cosine similarity of each query to its positive.
        scores: [Q, C], to the other candidates; -inf for those that do not count.
    """
    ties = ((scores - own[:, None]).abs() <= TIE).sum(1)
    return torch.where((scores > own[:, None] + TIE).any(1), 0.0, 1 / (1 + ties))


def _chunk_loss(
    queries: Tensor, targets: Tensor, keys: Tensor, out: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    own = (queries * targets).sum(1)
    scores = (queries @ keys.T).masked_fill(out, float("-inf"))
    positive = own / temperature
    loss = torch.logsumexp(torch.cat([positive[:, None], scores / temperature], dim=1), dim=1) - positive
    return loss, wins(own.detach(), scores.detach()), (~out).sum(1)


@dataclass
class Contrast:
    """InfoNCE of one level on one batch; scalars."""

    loss: Tensor
    log_n: Tensor
    """Mean log of the number of candidates (the positive and its negatives): the loss of a constant predictor."""
    top1: Tensor
    """Share of queries whose positive beats all negatives; ties as in :func:`wins`."""
    chance: Tensor
    """That share for a constant predictor: the mean of 1 / (number of candidates)."""
    negatives: Tensor
    """Mean number of negatives of a query."""


def info_nce(
    queries: Tensor, targets: Tensor, positives: Places, keys: Tensor, key_places: Places, config: ContrastConfig
) -> Contrast:
    """InfoNCE (van den Oord et al., arXiv 1807.03748, equation 4) of queries against shared keys.

    In chunks of queries whose scores are computed again in the backward pass, so that memory is linear in the
    number of queries and holds one chunk's scores at a time.

    Args:
        queries: [Q, D], L2-normalised predictions.
        targets: [Q, D], L2-normalised positives.
        positives: where the targets were taken.
        keys: [K, D], L2-normalised.
        key_places: where the keys were taken.
    """
    losses, won, counts = [], [], []
    for start in range(0, len(queries), CHUNK):
        part = slice(start, start + CHUNK)
        out = left_out(positives.at(part), key_places, config)
        args = (queries[part], targets[part], keys, out, config.temperature)
        loss, first, count = checkpoint(_chunk_loss, *args, use_reentrant=False)
        losses.append(loss)
        won.append(first)
        counts.append(count)
    count = torch.cat(counts).float()
    return Contrast(
        loss=torch.cat(losses).mean(),
        log_n=(count + 1).log().mean(),
        top1=torch.cat(won).mean(),
        chance=(1 / (count + 1)).mean(),
        negatives=count.mean(),
    )


@dataclass
class Ranking:
    """How often the positive is the most similar candidate; sums over queries."""

    hits: Tensor
    """Ties as in :func:`wins`."""
    chance: Tensor
    """Sum of 1 / (number of candidates)."""
    queries: int


def rank_positive(
    queries: Tensor,
    features: Tensor,
    positives: Places,
    axis: str,
    level: int,
    radius: int,
    taken: Places | None = None,
) -> Ranking:
    """Is the positive nearer to its query than the same clip's features at other times, or at other places?

    Args:
        queries: [Q, D], L2-normalised.
        features: [B, T-1, D, h, w], L2-normalised targets.
        positives: where the positives are.
        axis: time (same clip and place, other times with a target) | space (same clip and time, other places).
        level: l >= 2, whose targets the features are.
        radius: candidates this near the positive along `axis` are left out, as in training.
        taken: where the queries were taken from `features` themselves, if they were (`delta` before the positives):
            these are no candidates, each query would name its own. `space` has no such candidate.
    """
    rows = torch.arange(len(queries), device=queries.device)
    if axis == "time":
        candidates = features[positives.clip, :, :, positives.y, positives.x]  # [Q, T-1, D]
        position = positives.time
        times = torch.arange(features.shape[1], device=queries.device)[None]
        out = ((times - position[:, None]).abs() <= radius) | (times < first_target(level))
        if taken is not None:
            out |= times == taken.time[:, None]
    elif axis == "space":
        height, width = features.shape[-2:]
        candidates = features[positives.clip, positives.time].flatten(2).transpose(1, 2)  # [Q, h * w, D]
        position = positives.y * width + positives.x
        ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        dy = (ys.flatten().to(queries.device)[None] - positives.y[:, None]).abs()
        dx = (xs.flatten().to(queries.device)[None] - positives.x[:, None]).abs()
        out = (dy <= radius) & (dx <= radius)
    else:
        raise ValueError(f"axis={axis!r} must be time or space")
    scores = torch.einsum("qd,qcd->qc", queries, candidates)
    own = scores[rows, position]
    scores = scores.masked_fill(out, float("-inf"))
    return Ranking(wins(own, scores).sum(), (1 / (1 + (~out).sum(1))).sum(), len(queries))


def unit(features: Tensor) -> Tensor:
    """L2-normalise [B, T-1, D, h, w] over D, in float32."""
    return F.normalize(features.float(), dim=2)


@dataclass
class Drawn:
    """The queries and keys of one level and batch."""

    queries: Places
    positives: Places
    keys: Places


def draw_places(
    target: Tensor, level: int, config: ContrastConfig, generator: torch.Generator, max_queries: int | None = None
) -> Drawn:
    """Draw the places of queries and keys.

    Args:
        target: [B, T-1, D, h, w], the pooled P_(l-1), not normalised: its norm says where motion is.
        level: l >= 2.
        generator: a CPU generator seeded from (seed, step).
        max_queries: instead of the configuration's.
    """
    batch, num_steps, _, height, width = target.shape
    queries = grid(batch, query_times(level, num_steps, config.delta), height, width)
    positives = queries.later(config.delta)
    norms = positives.to(target.device).of(target).norm(dim=1)
    limit = config.max_queries if max_queries is None else max_queries
    chosen = draw(norms, limit, config.motion_queries, generator)
    keys = grid(batch, range(first_target(level), num_steps), height, width)
    kept = draw(torch.ones(len(keys)), config.max_keys, 0.0, generator)
    device = target.device
    return Drawn(queries.at(chosen).to(device), positives.at(chosen).to(device), keys.at(kept).to(device))
