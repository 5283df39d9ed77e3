"""Exported backbones: timm loads them strictly, computes the same bit for bit, and the file says what it lacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from hcml.config import BackboneConfig, ConfigError, ModelConfig, TemporalConfig, to_dict
from hcml.model import build_model
from hcml.training.checkpoint import CheckpointError
from hcml.training.export import Exported, export_backbone, read_metadata
from hcml.training.transfer import read_weights, save_weights

Make = Callable[..., object]


def trained(model_config: ModelConfig, seed: int = 0) -> torch.nn.Module:
    """A model none of whose tensors has its start value."""
    torch.manual_seed(seed)
    model = build_model(model_config)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) / 8)
    return model.eval()


def exported(run: object, folder: Path, name: str = "x.safetensors") -> tuple[torch.nn.Module, Exported]:
    """(the run's model, what was written) for a run's configuration."""
    model = trained(run.model)  # type: ignore[attr-defined]
    weights = save_weights(folder, model, to_dict(run), 6)  # type: ignore[arg-type]
    payload = read_weights(weights, "pretrain", "finetune")
    return model, export_backbone(payload, run.model, weights, folder / name, {"run_id": "ab"})  # type: ignore[attr-defined]


def test_a_fine_tuned_run_gives_timm_its_maps_and_classifier_bit_for_bit(finetune_config: Make, tmp_path: Path) -> None:
    model, done = exported(finetune_config(), tmp_path)
    plain = timm.create_model("test_resnet", pretrained=False, num_classes=4, checkpoint_path=str(done.path)).eval()
    frames, maps = torch.randn(3, 3, 32, 32), []
    with torch.no_grad():
        features = model.backbone(frames, lambda i, x: maps.append(x) or x)
        assert torch.equal(plain.forward_features(frames), features)
        assert torch.equal(plain(frames), model.backbone.head(features))
        theirs = plain.forward_intermediates(frames, intermediates_only=True)
    assert len(maps) == len(model.backbone.taps) > 2
    for tap, ours in zip(model.backbone.taps, maps, strict=True):
        assert any(torch.equal(their, ours) for their in theirs), f"no map of timm's equals that of {tap.module}"
    assert done.num_classes == 4 and done.untrained == ()


def test_the_line_that_is_told_makes_the_model(
    pretrain_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, done = exported(pretrain_config(), tmp_path)
    monkeypatch.chdir(tmp_path)
    plain = eval(done.create, {"timm": timm}).eval()
    frames = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain.forward_features(frames), model.backbone(frames))


def test_of_a_pretraining_the_classifier_stays_away_and_later_stages_are_called_untrained(
    pretrain_config: Make, tmp_path: Path
) -> None:
    model, done = exported(pretrain_config(), tmp_path)
    assert done.num_classes == 0
    taps = [tap.module for tap in model.backbone.taps]
    assert done.untrained and all(name.startswith(tuple(taps[2:])) for name in done.untrained)
    metadata = read_metadata(done.path)
    assert metadata["timm_model"] == "test_resnet" and metadata["phase"] == "pretrain" and metadata["run_id"] == "ab"
    assert json.loads(metadata["untrained"]) == list(done.untrained)
    lacks = " ".join(json.loads(metadata["left_out"]))
    assert "2 motion levels" in lacks and "classifier" in lacks and "shift" not in lacks


def test_a_shifted_network_is_exported_without_its_shift_and_says_so(finetune_config: Make, tmp_path: Path) -> None:
    model, done = exported(finetune_config(model={"temporal": TemporalConfig("shift")}), tmp_path)
    assert "temporal shift (causal, 1/8" in " ".join(done.left_out)
    plain = timm.create_model("test_resnet", pretrained=False, num_classes=4, checkpoint_path=str(done.path)).eval()
    frames = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(plain.forward_features(frames), model.backbone(frames, num_frames=4))


def test_a_model_of_one_size_is_made_for_the_runs_size(finetune_config: Make, tmp_path: Path) -> None:
    run = finetune_config(model={"levels": 0})
    model = replace(run.model, backbone=BackboneConfig("test_vit"))  # type: ignore[attr-defined]
    _, done = exported(replace(run, model=model), tmp_path)  # type: ignore[type-var]
    assert "img_size=32" in done.create


def test_it_can_be_the_start_of_another_run(finetune_config: Make, tmp_path: Path) -> None:
    model, done = exported(finetune_config(), tmp_path)
    again = build_model(ModelConfig(BackboneConfig("test_resnet", str(done.path)), num_classes=7, input_size=32))
    assert again.backbone.weights is not None and again.backbone.weights.matched_percent == 100
    first = next(iter(model.backbone.model.parameters()))
    assert torch.equal(next(iter(again.backbone.model.parameters())), first)


def test_what_cannot_be_right_is_refused_and_nothing_is_left(finetune_config: Make, tmp_path: Path) -> None:
    run = finetune_config()
    model = trained(run.model)  # type: ignore[attr-defined]
    with torch.no_grad():
        next(model.backbone.model.parameters())[0] = float("nan")
    payload = read_weights(save_weights(tmp_path, model, to_dict(run), 6), "finetune")  # type: ignore[arg-type]

    def export(name: str) -> None:
        export_backbone(payload, run.model, tmp_path / "weights.pt", tmp_path / name, {})  # type: ignore[attr-defined]

    with pytest.raises(CheckpointError, match="not finite"):
        export("x.safetensors")
    payload["model"].popitem()
    with pytest.raises(CheckpointError, match="all tensors must match"):
        export("x.safetensors")
    with pytest.raises(ConfigError, match="ends in .safetensors"):
        export("x.pth")
    with pytest.raises(ConfigError, match="is no folder"):
        export("nowhere/x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


def test_a_file_that_is_there_is_not_replaced(finetune_config: Make, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_text("mine")
    with pytest.raises(ConfigError, match="not replaced"):
        exported(finetune_config(), tmp_path)
    assert (tmp_path / "x.safetensors").read_text() == "mine"
