"""Plausible records of a sweep, made by hand."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TIERS = ("direction", "change", "order", "relation")
CLIP = {
    "sampling": {"mode": "dense", "num_frames": 8, "frame_stride": 2, "short_video": "pad_last"},
    "transform": {"resize": 0, "crop_size": 48, "scale": [1.0, 1.0], "flip": "none"},
}


def _id(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _put(config: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    for path, value in overrides.items():
        *heads, last = path.split(".")
        inner = config
        for head in heads:
            inner = inner[head]
        inner[last] = value
    return config


class Maker:
    """Valid records; keywords say how one differs from the rest."""

    def model(self, backbone: str, levels: int, temporal: str, motion_input: str, fusion: str) -> dict[str, Any]:
        return {
            "backbone": {"name": backbone, "pretrained": ""},
            "temporal": {"mode": temporal, "causal": True, "fold_div": 8},
            "levels": levels,
            "motion": {"dim": 32, "prime": "cost_volume", "input": motion_input, "pairing": "causal"},
            "fusion": {"init": fusion},
            "num_classes": 12,
            "num_frames": 8,
            "input_size": 48,
        }

    def runs(
        self,
        backbone: str = "resnet50",
        levels: int = 2,
        pretraining: str = "progressive",
        seed: int = 0,
        correct: int = 240,
        videos: int = 480,
        temporal: str = "none",
        motion_input: str = "video",
        fusion: str = "random",
        fingerprint: str = "f" * 64,
        profile: str = "quick",
        config: dict[str, Any] | None = None,
        **changes: Any,
    ) -> dict[str, dict[str, Any]]:
        """phase -> record, of one chain; `config` overrides dotted keys such as ``finetune.optim.lr``; `changes`
        replace dotted fields (``data__version`` stands for ``data.version``) of every record of the chain."""
        model = self.model(backbone, levels, temporal, motion_input, fusion)
        benchmark = {"name": "synthmotion", "version": "v1", "split": "1", "test_per_class": 0, "decoder": "decord"}
        base = {"model": model, "benchmark": benchmark} | CLIP
        configs: dict[str, dict[str, Any]] = {}
        if pretraining != "none" and levels:
            configs["pretrain"] = base | {
                "curriculum": {"name": pretraining, "steps_per_level": []},
                "objective": {"contrast": {"delta": 1, "negatives": ["space", "time", "clip"]}},
                "eval_videos": 64,
                "seed": seed,
            }
        configs["finetune"] = base | {
            "init": "run" if "pretrain" in configs else "scratch",
            "optim": {"name": "adamw", "lr": 0.001},
            "within_group": False,
            "seed": seed,
        }
        configs["test"] = base | {"num_clips": 1, "num_crops": 1, "within_group": False}
        records: dict[str, dict[str, Any]] = {}
        lineage: list[str] = []
        overrides = config or {}
        for phase, plain in configs.items():
            plain = copy.deepcopy(plain) | {"phase": phase}
            own = {key.partition(".")[2]: value for key, value in overrides.items() if key.startswith(f"{phase}.")}
            record = self.record(phase, _put(plain, own), lineage, records, seed, fingerprint, profile)
            self.results(record, levels, correct, videos, seed)
            records[phase] = _put(record, {key.replace("__", "."): value for key, value in changes.items()})
            lineage = [record["run_id"], *lineage]
        return records

    def record(
        self,
        phase: str,
        config: dict[str, Any],
        lineage: list[str],
        ancestors: dict[str, dict[str, Any]],
        seed: int,
        fingerprint: str,
        profile: str,
    ) -> dict[str, Any]:
        configs = {record["run_id"]: record["config"] for record in ancestors.values()}
        return {
            "schema_version": 1,
            "run_id": _id(config, lineage[:1]),
            "phase": phase,
            "slug": f"{config['model']['backbone']['name']}-l{config['model']['levels']}",
            "parent": lineage[0] if lineage else None,
            "lineage": list(lineage),
            "weights_sha256": "",
            "config": config,
            "lineage_configs": configs,
            "seed": seed,
            "metrics": {},
            "groups": {},
            "chance": 100 / 12,
            "group_chance": {tier: 100 / 12 for tier in TIERS},
            "alarms": [],
            "code": {"fingerprint": fingerprint, "commit": "0123abc", "dirty": False},
            "environment": {
                "python": "3.11.7",
                "torch": "2.15.0",
                "timm": "1.0.31",
                "decord": "0.6.0",
                "device": "cpu",
            },
            "data": {
                "benchmark": "synthmotion",
                "version": "v1",
                "manifest_sha256": {"train": "a" * 64, "test": "b" * 64},
                "videos": {"train": 960, "test": 480},
            },
            "unreadable": {"train": 0, "test": 0, "ids": []},
            "cost": {"seconds": 61.5, "clips": 2080.0, "peak_memory_mb": None},
            "started": "2026-11-23T12:00:00Z",
            "finished": "2026-11-23T12:01:02Z",
            "command": ["python", "sweeps/run.py", "-m", "levels=1,2,3"],
            "profile": profile,
        }

    def results(self, record: dict[str, Any], levels: int, correct: int, videos: int, seed: int) -> None:
        if record["phase"] == "test":
            per_tier = videos // len(TIERS)
            record["metrics"] = {"top1": 100 * correct / videos, "top5": 90.0, "top1_all": 100 * correct / videos}
            record["groups"] = {tier: {"top1": 100 * 60 / per_tier, "videos": per_tier} for tier in TIERS}
            record["data"]["videos"]["test"] = videos
        elif record["phase"] == "pretrain":
            found: dict[str, float | None] = {"reconstruction_ratio": 0.61 + seed / 100, "end_point_error": 0.84}
            found |= {"end_point_error_still": 1.32}
            found |= {"at_bound": 0.125} | {f"std_{n}": 0.4 for n in range(1, levels + 1)}
            found |= {f"rank_{n}": 10.0 + n for n in range(1, levels + 1)}
            for n in range(2, levels + 1):
                found |= {f"loss_contrast_{n}": 4.5, f"log_n_{n}": 7.6, f"top1_time_{n}": 0.41}
                found |= {f"chance_time_{n}": 0.25, f"static_time_{n}": 0.27, f"persistence_time_{n}": 0.38 + n / 100}
            record["metrics"] = found
            record["groups"] = {tier: dict(found) for tier in reversed(TIERS)}

    def save(self, root: Path, *chains: dict[str, dict[str, Any]]) -> list[Path]:
        """Writes the records as sweeps lays them out: ROOT/<phase>/<slug>-<id12>/record.json."""
        paths = []
        for chain in chains:
            for record in chain.values():
                folder = root / record["phase"] / f"{record['slug']}-{record['run_id'][:12]}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "record.json").write_text(json.dumps(record))
                paths.append(folder / "record.json")
        return paths


@pytest.fixture(scope="session")
def make() -> Maker:
    return Maker()


@pytest.fixture
def frame_of(make: Maker, tmp_path: Path) -> Callable[..., Any]:
    """Chains of records -> the collected frame."""
    from results.collect import collect, problems

    def build(*chains: dict[str, dict[str, Any]]) -> Any:
        make.save(tmp_path / "runs", *chains)
        frame = collect(tmp_path / "runs")
        assert problems(frame) == []
        return frame

    return build
