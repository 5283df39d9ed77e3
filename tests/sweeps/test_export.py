"""The command: which run is meant, what is refused, what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm

from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    FinetuneRun,
    LengthConfig,
    ModelConfig,
    SamplingConfig,
    TransformConfig,
    to_dict,
)
from hcml.model import build_model
from hcml.training.export import read_metadata
from hcml.training.transfer import save_weights
from sweeps.export import main

RUN_ID = "abcdef012345" + "6" * 52


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """`runs/` with one finished fine-tuning of a tiny network."""
    model = ModelConfig(BackboneConfig("test_resnet"), levels=1, num_classes=4, num_frames=4, input_size=32)
    benchmark = BenchmarkConfig(split="direction")
    run = FinetuneRun(
        model=model,
        benchmark=benchmark,
        sampling=SamplingConfig(num_frames=4),
        transform=TransformConfig(crop_size=32),
        length=LengthConfig(steps=3),
    )
    folder = tmp_path / "runs" / "finetune" / f"tiny-{RUN_ID[:12]}"
    folder.mkdir(parents=True)
    save_weights(folder, build_model(model), to_dict(run), 3)
    frozen = {"run_id": RUN_ID, "frozen": {"fingerprint": "f" * 64}}
    (folder / "config.json").write_text(json.dumps(frozen))
    (folder / "status.json").write_text(json.dumps({"state": "done"}))
    return tmp_path / "runs"


@pytest.mark.parametrize("named", ["abcdef", "folder", "file"])
def test_a_run_is_found_by_id_folder_or_file(runs: Path, tmp_path: Path, named: str, capsys: Any) -> None:
    folder = next((runs / "finetune").iterdir())
    run = {"folder": str(folder), "file": str(folder / "weights.pt")}.get(named, named)
    path = tmp_path / "x.safetensors"
    assert main([run, str(path), "--runs", str(runs)]) == 0
    metadata = read_metadata(path)
    assert metadata["run_id"] == RUN_ID and metadata["code_fingerprint"] == "f" * 64
    assert len(json.loads(metadata["classes"])) == 4
    timm.create_model("test_resnet", pretrained=False, num_classes=4, checkpoint_path=str(path))
    out = capsys.readouterr().out
    assert "1 motion level and" in out and "timm.create_model('test_resnet'" in out


def test_what_is_no_finished_run_is_refused_with_what_to_do(runs: Path, tmp_path: Path, capsys: Any) -> None:
    path, folder = tmp_path / "x.safetensors", next((runs / "finetune").iterdir())

    def refused(run: str) -> str:
        assert main([run, str(path), "--runs", str(runs)]) == 1
        assert not path.exists()
        return capsys.readouterr().err

    assert "no pretraining or fine-tuning" in refused("abcdee")
    assert "neither a folder" in refused("no/such/run")
    twin = folder.with_name(f"other-{RUN_ID[:12]}")
    twin.mkdir()
    (twin / "config.json").write_text(json.dumps({"run_id": RUN_ID[:-1] + "7"}))
    assert "give more digits" in refused("abcdef")
    (folder / "status.json").write_text(json.dumps({"state": "failed"}))
    assert "it is failed" in refused(str(folder))
    (folder / "status.json").unlink()
    (folder / "weights.pt").rename(folder / "old.pt")
    assert "has no weights.pt" in refused(str(folder))
    (folder / "old.pt").write_bytes(b"\x80\x04not a checkpoint")
    assert "plain pickle" in refused(str(folder / "old.pt"))
