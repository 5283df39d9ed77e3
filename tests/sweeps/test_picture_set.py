"""The set of pictures of a pretraining run, from weights that have learned nothing, on real encoded videos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import benchmarks
from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    ContrastConfig,
    ModelConfig,
    ObjectiveConfig,
    PretrainRun,
    ReconstructionConfig,
    SamplingConfig,
    TransformConfig,
    to_dict,
)
from hcml.model import build_model
from hcml.objectives.self_supervision import SelfSupervision
from hcml.training.transfer import save_weights
from sweeps.picture import main
from sweeps.picture_set import colour_wheel, flow_colours, heat, wheel_picture, write_picture_set

CONFIG = PretrainRun(
    model=ModelConfig(backbone=BackboneConfig("resnet18"), levels=2, num_classes=16, num_frames=4, input_size=48),
    benchmark=BenchmarkConfig(train_per_class=1, test_per_class=1),
    sampling=SamplingConfig(num_frames=4, frame_stride=2),
    transform=TransformConfig(crop_size=48),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    benchmarks.prepare(CONFIG.benchmark, folder)
    return folder


def save(folder: Path, config: PretrainRun) -> Path:
    folder.mkdir(parents=True)
    model = build_model(config.model)
    sizes = model.backbone.map_sizes(48)[: config.model.levels]
    save_weights(folder, model, to_dict(config), 0, SelfSupervision(config.model, config.objective, sizes))
    return folder


def hue(flow: tuple[float, float]) -> list[int]:
    """Colour of a motion forward by (right, down), which is a backward displacement of its negative."""
    return flow_colours(-np.array(flow, dtype=float).reshape(2, 1, 1), 2.0)[0, 0].tolist()


def test_directions_have_the_usual_colours() -> None:
    assert hue((2, 0)) == [255, 0, 0] and hue((0, 0)) == [255, 255, 255] and hue((9, 0)) == hue((2, 0))
    down, left, up = hue((0, 2)), hue((-2, 0)), hue((0, -2))
    assert down[0] > 200 and down[1] > 200 and down[2] < 60, "yellow"
    assert left[0] < 60 and min(left[1:]) > 150, "cyan"
    assert up[2] > 200 and up[1] < 60, "blue to violet"
    assert hue((1, 0)) == pytest.approx([255, 127, 127], abs=1), "half as fast, half as strong"
    assert colour_wheel().shape == (55, 3) and len({tuple(row) for row in colour_wheel()}) == 55


def test_the_legend_shows_them_where_they_go() -> None:
    picture = wheel_picture(65).astype(int)
    assert picture[32, 62].tolist() == pytest.approx(hue((2 * 30 / 32.5, 0)), abs=2)
    assert picture[32, 32].tolist() == [255, 255, 255] and picture[0, 0].tolist() == [255, 255, 255]


def test_heat_grows_in_brightness() -> None:
    bright = heat(np.linspace(0, 1, 9)[None], 1.0)[0].astype(int) @ [299, 587, 114]
    assert (np.diff(bright) > 0).all() and (heat(np.array([[2.0]]), 1.0) == heat(np.array([[1.0]]), 1.0)).all()
    assert heat(np.zeros((1, 1)), 0.0)[0, 0].tolist() == [0x44, 0x01, 0x54]


def test_a_set_names_its_files_and_repeats(data: Path, tmp_path: Path) -> None:
    run = save(tmp_path / "runs" / "pretrain" / "r", CONFIG)
    path = write_picture_set(run, data)
    content = json.loads(path.read_text())
    assert content["levels"] == 2 and [video["group"] for video in content["videos"]] == [
        *("direction", "direction", "change", "change", "order", "order", "relation", "relation")
    ]
    names = [image["name"] for image in content["videos"][0]["images"]]
    assert names == [
        *("earlier frame", "later frame", "true displacement", "learned displacement", "reconstruction", "error"),
        *("motion energy 1", "motion energy 2"),
    ]
    files = {image["file"] for video in content["videos"] for image in video["images"]} | {"wheel.png", "pictures.json"}
    assert {file.name for file in path.parent.iterdir()} == files
    for video in content["videos"]:
        assert video["end_point_error"] >= 0 and video["reconstruction_ratio"] > 0
        for image in video["images"]:
            with Image.open(path.parent / image["file"]) as picture:
                assert 100 <= min(picture.size) and max(picture.size) <= 192
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    write_picture_set(run, data)
    assert before == {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert sum(map(len, before.values())) < 300_000


def test_without_reconstruction_there_is_energy_alone(data: Path, tmp_path: Path) -> None:
    objective = ObjectiveConfig(ReconstructionConfig(weight=0.0), ContrastConfig(weight=1.0))
    run = save(tmp_path / "r", PretrainRun(**{**vars(CONFIG), "objective": objective}))
    video = json.loads(write_picture_set(run, data).read_text())["videos"][0]
    assert [image["name"] for image in video["images"]][2:] == [
        "true displacement",
        "motion energy 1",
        "motion energy 2",
    ]
    assert video["end_point_error"] is None and video["reconstruction_ratio"] is None


def test_all_runs_of_a_folder(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save(tmp_path / "runs" / "pretrain" / "r", CONFIG)
    assert main([str(tmp_path / "runs"), "--all", "--data", str(data)]) == 1
    assert "no finished pretraining" in capsys.readouterr().err
    (run / "record.json").write_text('{"run_id": "abc"}')
    assert main([str(tmp_path / "runs"), "--all", "--data", str(data)]) == 0
    assert json.loads((run / "pictures" / "pictures.json").read_text())["run_id"] == "abc"
