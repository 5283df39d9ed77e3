"""What a phase returned, and everything around it -> the run's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hcml.data.manifest import Data
from hcml.training.evaluate import chances
from results.record import SCHEMA_VERSION, finite


def assemble(
    run_id: str,
    frozen: Mapping[str, Any],
    lineage: Sequence[Mapping[str, Any]],
    data: Data,
    returned: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """The record (see results.record) without its times.

    `frozen` is the run's config.json, `lineage` those of its ancestors, nearest first; `returned` is what
    the phase's run_... function gave; `machine` is :func:`sweeps.provenance.environment`.
    """
    config, benchmark = frozen["config"], frozen["config"]["benchmark"]
    seeds = [c["seed"] for c in (config, *(ancestor["config"] for ancestor in lineage)) if "seed" in c]
    seeds = seeds or [returned["seed"]]  # of tested weights from a file, which have no ancestors to ask
    unreadable, ids = returned["unreadable"], returned["unreadable_ids"]
    chance, group_chance = chances(data.test, bool(config.get("within_group", False)))
    numbers = returned["metrics"] | {f"train_{name}": value for name, value in returned.get("train", {}).items()}
    cost = {"parameters" if key == "num_parameters" else key: value for key, value in returned["costs"].items()}
    code = frozen["frozen"]
    trained = returned.get("trained_videos") or {
        "manifest_sha256": data.train.content_hash(),
        "videos": len(data.train.entries),
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "phase": frozen["phase"],
        "slug": frozen["slug"],
        "parent": frozen["parent"],
        "weights_sha256": (lineage[-1] if lineage else frozen).get("weights_sha256", ""),
        "lineage": [ancestor["run_id"] for ancestor in lineage],
        "config": config,
        "lineage_configs": {ancestor["run_id"]: ancestor["config"] for ancestor in lineage},
        "seed": seeds[0],
        "metrics": finite(numbers),
        "groups": {group: finite(_counted(values)) for group, values in returned["groups"].items()},
        "chance": chance,
        "group_chance": group_chance,
        "alarms": [
            f"steps {alarm['first_step']}-{alarm['last_step']}: {alarm['message']}"
            for alarm in returned.get("alarms", [])
        ],
        "code": {"fingerprint": code["fingerprint"], "commit": code["commit"] or None, "dirty": bool(code["dirty"])},
        "environment": {**machine, "pretrained_weights": returned.get("weights")},
        "data": {
            "benchmark": benchmark["name"],
            "version": benchmark["version"],
            "split": benchmark["split"],
            "manifest_sha256": {"train": trained["manifest_sha256"], "test": data.test.content_hash()},
            "videos": {"train": trained["videos"], "test": len(data.test.entries)},
            "expected": {"train": data.train.listed, "test": data.test.listed},
            "quarantined": {"train": len(data.train.quarantine), "test": len(data.test.quarantine)},
            "origin": data.test.origin,
        },
        "unreadable": {
            "train": unreadable["train"],
            "test": unreadable["test"],
            "ids": sorted({*ids["train"], *ids["test"]}),
        },
        "cost": finite(cost),
        "command": list(frozen["command"]),
        "profile": frozen["profile"],
    }


def _counted(values: Mapping[str, float]) -> dict[str, float]:
    """A group's numbers with `videos` = those that its top-1 counts (the phases call them `readable`)."""
    if "readable" not in values:
        return dict(values)
    return {key: value for key, value in values.items() if key != "readable"} | {"videos": values["readable"]}
