"""Phase probe: a linear classifier on frozen features, trained to the minimum of a convex problem.

No learning rate, no schedule and no random number: on standardised features the mean cross-entropy plus
l2 / 2 |W|^2 has one minimum, found by L-BFGS in float64. So two probes differ by their features alone. (Published
probes use SGD with a learning rate and a weight decay tuned for each data set: CoCLR, eval/main_classifier.py.)
A probe that was interrupted starts again from the beginning.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hcml.config import ConfigError, ProbeRun, Runtime, to_dict
from hcml.data.manifest import Data
from hcml.training.checkpoint import write_file
from hcml.training.evaluate import Prediction, chances, metrics_of, write_predictions
from hcml.training.features import VideoFeatures, close_costs, frozen_features, write_unreadable
from hcml.training.finetune import classification_loss, group_mask
from hcml.training.loop import OnStep

GRADIENT = 1e-6
"""Largest entry of the gradient at which the minimum counts as found."""
HELD_OUT = 5
"""One in so many training videos of a class chooses between values of l2."""


@dataclass(frozen=True)
class LinearProbe:
    """float64: mean and scale [F] of the training features, weight [C, F + 1] with the bias as its last column."""

    mean: Tensor
    scale: Tensor
    weight: Tensor
    iterations: int
    gradient: float
    """Largest entry of the gradient where the search ended, in coordinates in which the curvature is about 1."""

    def logits(self, rows: Tensor) -> Tensor:
        """float64 [N, F] -> [N, C]"""
        return _logits((rows - self.mean) / self.scale, self.weight)


def _logits(rows: Tensor, weight: Tensor) -> Tensor:
    return rows @ weight[:, :-1].T + weight[:, -1]


def fit_probe(rows: Tensor, labels: Tensor, allowed: Tensor, l2: float, max_iterations: int) -> LinearProbe:
    """The linear classifier that minimises mean cross-entropy + l2 / 2 |W|^2 (the bias is free).

    Args:
        rows: float64 [N, F]; a feature that is the same in all videos has no say.
        labels: int64 [N]; allowed: bool [N, C], the classes between which each video's loss decides.
    """
    mean, scale = rows.mean(0), rows.std(0, correction=0)
    # what varies by rounding alone is constant, too: standardised, it would be noise of size 1
    scale = torch.where(scale > 1e-9 * rows.abs().amax(0), scale, torch.inf)
    standard = (rows - mean) / scale
    # The same problem in other coordinates: those of the rows' principal axes (the minimum has no part outside of them,
    # and there may be more features than videos), scaled so that the curvature is about 1 along each. L-BFGS then
    # takes tens of steps instead of hundreds.
    choices = float(allowed.sum(1).double().mean())
    left, size, axes = torch.linalg.svd(standard, full_matrices=False)
    unit = (size.square() / (len(rows) * choices) + l2).rsqrt()
    design = left * (size * unit)
    free = choices**0.5
    found = torch.zeros(allowed.shape[1], len(size) + 1, dtype=torch.float64, device=rows.device)
    found.requires_grad_(True)
    search = torch.optim.LBFGS(
        [found],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        tolerance_grad=GRADIENT,
        tolerance_change=1e-15,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        logits = design @ found[:, :-1].T + free * found[:, -1]
        fitted = classification_loss(logits, labels, allowed, smoothing=0.0)
        value = fitted + l2 / 2 * (found[:, :-1] * unit).square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
        loss()
    assert found.grad is not None
    gradient = float(found.grad.abs().max())
    iterations = int(search.state[found]["n_iter"])
    with torch.no_grad():
        weight = torch.cat([(found[:, :-1] * unit) @ axes, free * found[:, -1:]], dim=1)
    return LinearProbe(mean, scale, weight, iterations, gradient)


def held_out_rows(labels: Tensor) -> Tensor:
    """Bool [N]: the last fifth of each class, in the manifest's order (at least one of two videos).

    The last and not every fifth: official lists put clips that were cut from one recording side by side, and such
    neighbours on both sides would let the smallest l2 win.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        (members,) = (labels == label).nonzero(as_tuple=True)
        count = max(len(members) // HELD_OUT, 1) if len(members) > 1 else 0
        chosen[members[len(members) - count :]] = True
    return chosen


def choose_l2(rows: Tensor, labels: Tensor, allowed: Tensor, config: ProbeRun) -> tuple[float, dict[float, float]]:
    """(the value of ``config.l2`` with the lowest held-out cross-entropy, that of each); the larger one of equals."""
    if len(config.l2) == 1:
        return config.l2[0], {}
    held = held_out_rows(labels.cpu()).to(rows.device)
    if not held.any():
        raise ConfigError(
            f"probe.l2={config.l2} is chosen on held-out training videos, but no class has two readable ones: give one "
            "value, or more videos"
        )
    found: dict[float, float] = {}
    for l2 in sorted(config.l2, reverse=True):
        probe = fit_probe(rows[~held], labels[~held], allowed[~held], l2, config.max_iterations)
        found[l2] = float(classification_loss(probe.logits(rows[held]), labels[held], allowed[held], smoothing=0.0))
    return min(found, key=lambda l2: found[l2]), found


def run_probe(
    config: ProbeRun,
    data: Data,
    folder: Path,
    runtime: Runtime,
    parent: Path | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Fit a linear classifier on the training videos' features and test it on the test videos'.

    Writes ``predictions.csv``, ``unreadable.csv`` and the classifier, ``linear.pt``, into ``folder``. An unreadable
    training video is left out, an unreadable test video counts as in phase test; both are listed and counted.

    Args and errors as in :func:`hcml.training.features.frozen_features`. Returns JSON-able metrics as run_test does,
    with the training top-1 and loss in ``train``, an alarm if the probe has not converged, and the number of its
    parameters in ``costs``.
    """
    began = time.perf_counter()
    frozen = frozen_features(config, data, runtime, parent, on_step)
    folder.mkdir(parents=True, exist_ok=True)
    train, test, device = frozen.train, frozen.test, frozen.device
    mask = group_mask(data.train)

    def allowed_for(features: VideoFeatures) -> Tensor:
        groups = features.groups(data.train)
        return mask[groups if config.within_group else torch.full_like(groups, -1)].to(device)

    rows, labels, allowed = train.rows.to(device), train.labels.to(device), allowed_for(train)
    l2, held_out = choose_l2(rows, labels, allowed, config)
    probe = fit_probe(rows, labels, allowed, l2, config.max_iterations)
    with torch.no_grad():
        logits = probe.logits(rows)
        loss = float(classification_loss(logits, labels, allowed, smoothing=0.0))
        hits = (logits.masked_fill(~allowed, -torch.inf).argmax(1) == labels).double()
        scores = probe.logits(test.rows.to(device)).masked_fill(~allowed_for(test), -torch.inf)
    probabilities = scores.softmax(1).cpu().numpy()
    predictions = [
        Prediction(entry.video_id, entry.label, entry.group, row)
        for entry, row in zip(test.entries, probabilities, strict=True)
    ]
    write_predictions(folder / "predictions.csv", predictions, data.test.classes)
    write_unreadable(folder, frozen)
    classifier = {"mean": probe.mean.cpu(), "scale": probe.scale.cpu(), "weight": probe.weight.cpu()}
    write_file(folder / "linear.pt", classifier | {"classes": data.train.classes, "config": to_dict(config)})
    chance, group_chances = chances(data.test, config.within_group)
    sizes = {name: sum(entry.group == name for entry in data.test.entries) for name in data.test.group_names}
    return close_costs(frozen, began, probe.weight.numel()) | {
        "metrics": metrics_of(predictions, data.test.listed)
        | {"l2": l2, "iterations": float(probe.iterations), "gradient": probe.gradient}
        | {f"held_out_loss_{value:g}": found for value, found in held_out.items()},
        "groups": {n: metrics_of([p for p in predictions if p.group == n], size) for n, size in sizes.items() if size},
        "train": {"loss": loss, "top1": 100 * float(hits.mean())},
        "chance": chance,
        "group_chances": group_chances,
        "alarms": _alarms(probe),
    }


def _alarms(probe: LinearProbe) -> list[dict[str, Any]]:
    if probe.gradient <= 10 * GRADIENT:
        return []
    message = (
        f"the linear probe has not converged (gradient {probe.gradient:.1e}): raise probe.max_iterations or probe.l2"
    )
    step = probe.iterations
    return [{"name": "probe", "first_step": step, "last_step": step, "message": message, "at_end": True}]
