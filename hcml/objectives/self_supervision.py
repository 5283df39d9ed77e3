"""The self-supervised losses of the active levels, and what is logged beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hcml.config import ModelConfig, ObjectiveConfig
from hcml.motion.cost_volume import fitting_displacement
from hcml.objectives.contrastive import (
    Contrast,
    Drawn,
    Predictor,
    draw_places,
    info_nce,
    pool_target,
    rank_positive,
    unit,
)
from hcml.objectives.features import effective_rank, feature_std, moments, rank_of, std_of
from hcml.objectives.peers import Peers
from hcml.objectives.reconstruction import DisplacementHead, Reconstruction, reconstruct

LOGGED_QUERIES = 256
"""Queries on which the separate top-1 figures are taken during training (all drawn ones when measuring)."""


@dataclass
class Losses:
    """total: weighted sum, a scalar with gradient; terms: each loss, unweighted; stats: detached scalars."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)


class SelfSupervision(nn.Module):
    """Displacement head of level 1 and predictors of the levels above; dropped for fine-tuning.

    Args:
        model: the configuration of the network whose motion features these are.
        objective: weights and options.
        map_sizes: (C, h, w) of the tapped maps.

    Raises:
        ValueError: if the first map is too small to search.
    """

    def __init__(
        self, model: ModelConfig, objective: ObjectiveConfig, map_sizes: Sequence[tuple[int, int, int]]
    ) -> None:
        super().__init__()
        self.motion_config = model.motion
        self.objective = objective
        _, height, width = map_sizes[0]
        bound = fitting_displacement(model.motion.max_displacement, height, width, "the map of level 1")
        self.displacement = DisplacementHead(model.motion.dim, bound)
        self.predictors = nn.ModuleList(Predictor(model.motion.dim) for _ in range(model.levels - 1))

    def active_parameters(self, active_levels: int) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that the losses of levels 1..active_levels reach."""
        if self.objective.reconstruction.weight:
            yield from self.displacement.named_parameters(prefix="displacement")
        if self.objective.contrast.weight:
            for i in range(active_levels - 1):
                yield from self.predictors[i].named_parameters(prefix=f"predictors.{i}")

    def reconstruction(self, clip: Tensor, motion: list[Tensor]) -> Reconstruction:
        """Level 1 on clips [B, T, 3, H, W] in [0, 1]."""
        earlier, later = clip[:, :-1].flatten(0, 1), clip[:, 1:].flatten(0, 1)
        # The static control compares frames with themselves, but is asked to rebuild the real next frame.
        current, reference = (later, earlier) if self.motion_config.pairing == "causal" else (earlier, later)
        displacement, at_bound = self.displacement(motion[0].flatten(0, 1), *clip.shape[-2:])
        return reconstruct(current, reference, displacement, at_bound, self.objective.reconstruction)

    def predict(self, motion: Tensor, level: int) -> Tensor:
        """The prediction of P_(l-1) at t + delta from P_l: [B, T-1, D, h, w], L2-normalised."""
        predicted = self.predictors[level - 2](motion.flatten(0, 1))
        return unit(predicted.view(motion.shape))

    def contrast(self, prediction: Tensor, target: Tensor, drawn: Drawn) -> tuple[Contrast, Tensor]:
        """InfoNCE of a level; also returns the queries [Q, D]. `target`: the pooled P_(l-1), L2-normalised."""
        queries = drawn.queries.of(prediction)
        keys = drawn.keys.of(target)
        result = info_nce(
            queries, drawn.positives.of(target), drawn.positives, keys, drawn.keys, self.objective.contrast
        )
        return result, queries

    def forward(
        self,
        clip: Tensor,
        motion: list[Tensor],
        active_levels: int,
        generator: torch.Generator,
        peers: Peers | None = None,
    ) -> Losses:
        """Losses of levels 1..active_levels.

        With `peers`, the contrast is that of the whole batch, the same on all of them, while the reconstruction is of
        their own clips: its mean over them is that of the batch. Statistics are those of the batch.

        Args:
            clip: [B, T, 3, H, W] in [0, 1].
            motion: P_1..P_k, each [B, T-1, D, h_l, w_l].
            active_levels: k.
            generator: CPU generator, seeded from (seed, step), from which queries and keys are drawn.
            peers: the processes that have the other clips of the batch; None = there are none.
        """
        config = self.objective
        shared = peers if peers is not None and peers.size > 1 else None
        losses = Losses(clip.new_zeros((), dtype=torch.float32))
        if config.reconstruction.weight:
            level1 = self.reconstruction(clip, motion)
            losses.total = losses.total + config.reconstruction.weight * level1.loss
            losses.terms["reconstruction"] = level1.loss
            errors = torch.stack([level1.error, level1.still_error]).detach()
            error, still_error = errors if shared is None else shared.total(errors)
            losses.stats["reconstruction_ratio"] = error / still_error
            losses.stats["at_bound"] = level1.at_bound
        if config.contrast.weight:
            for level in range(2, active_levels + 1):
                self._contrast_level(losses, motion, level, generator, shared)
        with torch.no_grad():
            self._spread(losses, [features.detach() for features in motion[:active_levels]], shared)
        return losses

    def _spread(self, losses: Losses, motion: list[Tensor], peers: Peers | None) -> None:
        vectors = [features.permute(0, 1, 3, 4, 2).flatten(0, 3) for features in motion]
        dim = vectors[0].shape[1]
        if peers is not None:
            found = peers.total(torch.stack([moments(level) for level in vectors]))
        for index, level in enumerate(vectors):
            std = feature_std(level) if peers is None else std_of(found[index], dim)
            rank = effective_rank(level) if peers is None else rank_of(found[index], dim)
            losses.stats[f"std_{index + 1}"], losses.stats[f"rank_{index + 1}"] = std, rank

    def _contrast_level(
        self, losses: Losses, motion: list[Tensor], level: int, generator: torch.Generator, peers: Peers | None
    ) -> None:
        config = self.objective.contrast
        pooled = pool_target(motion[level - 2], *motion[level - 1].shape[-2:])
        prediction = self.predict(motion[level - 1], level)
        if peers is not None:  # queries and keys are drawn from all clips, in their order: as one process would
            pooled, prediction = peers.gather(pooled), peers.gather(prediction)
        drawn = draw_places(pooled, level, config, generator)
        target = unit(pooled)
        result, queries = self.contrast(prediction, target, drawn)
        losses.total = losses.total + config.weight * result.loss
        losses.terms[f"contrast_{level}"] = result.loss
        stats = {
            "log_n": result.log_n,
            "top1_all": result.top1,
            "chance_all": result.chance,
            "negatives": result.negatives,
        }
        with torch.no_grad():
            # Spread over the whole ascending draw: its head would be the first clips only.
            some = slice(None, None, -(-len(queries) // LOGGED_QUERIES))
            for axis in ("time", "space"):
                ranking = rank_positive(
                    queries[some].detach(), target, drawn.positives.at(some), axis, level, config.exclusion_radius
                )
                stats[f"top1_{axis}"] = ranking.hits / ranking.queries
                stats[f"chance_{axis}"] = ranking.chance / ranking.queries
        losses.stats.update({f"{name}_{level}": value for name, value in stats.items()})
