"""Phase retrieval: test videos look for their nearest training videos in the space of frozen features.

R@k is the share of queries with at least one video of their class among their k nearest, by cosine similarity of
features averaged per video (IIC, retrieve_clips.py; CoCLR, eval/main_classifier.py). Nothing is trained. A retrieval
that was interrupted starts again from the beginning.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hcml.config import RetrievalRun, Runtime
from hcml.data.manifest import Data
from hcml.training.evaluate import chances, write_csv
from hcml.training.features import close_costs, frozen_features, write_unreadable
from hcml.training.loop import OnStep

KS = (1, 5, 10, 20)
DECIMALS = 10
"""Similarities that agree to so many decimals are equal: their order must not hang on how a product was summed."""
CHUNK = 2**24
"""Similarities computed at once."""


@dataclass(frozen=True)
class Answer:
    """What one query found: its nearest training videos, nearest first."""

    nearest: np.ndarray
    """int64 [n]: positions in the gallery, n = max(KS) or all that may be found."""
    similarity: np.ndarray
    """float64 [n]"""
    hit: int
    """Number of neighbours in front of the first one of the query's class; max(KS) when there is none."""
    searched: int
    """Gallery videos that could be found, and how many of them have the query's class."""
    same: int


def unit_rows(rows: Tensor, widths: list[int], mean: Tensor | None = None) -> Tensor:
    """float64 [N, F]: each part of a row to length 1, so that no part decides by its scale; a part of zeros stays.

    The product of two such rows, divided by the number of parts, is the mean of the parts' cosine similarities.
    """
    centred = rows if mean is None else rows - mean
    return torch.cat([F.normalize(part, dim=1) for part in centred.split(widths, dim=1)], dim=1)


def search(
    queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor, parts: int = 1
) -> list[Answer]:
    """The nearest neighbours of each query.

    Args:
        queries: [Q, F] and gallery: [G, F] from :func:`unit_rows`; equal similarities keep the gallery's order.
        query_labels: int64 [Q]; gallery_labels: int64 [G].
    """
    count, answers = min(max(KS), len(gallery)), []
    labels = gallery_labels.cpu()
    for rows, own in zip(
        queries.split(max(1, CHUNK // max(1, len(gallery)))),
        query_labels.cpu().split(max(1, CHUNK // max(1, len(gallery)))),
        strict=True,
    ):
        similarity = ((rows @ gallery.T) / parts).round(decimals=DECIMALS)
        values, order = similarity.sort(dim=1, descending=True, stable=True)
        values, order = values[:, :count].cpu(), order[:, :count].cpu()
        matches = labels[order] == own[:, None]
        for nearest, found, match, label in zip(order, values, matches, own, strict=True):
            hit = int(match.nonzero()[0]) if match.any() else max(KS)
            same = int((labels == label).sum())
            answers.append(Answer(nearest.numpy(), found.numpy(), hit, len(labels), same))
    return answers


def recall_chance(searched: int, same: int, k: int) -> float:
    """Probability that k of ``searched`` videos drawn without replacement hold one of the ``same`` of a class:
    1 - C(searched - same, k) / C(searched, k)."""
    missed = 1.0
    for drawn in range(min(k, searched)):
        missed *= max(searched - same - drawn, 0) / (searched - drawn)
    return 1 - missed


def recalls(answers: list[Answer], total: int) -> dict[str, float]:
    """Per cent over the readable queries (``r1`` ..), over all ``total`` (``r1_all``), and of a random order
    (``chance_r1``, the mean of each query's own)."""
    found = {"videos": float(total), "readable": float(len(answers))}
    for k in KS:
        hits = sum(answer.hit < k for answer in answers)
        if answers:
            found[f"r{k}"] = 100 * hits / len(answers)
            random = [recall_chance(answer.searched, answer.same, k) for answer in answers]
            found[f"chance_r{k}"] = 100 * float(np.mean(random))
        found[f"r{k}_all"] = 100 * hits / total
    return found


def run_retrieval(
    config: RetrievalRun,
    data: Data,
    folder: Path,
    runtime: Runtime,
    parent: Path | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Search the training videos (with ``within_group`` those of the query's group) for each test video.

    Writes ``neighbours.csv`` and ``unreadable.csv`` into ``folder``. An unreadable training video cannot be found, an
    unreadable test video asks nothing; both are listed and counted.

    Args and errors as in :func:`hcml.training.features.frozen_features`. Returns JSON-able metrics (:func:`recalls`),
    overall and in ``groups``, as run_test does.
    """
    began = time.perf_counter()
    frozen = frozen_features(config, data, runtime, parent, on_step)
    folder.mkdir(parents=True, exist_ok=True)
    train, test = frozen.train, frozen.test
    own = {"none": (None, None), "train": (train.rows.mean(0),) * 2, "each": (train.rows.mean(0), test.rows.mean(0))}
    train_mean, test_mean = own[config.center]
    gallery = unit_rows(train.rows, train.widths, train_mean).to(frozen.device)
    queries = unit_rows(test.rows, test.widths, test_mean).to(frozen.device)
    train_groups, test_groups = train.groups(data.train), test.groups(data.train)
    if not config.within_group:
        train_groups, test_groups = torch.zeros_like(train_groups), torch.zeros_like(test_groups)
    answers: dict[int, Answer] = {}
    places: dict[int, np.ndarray] = {}
    for group in test_groups.unique():
        (asking,) = (test_groups == group).nonzero(as_tuple=True)
        (searched,) = (train_groups == group).nonzero(as_tuple=True)
        found = search(
            queries[asking], test.labels[asking], gallery[searched], train.labels[searched], len(train.widths)
        )
        for index, answer in zip(asking.tolist(), found, strict=True):
            answers[index] = answer
            places[index] = searched.numpy()[answer.nearest]
    rows = [["video_id", "label", "group", "first_hit"]]
    rows[0] += [f"{name}_{rank}" for name in ("neighbour", "similarity") for rank in range(1, max(KS) + 1)]
    for index in sorted(answers, key=lambda index: test.entries[index].video_id):
        entry, answer = test.entries[index], answers[index]
        names = [train.entries[place].video_id for place in places[index]]
        shown = [f"{value:.6f}" for value in answer.similarity]
        gap = [""] * (max(KS) - len(names))
        hit = str(answer.hit + 1) if answer.hit < max(KS) else ""
        rows.append([entry.video_id, str(entry.label), entry.group, hit, *names, *gap, *shown, *gap])
    write_csv(folder / "neighbours.csv", rows)
    write_unreadable(folder, frozen)
    sizes = {name: sum(entry.group == name for entry in data.test.entries) for name in data.test.group_names}
    members = {name: [a for i, a in answers.items() if test.entries[i].group == name] for name in sizes}
    chance, group_chances = chances(data.test, config.within_group)
    return close_costs(frozen, began, trained_parameters=0) | {
        "metrics": recalls(list(answers.values()), data.test.listed),
        "groups": {name: recalls(members[name], size) for name, size in sizes.items() if size},
        "train": {},
        "chance": chance,
        "group_chances": group_chances,
        "alarms": [],
    }
