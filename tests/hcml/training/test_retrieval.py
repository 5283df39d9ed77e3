from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hcml.config import ComputeConfig, FeatureConfig, RetrievalRun, Runtime
from hcml.data.manifest import Data, Manifest
from hcml.training import retrieval
from hcml.training.retrieval import KS, Answer, recall_chance, recalls, run_retrieval, search, unit_rows

Make = Callable[..., RetrievalRun]


def brute_force(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """[Q, G]: positions of the gallery by falling cosine similarity, one pair at a time."""
    found = []
    for q in queries:
        similarity = [float(q @ g / (np.linalg.norm(q) * np.linalg.norm(g))) for g in gallery]
        found.append(sorted(range(len(gallery)), key=lambda i: (-similarity[i], i)))
    return np.array(found)


@pytest.mark.parametrize("chunk", [2**24, 100])
def test_neighbours_are_those_of_brute_force(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "CHUNK", chunk)
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(13, 7)), rng.normal(size=(40, 7))
    query_labels, labels = rng.integers(0, 5, 13), rng.integers(0, 5, 40)
    order = brute_force(queries, gallery)
    answers = search(
        unit_rows(torch.from_numpy(queries), [7]),
        torch.from_numpy(query_labels),
        unit_rows(torch.from_numpy(gallery), [7]),
        torch.from_numpy(labels),
    )
    assert np.array_equal(np.stack([answer.nearest for answer in answers]), order[:, :20])
    metrics = recalls(answers, 13)
    for k in KS:
        hits = [query_labels[i] in labels[order[i, :k]] for i in range(13)]
        assert metrics[f"r{k}"] == pytest.approx(100 * np.mean(hits))
    for answer, label in zip(answers, query_labels, strict=True):
        assert (answer.searched, answer.same) == (40, int((labels == label).sum()))


def test_equal_similarities_keep_the_order_of_the_gallery() -> None:
    """Copies of one vector, and one that differs by rounding alone."""
    one = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    gallery = torch.cat([torch.tensor([[1.0, 0.0]], dtype=torch.float64), one, one * (1 + 1e-15), one])
    (answer,) = search(unit_rows(one, [2]), torch.tensor([2]), unit_rows(gallery, [2]), torch.tensor([0, 1, 2, 2]))
    assert answer.nearest.tolist() == [1, 2, 3, 0] and answer.hit == 1
    nothing = torch.zeros(1, 2, dtype=torch.float64)
    (answer,) = search(unit_rows(nothing, [2]), torch.tensor([0]), unit_rows(gallery, [2]), torch.tensor([1, 0, 0, 0]))
    assert answer.nearest.tolist() == [0, 1, 2, 3] and answer.similarity.tolist() == [0, 0, 0, 0]


def test_no_part_decides_by_its_scale() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(6, 5, generator=rng, dtype=torch.float64)
    scaled = rows * torch.tensor([1, 1, 1000, 1000, 1000], dtype=torch.float64)
    unit = unit_rows(rows, [2, 3])
    assert torch.allclose(unit, unit_rows(scaled, [2, 3]))
    cosine = torch.nn.functional.cosine_similarity
    expected = (cosine(rows[0, :2], rows[1, :2], dim=0) + cosine(rows[0, 2:], rows[1, 2:], dim=0)) / 2
    assert torch.allclose(unit[0] @ unit[1] / 2, expected)


@pytest.mark.parametrize(
    ("searched", "same", "k"), [(10, 3, 1), (10, 3, 5), (10, 3, 8), (10, 0, 5), (4, 4, 1), (3, 1, 20)]
)
def test_the_chance_of_a_hit_is_hypergeometric(searched: int, same: int, k: int) -> None:
    drawn = min(k, searched)
    expected = 1 - math.comb(searched - same, drawn) / math.comb(searched, drawn)
    assert recall_chance(searched, same, k) == pytest.approx(expected)


