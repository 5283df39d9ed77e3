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

from hcml.config import BackboneConfig, ComputeConfig, ConfigError, Runtime, SamplingConfig, TransformConfig, to_dict
from hcml.data.dataset import ViewDataset
from hcml.data.manifest import Data
from hcml.model import build_model
from hcml.training.arithmetic import place_clip
from hcml.training.checkpoint import CheckpointError
from hcml.training.evaluate import Prediction, chances, metrics_of, run_test
from hcml.training.scores import VideoScores, rank_of, view_logits
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


def test_one_view_gives_what_the_network_gives(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    """Bit for bit what a plain loop over the videos in batches gives."""
    config = test_config()
    run_test(config, data, tmp_path / "run", runtime, parent)
    model = build_model(config.model)
    model.load_state_dict(torch.load(parent, weights_only=True)["model"])
    model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
    clips = ViewDataset(data.test, config.sampling, config.transform)
    rows = rows_of(tmp_path / "run")
    for first in range(0, 10, 4):
        views = torch.stack([clips[i]["views"][0] for i in range(first, min(first + 4, 10))])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(place_clip(views, CPU, config.compute)).logits.double()
        for row, expected in zip(rows[first : first + 4], logits.softmax(-1), strict=True):
            assert [row[f"p_{i}"] for i in range(4)] == [f"{value:.6g}" for value in expected.tolist()]


@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_views_count_the_same_in_any_order_and_portion(average: str) -> None:
    logits = torch.randn(30, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 5
    logits[:, 4] = float("-inf")  # a class of another group
    whole = VideoScores(1, average, num_crops=3)
    whole.add(logits)
    mean = logits.softmax(-1).mean(0) if average == "softmax" else logits.mean(0).softmax(-1)
    assert np.abs(whole.probabilities() - mean.numpy()).max() < 1e-12
    for seed in range(5):
        order = torch.randperm(10, generator=torch.Generator().manual_seed(seed)).repeat_interleave(3) * 3
        shuffled = logits[order + torch.arange(3).repeat(10)]
        parts = VideoScores(1, average, num_crops=3)
        for portion in shuffled.split(6):
            parts.add(portion)
        assert np.abs(parts.probabilities() - whole.probabilities()).max() < 1e-9
        assert sorted(parts.clip_ranks) == sorted(whole.clip_ranks) and len(parts.clip_ranks) == 10
    with pytest.raises(ValueError, match="without views"):
        VideoScores(0, average, 1).probabilities()


def test_the_two_averages_are_two_results() -> None:
    """One sure view against two unsure ones: the mean logit follows the sure one, the mean probability does not."""
    logits = torch.tensor([[9.0, 0.0], [0.0, 2.0], [0.0, 2.0]], dtype=torch.float64)
    softmax, mean = VideoScores(1, "softmax", 1), VideoScores(1, "logits", 1)
    softmax.add(logits)
    mean.add(logits)
    assert rank_of(softmax.probabilities(), 1) == 0 and rank_of(mean.probabilities(), 1) == 1
    assert softmax.clip_ranks == [1, 0, 0]


def test_many_views_give_the_same_whatever_the_batch(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    """30 views a video in batches of 60 (two videos), 6 (two clips) and 2 (less than a clip's crops)."""
    compute = ComputeConfig(precision="fp32", threads=1)
    sampling = SamplingConfig(num_frames=5, frame_stride=1)
    found = []
    for batch_size in (60, 6, 2):
        config = test_config(num_clips=10, num_crops=3, batch_size=batch_size, compute=compute, sampling=sampling)
        report = run_test(config, data, tmp_path / str(batch_size), runtime, parent)
        assert report["costs"]["clips"] == 300
        rows = rows_of(tmp_path / str(batch_size))
        found.append(np.array([[float(row[f"p_{i}"]) for i in range(4)] for row in rows]))
    assert found[0].shape == (10, 4)
    assert np.abs(found[0] - found[1]).max() < 1e-5 and np.abs(found[0] - found[2]).max() < 1e-5


def test_clip_accuracy_counts_each_clip(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    made = {}
    for metric in ("video", "clip"):
        config = test_config(num_clips=3, metric=metric)
        made[metric] = run_test(config, data, tmp_path / metric, runtime, parent)["metrics"]
    rows = rows_of(tmp_path / "clip")
    correct = [int(row["clips_correct"]) for row in rows]
    assert made["clip"]["top1"] == pytest.approx(100 * sum(correct) / 30)
    assert "clips_correct" not in rows_of(tmp_path / "video")[0]
    good, bad = np.array([0.9, 0.1]), np.array([0.2, 0.8])
    two = [Prediction("a", 0, "", good, (0, 0, 1)), Prediction("b", 0, "", bad, (1, 1, 0))]
    assert metrics_of(two, 2)["top1"] == 50
    assert metrics_of(two, 4, "clip")["top1"] == 50 and metrics_of(two, 4, "clip")["top1_all"] == 25


def test_missing_and_quarantined_videos_are_listed_and_not_covered(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    test = replace(data.test, missing=["gone-1", "gone-2"], quarantine={"test-03": "wrong frames"})
    report = run_test(test_config(), Data(data.train, test), tmp_path / "run", runtime, parent)
    metrics = report["metrics"]
    assert (metrics["videos"], metrics["readable"]) == (12, 9)
    assert metrics["coverage"] == 75
    assert metrics["top1_all"] == pytest.approx(metrics["top1"] * 9 / 12)
    assert "wrong frames" in report["unreadable_ids"]["test"]["test-03"]


def test_larger_crops_and_more_frames_than_in_training(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    config = test_config(transform=TransformConfig(crop_size=48), sampling=SamplingConfig(num_frames=7, frame_stride=1))
    report = run_test(config, data, tmp_path / "large", runtime, parent)
    small = run_test(test_config(), data, tmp_path / "small", runtime, parent)
    assert report["metrics"]["readable"] == 10
    # 7 frames of 48 px in place of 5 of 32
    assert report["costs"]["gmacs"] > 2.5 * small["costs"]["gmacs"]


def test_a_backbone_of_one_size_refuses_another(
    test_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    model = {"levels": 0}
    config = test_config(model, transform=TransformConfig(crop_size=48))
    config.model.backbone = BackboneConfig(name="test_coatnet")
    config.model.input_size = 32
    weights = save_weights(tmp_path, build_model(config.model), to_dict(config) | {"phase": "finetune"}, 1)
    with pytest.raises(ConfigError, match=r"crop_size=48: this backbone .* set test.transform.crop_size=32"):
        run_test(config, data, tmp_path / "run", runtime, weights)


def test_useless_weights_are_an_error(test_config: Make) -> None:
    config = test_config()
    model = build_model(config.model).eval()
    model.backbone.model.fc.bias.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="logits are not finite"):
        view_logits(model, torch.rand(1, 1, 5, 3, 32, 32), torch.ones(1, 4, dtype=torch.bool), config, CPU)


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
