"""Starting the processes of one run in a test, each told its place as a launcher would."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hcml.config import FinetuneRun, PretrainRun, Runtime
from hcml.data.manifest import Data
from hcml.training.distributed import World
from hcml.training.finetune import run_finetune
from hcml.training.pretrain import run_pretrain

HANG_SECONDS = 90.0
Config = PretrainRun | FinetuneRun


def train(config: Config, data: Data, folder: Path, runtime: Runtime, world: World | None = None, **rest: Any) -> dict:
    run: Any = run_pretrain if isinstance(config, PretrainRun) else run_finetune
    return run(config, data, folder, runtime, world=world, **rest)


def _child(place: int, size: int, meeting: Path, errors: Path, work: Callable[[int], None]) -> None:
    os.environ |= {"RANK": str(place), "WORLD_SIZE": str(size), "LOCAL_RANK": str(place)}
    os.environ["HCML_RENDEZVOUS"] = str(meeting)
    torch.set_num_threads(1)
    try:
        work(place)
    except BaseException:
        (errors / str(place)).write_text(traceback.format_exc())


def run_processes(
    size: int, folder: Path, work: Callable[[int], None], killed: int = -1, method: str = "fork"
) -> dict[int, str]:
    """`work(rank)` in `size` processes that meet in a file; rank -> traceback of those that failed.

    killed: the rank of which no more is expected than that it ends; method: spawn for CUDA, with a picklable `work`.
    """
    errors = folder / "errors"
    errors.mkdir(parents=True)
    fork: Any = multiprocessing.get_context(method)
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
    assert killed == 0 or not meeting.exists(), "the first process leaves no file behind"
    return {int(path.name): path.read_text() for path in errors.iterdir()}
