"""A store of run folders with which nothing is wrong: a chain of training and test, a probe and a retrieval."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TIERS = ("direction", "change", "order", "relation")
VIDEOS = 40
PROTOCOL = {
    "name": "custom",
    "sampling": "dense",
    "num_frames": 8,
    "frame_stride": 2,
    "short_video": "pad_last",
    "resize": 0,
    "crop_size": 48,
    "num_clips": 1,
    "num_crops": 1,
    "flip": "none",
    "metric": "video",
    "average": "softmax",
    "selection": "last",
    "coverage": 0.97,
}
TESTED = {name: PROTOCOL[name] for name in ("metric", "average", "selection", "coverage")}
PHASES = ("pretrain", "finetune", "test", "probe", "retrieval")


def rows_of(correct: int = 20) -> list[list[str]]:
    """`correct` of 40 videos are right, five of ten in each of four groups; 12 classes, three of each group's own."""
    header = ["video_id", "label", "group", "prediction", "correct", "p_0"]
    rows = []
    for number in range(VIDEOS):
        tier, right = number % 4, number < correct
        label = 3 * tier + number % 3
        guess = label if right else 3 * tier + (number + 1) % 3
        rows.append([f"v{number:03}", str(label), TIERS[tier], str(guess), str(int(right)), "0.5"])
    return [header, *rows]


def csv_text(rows: list[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


class Store:
    """Run folders below `root`, one of each phase."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: dict[str, Path] = {}

    def add(self, record: dict[str, Any], step: int, total: int) -> None:
        folder = self.root / record["phase"] / f"{record['slug']}-{record['run_id'][:12]}"
        folder.mkdir(parents=True)
        self.folders[record["phase"]] = folder
        frozen = {name: record[name] for name in ("run_id", "phase", "slug", "parent", "profile", "command", "config")}
        frozen["frozen"] = dict(record["code"]) | {"dirty": ""}
        frozen["manifests"] = dict(record["data"]["manifest_sha256"])
        self.put(record["phase"], "record.json", record)
        self.put(record["phase"], "config.json", frozen)
        self.put(record["phase"], "status.json", {"state": "done", "step": step, "total_steps": total})

    def put(self, phase: str, name: str, content: Any) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folders[phase] / name).write_text(text)

    def get(self, phase: str, name: str = "record.json") -> Any:
        return json.loads((self.folders[phase] / name).read_text())

    def change(self, phase: str, path: str, value: Any, name: str = "record.json") -> None:
        """Sets a dotted key of a file of JSON; a value of `...` takes the key out."""
        content = self.get(phase, name)
        *heads, last = path.split("/")
        inner = content
        for head in heads:
            inner = inner[head]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
        self.put(phase, name, content)


@pytest.fixture
def store(make: Any, tmp_path: Path) -> Store:
    return build(make, tmp_path / "runs")


@pytest.fixture
def build_store(make: Any) -> Callable[[Path], Store]:
    return lambda root: build(make, root)


def build(make: Any, root: Path) -> Store:
    chain = make.runs(backbone="resnet18", levels=2, correct=20, videos=VIDEOS)
    probe = copy.deepcopy(chain["test"])
    retrieval = copy.deepcopy(chain["pretrain"])
    _rebrand(probe, chain["pretrain"], "probe", "c" * 64)
    _rebrand(retrieval, chain["pretrain"], "retrieval", "d" * 64)
    retrieval["metrics"] = {"r1": 50.0}
    retrieval["groups"] = {tier: {"r1": 50.0, "videos": 10.0} for tier in TIERS}
    store = Store(root)
    for hour, record in enumerate([*chain.values(), probe, retrieval]):
        record["started"], record["finished"] = f"2026-11-23T{10 + hour}:00:00Z", f"2026-11-23T{10 + hour}:30:00Z"
        record["environment"] |= {"platform": "Linux", "cpu": "EPYC", "threads": 1}
        record["data"]["videos"] = {"train": 96, "test": VIDEOS}
        record["data"]["expected"] = {"train": 96, "test": VIDEOS}
        training = record["phase"] in ("pretrain", "finetune")
        for config in (record["config"], *record["lineage_configs"].values()):
            config["benchmark"] |= {"train_per_class": 8, "test_per_class": 0}
            config["compute"] = {"precision": "bf16", "threads": 1}
            if config["phase"] in ("pretrain", "finetune"):
                config["length"] = {"steps": 20, "epochs": 0.0, "batch_size": 16}
                config["optim"] = {"name": "adamw", "lr": 0.001}
        if record["phase"] in ("test", "probe"):
            record["groups"] = {tier: {"top1": 50.0, "videos": 10.0} for tier in TIERS}
        if record["phase"] == "test":
            record["config"] |= {"protocol": dict(PROTOCOL), **TESTED}
        store.add(record, *((20, 20) if training else (VIDEOS, VIDEOS)))
        if training:
            lines = [{"step": n, "loss": 1 / n, "loss_classification": 1 / n, "alarms": []} for n in (10, 20)]
            store.put(record["phase"], "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        elif record["phase"] != "retrieval":
            store.put(record["phase"], "predictions.csv", csv_text(rows_of()))
            store.put(record["phase"], "unreadable.csv", "video_id,error\n")
    return store


def _rebrand(record: dict[str, Any], parent: dict[str, Any], phase: str, run_id: str) -> None:
    """Makes a record one of a run of another phase, with `parent` as its only ancestor."""
    record["config"] = {k: v for k, v in record["config"].items() if k not in ("seed", "curriculum", "objective")}
    record["config"] = copy.deepcopy(record["config"]) | {"phase": phase}
    record |= {"phase": phase, "run_id": run_id, "parent": parent["run_id"], "lineage": [parent["run_id"]]}
    record["lineage_configs"] = {parent["run_id"]: copy.deepcopy(parent["config"])}
