"""Kinds of training runs: those that differ in nothing but the seed have one name, others another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from results.flatten import NOT_READ, flat, phase_configs
from results.told import most

Record = Mapping[str, Any]


def kinds(records: Mapping[str, Record]) -> dict[str, str]:
    """Key of a run -> the name of its kind: a few words, and, where runs that differ have the same words, the settings
    in which it is not as most of all the runs are."""
    settings = {run: _settings(record) for run, record in records.items()}
    names: dict[str, list[str]] = {}
    for run, record in records.items():
        names.setdefault(_words(record), []).append(run)
    found = {}
    for name, alike in names.items():
        keys = set[str]().union(*(settings[run] for run in alike))
        keys = {key for key in keys if len({settings[run].get(key, "-") for run in alike}) > 1}
        usual = {key: most(one.get(key, "-") for one in settings.values()) for key in keys}
        for run in alike:
            own = [(key, settings[run].get(key, "-")) for key in sorted(keys)]
            found[run] = ", ".join([name, *(f"{key}={value}" for key, value in own if value != usual[key])])
    return found


def _settings(record: Record) -> dict[str, str]:
    """What is set for the run and its ancestors, but for the seeds; code and data, too."""
    found = {
        f"{phase}.{key}": str(value)
        for phase, config in phase_configs(record).items()
        for key, value in flat(config).items()
        if key not in ("seed", "phase") and f"{phase}.{key}" not in NOT_READ
    }
    manifests = record["data"]["manifest_sha256"]
    found |= {"code": str(record["code"]["fingerprint"])[:8], "profile": str(record["profile"])}
    return found | {f"{name} videos": str(manifests[name])[:8] for name in sorted(manifests)}


def _words(record: Record) -> str:
    model = record["config"]["model"]
    words = [str(model["backbone"]["name"]), f"levels {model['levels']}"]
    if record["phase"] == "finetune":
        words.append("pretrained" if record["lineage"] else "from scratch")
    motion = model.get("motion") or {}
    if model["levels"] and motion.get("input") == "static":
        words.append("static input")
    temporal = (model.get("temporal") or {}).get("mode", "none")
    if temporal != "none":
        words.append(str(temporal))
    steps = (record["config"].get("length") or {}).get("steps")
    return ", ".join([*words, *([f"{steps} steps"] if steps else [])])
