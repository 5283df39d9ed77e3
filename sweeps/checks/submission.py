"""`--submit`: a job of five minutes through the code that sweeps go through, and what it says of its compute node."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from hcml.config import ConfigError
from sweeps.checks.data import prepared
from sweeps.checks.finding import ROOT, Finding, problem, warning
from sweeps.checks.on_node import ASKED, RESULT
from sweeps.checks.scheduler import small
from sweeps.checks.site import Site
from sweeps.lock import write_json
from sweeps.slurm import queue, submit
from sweeps.store import now, read_json
from sweeps.sweep_file import Submission, new_submission_id, write_submission

FOLDER = "_doctor"
"""Below paths.runs; sweeps never look there."""
POLL, SETTLE = 3.0, 20.0
"""Seconds between two looks at the queue, and for a file of an ended job to become visible here."""


def submitted(site: Site, wait: float, report: Callable[[str], None]) -> Iterator[Finding]:
    """Submit, wait up to `wait` seconds, and give back what the job found."""
    try:
        request = small(site.request("pretrain"))
        submission, path = write(site, request.values, request.gpus)
        submission.job_id = submit.sbatch(path.parents[2], submission, 1, "sweeps.checks.on_node")
        write_submission(path.parents[2], submission)
    except (queue.SchedulerError, ConfigError, OSError) as error:
        remedy = "correct launcher.*; a node without two GPUs: launcher.nodes=2 sends one process to each of two nodes"
        yield problem("job", str(error), remedy)
        return
    report(f"         job {submission.job_id} is submitted; its files are in {path.parent}")
    try:
        last = follow(submission, path.parent, wait, report)
    except KeyboardInterrupt:
        queue.cancel([str(submission.job_id)])
        yield warning("job", f"{submission.job_id} was cancelled by Ctrl-C", "")
        return
    result = read_json(path.parent / RESULT)
    found = [replace(Finding(**one), name=f"node: {one['name']}") for one in (result or {}).get("findings", [])]
    yield from found
    if result and result["done"]:
        return
    if last:
        text = f"{submission.job_id} was still {last} after {wait:.0f} s"
        yield warning("job", text, f"it stays in the queue; what it finds comes to {path.parent / RESULT}")
    else:
        text = f"{submission.job_id} ended{how(submission)} before it was through; its log: {tail(path.parent)}"
        yield problem("job", text, f"see the logs in {path.parent}")


def write(site: Site, values: dict[str, object], gpus: int) -> tuple[Submission, Path]:
    """The submission and its file; what the job is to look at stands beside it. Raises OSError."""
    root, identity = site.runs / FOLDER, new_submission_id()
    submission = Submission(
        submission=identity,
        sweep="",
        job_name=f"{site.launcher['name']}-doctor-{identity}",
        code=str(ROOT),
        tasks={"0": "doctor"},
        request=values,
        dependency="",
        time=now(),
        max_requeues=0,
        environment=site.environment,
    )
    path = write_submission(root, submission)
    token = path.parent / "token"
    token.write_text("seen from here\n")
    roots = {site.data.of(name) for name in needed(site)}
    asked = {
        "runs": str(site.runs),
        "token": token.relative_to(site.runs).as_posix(),
        "gpus": gpus,
        "tasks_per_node": site.request("pretrain").values["tasks_per_node"],
        "decoder": decoder(site),
        "data": sorted(str(root) for root in roots if root.is_dir()),
        "settings": json.loads(json.dumps(site.settings, default=str)),
    }
    write_json(path.parent / ASKED, asked)
    return submission, path


def needed(site: Site) -> Iterator[str]:
    """Benchmarks that were typed or are prepared."""
    from benchmarks import BENCHMARKS, module_of
    from benchmarks.official import Official

    typed = {settings["benchmark"]["name"] for settings in site.all_settings}
    for name in BENCHMARKS:
        data = module_of(name)
        if name in typed or (isinstance(data, Official) and any(prepared(data, site.data.of(name)))):
            yield name


def decoder(site: Site) -> str:
    """A video decoder that runs are configured with."""
    from sweeps.checks.decoders import DECODERS

    typed = [str(settings["benchmark"]["decoder"]) for settings in site.all_settings]
    return next((name for name in typed if name in DECODERS), "decord")


def follow(submission: Submission, folder: Path, wait: float, report: Callable[[str], None]) -> str:
    """Waits for the job's end; returns its state if it is still there after `wait` seconds, else ''."""
    deadline, told, gone = time.monotonic() + wait, "", 0.0
    while True:
        result = read_json(folder / RESULT)
        if result and result["done"]:
            return ""
        try:
            mine = [job for job in queue.queued() if job.submission == submission.submission]
        except queue.SchedulerError as error:  # it may answer again in a moment
            mine, state = [], f"unknown ({error})"
        else:
            state = f"{mine[0].state.lower()} ({mine[0].reason or mine[0].nodes})" if mine else ""
            gone = 0.0 if mine else gone or time.monotonic()
        if state and state != told:
            report(f"         job {submission.job_id}: {state}")
            told = state
        if gone and time.monotonic() - gone > SETTLE:
            return ""
        if time.monotonic() > deadline:
            return told or "unknown"
        time.sleep(POLL)


def how(submission: Submission) -> str:
    """What accounting says of the end, if it says something."""
    job_id = f"{submission.job_id}_0"
    end = queue.ended([job_id]).get(job_id)
    return f" as {end.state} (exit code {end.exit_code}, signal {end.signal})" if end else ""


def tail(folder: Path) -> str:
    """The last words of its logs."""
    lines = [line for path in sorted(folder.glob("*.out")) for line in path.read_text(errors="replace").splitlines()]
    return " | ".join(line.strip() for line in lines[-3:]) or "empty"
