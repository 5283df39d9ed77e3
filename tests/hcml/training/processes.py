"""Starting the processes of one run in a test, each told its place as a launcher would."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

HANG_SECONDS = 90.0


def _child(place: int, size: int, meeting: Path, errors: Path, work: Callable[[int], None]) -> None:
    os.environ |= {"RANK": str(place), "WORLD_SIZE": str(size), "HCML_RENDEZVOUS": str(meeting)}
    torch.set_num_threads(1)
    try:
        work(place)
    except BaseException:
        (errors / str(place)).write_text(traceback.format_exc())


def run_processes(size: int, folder: Path, work: Callable[[int], None]) -> dict[int, str]:
    """`work(rank)` in `size` forked processes that meet in a file; rank -> traceback of those that failed."""
    errors = folder / "errors"
    errors.mkdir(parents=True)
    fork = multiprocessing.get_context("fork")
    meeting = folder / "meeting" / "place.json"
    running = [fork.Process(target=_child, args=(k, size, meeting, errors, work)) for k in range(size)]
    for process in running:
        process.start()
    deadline = time.monotonic() + HANG_SECONDS
    for process in running:
        process.join(max(0.1, deadline - time.monotonic()))
    if hanging := [process for process in running if process.is_alive()]:
        for process in hanging:
            process.kill()
        raise AssertionError("a process hangs")
    assert not meeting.exists(), "the first process leaves no file behind"
    return {int(path.name): path.read_text() for path in errors.iterdir()}
