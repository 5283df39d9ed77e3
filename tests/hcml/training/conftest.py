"""A benchmark of a few real video files, small enough for tests of whole phases."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import pytest

from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    ComputeConfig,
    FinetuneRun,
    LengthConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimConfig,
    PretrainRun,
    ProbeRun,
    RetrievalRun,
    Runtime,
    SamplingConfig,
    TestRun,
    TransformConfig,
)
from hcml.data.manifest import Data, Manifest, VideoEntry

SIZE, FRAMES, CLIP = 32, 12, 5

FROZEN = ComputeConfig(threads=1, precision="fp32", bn="frozen")
# In each step gradients agree to rounding (a test below). Over twenty, a ReLU or a maximum that decides otherwise for
# a rounding error moves a gradient by a thousandth, which AdamW or a high rate carry on: two runs of one process, with
# one and with two threads, drift apart in the same way.
SGD = OptimConfig(name="sgd", lr=1e-3)


def write_video(path: Path, frames: np.ndarray) -> None:
    """uint8 [T, H, W, 3] -> H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "18", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def moving_texture(rng: np.random.Generator, step: int) -> np.ndarray:
    """A random texture that moves by `step` pixels per frame to the right (no wrap seam inside the view)."""
    wide = rng.integers(0, 256, (SIZE // 4, SIZE // 2, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    starts = [SIZE // 2 - step * (t - FRAMES // 2) for t in range(FRAMES)]
    return np.stack([wide[:, start : start + SIZE] for start in starts])


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two classes (left, right) in two groups (a, b: two classes each), 16 training and 10 test videos."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    classes = ["left_a", "right_a", "left_b", "right_b"]
    groups = {"b": [2, 3], "a": [0, 1]}
    subsets = {}
    for subset, count in (("train", 16), ("test", 10)):
        entries = []
        for i in range(count):
            label = i % 4
            path = f"{subset}/{i:02d}.mp4"
            write_video(root / path, moving_texture(rng, 1 if label % 2 else -1))
            entries.append(VideoEntry(f"{subset}-{i:02d}", path, label, FRAMES, 10.0, "ab"[label // 2]))
        subsets[subset] = Manifest("tiny", "v1", "1", subset, root, classes, groups, entries)
    return Data(**subsets)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(device="cpu", workers=0, log_every=2, save_every=3)


@pytest.fixture
def model_config() -> Callable[..., ModelConfig]:
    def make(**changes: object) -> ModelConfig:
        values: dict = {"levels": 2, "num_classes": 4, "num_frames": CLIP, "input_size": SIZE} | changes
        return ModelConfig(backbone=BackboneConfig(name="test_resnet"), **values)

    return make


def _common() -> dict:
    return {
        "benchmark": BenchmarkConfig(name="tiny"),
        "sampling": SamplingConfig(num_frames=CLIP, frame_stride=1),
        "transform": TransformConfig(crop_size=SIZE),
        "compute": ComputeConfig(threads=1),
    }


@pytest.fixture
def pretrain_config(model_config: Callable[..., ModelConfig]) -> Callable[..., PretrainRun]:
    def make(model: dict | None = None, **changes: object) -> PretrainRun:
        values = _common() | {"length": LengthConfig(steps=6, batch_size=4), "eval_videos": 4} | changes
        return PretrainRun(model=model_config(**(model or {})), **values)

    return make


@pytest.fixture
def finetune_config(model_config: Callable[..., ModelConfig]) -> Callable[..., FinetuneRun]:
    def make(model: dict | None = None, **changes: object) -> FinetuneRun:
        values = _common() | {"length": LengthConfig(steps=6, batch_size=4), "optim": OptimConfig(lr=3e-3)} | changes
        return FinetuneRun(model=model_config(**(model or {})), **values)

    return make


@pytest.fixture
def test_config(model_config: Callable[..., ModelConfig]) -> Callable[..., TestRun]:
    def make(model: dict | None = None, **changes: object) -> TestRun:
        return TestRun(model=model_config(**(model or {})), **(_common() | {"batch_size": 4} | changes))

    return make


@pytest.fixture
def probe_config(model_config: Callable[..., ModelConfig]) -> Callable[..., ProbeRun]:
    def make(model: dict | None = None, **changes: object) -> ProbeRun:
        values = _common() | {"batch_size": 4, "init": "scratch", "l2": [0.01]} | changes
        return ProbeRun(model=model_config(**(model or {})), **values)

    return make


@pytest.fixture
def retrieval_config(model_config: Callable[..., ModelConfig]) -> Callable[..., RetrievalRun]:
    def make(model: dict | None = None, **changes: object) -> RetrievalRun:
        values = _common() | {"batch_size": 4, "init": "scratch"} | changes
        return RetrievalRun(model=model_config(**(model or {})), **values)

    return make


@pytest.fixture
def configs(pretrain_config: Callable[..., PretrainRun], finetune_config: Callable[..., FinetuneRun]) -> Callable:
    def make(kind: str, steps: int = 20, **changes: Any) -> PretrainRun | FinetuneRun:
        values = {"compute": FROZEN, "optim": SGD, "length": LengthConfig(steps=steps, batch_size=8)} | changes
        if kind == "pretrain":
            return pretrain_config(**values)
        if kind == "auxiliary":
            values |= {"auxiliary_weight": 0.3, "objective": ObjectiveConfig()}
        return finetune_config(**values)

    return make
