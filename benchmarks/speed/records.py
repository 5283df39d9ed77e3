"""Run folders by the thousand, as plausible as made-up ones can be.

The grid is that of a large study: benchmarks x backbones x levels, with and without pretraining, the ablations of the
suite, three seeds each, every chain with its pretraining, fine-tuning and test, and those that vary nothing with a
probe and a retrieval of the pretrained network. A few folders are half-written, damaged or foreign, as they are on any
shared disk. Figures are drawn from a seed and mean nothing.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from results.record import FILE_NAME, SCHEMA_VERSION

BENCHMARKS = {"synthmotion": 16, "kinetics400": 400, "sthv1": 174, "ucf101": 101, "hmdb51": 51}
"""Name -> classes."""
SPLITS = [("synthmotion", "all"), ("kinetics400", "val"), ("sthv1", "val")]
SPLITS += [(name, split) for name in ("ucf101", "hmdb51") for split in "123"]
BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "convnext_tiny", "regnety_016")
TIERS = ("direction", "change", "order", "relation")
SEEDS = (0, 1, 2)
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"model.motion.input": "static"},
    {"model.motion.prime": "difference"},
    {"model.motion.prime": "both"},
    {"model.motion.max_displacement": 5},
    {"model.fusion.init": "zero"},
    {"model.temporal.mode": "shift"},
    {"pretrain.curriculum.name": "joint"},
    {"pretrain.objective.contrast.weight": 0.0},
    {"pretrain.objective.contrast.negatives": ["space", "time"]},
    {"finetune.auxiliary_weight": 0.3},
    {"finetune.length.steps": 720},
)
DAMAGED = 100
"""One folder in so many is damaged, one half-written, one foreign."""
CODE = {
    "fingerprint": hashlib.sha256(b"code").hexdigest(),
    "commit": hashlib.sha1(b"commit").hexdigest(),
    "dirty": False,
}


def chains(seed: int = 0) -> Iterator[list[dict[str, Any]]]:
    """The records of chains of runs without end, parents first; the same for the same seed."""
    draw = random.Random(seed)
    studies = list(itertools.product(SPLITS, BACKBONES))
    draw.shuffle(studies)  # a few thousand runs are some of all benchmarks, each with all its ablations
    for number in itertools.count(1):  # once round the grid, the next study has another learning rate
        rate = {"finetune.optim.lr": round(1e-4 * number, 6)}
        for (place, backbone), levels, variant in itertools.product(studies, range(4), VARIANTS):
            for pretrained, run_seed in itertools.product((True, False), SEEDS):
                plain = levels == 0 and (pretrained or variant not in ({}, {"model.temporal.mode": "shift"}))
                if plain or (not pretrained and any(key.startswith("pretrain.") for key in variant)):
                    continue
                config = _base(*place, backbone, levels)
                sections = _sections(pretrained, run_seed, frozen=pretrained and not variant)
                yield _chain(config, sections, variant | rate, run_seed, draw)


def _sections(pretrained: bool, seed: int, frozen: bool) -> dict[str, dict[str, Any]]:
    """Phase -> its own configuration."""
    sections: dict[str, dict[str, Any]] = {"pretrain": _pretraining() | {"seed": seed}} if pretrained else {}
    if frozen:
        features = {"source": "level", "pool": "mean", "num_clips": 1, "num_crops": 1}
        common = {"init": "run", "batch_size": 16, "features": features, "within_group": False, "seed": seed}
        sections["probe"] = common | {"l2": [0.0001, 0.001, 0.01, 0.1, 1.0], "max_iterations": 1000}
        sections["retrieval"] = dict(common)
    sections["finetune"] = _finetuning("run" if pretrained else "scratch") | {"seed": seed}
    sections["test"] = {"num_clips": 1, "num_crops": 1, "batch_size": 16, "within_group": False}
    sections["test"] |= {"average": "softmax", "metric": "video", "coverage": 0.97}
    return sections


def _chain(
    base: dict[str, Any],
    sections: dict[str, dict[str, Any]],
    variant: dict[str, Any],
    seed: int,
    draw: random.Random,
) -> list[dict[str, Any]]:
    lineage: list[str] = []
    configs: dict[str, dict[str, Any]] = {}
    records = []
    for phase, section in sections.items():
        config = copy.deepcopy(base) | copy.deepcopy(section) | {"phase": phase}
        for key, value in variant.items():
            owner, _, rest = key.partition(".")
            if owner == "model":
                _put(config, key, value)
            elif owner == phase:
                _put(config, rest, value)
        run_id = hashlib.sha256(json.dumps([config, lineage[:1]], sort_keys=True).encode()).hexdigest()
        record = _record(run_id, phase, config, list(lineage), dict(configs), seed, draw)
        _FIGURES.get(phase, _none)(record, draw)
        records.append(record)
        if phase in ("pretrain", "finetune"):  # nothing comes after a probe
            lineage.insert(0, run_id)
            configs[run_id] = config
    return records


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    *heads, last = key.split(".")
    for head in heads:
        config = config[head]
    config[last] = value


def _base(benchmark: str, split: str, backbone: str, levels: int) -> dict[str, Any]:
    small = benchmark == "synthmotion"
    return {
        "benchmark": {"name": benchmark, "version": "v1", "split": split, "train_per_class": 0, "test_per_class": 0,
                      "decoder": "decord"},
        "compute": {"precision": "bf16", "channels_last": True, "threads": 1, "deterministic": "warn"},
        "model": {
            "backbone": {"name": backbone, "pretrained": "", "drop_rate": 0.0, "zero_init_last": False},
            "temporal": {"mode": "none", "causal": True, "fold_div": 8},
            "levels": levels,
            "motion": {"dim": 32, "max_displacement": 3, "prime": "cost_volume", "input": "video", "norm": "group",
                       "semantic_cost_volume": False, "pairing": "causal", "detach_levels": False},
            "fusion": {"init": "random"},
            "num_classes": BENCHMARKS[benchmark],
            "num_frames": 8,
            "input_size": 48 if small else 224,
        },
        "sampling": {"mode": "dense", "num_frames": 8, "frame_stride": 2, "short_video": "pad_last", "first_frame": -1},
        "transform": {"crop_size": 48 if small else 224, "resize": 0, "flip": "none", "scale": [1.0, 1.0]},
    }  # fmt: skip


def _optim(rate: float) -> dict[str, Any]:
    return {"name": "adamw", "lr": rate, "weight_decay": 0.05, "schedule": "cosine", "warmup": 0.1, "clip_norm": 1.0,
            "momentum": 0.9, "gamma": 0.1, "milestones": [0.4, 0.8]}  # fmt: skip


def _pretraining() -> dict[str, Any]:
    contrast = {"weight": 1.0, "temperature": 0.1, "delta": 1, "negatives": ["space", "time", "clip"],
                "exclusion_radius": 1, "motion_queries": 0.5, "max_queries": 1024, "max_keys": 2048}  # fmt: skip
    reconstruction = {"weight": 1.0, "charbonnier_eps": 0.001, "ssim_weight": 0.15, "smoothness_weight": 0.01,
                      "edge_weight": 10.0}  # fmt: skip
    return {
        "curriculum": {"name": "progressive", "steps_per_level": [], "freeze_lower": False},
        "objective": {"reconstruction": reconstruction, "contrast": contrast},
        "length": {"steps": 400, "epochs": 0.0, "batch_size": 16},
        "optim": _optim(0.002),
        "train": "all",
        "eval_videos": 64,
    }


def _finetuning(init: str) -> dict[str, Any]:
    return {"init": init, "auxiliary_weight": 0.0, "objective": None, "label_smoothing": 0.0, "within_group": False,
            "length": {"steps": 320, "epochs": 0.0, "batch_size": 16}, "optim": _optim(0.0003)}  # fmt: skip


def _record(
    run_id: str,
    phase: str,
    config: dict[str, Any],
    lineage: list[str],
    configs: dict[str, dict[str, Any]],
    seed: int,
    draw: random.Random,
) -> dict[str, Any]:
    name, split = config["benchmark"]["name"], config["benchmark"]["split"]
    digest = {part: hashlib.sha256(f"{name} {split} {part}".encode()).hexdigest() for part in ("train", "test")}
    model = config["model"]
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "phase": phase,
        "slug": f"{model['backbone']['name']}-l{model['levels']}-s{seed}",
        "parent": lineage[0] if lineage else None,
        "lineage": lineage,
        "weights_sha256": "",
        "config": config,
        "lineage_configs": configs,
        "seed": seed,
        "metrics": {},
        "groups": {},
        "chance": None,
        "group_chance": {},
        "alarms": [],
        "code": CODE,
        "environment": {"python": "3.11.7", "torch": "2.15.0", "timm": "1.0.31", "decord": "0.6.0", "av": "18.1.0",
                        "numpy": "2.4.6", "hydra-core": "1.3.8", "device": "cuda", "gpu": "H100", "cores": 16,
                        "cpu": "EPYC", "threads": 1, "platform": "Linux", "pretrained_weights": None},
        "data": {"benchmark": name, "version": "v1", "split": split, "manifest_sha256": digest,
                 "videos": {"train": 3200, "test": 1600}, "expected": {"train": 3200, "test": 1600}},
        "unreadable": {"train": 0, "test": 0, "ids": []},
        "cost": {"seconds": draw.uniform(100, 9000), "clips": 1600, "clips_per_second": draw.uniform(20, 900),
                 "peak_memory_mb": draw.uniform(900, 30000), "parameters": 11_292_400 + 100 * model["levels"],
                 "gmacs": 0.82 + 0.01 * model["levels"]},
        "started": "2026-11-01T10:00:00+00:00",
        "finished": "2026-11-01T11:00:00+00:00",
        "command": ["python", "sweeps/run.py", "-m", "experiment=hierarchy"],
        "profile": "full" if name == "synthmotion" else "cluster",
    }  # fmt: skip


def _none(record: dict[str, Any], draw: random.Random) -> None:
    """A fine-tuning's figures are those of its test."""
    record["metrics"] = {"train_loss": draw.uniform(0.1, 2.0), "train_top1": draw.uniform(50, 99)}