def test_random_neighbours_hit_as_often_as_chance_says() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [6, 12, 42])
    answers = []
    for query in range(3000):
        order = rng.permutation(60)[:20]
        hits = np.flatnonzero(labels[order] == query % 3)
        hit = int(hits[0]) if len(hits) else max(KS)
        answers.append(Answer(order, np.zeros(20), hit, 60, int((labels == query % 3).sum())))
    metrics = recalls(answers, 3000)
    for k in KS:
        assert metrics[f"r{k}"] == pytest.approx(metrics[f"chance_r{k}"], abs=4)
    assert metrics["chance_r1"] == pytest.approx(100 * np.mean([0.1, 0.2, 0.7]))


def test_unreadable_queries_count_as_misses_in_the_second_figure() -> None:
    answers = [Answer(np.arange(1), np.zeros(1), hit, 10, 2) for hit in (0, 3, 20)]
    metrics = recalls(answers, 4)
    assert metrics["r1"] == pytest.approx(100 / 3) and metrics["r1_all"] == 25.0
    assert metrics["r5"] == pytest.approx(200 / 3) and metrics["r5_all"] == 50.0
    assert (metrics["videos"], metrics["readable"]) == (4, 3)
    assert recalls([], 2)["r1_all"] == 0.0 and "r1" not in recalls([], 2)


def neighbours(folder: Path) -> list[dict[str, str]]:
    with (folder / "neighbours.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_video_finds_itself_first(retrieval_config: Make, data: Data, tmp_path: Path, runtime: Runtime) -> None:
    copies = Manifest(**{**vars(data.train), "subset": "test"})
    exact = ComputeConfig(precision="fp32", threads=1)
    for center in ("none", "train", "each"):
        config = retrieval_config(center=center, compute=exact)
        report = run_retrieval(config, Data(data.train, copies), tmp_path / center, runtime)
        assert report["metrics"]["r1"] == 100.0
        for row in neighbours(tmp_path / center):
            assert row["neighbour_1"] == row["video_id"] and float(row["similarity_1"]) == pytest.approx(1, abs=1e-6)
            assert row["first_hit"] == "1"


def test_a_whole_retrieval_is_deterministic_and_complete(
    retrieval_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    train = replace(data.train, entries=[replace(data.train.entries[0], path="gone.mp4"), *data.train.entries[1:]])
    test = replace(data.test, entries=[replace(data.test.entries[0], path="gone.mp4"), *data.test.entries[1:]])
    config = retrieval_config(features=FeatureConfig("motion"))
    report = run_retrieval(config, Data(train, test), tmp_path / "one", runtime)
    run_retrieval(config, Data(train, test), tmp_path / "two", runtime)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (tmp_path / "one/neighbours.csv").read_bytes() == (tmp_path / "two/neighbours.csv").read_bytes()
    rows = neighbours(tmp_path / "one")
    assert [row["video_id"] for row in rows] == sorted(entry.video_id for entry in test.entries[1:])
    labels = {entry.video_id: entry.label for entry in train.entries}
    for row in rows:
        names = [row[f"neighbour_{rank}"] for rank in range(1, 16)]
        assert "train-00" not in names and len(set(names)) == 15 and row["neighbour_16"] == ""
        first = next(rank for rank, name in enumerate(names, 1) if labels[name] == int(row["label"]))
        assert int(row["first_hit"]) == first
        similarities = [float(row[f"similarity_{rank}"]) for rank in range(1, 16)]
        assert similarities == sorted(similarities, reverse=True)
    assert report["metrics"]["r1"] == pytest.approx(100 * np.mean([row["first_hit"] == "1" for row in rows]))
    assert report["metrics"]["r20"] == report["metrics"]["chance_r20"] == 100.0
    assert report["unreadable"] == {"train": 1, "test": 1}
    assert report["costs"]["trained_parameters"] == 0


def test_within_group_only_the_group_is_searched(
    retrieval_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    report = run_retrieval(retrieval_config(within_group=True), data, tmp_path, runtime)
    groups = {entry.video_id: entry.group for entry in data.train.entries}
    for row in neighbours(tmp_path):
        names = [row[f"neighbour_{rank}"] for rank in range(1, 21) if row[f"neighbour_{rank}"]]
        assert len(names) == 8 and {groups[name] for name in names} == {row["group"]}
    assert report["metrics"]["chance_r1"] == report["groups"]["a"]["chance_r1"] == 50.0
    assert report["groups"]["a"]["videos"] == 6 and report["chance"] == 50.0
