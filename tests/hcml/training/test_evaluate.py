from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hcml.config import ComputeConfig, Runtime, SamplingConfig
from hcml.data.manifest import Data
from hcml.model import build_model
from hcml.training.checkpoint import CheckpointError
from hcml.training.evaluate import Prediction, chances, metrics_of, run_test, view_probabilities
from hcml.training.transfer import save_weights

if TYPE_CHECKING:  # pytest takes a class named Test... for a test
    from hcml.config import TestRun

    Make = Callable[..., TestRun]

CPU = torch.device("cpu")


@pytest.fixture
def parent(test_config: Make, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    model = test_config().model
    return save_weights(
        tmp_path / "parent", build_model(model), {"phase": "finetune", "model": asdict(model), "benchmark": {}}, 6
    )


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_ranks_and_ties() -> None:
    probabilities = np.array([0.2, 0.4, 0.2, 0.2])
    ranks = [Prediction("v", label, "", probabilities).rank for label in range(4)]
    assert ranks == [1, 0, 2, 3]
    assert Prediction("v", 0, "", probabilities).prediction == 1


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 5))
def test_top1_agrees_with_the_prediction(scores: list[int], label: int) -> None:
    prediction = Prediction("v", label, "", np.array(scores) / 3)
    assert (prediction.rank == 0) == (prediction.prediction == label)
    assert 0 <= prediction.rank < 6


def test_unreadable_videos_count_as_wrong_in_the_second_figure() -> None:
    good = np.array([0.7, 0.1, 0.05, 0.05, 0.05, 0.05])
    predictions = [Prediction("a", 0, "", good), Prediction("b", 1, "", good), Prediction("c", 5, "", good)]
    metrics = metrics_of(predictions, 4)
    assert metrics["top1"] == pytest.approx(100 / 3) and metrics["top1_all"] == 25.0
    assert metrics["top5"] == pytest.approx(200 / 3) and metrics["top5_all"] == 50.0
    assert (metrics["videos"], metrics["readable"]) == (4, 3)
    assert metrics_of([], 2) == {"videos": 2.0, "readable": 0.0, "top1_all": 0.0, "top5_all": 0.0}


def test_a_whole_test_is_deterministic_and_complete(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    config = test_config(num_clips=2, num_crops=3)
    report = run_test(config, data, tmp_path / "one", runtime, parent)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    runtime.workers = 1
    config.batch_size = 3
    run_test(config, data, tmp_path / "two", runtime, parent)
    rows = rows_of(tmp_path / "one")
    assert [row["video_id"] for row in rows] == sorted(entry.video_id for entry in data.test.entries)
    assert [row["prediction"] for row in rows] == [row["prediction"] for row in rows_of(tmp_path / "two")]
    run_test(replace(config, batch_size=4), data, tmp_path / "three", runtime, parent)
    contents = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("one", "three")]
    assert contents[0] == contents[1]
    correct = [int(row["correct"]) for row in rows]
    assert report["metrics"]["top1"] == pytest.approx(100 * sum(correct) / 10)
    for row in rows:
        probabilities = [float(row[f"p_{i}"]) for i in range(4)]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert int(row["prediction"]) == int(np.argmax(probabilities))
        assert int(row["correct"]) == (row["prediction"] == row["label"])
    in_a = [int(row["correct"]) for row in rows if row["group"] == "a"]
    assert report["groups"]["a"]["top1"] == pytest.approx(100 * np.mean(in_a))
    assert report["groups"]["a"]["videos"] == len(in_a) == 6
    assert report["chance"] == 25.0 and report["group_chances"] == {"a": 25.0, "b": 25.0}
    assert report["costs"]["views"] == 6 and report["costs"]["clips"] == 60


def test_within_group_never_leaves_the_group(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    report = run_test(test_config(within_group=True), data, tmp_path / "run", runtime, parent)
    for row in rows_of(tmp_path / "run"):
        members = data.test.groups[row["group"]]
        assert int(row["prediction"]) in members
        assert all(float(row[f"p_{i}"]) == 0 for i in range(4) if i not in members)
    assert report["chance"] == 50.0 and report["group_chances"] == {"a": 50.0, "b": 50.0}


def test_chance_is_a_mean_over_videos(data: Data) -> None:
    uneven = replace(data.test, groups={"a": [0, 1], "b": [2, 3, 1]})
    chance, groups = chances(uneven, within_group=True)
    assert groups == {"a": 50.0, "b": pytest.approx(100 / 3)}
    assert chance == pytest.approx((6 * 50 + 4 * 100 / 3) / 10)


def test_views_are_averaged_after_the_softmax(test_config: Make, parent: Path) -> None:
    config = test_config(batch_size=2, compute=ComputeConfig(precision="fp32", threads=1))
    model = build_model(config.model).eval()
    views = torch.rand(3, 4, 5, 3, 32, 32)
    allowed = torch.ones(3, 4, dtype=torch.bool)
    found = view_probabilities(model, views, allowed, config, CPU)
    with torch.no_grad():
        expected = torch.stack([model(views[:, v]).logits.double().softmax(1) for v in range(4)]).mean(0)
    assert torch.allclose(found, expected, atol=1e-6)


def test_useless_weights_are_an_error(test_config: Make) -> None:
    config = test_config()
    model = build_model(config.model).eval()
    model.backbone.model.fc.bias.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="logits are not finite"):
        view_probabilities(model, torch.rand(1, 1, 5, 3, 32, 32), torch.ones(1, 4, dtype=torch.bool), config, CPU)


def test_an_unreadable_video_is_listed_and_never_replaced(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    bad = [replace(data.test.entries[0], path="gone.mp4"), *data.test.entries[1:]]
    report = run_test(test_config(), Data(data.train, replace(data.test, entries=bad)), tmp_path / "r", runtime, parent)
    assert report["unreadable"] == {"train": 0, "test": 1}
    assert list(report["unreadable_ids"]["test"]) == ["test-00"]
    assert (report["metrics"]["videos"], report["metrics"]["readable"]) == (10, 9)
    assert report["groups"]["a"]["readable"] == 5
    assert len(rows_of(tmp_path / "r")) == 9
    listed = (tmp_path / "r" / "unreadable.csv").read_text().splitlines()
    assert listed[0] == "video_id,error" and listed[1].startswith("test-00,") and "gone.mp4" in listed[1]
    nothing = replace(data.test, entries=[replace(e, path=f"gone/{e.path}") for e in data.test.entries])
    with pytest.raises(RuntimeError, match="no test video can be read, of 10"):
        run_test(test_config(), Data(data.train, nothing), tmp_path / "none", runtime, parent)


def test_weights_that_do_not_fit_are_refused(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    with pytest.raises(CheckpointError, match="levels: checkpoint has 2, this run has 3"):
        run_test(test_config(model={"levels": 3}), data, tmp_path / "run", runtime, parent)


def test_more_frames_than_a_short_video_has_follow_the_policy(
    test_config: Make,
    data: Data,
    tmp_path: Path,
    runtime: Runtime,
    parent: Path,
) -> None:
    config = test_config(sampling=SamplingConfig(num_frames=5, frame_stride=4, short_video="error"))
    with pytest.raises(ValueError, match="shorter than the 17 frames"):
        run_test(config, data, tmp_path / "run", runtime, parent)
