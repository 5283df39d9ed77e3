"""Site files: the worked examples compose, set nothing that a run's identity reads, and name keys that there are."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

from hcml.config import Runtime
from sweeps.cache import cache_environment
from sweeps.resolve import resolve
from sweeps.schema import DataPaths

SITES = sorted((Path(__file__).resolve().parents[2] / "sweeps/conf/cluster").glob("*.yaml"))
OURS = {"kind", "detach", "max_parallel", "gpus", "max_array", "max_submit", "max_requeues", "poll_s", "srun_args"}
LAUNCHER = {field.name for field in fields(SlurmQueueConf)} | OURS | {"python", "phases"}


@pytest.mark.parametrize("site", SITES, ids=lambda path: path.stem)
def test_a_site_file_sets_paths_launcher_and_runtime_alone(site: Path) -> None:
    content: dict[str, Any] = yaml.safe_load(site.read_text())
    assert site.read_text().startswith("# @package _global_\n")
    assert content.keys() <= {"paths", "launcher", "runtime"}
    assert content["paths"].keys() <= {"runs", "cache", "data"}
    assert content["paths"]["data"].keys() <= {field.name for field in fields(DataPaths)}
    launcher = content.get("launcher", {})
    assert launcher.keys() <= LAUNCHER
    for phase, given in launcher.get("phases", {}).items():
        assert phase in ("pretrain", "finetune", "test", "probe", "retrieval")
        assert given.keys() <= LAUNCHER - OURS
    assert content.get("runtime", {}).keys() <= {field.name for field in fields(Runtime)}


@pytest.mark.parametrize("site", SITES, ids=lambda path: path.stem)
def test_a_site_changes_no_run(site: Path, settings: Any) -> None:
    if "launcher" not in settings() and "launcher" in yaml.safe_load(site.read_text()):
        pytest.skip("launcher.* is not there yet")
    here, there = settings("benchmark=ucf101"), settings("benchmark=ucf101", f"cluster={site.stem}")
    assert [run.run_id for run in resolve(here)] == [run.run_id for run in resolve(there)]


def test_the_cache_is_told_to_the_libraries_that_keep_weights(tmp_path: Path, monkeypatch: Any) -> None:
    assert cache_environment("") == {}
    assert cache_environment(str(tmp_path)) == {
        "HF_HOME": str(tmp_path / "huggingface"),
        "TORCH_HOME": str(tmp_path / "torch"),
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_environment("cache")["HF_HOME"] == str(tmp_path / "cache" / "huggingface")
    assert cache_environment("~/cache")["TORCH_HOME"] == str(tmp_path / "home" / "cache" / "torch")
