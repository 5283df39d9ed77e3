"""Small exact imitations of the official data sets: the real layouts, formats and containers around rendered motion.

For tests, and to try a machine before the real data is there. What is learned from them says nothing about any data
set, so the root is marked, and so is every manifest of it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.official import Official
from benchmarks.synthesize.containers import Clip, write_clips
from benchmarks.synthesize.plans import PLANS, Order, plan_of

__all__ = ["MARK", "SynthesisError", "synthesize"]

MARK = "SYNTHETIC"
"""File in the root of every imitation."""
REVISION = 1
"""Raised when the same wishes give other files."""
CHUNK = 4
"""Videos a process writes at a time."""


class SynthesisError(ValueError):
    """An imitation that cannot be written; the message says why and what to do."""


def synthesize(
    data: Official,
    root: Path,
    *,
    classes: int = 8,
    train_per_class: int = 4,
    test_per_class: int = 2,
    processes: int = 2,
    progress: Callable[[int, int], None] | None = None,
    short_side: int | None = None,
) -> Path:
    """Writes an imitation of `data` into `root`, which must be empty or hold the same imitation; returns `root`.

    The counts hold for each split. The class lists are complete, the lists of videos name those of `classes` classes.
    `short_side` (pixels) makes the videos smaller than the official ones. Of Kinetics, one training and one validation
    clip are listed and not there. Equal wishes give equal bytes; what an interruption left out is added by the next
    call, and the annotation files come last. Raises :class:`SynthesisError`.
    """
    _check(data, classes, train_per_class, test_per_class, short_side)
    root = Path(root)
    wishes = {
        "revision": REVISION,
        "data": data.name,
        "classes": classes,
        "train_per_class": train_per_class,
        "test_per_class": test_per_class,
        "short_side": short_side,
    }
    _settle(root, data, json.dumps(wishes))
    plan = plan_of(Order(data, classes, train_per_class, test_per_class, short_side))
    missing = [clip for clip in plan.clips if not (root / clip.place).exists()]
    done = 0
    for count in _write(root, missing, processes):
        done += count
        if progress is not None:
            progress(done, len(missing))
    for place, content in plan.files.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_bytes(path, content)
    return root


def _check(data: Official, classes: int, train: int, test: int, short_side: int | None) -> None:
    if data.name not in PLANS:
        raise SynthesisError(f"{data.name} cannot be imitated; there are: {', '.join(PLANS)}")
    known = len(data.classes())
    if not 1 <= classes <= known:
        raise SynthesisError(f"classes={classes} must be within 1 and {known}, the classes of {data.title}")
    if not 1 <= test <= 99 or not 1 <= train <= 99:
        raise SynthesisError(f"videos per class ({train} to train, {test} to test) must be within 1 and 99")
    if short_side is not None and (short_side < 16 or short_side % 2):
        raise SynthesisError(f"short_side={short_side} must be even and at least 16 (or None, the official size)")


def _settle(root: Path, data: Official, wishes: str) -> None:
    """Marks an empty folder; refuses one that holds anything but this imitation."""
    mark = root / MARK
    text = (
        f"This folder is an imitation of {data.title}, rendered by this project's benchmarks.synthesize.\n"
        f"Nothing in it is from the data set, and no result on it says anything about the data set.\n{wishes}\n"
    )
    if mark.is_file():
        if mark.read_text(encoding="utf-8") != text:
            raise SynthesisError(f"{root} holds another imitation ({mark} says which); remove it or use another folder")
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise SynthesisError(f"{root} is not empty and holds no imitation ({MARK}); use an empty folder")
    root.mkdir(parents=True, exist_ok=True)
    _write_bytes(mark, text.encode())


def _write(root: Path, clips: list[Clip], processes: int) -> Iterator[int]:
    chunks = [clips[i : i + CHUNK] for i in range(0, len(clips), CHUNK)]
    if processes <= 1 or len(chunks) <= 1:
        yield from (write_clips(root, chunk) for chunk in chunks)
        return
    # spawned, because forking a process that has started torch's threads may hang
    pool = ProcessPoolExecutor(min(processes, len(chunks)), mp_context=multiprocessing.get_context("spawn"))
    with pool:
        futures = [pool.submit(write_clips, root, chunk) for chunk in chunks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_bytes(path: Path, content: bytes) -> None:
    """The whole content or nothing."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
