from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from hcml.config import BackboneConfig, FusionConfig, ModelConfig, MotionConfig, TemporalConfig
from hcml.data.manifest import Manifest, VideoEntry
from hcml.model import build_model
from hcml.training.checkpoint import CheckpointError
from hcml.training.transfer import build_without_weights, check_same_model, load_model, read_weights, save_weights

Make = Callable[..., ModelConfig]


def test_everything_but_the_classifier_is_transferred(model_config: Make, tmp_path: Path) -> None:
    source = build_model(model_config(num_classes=4))
    path = save_weights(
        tmp_path, source, {"phase": "pretrain", "benchmark": {"name": "a"}}, 9, heads=torch.nn.Linear(2, 2)
    )
    payload = read_weights(path, "pretrain")
    assert payload["step"] == 9 and set(payload["heads"]) == {"weight", "bias"}
    target = build_model(model_config(num_classes=7))
    fresh = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    load_model(target, payload["model"], path, classifier=False)
    for name, tensor in target.state_dict().items():
        expected = fresh if name.startswith("backbone.model.fc.") else source.state_dict()
        assert torch.equal(tensor, expected[name]), name


def test_the_whole_model_is_loaded_for_testing(model_config: Make, tmp_path: Path) -> None:
    source, target = build_model(model_config()), build_model(model_config())
    load_model(target, source.state_dict(), tmp_path, classifier=True)
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 3}, r"missing: hierarchy\.levels\.2"),
        ({"levels": 1}, r"unexpected: hierarchy\.levels\.1"),
        ({"motion": MotionConfig(dim=16)}, r"of another shape: hierarchy\.levels\.0.* instead of "),
    ],
)
def test_a_model_that_differs_is_refused_whole(model_config: Make, change: dict, message: str) -> None:
    source, target = build_model(model_config()), build_model(model_config(num_frames=6, **change))
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_model(target, source.state_dict(), Path("weights.pt"), classifier=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_weights_of_another_phase_or_kind_are_refused(model_config: Make, tmp_path: Path) -> None:
    model = build_model(model_config())
    path = save_weights(tmp_path, model, {"phase": "finetune", "benchmark": {"name": "a"}}, 1)
    with pytest.raises(CheckpointError, match="comes from a finetune run; .* pretrain run are needed"):
        read_weights(path, "pretrain")
    torch.save(model.state_dict(), tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="backbone.pretrained=FILE"):
        read_weights(tmp_path / "bare.pt", "pretrain")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"levels": 1}, "levels"),
        ({"backbone": BackboneConfig("test_resnet.r160_in1k")}, "backbone.name"),
        ({"temporal": TemporalConfig("shift")}, "temporal.mode"),
        ({"motion": MotionConfig(input="static")}, "motion.input"),
        ({"motion": MotionConfig(pairing="lookahead")}, "motion.pairing"),
    ],
)
def test_weights_of_another_model_are_refused_naming_the_keys(model_config: Make, change: dict, key: str) -> None:
    """Of these only `levels` shows in the tensors."""
    payload = {"config": {"model": asdict(model_config())}}
    check_same_model(payload, model_config(), Path("weights.pt"))
    with pytest.raises(CheckpointError, match=rf"weights\.pt belongs to another model: .*{key}: checkpoint has "):
        check_same_model(payload, replace(model_config(), **change), Path("weights.pt"))


def test_what_may_differ_from_the_parent(model_config: Make) -> None:
    payload = {"config": {"model": asdict(model_config(levels=0))}}
    same = model_config(
        levels=0,
        num_classes=9,
        num_frames=3,
        input_size=64,
        motion=MotionConfig(dim=8),
        temporal=TemporalConfig(fold_div=4),
    )
    check_same_model(payload, same, Path("weights.pt"))
    payload = {"config": {"model": asdict(model_config())}}
    trained = model_config(fusion=FusionConfig("zero"), motion=MotionConfig(detach_levels=True))
    check_same_model(payload, trained, Path("weights.pt"))


def test_a_parent_makes_imagenet_weights_unnecessary() -> None:
    # The file does not exist: building the model with its weights would fail.
    config = ModelConfig(
        backbone=BackboneConfig("resnet18.tv_in1k", pretrained="/absent/file.safetensors"), levels=0, input_size=32
    )
    model = build_without_weights(config)
    assert model.backbone.weights is None
    assert model.backbone.mean == pytest.approx((0.485, 0.456, 0.406))
    assert config.backbone.pretrained == "/absent/file.safetensors"


def test_a_file_names_the_videos_it_was_trained_on(tmp_path: Path) -> None:
    train = Manifest("toy", "v1", "1", "train", tmp_path, ["a"], entries=[VideoEntry("v", "v.mp4", 0, 8, 25.0)])
    save_weights(tmp_path, torch.nn.Linear(2, 2), {"phase": "pretrain", "benchmark": {"name": "a"}}, 9, train=train)
    found = read_weights(tmp_path / "weights.pt", "pretrain")["train"]
    assert found == {"manifest_sha256": train.content_hash(), "videos": 1}


def test_a_file_names_every_benchmark_that_its_weights_were_trained_on(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    save_weights(tmp_path, model, {"phase": "pretrain", "benchmark": {"name": "a"}}, 9)
    parent = read_weights(tmp_path / "weights.pt", "pretrain")
    save_weights(tmp_path, model, {"phase": "finetune", "benchmark": {"name": "b"}}, 9, parent=parent)
    assert read_weights(tmp_path / "weights.pt", "finetune")["trained_on"] == [{"name": "a"}, {"name": "b"}]
