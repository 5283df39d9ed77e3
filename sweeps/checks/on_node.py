"""`python -m sweeps.checks.on_node SUBMISSION.json`: what a process of the doctor's job does on its compute node.

The processes meet as those of a run do and make a sum over all; the first one looks at its node, and writes what it has
found into findings.json beside the submission after each check, so that a crash leaves what was found before.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from sweeps.checks import devices, machine, storage
from sweeps.checks.finding import Finding, guarded, isolated, ok, problem
from sweeps.lock import write_json
from sweeps.store import read_json

MEET = timedelta(seconds=90)
RESULT, ASKED = "findings.json", "doctor.json"
CLOCKS = 5.0
"""Seconds that the clocks of two nodes may differ; a heartbeat of another node counts as dead after a minute."""


def main(arguments: list[str] | None = None) -> int:
    from sweeps.slurm.task import take_place

    path = Path((sys.argv[1:] if arguments is None else arguments)[0]).resolve()
    folder = path.parent
    asked: dict[str, Any] = read_json(folder / ASKED) or {}
    rank, size = take_place(folder, os.environ)
    found: list[Finding] = []

    def keep(findings: Iterable[Finding], done: bool = False) -> None:
        for finding in findings:
            found.append(finding)
            print(finding, flush=True)
        if rank == 0:
            write_json(folder / RESULT, {"done": done, "findings": [asdict(finding) for finding in found]})

    here = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    print(f"rank {rank} of {size} on {here}", flush=True)
    keep([ok("job", f"started on {here}, {size} processes")])
    runs = Path(asked["runs"])
    keep(sees(runs, asked["token"]))
    keep(together(asked))
    if rank == 0:
        for name, check in checks(runs, asked):
            keep(guarded(name, check))
        keep([], done=True)
    return 0


def checks(runs: Path, asked: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Iterable[Finding]]]]:
    """What only a compute node can say."""
    tasks, settings = asked["tasks_per_node"], asked["settings"]
    yield "gpu", lambda: isolated("gpu", "sweeps.checks.devices", timeout=60)
    yield "decoder", lambda: isolated(asked["decoder"], "sweeps.checks.decoders", [asked["decoder"], "needed"], 60)
    yield "runs", lambda: storage.writable(runs)
    yield "locks", lambda: storage.locks(runs)
    yield "clock", lambda: storage.clock(runs)
    yield "shared memory", lambda: machine.shared_memory(settings, tasks)
    yield "open files", machine.open_files
    yield "data", lambda: data_is_seen([Path(root) for root in asked["data"]])


def sees(runs: Path, token: str) -> Iterator[Finding]:
    """Whether this node has the very folder of the runs that the login node has."""
    path = runs / token
    if path.is_file():
        yield ok("shared", f"{runs} is the folder of the login node")
    else:
        remedy = "set paths.runs to a file system that all nodes share"
        yield problem("shared", f"{runs} on this node is not the folder of the login node", remedy)


def data_is_seen(roots: list[Path]) -> Iterator[Finding]:
    """Roots of data sets that are prepared where the command was typed."""
    for root in roots:
        if root.is_dir():
            yield ok("data", f"{root} is here")
        else:
            yield problem("data", f"{root} is not on this node", "put the data where all nodes see it, or stage it")


def together(asked: dict[str, Any]) -> list[Finding]:
    """Meet, compare clocks, and sum over all processes: on GPUs by NCCL if runs ask for GPUs, else by gloo."""
    import torch
    import torch.distributed as dist

    from hcml.training.distributed import joined
    from sweeps.checks.allreduce import measure

    name, began = "all-reduce", time.monotonic()
    gpus = bool(asked["gpus"])
    remedy = (
        "NCCL_DEBUG=INFO in launcher.setup says more; NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME name the network "
        "where a node has several; NCCL_IB_DISABLE=1 shows whether it is InfiniBand; the logs are in the job's folder"
    )
    if gpus and not torch.cuda.is_available():
        why = devices.cuda_problem() or "no GPU is visible"
        return [problem(name, f"{gpus} GPUs were asked for, and torch sees none: {why}", "gpus_per_node or gres?")]
    try:
        with joined(timeout=MEET) as world:
            met = time.monotonic() - began
            who = world.gather((socket.gethostname(), time.time(), torch.cuda.device_count() if gpus else 0))
            device, group = torch.device("cpu"), None
            if gpus:
                device = torch.device("cuda", torch.cuda.current_device())
                group = dist.new_group(backend="nccl", timeout=MEET) if world.size > 1 else None
            rate = measure(device, world.rank, world.size, group) if world.size > 1 else 0.0
            if world.rank:
                return []
            nodes = sorted({host for host, _, _ in who})
            apart = max(when for _, when, _ in who) - min(when for _, when, _ in who)
            what = f"{world.size} {'GPUs' if gpus else 'CPU processes'} on {', '.join(nodes)}"
            lines = [ok(name, f"{what}: met after {met:.1f} s, the sum is right, {rate:.1f} GB/s")]
            if len(nodes) > 1 and apart > CLOCKS:
                text = f"clocks of {', '.join(nodes)} differ by about {apart:.0f} s"
                lines.append(problem("clock", text, "tell the site: heartbeats are compared between machines"))
            return lines
    except Exception as error:  # whatever the network and its libraries can raise: that is what is looked for
        traceback.print_exc()
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return [problem(name, f"after {time.monotonic() - began:.0f} s: {first[:300]}", remedy)]


if __name__ == "__main__":
    sys.exit(main())
