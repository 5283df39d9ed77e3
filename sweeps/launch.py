"""From composed configurations to finished runs and their tables; the one way in for a single job and for a sweep."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hcml.config import BenchmarkConfig, ConfigError, PretrainRun, Runtime
from sweeps.execute import Executor, LocalExecutor, Outcome
from sweeps.identity import PlannedRun
from sweeps.leaks import LeakError, check_plan
from sweeps.plan import Entry, Plan, make_plan
from sweeps.provenance import ROOT, code_state, snapshot
from sweeps.resolve import ConfigProblems, resolve
from sweeps.schema import DataPaths, unknown_keys
from sweeps.show import clock, outcome_table, plan_table
from sweeps.store import FolderError, Store

SUCCESS, SOME_FAILED, BAD_CONFIG = 0, 1, 2

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
            jobs.append(Job(tuple(overrides), settings, Runtime(**settings["runtime"]), tuple(resolve(settings))))
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
    if len({(str(job.settings["paths"]), job.settings["plan"], job.settings["rerun_stale"]) for job in jobs}) > 1:
        raise BadJobs({"paths, plan and rerun_stale belong to the whole sweep: give each one value": []})
    return jobs


def launch(composed: Sequence[tuple[Sequence[str], DictConfig | Exception]], executor: Executor | None = None) -> int:
    """Validate, plan, prepare, execute, report. Returns the exit code: 0, 1 (a run did not finish), 2 (bad input)."""
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
        manifests = known_manifests([run for job in jobs for run in job.runs], data)
        plan = make_plan(
            [job.runs for job in jobs],
            lambda run: store.state(run, code["fingerprint"], manifests.get(repr(run.config.benchmark))),
            settings["rerun_stale"],
        )
    except FolderError as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    show_plan(jobs, plan, store, data)
    if settings["plan"]:
        return SUCCESS
    outcomes: dict[str, Outcome] = {entry.run.run_id: Outcome("skipped", entry.state) for entry in plan.entries}
    if plan.todo:
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
            executor = executor or LocalExecutor(snapshot(store.root / "_code"))
        except OSError as error:
            print(f"cannot write to {store.root} ({error}): free some space, or set paths.runs", file=sys.stderr)
            return SOME_FAILED
        manifests = known_manifests([entry.run for entry in plan.todo], data)
        outcomes = executor.execute(plan, lambda entry: _freeze(entry, jobs, store, data, code, manifests))
    print("\n" + outcome_table(plan, outcomes))
    try:
        show_results(plan, store)
    except OSError as error:
        print(f"the tables cannot be written ({error}): type the command again when they can", file=sys.stderr)
        return SOME_FAILED
    return SOME_FAILED if any(outcome.bad for outcome in outcomes.values()) else SUCCESS


def show_plan(jobs: Sequence[Job], plan: Plan, store: Store, data: DataPaths) -> None:
    """Print what will be done and how long it should take."""
    from sweeps.estimate import estimate

    print(
        f"{len(jobs)} job{'s' if len(jobs) != 1 else ''}, {len(plan.entries)} runs in {store.root}, "
        f"{len(plan.todo)} to execute with code from {ROOT}"
    )
    guess = estimate(plan, store.root, data)
    print(plan_table(plan, guess.seconds))
    if plan.todo:
        print(
            f"estimated time: {clock(guess.total)} one after the other ({guess.source})"
            + ("" if guess.complete else "; runs marked ? are not in it"),
            flush=True,
        )
    if any(entry.state == "stale" and not entry.execute for entry in plan.entries):
        print(
            "stale runs were finished by other code, or on other data than there are now, and are kept; "
            "rerun_stale=true runs them anew"
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
