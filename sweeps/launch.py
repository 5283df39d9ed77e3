"""From composed configurations to finished runs and their tables; the one way in for a single job and for a sweep."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hcml.config import BenchmarkConfig, ConfigError, PretrainRun, Runtime
from sweeps.dispatch import check_trusted, describe, executor_for, queue_of, requests_of
from sweeps.execute import Executor, Outcome
from sweeps.identity import PlannedRun
from sweeps.launchers import check_launcher, worlds_of
from sweeps.leaks import LeakError, check_plan
from sweeps.plan import Entry, Plan, make_plan
from sweeps.preview import preview
from sweeps.provenance import code_state, snapshot
from sweeps.resolve import ConfigProblems, resolve
from sweeps.schema import DataPaths, unknown_keys
from sweeps.show import outcome_table
from sweeps.slurm.queue import SchedulerError
from sweeps.store import FolderError, Store
from sweeps.sweep_file import write_sweep

SUCCESS, SOME_FAILED, BAD_CONFIG, LEFT = 0, 1, 2, 130

SWEEP_WIDE = ("kind", "name", "detach", "max_parallel", "gpus", "max_array", "max_submit", "poll_s")
"""Keys of `launcher` that are not about single runs."""

log = logging.getLogger(__name__)

Manifests = dict[str, dict[str, str]]
"""A benchmark's configuration as text -> subset -> content hash."""


@dataclass(frozen=True)
class Job:
    """One combination of a sweep, resolved."""

    overrides: tuple[str, ...]
    settings: Mapping[str, Any]
    """An ExperimentConfig as plain types."""
    runtime: Runtime
    runs: tuple[PlannedRun, ...]


