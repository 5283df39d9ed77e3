from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hcml.config import MotionConfig, PretrainRun, Runtime, TransformConfig
from hcml.data.manifest import Data, Manifest, VideoEntry
from hcml.data.transforms import CropGeometry
from hcml.model import build_model
from hcml.objectives.self_supervision import SelfSupervision
from hcml.training.held_out import HeldOut, crop_flow, measure_held_out, spread_entries

CPU = torch.device("cpu")


def manifest(labels: list[int]) -> Manifest:
    entries = [VideoEntry(f"v{i}", f"{i}.mp4", label, 9, 10.0, "ab"[label // 2]) for i, label in enumerate(labels)]
    return Manifest("tiny", "v1", "1", "test", Path("."), list("wxyz"), {"a": [0, 1], "b": [2, 3]}, entries)


def test_videos_are_spread_over_the_classes_of_each_group() -> None:
    chosen = spread_entries(manifest([0, 0, 0, 0, 1, 1, 2, 3, 3, 2]), 3)
    assert [(e.group, e.label) for e in chosen] == [("a", 0), ("a", 1), ("a", 0), ("b", 2), ("b", 3), ("b", 2)]
    assert [e.video_id for e in chosen][:3] == ["v0", "v4", "v1"]
    assert len(spread_entries(manifest([0, 1, 2]), 50)) == 3


def test_a_cropped_field_keeps_its_pixels() -> None:
    flow = np.random.default_rng(0).normal(size=(2, 2, 8, 10)).astype(np.float32)
    valid = np.ones((2, 8, 10), dtype=bool)
    valid[1, 3, 4] = False
    out = crop_flow(flow, valid, CropGeometry(1.0, 1, 2, 6), (8, 10))
    assert out.shape == (2, 2, 6, 6)
    assert torch.equal(out[0], torch.from_numpy(flow[0, :, 1:7, 2:8]))
    assert torch.isnan(out[1, :, 2, 2]).all()
    assert int(torch.isnan(out).sum()) == 2


def test_a_resized_field_counts_in_resized_pixels() -> None:
    flow = np.stack([np.full((8, 8), 2.0), np.full((8, 8), -1.0)])[None].astype(np.float32)
    valid = np.ones((1, 8, 8), dtype=bool)
    valid[0, 0, 0] = False
    out = crop_flow(flow, valid, CropGeometry(2.0, 0, 0, 16), (16, 16))
    assert torch.isnan(out[0, :, 0, 0]).all()
    assert torch.allclose(out[0, :, 8, 8], torch.tensor([4.0, -2.0]))
    assert torch.allclose(out[0, :, -1, -1], torch.tensor([4.0, -2.0]))


def measured(
    config: PretrainRun, data: Data, motion_field: Callable[..., tuple[np.ndarray, np.ndarray] | None] | None
) -> HeldOut:
    torch.manual_seed(0)
    model = build_model(config.model).eval()
    sizes = model.backbone.map_sizes(config.model.input_size)[: config.model.levels]
    heads = SelfSupervision(config.model, config.objective, sizes).eval()

    def motion_of(clip: Tensor) -> list[Tensor]:
        return model(clip, classify=False).motion

    runtime = Runtime(device="cpu", workers=0)
    return measure_held_out(motion_of, heads, data.test, config, runtime, CPU, motion_field)


Make = Callable[..., PretrainRun]


def test_a_group_does_not_depend_on_the_other_groups(pretrain_config: Make, data: Data) -> None:
    config = pretrain_config()
    both = measured(config, data, None)
    only_a = replace(data.test, entries=[entry for entry in data.test.entries if entry.group == "a"])
    alone = measured(config, Data(data.train, only_a), None)
    assert alone.groups["a"] == both.groups["a"] == alone.metrics
    assert set(both.groups) == {"a", "b"} and "end_point_error" not in both.metrics


def test_end_point_errors_need_the_true_field(pretrain_config: Make, data: Data) -> None:
    asked = []

    def field(manifest: Manifest, video_id: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append((video_id, len(indices)))
        flow = np.zeros((len(indices) - 1, 2, 32, 32), dtype=np.float32)
        flow[:, 0], flow[:, 1] = 3.0, 4.0
        return flow, np.ones((len(indices) - 1, 32, 32), dtype=bool)

    config = pretrain_config()
    found = measured(config, data, field)
    assert found.metrics["end_point_error_still"] == pytest.approx(5.0)
    assert "end_point_error" in found.groups["b"]
    assert len(asked) == len(set(asked)) == 8 and {count for _, count in asked} == {5}
    assert "end_point_error" not in measured(config, data, lambda *_: None).metrics
    ahead = pretrain_config(model={"motion": MotionConfig(pairing="lookahead")})
    assert "end_point_error" not in measured(ahead, data, field).metrics


def test_unreadable_videos_are_listed(pretrain_config: Make, data: Data, tmp_path: Path) -> None:
    first = data.test.entries[0]
    broken = replace(data.test, entries=[replace(first, path="gone.mp4"), *data.test.entries[1:]])
    found = measured(pretrain_config(transform=TransformConfig(crop_size=32)), Data(data.train, broken), None)
    assert list(found.unreadable) == [first.video_id] and "gone.mp4" in found.unreadable[first.video_id]
    assert found.metrics["reconstruction_ratio"] > 0
