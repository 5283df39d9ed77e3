"""What is written down about sweeps and submissions, for whoever comes back later.

`_sweeps/<sweep>.json` lists a sweep's runs, parents first (`execute`: by the last command; `request`: index into
`requests`; `seconds`: estimate), with the command and the folder of the code. `_submissions/<id>/submission.json` is
one call of sbatch, written before it is made: a command that is killed in between leaves no job that nobody knows.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweeps.lock import write_json

SWEEPS, SUBMISSIONS = "_sweeps", "_submissions"


@dataclass
class Submission:
    """One array job."""

    submission: str
    """12 hex digits; the SLURM job's name ends in them."""
    sweep: str
    job_name: str
    code: str
    """Folder that the jobs import our packages from."""
    tasks: dict[str, str]
    """Array index -> run folder, relative to the store."""
    request: dict[str, Any]
    dependency: str
    time: str
    max_requeues: int
    job_id: str | None = None
    """SLURM's number of the array; None until sbatch has answered."""
    environment: dict[str, str] = field(default_factory=dict)

    def job_of(self, folder: str) -> str | None:
        """`86_3` for a run folder (relative), None before sbatch has answered or if it is not in here."""
        index = next((index for index, task in self.tasks.items() if task == folder), None)
        return f"{self.job_id}_{index}" if index is not None and self.job_id else None


def sweep_id(run_ids: Iterable[str]) -> str:
    """12 hex digits that the same runs always have: a command typed again is the same sweep."""
    return hashlib.sha256("\n".join(sorted(run_ids)).encode()).hexdigest()[:12]


def new_submission_id() -> str:
    return uuid.uuid4().hex[:12]


def write_sweep(root: Path, sweep: Mapping[str, Any]) -> Path:
    path = root / SWEEPS / f"{sweep['sweep']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, sweep)
    return path


def write_submission(root: Path, submission: Submission) -> Path:
    """Into its folder, which is made; returns the file."""
    path = root / SUBMISSIONS / submission.submission / "submission.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(submission))
    return path


def read_submission(path: Path) -> Submission:
    """Raises OSError or ValueError for a file that is missing or damaged."""
    try:
        return Submission(**json.loads(path.read_text(encoding="utf-8")))
    except TypeError as error:
        raise ValueError(f"{path} is no submission: {error}") from error


def submissions(root: Path) -> Iterator[Submission]:
    """All readable ones, oldest first."""
    found = []
    for path in root.glob(f"{SUBMISSIONS}/*/submission.json"):
        try:
            found.append(read_submission(path))
        except (OSError, ValueError):
            continue  # of another version, or cut short: its jobs keep their locks in the run folders
    yield from sorted(found, key=lambda submission: submission.time)


def queued_runs(known: Sequence[Submission], names: Mapping[str, str]) -> dict[str, str]:
    """Run folder (relative) -> id of its job in the queue.

    `names`: job id (`86_3`) -> job name, of what is in the queue. A job is known by its name, so it does not matter
    whether the command that submitted it lived to write its number down.
    """
    by_id = {submission.submission: submission for submission in known}
    found = {}
    for job_id, name in names.items():
        submission = by_id.get(name.rpartition("-")[2])
        folder = submission.tasks.get(job_id.partition("_")[2]) if submission else None
        if folder is not None:
            found[folder] = job_id
    return found