def _test_figures(record: dict[str, Any], draw: random.Random) -> None:
    hits = {tier: draw.randint(100, 390) for tier in TIERS}
    top1 = 100 * sum(hits.values()) / 1600
    record["metrics"] = {"top1": top1, "top5": min(100.0, top1 + 10), "videos": 1600.0, "readable": 1600.0}
    record["metrics"]["coverage"] = 100.0
    record["chance"] = 100.0 / record["config"]["model"]["num_classes"]
    if record["data"]["benchmark"] == "synthmotion":
        record["groups"] = {tier: {"top1": hit / 4, "videos": 400.0} for tier, hit in hits.items()}
        record["group_chance"] = dict.fromkeys(hits, 25.0)


def _retrieval_figures(record: dict[str, Any], draw: random.Random) -> None:
    r1 = draw.uniform(2, 40)
    record["metrics"] = {f"r{k}": min(100.0, r1 * (1 + k / 10)) for k in (1, 5, 10, 20, 50)}
    record["metrics"] |= {"r1": r1, "videos": 1600.0, "readable": 1600.0}
    record["chance"] = 100.0 / record["config"]["model"]["num_classes"]


def _pretraining_figures(record: dict[str, Any], draw: random.Random) -> None:
    levels = record["config"]["model"]["levels"]
    wholes = ["at_bound", "end_point_error", "end_point_error_still", "reconstruction_ratio"]
    wholes += [f"{name}_{n}" for name in ("std", "rank") for n in range(1, levels + 1)]
    for n in range(2, levels + 1):
        wholes += [f"{name}_{n}" for name in ("log_n", "loss_contrast", "negatives")]
        wholes += [
            f"{name}_{kind}_{n}"
            for name in ("chance", "persistence", "static", "top1")
            for kind in ("all", "space", "time")
        ]
    record["metrics"] = {name: draw.random() for name in wholes}
    record["metrics"] |= {f"train_{name}": draw.random() for name in wholes}
    if record["data"]["benchmark"] == "synthmotion":
        record["groups"] = {tier: {name: draw.random() for name in wholes} for tier in TIERS}


