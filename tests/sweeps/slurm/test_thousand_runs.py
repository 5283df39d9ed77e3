"""A sweep of a thousand runs: planned in seconds, submitted in a few calls of sbatch (its table has its test)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hcml.config import Runtime
from sweeps.dispatch import describe, requests_of
from sweeps.launch import Job
from sweeps.lock import write_json
from sweeps.plan import make_plan
from sweeps.resolve import resolve
from sweeps.slurm.executor import SlurmExecutor
from sweeps.slurm.jobs import Site, jobs_in_queue
from sweeps.store import Store
from sweeps.sweep_file import read_submission

CODE = {"fingerprint": "a", "commit": "", "dirty": ""}
COMBINATIONS = 334


@pytest.fixture
def jobs(settings):
    """Jobs of three runs each, 1,002 in all, that differ in their seed."""
    given = settings("launcher=slurm", "levels=1", "launcher.detach=true")
    made = []
    for seed in range(COMBINATIONS):
        own = given | {"seed": seed, "pretrain": given["pretrain"] | {"seed": seed}}
        made.append(Job((f"seed={seed}",), own, Runtime(), tuple(resolve(own))))
    return made


def test_planning_takes_seconds_and_submitting_a_few_calls(jobs, tmp_path, fake_command):
    calls = fake_command("sbatch", out=[str(number) for number in range(86, 186)])
    fake_command("squeue")
    fake_command("srun")
    fake_command("scontrol", out="MaxArraySize = 1001\n")
    store = Store(tmp_path / "runs")
    for job in jobs[::3]:  # a third is there already, finished or not
        for run in job.runs:
            folder = store.prepare(run, Runtime(), CODE)
            write_json(folder / "status.json", {"state": "done" if run.phase == "pretrain" else "preempted"})
            write_json(folder / "record.json", {})

    began = time.monotonic()
    alive = jobs_in_queue(store.root)
    plan = make_plan([job.runs for job in jobs], lambda run: store.state(run, "a"))
    planning = time.monotonic() - began
    assert len(plan.entries) == 3 * COMBINATIONS and alive == {}
    assert planning < 5, f"{planning:.1f} s"

    requests = requests_of(jobs, plan)
    sweep = describe(plan, store, requests, {}, jobs[0].settings)
    site = Site(store.root, sweep["sweep"], "code", jobs[0].settings["launcher"])
    executor = SlurmExecutor(site, sweep, lambda entry: requests[entry.run.run_id], report=lambda line: None)
    began = time.monotonic()
    outcomes = executor.execute(plan, lambda entry: store.prepare(entry.run, Runtime(), CODE))
    submitting = time.monotonic() - began
    scripts = [json.loads(line)[-1] for line in calls.read_text().splitlines()]
    # fine-tunings of finished pretrainings wait for nothing, the others for their own: two arrays of each phase but one
    assert len(scripts) <= 6
    assert submitting < 20, f"{submitting:.1f} s"
    states = [outcome.state for outcome in outcomes.values()]
    assert states.count("queued") == len(plan.todo) and executor.left == "detached"
    named: list[str] = []
    for script in scripts:
        named += read_submission(Path(script).with_name("submission.json")).tasks.values()
    assert len(named) == len(set(named)) == len(plan.todo)
    assert all(json.loads((store.root / name / "config.json").read_text())["run_id"] in outcomes for name in named)
