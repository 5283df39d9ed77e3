"""One job's settings -> the runs it needs, each with its identity.

Pure, but for hashing weight files that the settings name. The identity of a run is what its phase reads and its
parent's identity; settings that the phase does not read are normalised, so that such runs merge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hcml.config import (
    BenchmarkConfig,
    ComputeConfig,
    ConfigError,
    CurriculumConfig,
    FinetuneRun,
    LengthConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimConfig,
    PretrainRun,
    SamplingConfig,
    TestRun,
)
from sweeps import protocols
from sweeps.frozen import FROZEN, frozen_run
from sweeps.identity import PlannedRun, file_hash, planned
from sweeps.parts import Settings, benchmark_of, check_batch, held_out_of, model_of, num_classes_of, objective_of

PHASES = {
    "pretrain": ("pretrain",),
    "finetune": ("pretrain", "finetune"),
    "test": ("pretrain", "finetune", "test"),
    "probe": ("pretrain", "probe"),
    "retrieval": ("pretrain", "retrieval"),
}
"""Leaf -> the phases on the way to it, itself last."""
INITS = ("run", "scratch", "weights")


class ConfigProblems(ConfigError):
    """Everything that is wrong with one job, in `.problems`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Problems:
    """Goes on after an error, to find the others."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def take(self, make: Callable[..., Any], *arguments: Any, where: str = "") -> Any:
        """`make(*arguments)`, or None and a problem noted (behind `where`)."""
        try:
            return make(*arguments)
        except ConfigError as error:
            if (text := f"{where}{error}") not in self.found:  # several parts may meet the same problem
                self.found.append(text)
            return None

    def check(self) -> None:
        if self.found:
            raise ConfigProblems(self.found)


@dataclass
class _Common:
    """What all phases of a job read."""

    model: ModelConfig
    benchmark: BenchmarkConfig
    objective: ObjectiveConfig
    compute: ComputeConfig
    parts: dict[str, dict[str, Any]]
    """Phase -> sampling, transform, length and optim."""


def resolve(settings: Settings, worlds: Mapping[str, int] | None = None) -> list[PlannedRun]:
    """The runs of one job, ancestors first, the leaf (`phase`) last.

    `settings` is an ExperimentConfig as nested plain types, interpolations resolved; `worlds` has the number of
    processes of the phases that train with more than one. Raises :class:`ConfigProblems`
    with every problem found.
    """
    problems = _Problems()
    problems.take(_check_choices, settings)
    problems.check()
    tested = problems.take(protocols.finetuned, settings)
    if tested is None:
        problems.take(_check_start, settings)
    benchmark = problems.take(benchmark_of, settings["benchmark"])
    common = _Common(
        model=problems.take(model_of, settings, 2 if benchmark is None else num_classes_of(benchmark)),
        benchmark=benchmark,
        objective=problems.take(objective_of, settings["objective"], settings["levels"] if _reads(settings) else 0),
        compute=problems.take(lambda: ComputeConfig(**settings["compute"])),
        parts={
            phase: _parts(phase, settings, problems, (worlds or {}).get(phase, 1))
            for phase in _phases(settings, tested is not None)
        },
    )
    problems.check()

    runs: list[PlannedRun] = []
    if tested is not None:
        return [_tested(tested, settings, common, problems)]
    init, parent, weights = settings["init"], None, ""
    if init == "run" and settings["levels"] == 0 and not settings["checkpoint"]:
        init = "weights" if common.model.backbone.pretrained else "scratch"
    if init == "run" and settings["checkpoint"]:
        weights = str(Path(settings["checkpoint"]).expanduser().resolve())
        parent = problems.take(lambda: f"sha256:{file_hash(weights, 'checkpoint')}")
    elif init == "run":
        run = problems.take(_pretrain, settings, common)
        problems.check()
        runs.append(planned(run, None))
        parent = runs[-1].run_id
    if settings["phase"] in FROZEN:
        shared = (common.model, common.benchmark, _not_trained(common.compute), common.parts[settings["phase"]])
        frozen = problems.take(frozen_run, settings, init, runs[-1].config if runs else None, *shared)
        problems.check()
        runs.append(planned(frozen, parent, weights))
    elif settings["phase"] != "pretrain":
        finetune = problems.take(_finetune, settings, init, common)
        flip = common.parts["finetune"]["transform"].flip
        test = problems.take(_test, settings, common, flip) if settings["phase"] == "test" else None
        problems.check()
        runs.append(planned(finetune, parent, weights))
        if test is not None:
            runs.append(planned(test, runs[-1].run_id, prefix=runs[-1].slug))
    return runs


def _phases(settings: Settings, tested: bool) -> tuple[str, ...]:
    """The phases whose settings the job reads; `tested`: its weights are given."""
    return ("test",) if tested else PHASES[settings["phase"]]


def _tested(config: dict[str, Any], settings: Settings, common: _Common, problems: _Problems) -> PlannedRun:
    """The test of a file of weights, which a fine-tuning run of `config` wrote."""
    weights = str(Path(settings["checkpoint"]).expanduser().resolve())
    problems.take(protocols.check_tested, config, common.model, common.benchmark, weights)
    # frames and pixels of the training are those of the file, whatever this job's settings would train with
    trained = {key: config["model"][key] for key in ("num_frames", "input_size")}
    common = replace(common, model=replace(common.model, **trained))
    test = problems.take(_test, settings, common, config["transform"]["flip"])
    digest = problems.take(file_hash, weights, "checkpoint")
    problems.check()
    return planned(test, f"sha256:{digest}", weights)


def _reads(settings: Settings) -> bool:
    """Whether a run of the job reads the self-supervised objective: what nobody reads is neither refused nor hashed."""
    return (settings["init"] == "run" and not settings["checkpoint"]) or settings["finetune"]["auxiliary_weight"] > 0


def _check_choices(settings: Settings) -> None:
    if settings["phase"] not in PHASES:
        raise ConfigError(f"phase={settings['phase']!r} is not one of {', '.join(PHASES)}: name the run to reach")
    if settings["init"] not in INITS:
        raise ConfigError(f"init={settings['init']!r} is not one of {', '.join(INITS)}")


def _check_start(settings: Settings) -> None:
    phase, init, levels, checkpoint = (settings[key] for key in ("phase", "init", "levels", "checkpoint"))
    if phase == "pretrain" and levels == 0:
        raise ConfigError(
            "levels=0 is the plain backbone: it has nothing to pretrain; use phase=finetune or phase=test"
        )
    if phase == "pretrain" and (init != "run" or checkpoint):
        raise ConfigError(
            f"phase=pretrain with init={init}{' and a checkpoint' if checkpoint else ''} has nothing to pretrain: "
            "use init=run without a checkpoint, or phase=finetune"
        )
    if checkpoint and (init != "run" or (levels == 0 and phase not in FROZEN)):
        raise ConfigError(
            f"checkpoint={checkpoint} takes the place of a pretraining run, but init={init}, levels={levels} start "
            "from none: use init=run and levels >= 1, or leave checkpoint out"
        )


def _parts(phase: str, settings: Settings, problems: _Problems, world: int) -> dict[str, Any]:
    classes: dict[str, type] = {"sampling": SamplingConfig}
    if phase in ("pretrain", "finetune"):
        classes |= {"length": LengthConfig, "optim": OptimConfig}
    given = settings[phase]
    parts = {
        key: problems.take(lambda key=key, cls=cls: cls(**given[key]), where=f"{phase}: ")
        for key, cls in classes.items()
    }
    parts["transform"] = None
    benchmark = problems.take(benchmark_of, given.get("benchmark") or settings["benchmark"])
    if benchmark is not None:
        make = protocols.transform_of
        parts["transform"] = problems.take(make, given["transform"], benchmark, where=f"{phase}: ")
        if parts.get("length") is not None:
            parts["length"] = problems.take(check_batch, phase, parts["length"], benchmark, world)
    return parts


def _not_trained(compute: ComputeConfig) -> ComputeConfig:
    """Where nothing is trained, batch normalisation uses its running statistics, whatever `compute.bn` says."""
    return replace(compute, bn="local")


def _pretrain(settings: Settings, common: _Common) -> PretrainRun:
    section, parts = settings["pretrain"], common.parts["pretrain"]
    model, benchmark = common.model, common.benchmark
    if section["benchmark"] is not None:
        benchmark = benchmark_of(section["benchmark"])
    if section["split"]:
        benchmark = replace(benchmark, split=section["split"])
    if benchmark != common.benchmark:
        model = replace(model, num_classes=num_classes_of(benchmark))
    curriculum = CurriculumConfig(**section["curriculum"])
    if model.levels == 1 and not curriculum.steps_per_level:
        curriculum = CurriculumConfig()  # with one level there is one turn, whatever its name
    if common.objective.reconstruction.weight == 0 and curriculum.name == "progressive":
        raise ConfigError(
            "objective.reconstruction.weight=0 leaves the first turn of pretrain.curriculum.name=progressive without a "
            "loss: use pretrain.curriculum.name=joint (objective=contrastive sets it)"
        )
    if common.objective.contrast.negatives == ["clip"] and parts["length"].batch_size == 1 and model.levels > 1:
        raise ConfigError(
            "objective.contrast.negatives=[clip] needs other clips in the batch: set pretrain.length.batch_size >= 2 "
            "or add space or time"
        )
    return PretrainRun(
        model=model,
        benchmark=benchmark,
        objective=common.objective,
        curriculum=curriculum,
        compute=common.compute,
        train=section["train"],
        eval_videos=held_out_of(section["eval_videos"], benchmark),
        seed=section["seed"],
        **parts,
    )


def _finetune(settings: Settings, init: str, common: _Common) -> FinetuneRun:
    section = settings["finetune"]
    # a plain backbone has no motion losses: it stays the baseline row of a sweep over levels
    weight = section["auxiliary_weight"] if common.model.levels else 0.0
    return FinetuneRun(
        model=common.model,
        benchmark=common.benchmark,
        init=init,
        auxiliary_weight=weight,
        objective=common.objective if weight > 0 else None,
        compute=common.compute,
        label_smoothing=section["label_smoothing"],
        within_group=settings["benchmark"]["within_group"],
        seed=settings["seed"],
        **common.parts["finetune"],
    )


def _test(settings: Settings, common: _Common, flip: str) -> TestRun:
    section = settings["test"]
    values = ("num_clips", "num_crops", "average", "metric", "selection", "coverage", "batch_size")
    test = TestRun(
        model=common.model,
        benchmark=common.benchmark,
        within_group=settings["benchmark"]["within_group"],
        compute=_not_trained(common.compute),
        **{name: section[name] for name in values},
        **common.parts["test"],
    )
    return protocols.with_protocol(test, flip)
