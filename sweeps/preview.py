"""What a sweep prints before it starts, and all that `plan=true` does: the runs, what they share, time and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.cost import Cost, cost, size_text
from sweeps.estimate import estimate
from sweeps.launchers import Request
from sweeps.plan import Plan
from sweeps.provenance import ROOT
from sweeps.schema import DataPaths
from sweeps.show import array_table, clock, plan_table
from sweeps.slurm.arrays import make_arrays
from sweeps.store import Store

if TYPE_CHECKING:
    from sweeps.launch import Job

DEFAULT_MAX_ARRAY = 1001
"""SLURM's own MaxArraySize: a plan is printed without asking the cluster."""


def show_arrays(plan: Plan, requests: Mapping[str, Request], launcher: Mapping[str, Any]) -> None:
    """Print the array jobs that the plan's runs would be submitted as, if nothing were in the queue."""

    runs = [entry.run for entry in plan.todo]
    limit = min(filter(None, (launcher["max_array"], launcher["max_submit"], DEFAULT_MAX_ARRAY)))
    if arrays := make_arrays(runs, lambda run: requests[run.run_id], {}, limit):
        print(array_table(arrays))


def preview(
    jobs: Sequence[Job], plan: Plan, store: Store, data: DataPaths, requests: Mapping[str, Request]
) -> dict[str, float]:
    """Print what will be done, how long it should take and what it costs; returns seconds by run_id."""

    print(
        f"{len(jobs)} job{'s' if len(jobs) != 1 else ''}, {len(plan.entries)} runs in {store.root}, "
        f"{len(plan.todo)} to execute with code from {ROOT}"
    )
    guess = estimate(plan, store.root, data)
    print(plan_table(plan, guess.seconds))
    if plan.todo:
        print(
            f"estimated time: {clock(guess.total)} one after the other ({guess.source})"
            + ("" if guess.complete else "; runs marked ? are not in it")
        )
        print(cost_line(cost(plan, guess.seconds, requests)), flush=True)
    launcher = jobs[0].settings["launcher"]
    if any(requests[entry.run.run_id].gpus for entry in plan.todo) and "measurement" in guess.source:
        print("the measurement was made on this machine, not on the one that the GPUs are asked from")
    if launcher["kind"] == "slurm":
        show_arrays(plan, requests, launcher)
    if any(entry.state == "stale" and not entry.execute for entry in plan.entries):
        print(
            "stale runs were finished by other code, or on other data than there are now, and are kept; "
            "rerun_stale=true runs them anew"
        )
    return guess.seconds


def cost_line(cost: Cost) -> str:
    """Longest chain, GPU hours and disk in one line."""
    parts = [f"{clock(cost.longest)} if nothing has to wait for a place"]
    if cost.gpu_hours:
        parts.append(f"{cost.gpu_hours:.1f} GPU hours")
    parts.append(f"disk: {size_text(cost.disk)} of weights to keep, up to {size_text(cost.checkpoints)} of checkpoints")
    return "cost: " + "; ".join(parts) + ("" if cost.complete else "; what is unknown is not in it")
