"""What the loader processes of a run take of a machine: processors, shared memory, open files."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeps.checks.devices import cores
from sweeps.checks.finding import Finding, ok, warning
from sweeps.checks.storage import amount

PREFETCH = 2
"""Batches that each loader process keeps ready (hcml/data/stream.py)."""


def processors(settings: Mapping[str, Any], tasks: int, there: int = 0) -> Iterator[Finding]:
    """`tasks` processes of a run with `there` processors between them (0 = those of this process)."""
    workers, threads = settings["runtime"]["workers"], settings["compute"]["threads"]
    have, wanted = there or cores(), tasks * (workers + threads)
    text = f"{have} processors, {tasks} x ({workers} loader processes + {threads} threads) are configured"
    if wanted > have:
        remedy = (
            "they get in each other's way: fewer runtime.workers (changes no result) or compute.threads (part of a "
            "run's identity), or more launcher.cpus_per_task"
        )
        yield warning("processors", text, remedy)
    else:
        yield ok("processors", text)


def shared_memory(settings: Mapping[str, Any], tasks: int = 1, folder: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Whether the batches of all loader processes fit into /dev/shm."""
    workers, size, frames = settings["runtime"]["workers"], settings["input_size"], settings["num_frames"]
    batch = max(settings[phase]["length"]["batch_size"] for phase in ("pretrain", "finetune"))
    clips = -(-batch // tasks)
    needed = tasks * workers * PREFETCH * clips * frames * 3 * size * size * 4
    try:
        found = os.statvfs(folder)
    except OSError as error:
        yield warning("shared memory", f"{folder}: {error.strerror}", "set runtime.workers=0, or ask the site for it")
        return
    free = found.f_bavail * found.f_frsize
    text = f"{amount(free)} free in {folder}, up to {amount(needed)} needed by {tasks * workers} loader processes"
    if needed > free:
        remedy = "fewer runtime.workers; in a container, a larger one (docker --shm-size, apptainer shares the host's)"
        yield warning("shared memory", text, remedy)
    else:
        yield ok("shared memory", text)


def open_files() -> Iterator[Finding]:
    """The limit on open files; each batch in shared memory takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        yield warning("open files", f"at most {soft} (hard limit {hard})", "ulimit -n 4096 in launcher.setup")
    else:
        yield ok("open files", f"at most {soft}")


def host_name() -> Iterator[Finding]:
    """Whether this machine's own name resolves: processes of one run find each other by it."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        remedy = "runs over several nodes need it: ask the site, or GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME in setup"
        yield warning("host name", f"{name} does not resolve ({error})", remedy)
    else:
        yield ok("host name", f"{name} is {address}")
