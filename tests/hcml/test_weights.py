"""Backbone names and pretrained weights: resolved, all or nothing, hashed, and no code run."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from hcml.backbone import SHORT_NAMES, build_backbone, resolve_name
from hcml.config import BackboneConfig, ConfigError, TemporalConfig
from hcml.weights import load_state


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """A resnet18 with 7 classes that nobody else has."""
    torch.manual_seed(42)
    return timm.create_model("resnet18", num_classes=7).state_dict()


def load(path: Path, num_classes: int = 7):
    torch.manual_seed(1)
    return build_backbone(BackboneConfig(name="resnet18", pretrained=str(path)), TemporalConfig(), num_classes)


@pytest.mark.parametrize(
    ("name", "pretrained", "wanted"),
    [
        ("r18", "", "resnet18"),
        ("r50", "timm", "resnet50.tv_in1k"),
        ("r50", "file.pth", "resnet50"),
        ("r50.a1_in1k", "timm", "resnet50.a1_in1k"),
        ("convnext_atto", "timm", "convnext_atto"),
        ("resnet50.tv_in1k", "", "resnet50.tv_in1k"),
    ],
)
def test_names_resolve(name: str, pretrained: str, wanted: str) -> None:
    assert resolve_name(name, pretrained) == wanted


def test_every_short_name_has_its_default_weights() -> None:
    for short, full in SHORT_NAMES.items():
        assert resolve_name(short, "timm") == f"{full}.tv_in1k"


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet19", "resnet18"), ("r51", "r50"), ("convnext_ato", "convnext_atto"), ("resnet50.tv_in2k", "tv_in1k")],
)
def test_unknown_names_list_near_misses(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){name}.*{near}"):
        resolve_name(name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_is_loaded_whole_and_hashed(tmp_path: Path, weights: dict[str, torch.Tensor], suffix: str) -> None:
    path = tmp_path / f"r18{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": weights, "epoch": 3}, path)
    else:
        save_file(weights, path)
    backbone = load(path)
    state = backbone.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in weights.items())
    report = backbone.weights
    assert report is not None
    assert (report.source, report.matched_percent, report.dropped) == (str(path), 100.0, [])
    assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("without_classifier", [False, True])
def test_a_classifier_that_does_not_fit_is_dropped_and_reported(
    tmp_path: Path, weights: dict[str, torch.Tensor], without_classifier: bool
) -> None:
    path = tmp_path / "r18.safetensors"
    save_file({k: v for k, v in weights.items() if not (without_classifier and k.startswith("fc."))}, path)
    backbone = load(path, num_classes=5)
    torch.manual_seed(1)
    fresh = timm.create_model("resnet18", num_classes=5).state_dict()
    state = backbone.model.state_dict()
    for key, value in state.items():
        assert torch.equal(value, fresh[key] if key.startswith("fc.") else weights[key])
    assert backbone.weights is not None and backbone.weights.dropped == ["fc.bias", "fc.weight"]


def test_anything_less_than_all_of_the_backbone_is_an_error_and_loads_nothing(weights: dict[str, torch.Tensor]) -> None:
    state = dict(weights)
    state["layer9.conv.weight"] = state.pop("layer1.0.conv1.weight")
    state["bn1.weight"] = torch.zeros(3)
    model = timm.create_model("resnet18", num_classes=7)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ConfigError) as caught:
        load_state(model, state, "some file")
    message = str(caught.value)
    assert "1 missing: layer1.0.conv1.weight" in message
    assert "1 unexpected: layer9.conv.weight" in message
    assert "1 of another shape: bn1.weight (3,) instead of (64,)" in message
    assert "some file matches 98 of the backbone's 100 tensors (98.0 %)" in message
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_files_without_step_counters_of_batch_norm_are_complete(weights: dict[str, torch.Tensor]) -> None:
    model = timm.create_model("resnet18", num_classes=7)
    old = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    assert load_state(model, old, "old file") == []
    assert torch.equal(model.layer4[1].bn2.weight, weights["layer4.1.bn2.weight"])


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran_code",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("code.pth", pickle.dumps({"fc.weight": Evil()}, protocol=2), "pickled code is never run"),
        ("empty.pth", b"", "cannot be read|damaged"),
        ("noise.pth", b"\x00" * 100, "damaged|cannot be read"),
        ("noise.safetensors", b"\x00" * 100, "no valid safetensors file"),
        (None, b"", "is no file"),
    ],
    ids=["code", "empty", "noise", "noise-safetensors", "absent"],
)
def test_bad_files_are_refused_and_run_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / (name or "absent.pth")
    if name:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(path)
    assert not (tmp_path / "ran_code").exists()


def test_a_file_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "no.pth")
    with pytest.raises(ConfigError, match="holds no state dict"):
        load(tmp_path / "no.pth")


def test_timm_weights_that_are_absent_offline_name_file_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = BackboneConfig(name="resnet18.tv_in1k", pretrained="timm")
    with pytest.raises(
        ConfigError, match=r"model\.safetensors of timm/resnet18\.tv_in1k\) are missing: HF_HUB_OFFLINE"
    ):
        build_backbone(config, TemporalConfig(), 5)


def test_timm_weights_come_from_the_cache_and_leave_the_seed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    wanted = timm.create_model("resnet18").state_dict()
    path = tmp_path / "model.safetensors"
    save_file(wanted, path)
    asked: list[tuple] = []

    def download(repository: str, filename: str, local_files_only: bool) -> str:
        asked.append((repository, filename, local_files_only))
        return str(path)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    torch.manual_seed(1)
    timm.create_model("resnet18", num_classes=5)
    after_timm = torch.get_rng_state()
    torch.manual_seed(1)
    config = BackboneConfig(name="resnet18.tv_in1k", pretrained="timm")
    backbone = build_backbone(config, TemporalConfig(mode="shift"), 5)
    assert torch.equal(torch.get_rng_state(), after_timm)
    assert asked == [("timm/resnet18.tv_in1k", "model.safetensors", True)]
    state = backbone.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in wanted.items() if not key.startswith("fc."))
    assert backbone.weights is not None
    assert backbone.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert backbone.weights.dropped == ["fc.bias", "fc.weight"]
