"""Packages, devices, decoders, data sets, weights, and how the typed words are read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import module_of
from benchmarks.commands.audit import audit
from benchmarks.commands.prepare import prepare
from benchmarks.synthesize import synthesize
from sweeps.checks import allreduce, data, decoders, devices, machine, packages, weights
from sweeps.checks.finding import Finding
from sweeps.checks.site import read_site, variants


def by_level(findings: Any) -> dict[str, str]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.level, []).append(finding)
    return {level: " | ".join(f"{f.text} -> {f.remedy}" for f in some) for level, some in found.items()}


def checkout(folder: Path, lock: str, needs: str) -> Path:
    (folder / "requirements.lock").write_text(lock)
    suite = "[project.optional-dependencies]\nsuite = []\n"
    project = f"[project]\nrequires-python = '>=3.11'\ndependencies = [{needs}]\n{suite}"
    (folder / "pyproject.toml").write_text(project)
    return folder


def test_missing_and_old_packages_are_problems_others_warnings(tmp_path: Path) -> None:
    here = packages.installed("numpy")
    good = checkout(tmp_path, f"numpy=={here}\n", "'numpy>=1'")
    assert by_level(packages.packages(good)) == {"ok": "1 of 1 as in requirements.lock -> "}
    other = checkout(tmp_path, "numpy==0.1\nnot-here==1.0\n", "'numpy>=999', 'not-here'")
    found = by_level(packages.packages(other))
    assert "not-here is missing" in found["problem"] and "does not fit >=999" in found["problem"]
    assert f"numpy {here} (lock: 0.1)" in found["warning"]
    found = by_level(packages.packages(checkout(tmp_path, "torch==0.1\n", "'numpy'")))
    assert "of another torch" in found["warning"] and "SYSTEM_TORCH" in found["warning"]


def test_the_checkout_itself_has_what_it_needs() -> None:
    assert list(packages.unmet()) == []
    assert {finding.level for finding in packages.python()} == {"ok"}


@pytest.mark.parametrize("name", ["decord", "pyav"])
def test_decoders_give_the_right_frames(name: str) -> None:
    assert list(by_level(decoders.decoder(name, needed=True))) == ["ok"]


def test_a_decoder_that_gives_other_frames_is_a_problem(monkeypatch: Any) -> None:
    monkeypatch.setattr(decoders, "brightness", lambda index: 20.0 + 9 * max(index - 1, 0))
    wrote = decoders.write_video

    def shifted(path: Path) -> Path:
        written = wrote(path)
        monkeypatch.setattr(decoders, "brightness", lambda index: 20.0 + 9 * index)
        return written

    monkeypatch.setattr(decoders, "write_video", shifted)
    assert "wrong frames for [23, 7, 13]" in by_level(decoders.decoder("pyav", needed=True))["problem"]


def test_a_decoder_that_is_absent_matters_only_if_it_is_asked_for(monkeypatch: Any) -> None:
    monkeypatch.setitem(decoders.DECODERS, "torchcodec", "no-such-package")
    assert "optional" in by_level(decoders.decoder("torchcodec", needed=False))["ok"]


def test_codecs_that_ffmpeg_lacks_are_named(monkeypatch: Any) -> None:
    import av

    assert list(by_level(decoders.codecs())) == ["ok"]
    monkeypatch.setattr(av.codec, "codecs_available", {"h264", "mpeg4"})
    assert "cannot read vp9" in by_level(decoders.codecs())["problem"]
    monkeypatch.setattr(av.codec, "codecs_available", {"h264", "mpeg4", "vp9"})
    assert "cannot write H.264" in by_level(decoders.codecs())["warning"]


def test_no_gpu_is_normal_on_a_login_node(monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "cuda_problem", lambda: "")
    monkeypatch.setattr(devices, "nvidia_smi", lambda: ([], ""))
    assert "normal on a login node" in by_level(devices.devices(login=True))["ok"]
    assert "on the CPU" in by_level(devices.devices())["ok"]


def test_gpus_that_torch_cannot_use_are_a_problem(monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "nvidia_smi", lambda: (["NVIDIA H100, 81559 MiB"], "470.57"))
    monkeypatch.setattr(devices, "cuda_problem", lambda: "The NVIDIA driver on your system is too old")
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = by_level(devices.devices())["problem"]
    assert "driver 470.57" in found and "too old" in found and "SYSTEM_TORCH" in found
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert "built for CPUs, but there are 1 GPUs" in by_level(devices.devices())["problem"]


@pytest.mark.integration
def test_two_processes_make_a_sum(monkeypatch: Any) -> None:
    (found,) = allreduce.all_reduce(2)
    assert found.level == "ok" and "the sum is right" in found.text


def test_more_processes_than_processors_are_told() -> None:
    settings = {"runtime": {"workers": 3}, "compute": {"threads": 2}}
    assert list(by_level(machine.processors(settings, 2, 10))) == ["ok"]
    assert "2 x (3 loader processes + 2 threads)" in by_level(machine.processors(settings, 2, 9))["warning"]


def test_each_value_of_a_sweep_is_looked_at_once() -> None:
    found = list(variants(["backbone=r50,r101", "levels=1,2,3", "seed=0"]))
    assert found[0] == ["backbone=r50", "levels=1", "seed=0"]
    assert found[1:] == [
        ["backbone=r101", "levels=1", "seed=0"],
        ["backbone=r50", "levels=2", "seed=0"],
        ["backbone=r50", "levels=3", "seed=0"],
    ]


@pytest.fixture(scope="module")
def ucf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small made-up UCF-101, prepared."""
    root = tmp_path_factory.mktemp("ucf") / "ucf101"
    synthesize(module_of("ucf101"), root, classes=2, train_per_class=2, test_per_class=1, short_side=64)
    prepare(module_of("ucf101"), root, "", "1")
    return root


