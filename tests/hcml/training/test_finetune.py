import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from hcml.config import ConfigError, FinetuneRun, LengthConfig, ObjectiveConfig, PretrainRun, Runtime
from hcml.data.manifest import Data
from hcml.training.checkpoint import CheckpointError
from hcml.training.finetune import FinetuneTask, classification_loss, group_mask, run_finetune
from hcml.training.journal import read_journal
from hcml.training.pretrain import run_pretrain

Make = Callable[..., FinetuneRun]


def test_group_masks_follow_the_sorted_names(data: Data) -> None:
    assert group_mask(data.train).int().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_cross_entropy_when_all_is_allowed(smoothing: float) -> None:
    logits, label = torch.randn(6, 5), torch.arange(6) % 5
    expected = F.cross_entropy(logits, label, label_smoothing=smoothing)
    assert torch.allclose(classification_loss(logits, label, torch.ones(6, 5, dtype=torch.bool), smoothing), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_masked_classes_neither_count_nor_get_a_gradient(smoothing: float) -> None:
    logits, label = torch.randn(6, 5, requires_grad=True), torch.arange(6) % 2
    allowed = torch.tensor([True, True, False, False, False]).expand(6, 5)
    loss = classification_loss(logits, label, allowed, smoothing)
    assert torch.allclose(loss, F.cross_entropy(logits[:, :2], label, label_smoothing=smoothing))
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[:, 2:] == 0).all() and (logits.grad[:, :2] != 0).all()


def finetune(
    make: Make, data: Data, folder: Path, runtime: Runtime, parent: Path | None = None, **changes: Any
) -> dict:
    return run_finetune(make(**changes), data, folder, runtime, parent)


def test_a_whole_fine_tuning_learns_its_videos(
    finetune_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    report = finetune(finetune_config, data, tmp_path, runtime, length=LengthConfig(epochs=20, batch_size=8))
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["steps"] == 40
    lines = read_journal(tmp_path / "metrics.jsonl")
    assert report["metrics"]["train_loss"] == lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert report["metrics"]["train_top1"] > 60
    assert lines[-1]["epoch"] == 20.0
    saved = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert saved["phase"] == "finetune" and saved["step"] == 40 and "heads" not in saved
    assert report["costs"]["gmacs"] > 0 and report["costs"]["clips"] == 320


def test_within_group_starts_at_the_chance_of_the_group(
    finetune_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    runtime.log_every = 1
    first = {}
    for within in (True, False):
        folder = tmp_path / str(within)
        finetune(finetune_config, data, folder, runtime, within_group=within)
        first[within] = read_journal(folder / "metrics.jsonl")[0]["loss"]
    assert first[True] == pytest.approx(math.log(2), abs=0.35)
    assert first[False] == pytest.approx(math.log(4), abs=0.35)


def test_plain_backbones_are_trained_too(finetune_config: Make, data: Data, tmp_path: Path, runtime: Runtime) -> None:
    report = finetune(finetune_config, data, tmp_path, runtime, model={"levels": 0})
    assert report["steps"] == 6


def test_auxiliary_losses_are_weighted_and_logged(
    finetune_config: Make, data: Data, tmp_path: Path, runtime: Runtime
) -> None:
    finetune(finetune_config, data, tmp_path, runtime, auxiliary_weight=0.5, objective=ObjectiveConfig())
    line = read_journal(tmp_path / "metrics.jsonl")[0]
    parts = line["loss_reconstruction"] + line["loss_contrast_2"]
    assert line["loss"] == pytest.approx(line["loss_classification"] + 0.5 * parts, rel=1e-5)
    assert "std_2" in line


@pytest.fixture(scope="module")
def parent(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hcml.config import BackboneConfig, ComputeConfig, ModelConfig, SamplingConfig, TransformConfig
    from hcml.config import BenchmarkConfig as Benchmark

    config = PretrainRun(
        model=ModelConfig(BackboneConfig("test_resnet"), levels=2, num_classes=4, num_frames=5, input_size=32),
        benchmark=Benchmark(name="tiny"),
        sampling=SamplingConfig(num_frames=5, frame_stride=1),
        transform=TransformConfig(crop_size=32),
        compute=ComputeConfig(threads=1),
        length=LengthConfig(steps=2, batch_size=2),
        eval_videos=1,
    )
    folder = tmp_path_factory.mktemp("parent")
    run_pretrain(config, data, folder, Runtime(device="cpu", workers=0))
    return folder / "weights.pt"


def test_a_run_starts_from_its_parent(
    finetune_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, torch.Tensor] = {}
    begin = FinetuneTask.begin

    def note(self: FinetuneTask, turn: Any) -> None:
        seen.update({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
        begin(self, turn)

    monkeypatch.setattr(FinetuneTask, "begin", note)
    finetune(finetune_config, data, tmp_path, runtime, parent, init="run")
    trained = torch.load(parent, weights_only=True)["model"]
    differing = {name for name, tensor in seen.items() if not torch.equal(tensor, trained[name])}
    assert differing <= {"backbone.model.fc.weight", "backbone.model.fc.bias"}
    # Another parent is another run: its checkpoints are not taken over.
    other = tmp_path / "other.pt"
    payload = torch.load(parent, weights_only=True)
    payload["step"] = 3
    torch.save(payload, other)
    with pytest.raises(CheckpointError, match="parent_sha256"):
        finetune(finetune_config, data, tmp_path, runtime, other, init="run")


def test_impossible_starts_are_refused(
    finetune_config: Make, data: Data, tmp_path: Path, runtime: Runtime, parent: Path
) -> None:
    with pytest.raises(ConfigError, match="init=run needs the weights.pt of a pretraining run"):
        finetune(finetune_config, data, tmp_path, runtime, init="run")
    with pytest.raises(ConfigError, match="init=scratch does not read"):
        finetune(finetune_config, data, tmp_path, runtime, parent)
    with pytest.raises(CheckpointError, match="levels: checkpoint has 2, this run has 3"):
        finetune(finetune_config, data, tmp_path, runtime, parent, init="run", model={"levels": 3})
    with pytest.raises(ConfigError, match="num_classes=5 but tiny has 4 classes"):
        finetune(finetune_config, data, tmp_path, runtime, model={"num_classes": 5})
    groupless = Data(*(replace(m, groups={}, entries=m.entries) for m in (data.train, data.test)))
    with pytest.raises(ConfigError, match="has no groups"):
        finetune(finetune_config, groupless, tmp_path, runtime, within_group=True)
    lost = replace(data.train, entries=[replace(data.train.entries[0], group=""), *data.train.entries[1:]])
    with pytest.raises(ConfigError, match="1 videos have no group, such as train-00"):
        finetune(finetune_config, Data(lost, data.test), tmp_path, runtime, within_group=True)
    assert not (tmp_path / "checkpoints").exists()
