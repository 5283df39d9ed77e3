"""One array job -> a script for sbatch, and its submission.

submitit writes the script (so that every launcher.* key means what it means there). Nothing is pickled: the script
names a submission.json, which names run folders, which hold their frozen configuration.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hcml.config import ConfigError
from sweeps.slurm.arrays import index_list
from sweeps.slurm.queue import SchedulerError, run_command
from sweeps.sweep_file import SUBMISSIONS, Submission

RESUBMIT = ("MaxSubmit", "QOSMax", "AssocMax", "AssocGrp", "QOSGrp", "Job violates accounting", "temporarily unable")
"""What sbatch says when there is no room for more jobs at present."""

TASK = "sweeps.slurm.task"
"""What a job's tasks run."""


class Refused(SchedulerError):
    """sbatch said no: there is no such job."""


class NoRoom(Refused):
    """The site's limit of submitted jobs is reached; later there will be room."""


def script(root: Path, submission: Submission, array_parallelism: int, module: str = TASK) -> str:
    """The text of the sbatch script, whose tasks run `module` with the submission's file.

    Raises :class:`ConfigError` for values that submitit or a job's file names do not take, SchedulerError where
    SLURM's commands are missing.
    """
    from submitit.slurm.slurm import SlurmExecutor

    folder = root / SUBMISSIONS / submission.submission
    if "%" in str(folder) or "\n" in str(folder):
        raise ConfigError(f"paths.runs={root} holds a % or a line break, which SLURM's file names give a meaning")
    request = dict(submission.request)
    environment = {
        "PYTHONUNBUFFERED": "1",
        # srun ends all tasks when one has failed: the others would wait for it in a collective
        "SLURM_KILL_BAD_EXIT": "1",
        **submission.environment,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines.append(f"export PYTHONPATH={shlex.quote(submission.code)}${{PYTHONPATH:+:$PYTHONPATH}}")
    extra = dict(request.pop("additional_parameters") or {})
    extra["array"] = f"{index_list([int(i) for i in submission.tasks])}%{max(1, array_parallelism)}"
    extra["requeue"] = True
    if submission.dependency:
        given = extra.get("dependency")
        extra["dependency"] = f"{given},{submission.dependency}" if given else submission.dependency
        extra["kill_on_invalid_dep"] = "yes"
    python = request.pop("python") or shlex.quote(sys.executable)
    request.pop("max_requeues")
    shared = {"timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes"}
    try:
        executor = SlurmExecutor(folder)
        values = {key: request[key] for key in request if value_given(request[key])}
        values["setup"] = [*(values.get("setup") or []), *lines]
        shared_values = executor._convert_parameters({k: v for k, v in values.items() if k in shared})
        own = {k: v for k, v in values.items() if k not in shared}
        executor.update_parameters(
            **shared_values,
            **own,
            job_name=submission.job_name,
            wckey=None,
            stderr_to_stdout=True,
            additional_parameters=extra,
        )
    except RuntimeError as error:
        raise Refused(f"{error} (launcher=slurm needs sbatch, srun and squeue on PATH)") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"launcher: {error}") from error
    executor.parameters["map_count"] = len(submission.tasks)  # names the logs by array and element
    file = shlex.quote(str(folder / "submission.json"))
    return executor._make_submission_file_text(f"{python} -u -P -m {module} {file}", submission.submission)


def value_given(value: Any) -> bool:
    return value is not None and value != [] and value != {}


def sbatch(root: Path, submission: Submission, array_parallelism: int, module: str = TASK) -> str:
    """Submit; returns SLURM's number of the array job. Raises NoRoom, SchedulerError and ConfigError."""
    folder = root / SUBMISSIONS / submission.submission
    path = folder / "script.sh"
    text = script(root, submission, array_parallelism, module)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    done = run_command(
        ["sbatch", "--parsable", str(path)], timeout=120, check=False, environment=outer_environment(os.environ)
    )
    if done.returncode:
        said = " ".join(f"{done.stdout} {done.stderr}".split())
        kind = NoRoom if any(word in said for word in RESUBMIT) else Refused
        if "timed out" in said.lower():  # the answer was lost, perhaps not the job
            kind = SchedulerError
        raise kind(f"sbatch refused {submission.job_name}: {said} (script: {path})")
    match = re.match(r"\s*(\d+)", done.stdout)
    if match is None:
        raise SchedulerError(f"sbatch gave no job number but {done.stdout.strip()!r} for {path}")
    return match[1]


def outer_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what an allocation has left: typed inside a job, its SLURM_CPU_BIND and the like would bind the jobs of
    the sweep to cores that they do not have."""
    kept = ("SLURM_CONF",)
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "HCML_RENDEZVOUS", "HCML_LAUNCHER")
    return {k: v for k, v in environment.items() if (not k.startswith("SLURM_") or k in kept) and k not in ours}
