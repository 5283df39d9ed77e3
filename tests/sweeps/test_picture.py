"""The picture of what level 1 learned, from weights of a run that has learned nothing, on real encoded videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import benchmarks
from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    ModelConfig,
    PretrainRun,
    SamplingConfig,
    TransformConfig,
    to_dict,
)
from hcml.model import build_model
from hcml.objectives.self_supervision import SelfSupervision
from hcml.training.transfer import save_weights
from sweeps.picture import ROWS, draw, learned, main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of a run whose head sees no motion, data root)."""
    folder, data = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("data")
    config = PretrainRun(
        model=ModelConfig(backbone=BackboneConfig("resnet18"), levels=1, num_classes=16, num_frames=4, input_size=48),
        benchmark=BenchmarkConfig(train_per_class=1, test_per_class=1),
        sampling=SamplingConfig(num_frames=4, frame_stride=2),
        transform=TransformConfig(crop_size=48),
    )
    benchmarks.prepare(config.benchmark, data)
    model = build_model(config.model)
    heads = SelfSupervision(config.model, config.objective, model.backbone.map_sizes(48)[:1])
    with torch.no_grad():
        for parameter in heads.displacement.parameters():
            parameter.zero_()
    save_weights(folder, model, to_dict(config), 0, heads)
    return folder, data


def test_without_learned_motion_the_rebuilt_frame_is_the_earlier_one(run: tuple[Path, Path]) -> None:
    ids, pictures = learned(*run, ["test-left-00000", "test-right-00000"])
    assert ids == ["test-left-00000", "test-right-00000"]
    for earlier, later, true, found, rebuilt in pictures:
        assert {p.shape for p in (earlier, later, true, found, rebuilt)} == {(48, 48, 3)}
        np.testing.assert_array_equal(rebuilt, earlier)
        assert not found.any() and true.max() == 255 and (earlier != later).any()
    left, right = (p[2].reshape(-1, 3).astype(int) for p in pictures)
    fast = [field[field.max(axis=1) > 200].mean(axis=0) for field in (left, right)]
    assert fast[0][0] < fast[0][1:].max() and fast[1].argmax() == 0  # red is to the right


def test_every_other_class_is_drawn_when_none_is_named(run: tuple[Path, Path]) -> None:
    ids, pictures = learned(*run, [])
    assert len(ids) == 8 and ids[0] == "test-right-00000"
    assert draw(ids, pictures).height > len(ROWS) * 96


@pytest.mark.parametrize(
    ("videos", "folder", "message"),
    [("test-left-99999", None, "no such test video: test-left-99999"), ("", "nowhere", "nowhere")],
)
def test_what_cannot_be_drawn_is_an_error(
    run: tuple[Path, Path], tmp_path: Path, capsys: Any, videos: str, folder: str | None, message: str
) -> None:
    path = tmp_path / "picture.png"
    source = run[0] if folder is None else tmp_path / folder
    assert main([str(source), str(path), "--data", str(run[1]), "--videos", videos]) == 1
    assert message in capsys.readouterr().err and not path.exists()
