"""`launcher.*`: where runs are executed, and what each asks of the scheduler.

The keys of sbatch keep the names that hydra-submitit-launcher gives them; `launcher.phases.PHASE.KEY` gives one phase
another value, so that a test does not occupy the eight GPUs of its pretraining.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cached_property
from typing import Any, get_type_hints

from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

from hcml.config import ConfigError

KINDS = ("local", "slurm")
PHASES = ("pretrain", "finetune", "test", "probe", "retrieval")
ONE_PROCESS = ("probe", "retrieval")
"""Phases whose runs nothing can share: they get one process and one GPU, whatever the others ask for."""


@dataclass
class RunRequest(SlurmQueueConf):
    """hydra-submitit-launcher's keys, and what it lacks."""

    _target_: str = ""
    submitit_folder: str = ""
    max_num_timeout: int = 0
    name: str = ""
    stderr_to_stdout: bool = True

    max_requeues: int = 50
    """How often a run goes back into the queue, for whatever reason, before it counts as failed."""
    srun_args: list[str] = field(default_factory=list)
    python: str = ""
    """Interpreter on the compute nodes, a shell command such as `apptainer exec image.sif python`; '' = this one."""


_NOT_OF_RUNS = ("_target_", "submitit_folder", "max_num_timeout", "name", "stderr_to_stdout")
RESOURCES = tuple(f.name for f in fields(RunRequest) if f.name not in _NOT_OF_RUNS)
"""Keys that make up a resource class: runs that agree in all of them can share an array job."""

_TYPES = get_type_hints(RunRequest)
PhaseRequest = make_dataclass("PhaseRequest", [(name, _TYPES[name] | None, None) for name in RESOURCES])
"""The same keys for one phase, all of them optional."""
Phases = make_dataclass("Phases", [(phase, PhaseRequest, field(default_factory=PhaseRequest)) for phase in PHASES])


@dataclass
class LauncherConfig(RunRequest):
    """How a sweep is executed. Nothing of it is part of a run's identity, but for what the number of processes does to
    batch norm (see hcml.config.LengthConfig)."""

    name: str = "hcml"
    """Jobs are called NAME-PHASE-ID."""
    kind: str = "local"
    """local (processes on this machine) | slurm."""
    detach: bool = False
    """slurm: return once the jobs are submitted."""
    max_parallel: int = 1
    """local: runs at a time."""
    gpus: int = -1
    """local: GPUs to share out, each run getting `gpus_per_node` of them; -1 = all that torch sees."""
    max_array: int = 0
    """Elements of an array job; 0 = what the cluster allows (MaxArraySize)."""
    max_submit: int = 0
    """Jobs of this sweep that may be in the queue at a time; 0 = no limit but the cluster's."""
    poll_s: float = 10.0
    """Seconds between two looks at the queue."""
    phases: Phases = field(default_factory=Phases)
    """Other values for the runs of one phase; null = those above."""


@dataclass(frozen=True)
class Request:
    """What one run asks for. Equal requests compare equal."""

    text: str
    """Canonical JSON of `RESOURCES`."""

    @cached_property
    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.text)
        return values

    @property
    def world(self) -> int:
        """Processes of a run, over all its nodes."""
        return int(self.values["nodes"]) * int(self.values["tasks_per_node"])

    @property
    def gpus(self) -> int:
        """GPUs of a run, over all its nodes; a `gres` other than gpu:... counts as none."""
        values = self.values
        if values["gpus_per_task"]:
            return int(values["gpus_per_task"]) * self.world
        per_node = values["gpus_per_node"] or _gpus_of_gres(values["gres"])
        return int(per_node or 0) * int(values["nodes"])

    @staticmethod
    def of(values: Mapping[str, Any]) -> Request:
        return Request(json.dumps(dict(values), sort_keys=True))


def worlds_of(settings: Mapping[str, Any]) -> dict[str, int]:
    """Phase -> number of processes of its runs. Raises :class:`ConfigError`."""
    return {phase: request_of(settings, phase).world for phase in PHASES}


