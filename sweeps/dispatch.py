"""Who executes a plan: what each run asks for, the sweep's file, and the executor that `launcher.kind` names."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcml.config import ConfigError
from sweeps.cache import cache_environment
from sweeps.execute import Executor
from sweeps.launchers import Request, request_of, slots
from sweeps.local import LocalExecutor
from sweeps.plan import Entry, Plan
from sweeps.slurm.queue import SchedulerError
from sweeps.store import FolderError, Store, now
from sweeps.sweep_file import sweep_id

if TYPE_CHECKING:
    from sweeps.launch import Job


def requests_of(jobs: Sequence[Job], plan: Plan) -> dict[str, Request]:
    """run_id -> what it asks for, by the settings of the first job that needs it. Raises ConfigError."""
    made: dict[tuple[int, str], Request] = {}
    found = {}
    for entry in plan.entries:
        key = (entry.jobs[0], entry.run.phase)
        if key not in made:
            made[key] = request_of(jobs[key[0]].settings, key[1])
        found[entry.run.run_id] = made[key]
    return found


def queue_of(settings: Mapping[str, Any], store: Store) -> Callable[[Any], bool]:
    """A function that says of a planned run whether it is in SLURM's queue; always False for other launchers.

    Raises SchedulerError, but for a plan that is only printed, which a laptop can do too.
    """
    if settings["launcher"]["kind"] != "slurm":
        return lambda run: False
    from sweeps.slurm.jobs import jobs_in_queue

    try:
        alive = jobs_in_queue(store.root)
    except SchedulerError as error:
        if not settings["plan"]:
            raise
        print(f"the queue is taken for empty, since it cannot be asked ({error})")
        alive = {}
    return lambda run: store.folder(run).relative_to(store.root).as_posix() in alive


def describe(
    plan: Plan,
    store: Store,
    requests: Mapping[str, Request],
    seconds: Mapping[str, float],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of the sweep's file (see sweeps.sweep_file), but for its code."""
    distinct = list(dict.fromkeys(requests[entry.run.run_id] for entry in plan.entries))
    return {
        "sweep": sweep_id(entry.run.run_id for entry in plan.entries),
        "time": now(),
        "command": shlex.join(["python", *sys.argv]),
        "cwd": os.getcwd(),
        "launcher": settings["launcher"]["kind"],
        "launcher_config": {key: settings["launcher"][key] for key in ("name", "max_array", "max_submit")},
        "environment": environment_of(settings),
        "requests": [request.values for request in distinct],
        "runs": [
            {
                "run_id": entry.run.run_id,
                "phase": entry.run.phase,
                "name": store.folder(entry.run).name,
                "parent": entry.run.parent,
                "execute": entry.execute or entry.state in ("queued", "running"),
                "request": distinct.index(requests[entry.run.run_id]),
                "seconds": seconds.get(entry.run.run_id),
            }
            for entry in plan.entries
        ],
    }


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Variables that runs get beside those of the shell they start from."""
    return cache_environment(settings["paths"]["cache"])


def executor_for(
    settings: Mapping[str, Any], store: Store, code: Path, sweep: Mapping[str, Any], requests: Mapping[str, Request]
) -> Executor:
    """The executor that `launcher.kind` names. Raises ConfigError where no run of the plan could ever start."""
    launcher = settings["launcher"]

    def asked(entry: Entry) -> Request:
        return requests[entry.run.run_id]

    if launcher["kind"] == "slurm":
        from sweeps.slurm.executor import SlurmExecutor
        from sweeps.slurm.jobs import Site

        site = Site(store.root, sweep["sweep"], str(code), launcher, sweep["environment"])
        return SlurmExecutor(site, sweep, asked)
    # asking torch for GPUs takes seconds, and one run at a time sees all of them anyway
    shared = slots(launcher) if launcher["max_parallel"] > 1 or any(r.gpus for r in requests.values()) else []
    most = max((request.gpus for request in requests.values()), default=0)
    if most > len(shared):
        raise ConfigError(
            f"a run asks for {most} GPUs (launcher.gpus_per_node), and there are {len(shared)} here (launcher.gpus): "
            "set launcher.gpus_per_node to what there is, or launcher=slurm"
        )
    return LocalExecutor(
        code,
        max_parallel=launcher["max_parallel"],
        slots=shared,
        request_of=asked,
        environment=sweep["environment"],
    )


def check_trusted(root: Path) -> None:
    """Runs import code from below `root`: a folder that everybody can write to is refused.

    Raises :class:`FolderError` naming it.
    """
    for folder in (root, *(root / name for name in ("_code", "_sweeps", "_submissions"))):
        if folder.is_dir() and folder.stat().st_mode & 0o002:
            raise FolderError(
                f"everybody can write to {folder}, and runs import code from there: type chmod o-w "
                f"{shlex.quote(str(folder))}"
            )