_FIGURES = {
    "pretrain": _pretraining_figures,
    "probe": _test_figures,
    "retrieval": _retrieval_figures,
    "test": _test_figures,
}


def write(folder: Path, count: int, seed: int = 0) -> dict[str, int]:
    """Writes `count` run folders below `folder`; returns how many are whole, damaged, half-written and foreign."""
    draw = random.Random(seed + 1)
    found = {"whole": 0, "damaged": 0, "half-written": 0, "foreign": 0}
    written: set[str] = set()
    for record in itertools.chain.from_iterable(chains(seed)):
        if len(written) == count:
            break
        if record["run_id"] in written:  # chains share pretrainings, as in a sweep
            continue
        written.add(record["run_id"])
        run = folder / record["phase"] / f"{record['slug']}-{record['run_id'][:12]}"
        run.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=2, sort_keys=True) + "\n"
        kind = {0: "damaged", 1: "half-written", 2: "foreign"}.get(draw.randrange(DAMAGED), "whole")
        if kind == "damaged":
            text = text[: draw.randrange(len(text) - 2)]
        elif kind == "half-written":
            (run / "config.json").write_text("{}")
            (run / "status.json").write_text('{"state": "running", "step": 3, "total_steps": 9}')
        elif kind == "foreign":
            text = json.dumps({"schema_version": 99, "accuracy": 1.0})
        if kind != "half-written":
            (run / FILE_NAME).write_text(text)
        found[kind] += 1
    return found
