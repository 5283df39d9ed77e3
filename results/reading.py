"""Many records read by several processes: to read, check and flatten ten thousand takes longer than all else."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

MANY = 2_000
"""Fewer are read sooner than processes start."""
MOST = 8
_Found = TypeVar("_Found")


def over_processes(
    read: Callable[[Sequence[str]], list[_Found]], paths: Sequence[str], processes: int | None = None
) -> list[_Found]:
    """What `read` (a function of a module) finds in `paths`, in their order; each process has a part of them.

    processes: None = as many as this one may use cores, or itself alone where the paths are few.
    """
    if processes is None:
        processes = min(_cores(), MOST) if len(paths) >= MANY and sys.platform == "linux" else 1
    if processes == 1:
        return read(paths)
    size = -(-len(paths) // processes)
    parts = [paths[start : start + size] for start in range(0, len(paths), size)]
    # forked: a new interpreter would import pandas first
    with ProcessPoolExecutor(len(parts), multiprocessing.get_context("fork")) as pool:
        return [item for found in pool.map(read, parts) for item in found]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