def _gpus_of_gres(gres: str | None) -> int:
    """`gpu`, `gpu:4`, `gpu:a100:4` -> the number."""
    total = 0
    for part in (gres or "").split(","):
        kind, _, rest = part.strip().partition(":")
        if kind == "gpu":
            last = rest.partition("(")[0].rpartition(":")[2]
            total += int(last) if last.isdigit() else 1
    return total


def request_of(settings: Mapping[str, Any], phase: str) -> Request:
    """What a run of `phase` asks for in a job with these settings (an ExperimentConfig as plain types).

    Raises :class:`ConfigError` naming the key for values that contradict each other or cannot be given to a shell.
    """
    launcher = settings["launcher"]
    own = _per_phase(launcher)[phase]
    values = {key: launcher[key] for key in RESOURCES}
    if phase in ONE_PROCESS:
        if max(own.get("nodes", 1), own.get("tasks_per_node", 1)) > 1:
            raise ConfigError(f"{phase} runs are one process: leave out launcher.phases.{phase}.nodes and its tasks")
        gpus = min(1, values["gpus_per_node"] or 0) or None
        values |= {"nodes": 1, "tasks_per_node": 1, "gpus_per_node": gpus}
    values |= own
    if values["cpus_per_task"] is None:  # what the run itself will use
        values["cpus_per_task"] = int(settings["runtime"]["workers"]) + int(settings["compute"]["threads"])
    for key in ("nodes", "tasks_per_node", "timeout_min", "cpus_per_task"):
        if not isinstance(values[key], int) or values[key] < 1:
            raise ConfigError(f"launcher.{key}={values[key]!r} of {phase} runs must be a number of at least 1")
    return Request.of(values)


def check_launcher(launcher: Mapping[str, Any]) -> None:
    """Raises :class:`ConfigError` for what no run could be started with."""
    if launcher["kind"] not in KINDS:
        raise ConfigError(f"launcher.kind={launcher['kind']!r} is not one of {', '.join(KINDS)}: type launcher=slurm")
    if launcher["max_num_timeout"]:
        raise ConfigError("launcher.max_num_timeout is submitit's: launcher.max_requeues bounds every kind of requeue")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,60}", launcher["name"]):
        raise ConfigError(f"launcher.name={launcher['name']!r} may have letters, digits and . _ - only, at most 60")
    for key, low in (("max_parallel", 1), ("gpus", -1), ("max_array", 0), ("max_submit", 0), ("max_requeues", 0)):
        if launcher[key] < low:
            raise ConfigError(f"launcher.{key}={launcher[key]} must be at least {low}")
    if not launcher["poll_s"] > 0:
        raise ConfigError(f"launcher.poll_s={launcher['poll_s']} must be above 0 seconds")
    phases = _per_phase(launcher)
    for where, values in [("launcher", launcher), *((f"launcher.phases.{p}", v) for p, v in phases.items())]:
        for key, value in values.items():
            if key not in ("setup", "phases"):  # setup is lines of shell, by its meaning
                _check_text(f"{where}.{key}", value)
    if launcher["kind"] == "local":
        for where, values in [("launcher", launcher), *((f"launcher.phases.{p}", v) for p, v in phases.items())]:
            if values.get("nodes", 1) != 1:
                raise ConfigError(
                    f"{where}.nodes={values['nodes']}, but launcher=local has one machine: set {where}.nodes=1 (and "
                    "tasks_per_node for several processes), or launcher=slurm"
                )


def _per_phase(launcher: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Phase -> what is set for it."""
    return {
        phase: {key: value for key, value in values.items() if value is not None}
        for phase, values in launcher["phases"].items()
    }


def _check_text(where: str, value: Any) -> None:
    """A line break in a value would end the `#SBATCH` line that it stands in, and the rest would be executed."""
    if isinstance(value, str) and any(not character.isprintable() for character in value):
        raise ConfigError(f"{where}={value!r} holds a line break or another control character")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_text(where, str(key))
            _check_text(f"{where}.{key}", inner)
    if isinstance(value, list):
        for inner in value:
            _check_text(where, inner)


def slots(launcher: Mapping[str, Any]) -> list[str]:
    """Names of the GPUs that local runs share: those of CUDA_VISIBLE_DEVICES where it is set."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = visible.split(",")[:count] if visible else [str(i) for i in range(count)]
    return names if launcher["gpus"] < 0 else names[: launcher["gpus"]]
