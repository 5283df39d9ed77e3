"""How long a plan should take: from the records of earlier runs, else from a short measurement.

An estimate, not a promise: it leaves out the rendering of videos, and assumes that this machine is as busy as it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from hcml.config import ComputeConfig, ModelConfig, ProbeRun, RetrievalRun, RunConfig, TestRun, to_dict
from sweeps.plan import Plan
from sweeps.provenance import cpu_model
from sweeps.schema import DataPaths

STARTUP = 15.0
"""Seconds for a process to import torch, build its model and open its data (measured on 2 cores)."""
BUDGET = 20.0
"""Seconds that measuring may take; models beyond it stay unknown."""


@dataclass
class Estimate:
    """Seconds by run_id; runs that are absent are unknown."""

    seconds: dict[str, float] = field(default_factory=dict)
    complete: bool = True
    source: str = ""

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Speed:
    """Seconds for one clip: forward and backward, and forward alone."""

    train: float
    test: float


def estimate(plan: Plan, runs: Path, data: DataPaths) -> Estimate:
    """Seconds of every run that the plan executes."""
    result = Estimate()
    known = dict(recorded_speeds(runs))
    deepest: dict[str, RunConfig] = {}
    for entry in plan.todo:
        config = entry.run.config
        chosen = deepest.setdefault(_network(config), config)
        if config.model.levels > chosen.model.levels:
            deepest[_network(config)] = config
    measured: dict[str, Speed | None] = {}
    sources: set[str] = set()
    deadline = time.monotonic() + BUDGET
    for entry in plan.todo:
        config, network = entry.run.config, _network(entry.run.config)
        clips = num_clips(config, data)
        per_clip = known.get(_key(config))
        source = "from earlier runs here"
        if per_clip is None and clips is not None:
            source = "from a short measurement of each backbone"
            if network not in measured:
                model = deepest[network].model
                measured[network] = measure(model, config.compute) if time.monotonic() < deadline else None
            speed = measured[network]
            if speed is not None:
                per_clip = speed.train if hasattr(config, "length") else speed.test
        if per_clip is None or clips is None:
            result.complete = False
            continue
        sources.add(source)
        result.seconds[entry.run.run_id] = STARTUP + clips * per_clip
    result.source = " and ".join(sorted(sources)) or "no speed is known"
    return result


def num_clips(config: RunConfig, data: DataPaths) -> int | None:
    """Clips that a run computes on; None where it depends on data that is not there yet."""
    benchmark, classes = config.benchmark, config.model.num_classes
    if isinstance(config, TestRun):
        videos = _num_videos(config, data, "test") or benchmark.test_per_class * classes
        return videos * config.num_clips * config.num_crops if videos else None
    if isinstance(config, ProbeRun | RetrievalRun):
        training = _num_videos(config, data, "train") or benchmark.train_per_class * classes
        testing = _num_videos(config, data, "test") or benchmark.test_per_class * classes
        return (training + testing) * config.features.num_clips * config.features.num_crops if testing else None
    if config.length.steps:
        return config.length.steps * config.length.batch_size
    videos = _num_videos(config, data, "train") or benchmark.train_per_class * classes
    return config.length.total_steps(videos) * config.length.batch_size if videos else None


def _num_videos(config: RunConfig, data: DataPaths, subset: str) -> int:
    from benchmarks import load

    try:
        return len(getattr(load(config.benchmark, data.of(config.benchmark.name)), subset).entries)
    except (OSError, RuntimeError, ValueError):  # not prepared yet
        return 0


def recorded_speeds(runs: Path) -> Iterator[tuple[str, float]]:
    """(key of the configuration, median seconds a clip) of the finished runs below `runs` on this kind of CPU."""
    found: dict[str, list[float]] = {}
    for path in runs.glob("*/*/record.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            rate = float(record["cost"]["clips_per_second"])
            here = record["environment"].get("cpu") == cpu_model()
            key = _plain_key(record["phase"], record["config"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a foreign or damaged record says nothing about speed; the tables name it
        if here and rate > 0:
            found.setdefault(key, []).append(1 / rate)
    for key, times in found.items():
        yield key, median(times)


def _network(config: RunConfig) -> str:
    """What is measured once: a backbone and its arithmetic, with the deepest hierarchy of the plan (which makes the
    estimate of the others, and of pretraining, a little too long)."""
    model = config.model
    return json.dumps(
        [asdict(model.backbone), asdict(model.temporal), model.num_frames, model.input_size, asdict(config.compute)]
    )


def _key(config: RunConfig) -> str:
    return _plain_key(config.phase, to_dict(config))


def _plain_key(phase: str, config: dict[str, Any]) -> str:
    """What decides the time that one clip takes: the phase, the network and its arithmetic."""
    model = {key: value for key, value in config["model"].items() if key not in ("num_classes", "fusion")}
    compute = {key: value for key, value in config["compute"].items() if key != "bn"}  # as old records, which lack it
    return json.dumps([phase, model, compute], sort_keys=True)


def measure(config: ModelConfig, compute: ComputeConfig, batch: int = 8) -> Speed | None:
    """Time two steps of `batch` random clips on this machine; None if the model cannot be built here."""
    import torch

    from hcml.model import build_model

    threads = torch.get_num_threads()
    torch.set_num_threads(compute.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with torch.random.fork_rng(devices=[]):
            model = build_model(config).to(device)
        if compute.channels_last:
            model = model.to(memory_format=torch.channels_last)
        # noise, not zeros: on constant images batch norm divides by nothing, and denormal numbers take 50 times longer
        shape = (batch, config.num_frames, 3, config.input_size, config.input_size)
        clip = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
        low = compute.precision == "bf16"

        def step(train: bool) -> float:
            model.train(train)
            start = time.perf_counter()
            with torch.set_grad_enabled(train), torch.autocast(device.type, torch.bfloat16, enabled=low):
                logits = model(clip).logits
            if train:
                logits.float().square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            return (time.perf_counter() - start) / batch

        step(True)  # the first step is slow: kernels are chosen and memory is taken
        return Speed(train=min(step(True), step(True)), test=min(step(False), step(False)))
    except (ValueError, RuntimeError, OSError):
        return None  # building it again for the run itself gives the full error, in that run's log
    finally:
        torch.set_num_threads(threads)
