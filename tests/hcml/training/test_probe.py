from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hcml.config import ConfigError, ProbeRun, Runtime
from hcml.data.manifest import Data
from hcml.training import probe as module
from hcml.training.features import Frozen, VideoFeatures
from hcml.training.probe import choose_l2, fit_probe, held_out_rows, run_probe

Make = Callable[..., ProbeRun]
CPU = torch.device("cpu")


def everything(labels: torch.Tensor, classes: int = 4) -> torch.Tensor:
    return torch.ones(len(labels), classes, dtype=torch.bool)


def separable(count: int, noise: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """[count, 6] and labels of four classes: each class has a direction of its own."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    rows = torch.eye(4, 6, dtype=torch.float64)[labels]
    return rows + noise * torch.randn(count, 6, generator=generator, dtype=torch.float64), labels


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, data: Data) -> Callable[..., None]:
    """given(training rows, test rows): what the frozen network makes of the first so many videos."""

    def fix(train: torch.Tensor, test: torch.Tensor) -> None:
        costs = {"clips": 26, "clips_per_second": 1.0, "num_parameters": 1, "gmacs": 0.0, "views": 1, "feature_size": 6}
        report = {"unreadable": {}, "unreadable_ids": {}, "weights": None, "costs": costs}
        features = [
            VideoFeatures(rows, [rows.shape[1]], manifest.entries[: len(rows)], {})
            for rows, manifest in ((train, data.train), (test, data.test))
        ]
        frozen = Frozen(features[0], features[1], CPU, report)
        monkeypatch.setattr(module, "frozen_features", lambda *_: frozen)

    return fix


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("more", [0, 60])
def test_the_minimum_is_found(more: int) -> None:
    """At it, the gradient written out by hand is zero: the mean of (p - y) x plus l2 W, and of (p - y) for the bias.
    Also with more features than videos."""
    rows, labels = separable(40, noise=0.8)
    noise = torch.randn(40, more, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = torch.cat([rows, noise], 1)
    probe = fit_probe(rows, labels, everything(labels), 0.01, 1000)
    x = ((rows - rows.mean(0)) / rows.std(0, correction=0)).numpy()
    logits = x @ probe.weight[:, :-1].numpy().T + probe.weight[:, -1].numpy()
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    error = (p - np.eye(4)[labels.numpy()]) / len(x)
    assert np.abs(error.T @ x + 0.01 * probe.weight[:, :-1].numpy()).max() < 1e-5
    assert np.abs(error.sum(0)).max() < 1e-5
    assert probe.gradient < 1e-5 and probe.iterations > 1
    assert torch.allclose(torch.from_numpy(logits), probe.logits(rows))


def test_features_are_weighed_alike_whatever_their_scale() -> None:
    rows, labels = separable(40, noise=0.8)
    scaled = rows * torch.tensor([1e-3, 1e3, 1, 50, 0.1, 7], dtype=torch.float64) + 5
    first, second = (fit_probe(r, labels, everything(labels), 0.1, 1000).logits(r) for r in (rows, scaled))
    assert torch.allclose(first, second, atol=1e-4)


def test_a_constant_feature_has_no_say() -> None:
    rows, labels = separable(40)
    constant = torch.full((40, 1), 1 / 3, dtype=torch.float64)
    probe = fit_probe(torch.cat([rows, constant], 1), labels, everything(labels), 0.1, 1000)
    moved = torch.cat([rows, constant + 1e6], 1)
    assert torch.equal(probe.logits(moved), probe.logits(torch.cat([rows, constant], 1)))


def test_zero_features_give_chance(
    given: Callable, probe_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    """Trained on nothing it names one class of the group every time: chance exactly where classes are equally many."""
    even = Data(data.train, replace(data.test, entries=data.test.entries[:8]))
    given(torch.zeros(16, 6, dtype=torch.float64), torch.zeros(8, 6, dtype=torch.float64))
    for within, chance in ((False, 25.0), (True, 50.0)):
        report = run_probe(probe_config(within_group=within), even, tmp_path / str(within), runtime)
        assert report["metrics"]["top1"] == report["chance"] == chance


def test_separable_features_give_everything(
    given: Callable, probe_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    given(separable(16)[0], separable(10, seed=1)[0])
    report = run_probe(probe_config(), data, tmp_path, runtime)
    assert report["metrics"]["top1"] == 100.0 and report["train"]["top1"] == 100.0
    assert report["costs"]["trained_parameters"] == 4 * 7
    assert report["alarms"] == []


def test_classes_of_other_groups_are_masked_in_training_and_testing(
    given: Callable, probe_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    """Features that tell left from right, but not a from b: half right over all classes, all right within groups."""
    side = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    given(side[torch.arange(16) % 2], side[torch.arange(10) % 2])
    free = run_probe(probe_config(), data, tmp_path / "free", runtime)
    held = run_probe(probe_config(within_group=True), data, tmp_path / "held", runtime)
    assert free["metrics"]["top1"] < 70 and free["train"]["loss"] > np.log(2)
    assert held["metrics"]["top1"] == 100.0 and held["train"]["loss"] < 0.5
    assert held["groups"]["a"]["top1"] == 100.0 and held["group_chances"] == {"a": 50.0, "b": 50.0}
    for row in rows_of(tmp_path / "held"):
        others = [i for i in range(4) if i not in data.test.groups[row["group"]]]
        assert all(float(row[f"p_{i}"]) == 0 for i in others)


def test_the_held_out_fifth_is_the_last_of_each_class() -> None:
    labels = torch.tensor([0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2])
    chosen = held_out_rows(labels)
    assert chosen.nonzero().flatten().tolist() == [4, 10, 11]  # two of ten, one of two, none of one
    assert not held_out_rows(torch.arange(5)).any()


def test_l2_is_chosen_on_held_out_training_videos(probe_config: Make) -> None:
    """Many features of noise: almost no regularisation fits the noise, a great deal nothing at all."""
    generator = torch.Generator().manual_seed(0)
    rows, labels = separable(80, noise=0.5)
    rows = torch.cat([rows, torch.randn(80, 60, generator=generator, dtype=torch.float64)], 1)
    config = probe_config(l2=[1e-6, 0.1, 1e3])
    chosen, losses = choose_l2(rows, labels, everything(labels), config)
    assert chosen == 0.1 and min(losses, key=lambda l2: losses[l2]) == 0.1 and len(losses) == 3
    with pytest.raises(ConfigError, match="no class has two readable ones"):
        choose_l2(rows[:4], labels[:4], everything(labels[:4]), config)


def test_a_probe_that_was_stopped_early_says_so(
    given: Callable, probe_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    given(separable(16, noise=0.5)[0], separable(10)[0])
    report = run_probe(probe_config(l2=[1e-6], max_iterations=2), data, tmp_path, runtime)
    (alarm,) = report["alarms"]
    assert "has not converged" in alarm["message"] and alarm["first_step"] == 2


def test_test_labels_decide_nothing(
    given: Callable, probe_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    given(separable(16, noise=0.5)[0], separable(10)[0])
    config = probe_config(l2=[0.001, 0.1])
    first = run_probe(config, data, tmp_path / "a", runtime)
    given(separable(16, noise=0.5)[0], -separable(10)[0])
    second = run_probe(config, data, tmp_path / "b", runtime)
    assert first["metrics"]["l2"] == second["metrics"]["l2"]
    assert first["metrics"]["top1"] != second["metrics"]["top1"]
    saved = [torch.load(tmp_path / name / "linear.pt", weights_only=True)["weight"] for name in "ab"]
    assert torch.equal(*saved)


def test_a_whole_probe_is_deterministic_and_complete(
    probe_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    train = replace(data.train, entries=[replace(data.train.entries[0], path="gone.mp4"), *data.train.entries[1:]])
    test = replace(
        data.test,
        entries=[replace(data.test.entries[0], path="gone.mp4"), *data.test.entries[1:]],
        missing=["never-there"],
    )
    config = probe_config(l2=[0.01, 1.0])
    report = run_probe(config, Data(train, test), tmp_path / "one", runtime)
    run_probe(config, Data(train, test), tmp_path / "two", runtime)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    files = ("predictions.csv", "unreadable.csv")
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    rows = rows_of(tmp_path / "one")
    assert [row["video_id"] for row in rows] == sorted(entry.video_id for entry in data.test.entries[1:])
    assert report["metrics"]["top1"] == pytest.approx(100 * sum(int(row["correct"]) for row in rows) / 9)
    assert (report["metrics"]["videos"], report["metrics"]["readable"]) == (11, 9)
    assert report["unreadable"] == {"train": 1, "test": 1}
    listed = (tmp_path / "one" / "unreadable.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in listed] == [
        ["subset", "video_id"],
        ["train", "train-00"],
        ["test", "test-00"],
    ]
    assert report["costs"]["trained_parameters"] == 4 * (report["costs"]["feature_size"] + 1)
    assert report["metrics"]["held_out_loss_1"] > 0
