"""What to type for a cell that is missing: a sweep, and all that its row has and the sweep alone has not."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

BENCHMARKS: dict[str, dict[str, str]] = {
    "kinetics400": {"version": "original", "split": "val", "decoder": "decord"},
    "sthv1": {"version": "original", "split": "val", "decoder": "frames"},
    "sthv2": {"version": "original", "split": "val", "decoder": "decord"},
    "ucf101": {"version": "h264", "split": "1", "decoder": "decord"},
    "hmdb51": {"version": "h264", "split": "1", "decoder": "decord"},
    "synthmotion": {"version": "v1", "split": "all", "decoder": "decord"},
}
"""What `benchmark=NAME` alone stands for in sweeps/conf/benchmark: a test holds the two equal."""
Run = Mapping[str, Any]
_KEYS = {
    "model.motion.input": ("motion_input", "motion.input", "video"),
    "model.motion.prime": ("prime", "motion.prime", "cost_volume"),
    "model.motion.pairing": ("pairing", "motion.pairing", "causal"),
    "model.fusion.init": ("fusion_init", "fusion.init", ""),
}
"""Setting -> (axis, key of the command line, what it is unless somebody says else)."""


def sweep(experiment: str, run: Run | None, *words: str) -> str:
    """The command of an experiment, where `run` was run (None = where the experiment is)."""
    return " ".join([f"python sweeps/run.py -m experiment={experiment}", *(place(run) if run else ()), *words])


def row(experiment: str, run: Run, **axes: Any) -> str:
    """What makes a row like that of `run` but for `axes` (levels, pretraining, backbone, split); '' where its weights
    are a file that no record names."""
    has = {**run, **axes}
    pretraining = str(has["pretraining"])
    if pretraining.startswith(("file ", "from a file")):
        return ""
    words = [f"levels={has['levels']}", "init=run" if pretraining != "none" else plain_init(run)]
    if pretraining not in ("none", "progressive"):
        words.append(f"pretrain.curriculum.name={pretraining}")
    return sweep(experiment, has, *map(shlex.quote, words), *network(has))


def frozen(run: Run, phase: str, **axes: Any) -> str:
    """What makes the `phase` (probe, retrieval) of the features of `run`, itself one of the two; '' as in `row`."""
    found = row("frozen", run, **axes)
    named = {"source": ("level", run["features"]), "pool": ("mean", run["pooling"])}
    words = [f"probe.features.{key}={value}" for key, (usual, value) in named.items() if value != usual]
    return " ".join([found, f"phase={phase}", *map(shlex.quote, words)]) if found else ""


def plain_init(run: Run) -> str:
    """Where a network without pretraining starts from."""
    return "init=weights" if _weights(run) else "init=scratch"


def place(run: Run) -> list[str]:
    """Profile, benchmark, protocol and backbone; of the benchmark what its name alone does not say."""
    name = str(run["benchmark"]).partition(" ")[0]
    words = [f"profile={run['profile']}", f"benchmark={name}"]
    for key, usual in BENCHMARKS.get(name, {}).items():
        value = run.get(key) if key == "split" and key in run else run.get(f"{run['phase']}.benchmark.{key}")
        if value is not None and value != usual:
            words.append(f"benchmark.{key}={value}")
    if (protocol := run.get("protocol_name")) and protocol != "own":
        words.append(f"protocol={protocol}")
    weights = _weights(run)
    tag = f".{run['weights']}" if weights == "timm" and run["weights"] != "timm" else ""
    words.append(f"backbone.name={run['backbone']}{tag}")
    return [shlex.quote(word) for word in (*words, *([f"backbone.pretrained={weights}"] if weights else []))]


def network(run: Run, owned: Iterable[str] = ()) -> list[str]:
    """What is unusual about the network of `run`, but for settings that the command gives itself (`owned`)."""
    owned = tuple(owned)
    words: list[str] = []
    mode, _, kind = str(run["temporal"]).partition(" ")
    if mode != "none" and not _is_in("model.temporal", owned):
        words += [f"temporal={mode}", *(["temporal.causal=false"] if kind else [])]
    for setting, (axis, key, usual) in _KEYS.items() if run["levels"] else ():
        value = str(run[axis]).partition(" ")[0]
        usual = usual or ("zero" if _weights(run) else "random")
        if value not in (usual, "-", "?") and not _is_in(setting, owned):
            words.append(f"{key}={value}")
    return [shlex.quote(word) for word in words]


def _is_in(setting: str, owned: Iterable[str]) -> bool:
    return any(setting == name or setting.startswith(f"{name}.") for name in owned)


def _weights(run: Run) -> str:
    """backbone.pretrained of the run that the weights came into; '' = none."""
    phases = ("pretrain", "finetune", run["phase"])
    return next((str(found) for phase in phases if (found := run.get(f"{phase}.model.backbone.pretrained"))), "")
