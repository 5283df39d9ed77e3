from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from benchmarks.protocol import FOLDER, Protocol, named, protocol_of, read
from hcml import config as hcml_config
from hcml.config import BenchmarkConfig, ConfigError, ModelConfig, SamplingConfig, TransformConfig

VIEWS = {
    "own": 1,
    "tsm_efficient": 1,
    "tsm_accurate": 6,
    "tsm_dense": 30,
    "slowfast_8x8": 30,
    "i3d_32x2": 30,
    "tsn_25x10": 10,
    "tsn_25x3": 3,
    "ssv2_slow": 3,
    "coclr_ten_crop": 100,
    "vcop_16x112": 10,
}


def test_the_named_protocols_and_their_views() -> None:
    assert {name: protocol.views for name, protocol in named().items()} == VIEWS
    assert all(protocol.selection == "last" for protocol in named().values())
    accurate, dense = named()["tsm_accurate"], named()["tsm_dense"]
    assert (accurate.crop_size, accurate.train_crop, accurate.rule, accurate.num_clips) == (256, 224, "tsm", 2)
    assert (dense.frame_stride, dense.window, dense.short_video) == (8, 64, "loop")
    assert named()["tsn_25x10"].train_frames == 3


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_value_of_a_published_protocol_has_its_source(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    if path.stem == "own":
        assert "All values ours" in path.read_text()
        return
    plain = {"sampling: dense", "sampling: uniform", "metric: video"}  # said in the first line of the file
    # short names that the first lines explain
    source = re.compile(r"\b(ours|protocols|tsm|slowfast|mm0|coclr|iic|open-mmlab|clip_len|not read|the same)\b")
    assert [line for line in lines if line not in plain and not source.search(line.partition("#")[2])] == []


def test_no_two_names_mean_the_same() -> None:
    for directed in (False, True):
        values = [replace(p.settled(directed), name="") for p in named().values()]
        assert len(set(values)) == len(values)


def run(**changes: object) -> hcml_config.TestRun:
    values = {
        "model": ModelConfig(num_frames=8, input_size=224),
        "benchmark": BenchmarkConfig(),
        "sampling": SamplingConfig(mode="uniform", rule="tsm", frame_stride=1),
        "transform": TransformConfig(resize=256, crop_size=256),
        "num_clips": 2,
        "num_crops": 3,
        "average": "logits",
    } | changes
    return hcml_config.TestRun(**values)


def test_a_name_follows_from_the_values() -> None:
    assert protocol_of(run(), "horizontal", directed=False).name == "tsm_accurate"
    assert protocol_of(run(), "none", directed=True).name == "tsm_accurate"
    # the stride of uniform sampling is never read
    stride = SamplingConfig(mode="uniform", rule="tsm", frame_stride=5)
    assert protocol_of(run(sampling=stride), "none", directed=True).name == "tsm_accurate"
    for flip, directed, changes in (
        ("none", False, {}),
        ("mapped", True, {}),
        ("none", True, {"average": "softmax"}),
        ("none", True, {"metric": "clip"}),
        ("none", True, {"coverage": 0.5}),
        ("none", True, {"num_clips": 1}),
        ("none", True, {"model": ModelConfig(num_frames=8, input_size=256)}),
        ("none", True, {"sampling": SamplingConfig(mode="uniform")}),
    ):
        assert protocol_of(run(**changes), flip, directed).name == "custom", (flip, changes)


def test_the_protocol_of_a_run_has_all_its_values() -> None:
    plain = protocol_of(run(), "horizontal", directed=False).to_dict()
    assert set(plain) == {field.name for field in fields(Protocol)}
    assert plain["flip"] == "horizontal" and plain["train_crop"] == 224 and plain["crop_size"] == 256
    assert all(isinstance(value, str | int | float) for value in plain.values())


@pytest.mark.parametrize(
    "text, said",
    [
        ("colour: red", r"new.yaml: unknown keys \['colour'\]"),
        ("- 1", "new.yaml: unknown keys"),
        ("sampling: dense", "new.yaml: .*num_frames"),
        ("sampling: sparse\n", "not one of dense, uniform"),
        ("flip: vertical\n", "flip='vertical' is not one of"),
        ("selection: luckiest\n", "selection='luckiest'"),
        ("resize: 100\n", "protocol new: transform.resize=100 is smaller"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    good = {
        "sampling": "dense",
        "num_frames": "8",
        "resize": "256",
        "crop_size": "224",
        "num_clips": "1",
        "num_crops": "1",
        "flip": "none",
    }
    if text.endswith("\n"):
        key, value = text.strip().split(": ")
        text = "".join(f"{k}: {v}\n" for k, v in (good | {key: value}).items())
    path = tmp_path / "new.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read(path)


def test_a_published_row_may_be_of_the_best_checkpoint_but_no_run() -> None:
    best = replace(named()["own"], selection="best")
    assert best.settled(True).selection == "best"
    with pytest.raises(ConfigError, match="only the last checkpoint is tested"):
        run(selection="best")
