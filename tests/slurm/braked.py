"""The interpreter of the jobs of these tests (`launcher.python="PYTHON braked.py"`): what it is asked to run, in slow
motion, with a line written down for each step.

    python braked.py -u -P -m MODULE ARGUMENTS

A copy of this file in a folder of its own looks there for
- `slow`: seconds to sleep after each step, read anew each time, so that taking the file away lets everything go on;
- `fail-RUN`: the run of that name raises after its next step, once;
- `fail-rank-R`: a process of that rank raises after the step that is written in there, once.
and appends to `events.jsonl` who has executed which step of which run, and when.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def note(**event: Any) -> None:
    line = json.dumps({"time": time.time(), "pid": os.getpid(), **event}) + "\n"
    with open(HERE / "events.jsonl", "ab", buffering=0) as file:
        file.write(line.encode())  # in one piece: jobs write at the same time


def seconds() -> float:
    try:
        return float((HERE / "slow").read_text() or 0)
    except FileNotFoundError:
        return 0.0


def brake() -> None:
    """Make every step of every run slow and known."""
    from sweeps.job import Assignment

    count = Assignment.count

    def counted(self: Assignment, step: int, total_steps: int) -> None:
        count(self, step, total_steps)
        job = f"{os.environ.get('SLURM_ARRAY_JOB_ID')}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
        start = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        node = os.environ.get("SLURMD_NODENAME")
        rank = int(os.environ.get("RANK", "0"))
        note(run=self.folder.name, step=step, total=total_steps, job=job, start=start, node=node, rank=rank)
        order = HERE / f"fail-{self.folder.name}"
        if order.exists():
            order.unlink()
            raise RuntimeError("made to fail")
        order = HERE / f"fail-rank-{rank}"
        if order.exists() and step >= int(order.read_text()):
            order.unlink()
            raise RuntimeError("made to fail")
        time.sleep(seconds())

    Assignment.count = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]  # as -P does
    start = sys.argv.index("-m")
    sys.argv = sys.argv[start + 1 :]
    brake()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