def test_data_sets_are_prepared_audited_and_there(ucf: Path, tmp_path: Path) -> None:
    root = tmp_path / "ucf101"
    shutil.copytree(ucf, root)
    site = read_site(["benchmark=ucf101", f"paths.data.root={tmp_path}"])

    def found() -> dict[str, str]:
        return by_level(data.data_sets(site))

    assert "not audited" in found()["warning"] and "benchmarks audit ucf101" in found()["warning"]
    assert "not prepared, and not asked for: kinetics400" in found()["ok"]
    audit(module_of("ucf101"), root, "", "1")
    assert "audited" in found()["ok"] and "SYNTHETIC" in found()["ok"] and "problem" not in found()
    shutil.move(root / "prepared", tmp_path / "elsewhere")
    assert "is not there" in found()["problem"]
    next(root.glob("manifests/*/1-train.json")).write_text("{")
    assert "copy h264, split 1" in found()["problem"]


def test_a_typed_data_set_that_is_not_prepared_is_a_problem(tmp_path: Path) -> None:
    site = read_site(["benchmark=synthmotion,sthv2", f"paths.data.root={tmp_path}"])
    found = by_level(data.data_sets(site))
    assert f"benchmarks prepare sthv2 --root {tmp_path}/sthv2" in found["problem"]
    assert "is rendered in" in found["ok"]


def test_weights_that_are_missing_say_how_to_fetch_them(tmp_path: Path) -> None:
    typed = ["backbone.name=resnet18.tv_in1k", "backbone.pretrained=timm", "init=weights", f"paths.cache={tmp_path}"]
    (missing, cache) = weights.weights(read_site(typed))
    assert missing.level == "problem" and "not in the cache" in missing.text
    assert f"HF_HOME={tmp_path}/huggingface python -m benchmarks weights fetch resnet18.tv_in1k" in missing.remedy
    assert f"HF_HOME={tmp_path}/huggingface" in cache.text


def test_offline_settings_are_told(monkeypatch: Any, tmp_path: Path) -> None:
    for name in (*weights.OVERRIDES, "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    site = read_site(["launcher=slurm", f"paths.cache={tmp_path}"])
    assert weights.offline(site, needed=True).level == "warning"
    assert weights.offline(site, needed=False).level == "ok"
    setup = read_site(["launcher=slurm", 'launcher.setup=["export HF_HUB_OFFLINE=1"]'])
    assert weights.offline(setup, needed=True).level == "ok"
    monkeypatch.setenv("HF_HUB_CACHE", "/elsewhere")
    assert "goes before paths.cache" in weights.offline(site, needed=False).text