class BadJobs(ConfigError):
    """Problems of a sweep's jobs: `.problems` maps each to the overrides of the jobs that have it ([] = all jobs)."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        self.problems = dict(problems)
        lines = []
        for problem, where in self.problems.items():
            lines.append(f"- {problem}")
            if where:
                more = f"; and {len(where) - 3} more" if len(where) > 3 else ""
                lines.append("    in: " + "; ".join(where[:3]) + more)
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''}, nothing was started:\n" + "\n".join(lines))


def resolve_jobs(composed: Sequence[tuple[Sequence[str], DictConfig | Exception]]) -> list[Job]:
    """(overrides, configuration or the error it gave) for each job -> jobs.

    Raises :class:`BadJobs` with every problem of every job.
    """
    problems: dict[str, list[str]] = {}
    jobs: list[Job] = []
    shared = set.intersection(*(set(overrides) for overrides, _ in composed))
    for overrides, config in composed:
        where = " ".join(override for override in overrides if override not in shared)
        try:
            if isinstance(config, Exception):
                raise config
            settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            if unknown := list(unknown_keys(settings)):
                raise ConfigProblems(unknown)
            check_launcher(settings["launcher"])
            runs = resolve(settings, worlds_of(settings))
            jobs.append(Job(tuple(overrides), settings, Runtime(**settings["runtime"]), tuple(runs)))
        except ConfigProblems as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(where)
        except (ConfigError, OmegaConfBaseException) as error:
            problems.setdefault(str(error), []).append(where)
        except Exception as error:
            if not isinstance(config, Exception):
                raise
            problems.setdefault(str(error), []).append(where)
    if problems:
        raise BadJobs({text: where if len(where) < len(composed) else [] for text, where in problems.items()})
    if len({repr(_whole_sweep(job.settings)) for job in jobs}) > 1:
        keys = ", ".join(f"launcher.{key}" for key in SWEEP_WIDE)
        raise BadJobs({f"paths, plan, rerun_stale, {keys} belong to the whole sweep: give each one value": []})
    return jobs


def _whole_sweep(settings: Mapping[str, Any]) -> list[Any]:
    return [
        *(settings[key] for key in ("paths", "plan", "rerun_stale")),
        *(settings["launcher"][k] for k in SWEEP_WIDE),
    ]


def launch(composed: Sequence[tuple[Sequence[str], DictConfig | Exception]], executor: Executor | None = None) -> int:
    """Validate, plan, prepare, execute, report.

    Returns the exit code: 0, 1 (a run did not finish), 2 (bad input), 130 (left by Ctrl-C while jobs go on).
    """
    os.umask(os.umask(0o022) | 0o022)  # what is written here is executed later: for others to read at most
    try:
        jobs = resolve_jobs(composed)
    except BadJobs as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    settings = jobs[0].settings
    store = Store(Path(settings["paths"]["runs"]).expanduser().resolve())
    data = DataPaths(**settings["paths"]["data"])
    code = code_state()
    try:
        check_trusted(store.root)
        queued = queue_of(settings, store)
        manifests = known_manifests([run for job in jobs for run in job.runs], data)

        def state_of(run: PlannedRun) -> str:
            there = manifests.get(repr(run.config.benchmark))
            return "queued" if queued(run) else store.state(run, code["fingerprint"], there)

        plan = make_plan([job.runs for job in jobs], state_of, settings["rerun_stale"])
        requests = requests_of(jobs, plan)
    except (FolderError, ConfigError, SchedulerError) as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    seconds = preview(jobs, plan, store, data, requests)
    if settings["plan"]:
        return SUCCESS
    sweep = describe(plan, store, requests, seconds, settings)
    outcomes: dict[str, Outcome] = {entry.run.run_id: Outcome("skipped", entry.state) for entry in plan.entries}
    if any(entry.execute or entry.state == "queued" for entry in plan.entries):
        from benchmarks import load

        try:
            prepare_benchmarks(plan, data)
            check_plan(plan, lambda config: load(config, data.of(config.name)))
        except LeakError as error:
            print(error, file=sys.stderr)
            return BAD_CONFIG
        except (OSError, RuntimeError, ValueError) as error:
            print(f"preparing the benchmark failed: {type(error).__name__}: {error}", file=sys.stderr)
            return SOME_FAILED
        try:
            source = snapshot(store.root / "_code")
            write_sweep(store.root, sweep | {"code": str(source)})
            executor = executor or executor_for(settings, store, source, sweep, requests)
        except OSError as error:
            print(f"cannot write to {store.root} ({error}): free some space, or set paths.runs", file=sys.stderr)
            return SOME_FAILED
        except ConfigError as error:
            print(error, file=sys.stderr)
            return BAD_CONFIG
        manifests = known_manifests([entry.run for entry in plan.todo], data)
        try:
            outcomes = executor.execute(plan, lambda entry: _freeze(entry, jobs, store, data, code, manifests))
        except (SchedulerError, ConfigError, FolderError) as error:
            print(error, file=sys.stderr)
            return SOME_FAILED
        if left := getattr(executor, "left", ""):
            print(leave_note(sweep["sweep"], store.root))
            return SUCCESS if left == "detached" else LEFT
    print("\n" + outcome_table(plan, outcomes))
    try:
        show_results(plan, store)
    except OSError as error:
        print(f"the tables cannot be written ({error}): type the command again when they can", file=sys.stderr)
        return SOME_FAILED
    return SOME_FAILED if any(outcome.bad for outcome in outcomes.values()) else SUCCESS


def leave_note(sweep: str, root: Path) -> str:
    """What somebody reads whose jobs go on without him."""
    where = "" if root == Path("runs").resolve() else f" --runs {shlex.quote(str(root))}"
    return (
        f"the jobs of sweep {sweep} go on\n"
        f"  look at them:  python sweeps/status.py {sweep} --watch{where}\n"
        f"  end them:      python sweeps/status.py cancel {sweep}{where}\n"
        "  tables:        type the same command again, which submits nothing twice"
    )


def known_manifests(runs: Iterable[PlannedRun], data: DataPaths) -> Manifests:
    """The hashes of the manifests that are prepared."""
    from benchmarks import load

    found = {}
    for config in {repr(run.config.benchmark): run.config.benchmark for run in runs}.values():
        try:
            both = load(config, data.of(config.name))
        except (OSError, ValueError) as error:
            log.info("%s is not prepared: %s", config.name, error)
            continue
        found[repr(config)] = {"train": both.train.content_hash(), "test": both.test.content_hash()}
    return found


def prepare_benchmarks(plan: Plan, data: DataPaths) -> None:
    """Make the videos of every benchmark that a run to execute reads."""
    from benchmarks import prepare

    seen: list[BenchmarkConfig] = []
    for entry in plan.todo:
        config = entry.run.config.benchmark
        if config not in seen:
            seen.append(config)
            root = data.of(config.name)
            print(f"preparing {config.name} {config.version} in {root}", flush=True)
            prepare(config, root)


def show_results(plan: Plan, store: Store) -> None:
    """Render the tables of all records, and print those of this sweep's test runs."""
    from sweeps.report import report

    folders = [store.find(entry.run.phase, entry.run.run_id) for entry in plan.entries]
    finished = [folder for folder in folders if folder and (folder / "record.json").is_file()]
    text = report(store.root, finished, expected_rows(plan))
    if text:
        print("\n" + text)


def expected_rows(plan: Plan) -> list[dict[str, Any]]:
    """What the plan's test runs are, in the words of results.tables, so that a run that failed shows as missing."""
    runs = {entry.run.run_id: entry.run for entry in plan.entries}
    rows = []
    for run in runs.values():
        parent = runs.get(run.parent or "")
        if run.phase != "test" or parent is None or parent.weights:
            continue
        grandparent = runs.get(parent.parent or "")
        first = grandparent.config if grandparent is not None else None
        pretraining = first.curriculum.name if isinstance(first, PretrainRun) else "none"
        model = run.config.model
        rows.append({"backbone": model.backbone.name, "levels": model.levels, "pretraining": pretraining})
    return rows


def _freeze(
    entry: Entry, jobs: Sequence[Job], store: Store, data: DataPaths, code: dict[str, Any], manifests: Manifests
) -> Path:
    job = jobs[entry.jobs[0]]
    return store.prepare(
        entry.run,
        job.runtime,
        code,
        anew=entry.anew,
        profile=job.settings["profile"] or "none",
        experiment=job.settings["experiment"],
        overrides=list(job.overrides),
        command=[Path(sys.executable).name, *sys.argv],
        command_line=shlex.join(["python", *sys.argv]),
        data_root=str(data.of(entry.run.config.benchmark.name)),
        manifests=manifests.get(repr(entry.run.config.benchmark), {}),
    )
