"""Held-out measurement of the motion features, with the baselines that make the figures mean something."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hcml.objectives.contrastive import (
    Places,
    draw_places,
    left_out,
    pool_target,
    query_times,
    rank_positive,
    unit,
    wins,
)
from hcml.objectives.features import effective_rank, feature_std
from hcml.objectives.reconstruction import end_point_error
from hcml.objectives.self_supervision import SelfSupervision

Fraction = tuple[float, float]
"""(sum, count): batches are combined by adding both, the figure is their quotient."""

MotionModel = Callable[[Tensor], list[Tensor]]
"""A clip [B, T, 3, H, W] -> its motion features P_1..P_n."""


@torch.no_grad()
def measure_batch(
    motion_of: MotionModel, heads: SelfSupervision, clip: Tensor, seed: int, flow: Tensor | None = None
) -> dict[str, Fraction]:
    """Figures of one batch of held-out clips, as (sum, count).

    `reconstruction_ratio`: summed error over summed zero-motion error. `end_point_error` (and of zero motion:
    `end_point_error_still`) in pixels, when `flow` is given. For each level l >= 2: `loss_contrast_l`, `log_n_l`,
    and top-1 among all keys, same place at other times, same time at other places (`top1_all_l`, `top1_time_l`,
    `top1_space_l`) with `chance_*`; each also for two baselines that know no motion: `static_*` (the query made
    from frame t repeated) and `persistence_*` (P_(l-1)(t) itself as the prediction; its own place is no candidate, so
    with `delta` above the exclusion radius it has one less than `chance_*` counts). For all levels `std_l`, `rank_l`.

    Args:
        motion_of: the network in evaluation mode.
        heads: displacement head and predictors.
        clip: [B, T, 3, H, W] in [0, 1].
        seed: of the drawn queries and keys.
        flow: [B, T-1, 2, H, W] true displacement (dx, dy) from frame t to where it was in frame t-1, in pixels of
            the clip; NaN where unknown.
    """
    motion = motion_of(clip)
    found: dict[str, Fraction] = {}
    result = heads.reconstruction(clip, motion)
    pairs = result.displacement.shape[0]
    found["reconstruction_ratio"] = (float(result.error) * pairs, float(result.still_error) * pairs)
    found["at_bound"] = (float(result.at_bound) * pairs, pairs)
    if flow is not None:
        truth = flow.flatten(0, 1)
        for name, displacement in (("", result.displacement), ("_still", torch.zeros_like(truth))):
            total, count = end_point_error(displacement, truth)
            found[f"end_point_error{name}"] = (float(total), float(count))
    for level, features in enumerate(motion, start=1):
        vectors = features.permute(0, 1, 3, 4, 2).flatten(0, 3)
        found[f"std_{level}"] = (float(feature_std(vectors)), 1)
        found[f"rank_{level}"] = (float(effective_rank(vectors)), 1)
    for level in range(2, len(motion) + 1):
        found.update(_measure_level(motion_of, heads, clip, motion, level, seed))
    return found


def _measure_level(
    motion_of: MotionModel, heads: SelfSupervision, clip: Tensor, motion: list[Tensor], level: int, seed: int
) -> dict[str, Fraction]:
    config = heads.objective.contrast
    pooled = pool_target(motion[level - 2], *motion[level - 1].shape[-2:])
    drawn = draw_places(pooled, level, config, torch.Generator().manual_seed(seed))
    target = unit(pooled)
    contrast, queries = heads.contrast(heads.predict(motion[level - 1], level), target, drawn)
    count = len(drawn.queries)
    found: dict[str, Fraction] = {
        f"loss_contrast_{level}": (float(contrast.loss) * count, count),
        f"log_n_{level}": (float(contrast.log_n) * count, count),
        f"negatives_{level}": (float(contrast.negatives) * count, count),
    }
    static = static_prediction(motion_of, heads, clip, level)
    competitors = {
        "top1": queries,
        "static": drawn.queries.of(static),
        "persistence": drawn.queries.of(target),
    }
    excluded = left_out(drawn.positives, drawn.keys, config)
    for name, vectors in competitors.items():
        # Persistence is itself one of the features: were it a candidate, it would never name the positive.
        taken = drawn.queries if name == "persistence" else None
        out = excluded if taken is None else excluded | same_place(taken, drawn.keys)
        rankings = {"all": _rank_all(vectors, target, drawn.positives, drawn.keys, out)}
        for axis in ("time", "space"):
            ranking = rank_positive(vectors, target, drawn.positives, axis, level, config.exclusion_radius, taken)
            rankings[axis] = (float(ranking.hits), float(ranking.chance))
        for axis, (hits, chance) in rankings.items():
            found[f"{name}_{axis}_{level}"] = (hits, count)
            if name == "top1":
                found[f"chance_{axis}_{level}"] = (chance, count)
    return found


def same_place(places: Places, keys: Places) -> Tensor:
    """Which keys are taken exactly where each of the places is, bool [Q, K]."""
    pairs = ((places.clip, keys.clip), (places.time, keys.time), (places.y, keys.y), (places.x, keys.x))
    return torch.stack([a[:, None] == b[None] for a, b in pairs]).all(0)


def _rank_all(
    queries: Tensor, target: Tensor, positives: Places, keys: Places, excluded: Tensor
) -> tuple[float, float]:
    own = (queries * positives.of(target)).sum(1)
    scores = (queries @ keys.of(target).T).masked_fill(excluded, float("-inf"))
    return float(wins(own, scores).sum()), float((1 / (1 + (~excluded).sum(1))).sum())


def static_prediction(motion_of: MotionModel, heads: SelfSupervision, clip: Tensor, level: int) -> Tensor:
    """What the level predicts at frame t if the whole clip were frame t: [B, T-1, D, h, w], normalised; one forward
    pass for each frame with a valid query, the other times stay zero."""
    num_frames = clip.shape[1]
    prediction: Tensor | None = None
    for index in query_times(level, num_frames - 1, heads.objective.contrast.delta):
        frame = index + 1 if heads.motion_config.pairing == "causal" else index
        still = clip[:, frame : frame + 1].expand(-1, num_frames, -1, -1, -1)
        one = heads.predict(motion_of(still)[level - 1], level)
        if prediction is None:
            prediction = torch.zeros_like(one)
        prediction[:, index] = one[:, index]
    assert prediction is not None  # query_times raises when there is no time
    return prediction
