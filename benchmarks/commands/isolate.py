"""Work on many files in processes of its own: a decoder that crashes or hangs on one file costs that file only."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost:
    """The process that worked on an item died or did not come back."""

    reason: str


def default_processes() -> int:
    """One a processor that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


@dataclass
class _Worker(Generic[Item]):
    process: Any
    pipe: Connection
    items: list[Item] = field(default_factory=list)
    """What it works on: nothing or one item."""
    ready: bool = False
    since: float = 0.0


def run_isolated(
    function: Callable[[Item], Result], items: Iterable[Item], *, processes: int, limit: float
) -> Iterator[tuple[Item, Result | Lost]]:
    """function(item) for all items, in `processes` spawned processes, in the order in which they finish.

    A process that dies, or works for more than `limit` seconds on one item, gives that item a :class:`Lost` and is
    replaced. What `function` raises is raised here and ends the work; `function` and items must be picklable.
    `processes=0` works in this process, without protection.
    """
    if processes <= 0:
        for item in items:
            yield item, function(item)
        return
    source = iter(items)
    workers: list[_Worker[Item]] = []
    ahead = list(_take(source, processes))
    try:
        workers = [_start(function) for _ in ahead]
        while workers:
            now = time.monotonic()
            deadlines = [worker.since + limit - now for worker in workers if worker.items]
            pause = max(0.0, min(deadlines)) if deadlines else None
            for pipe in wait([worker.pipe for worker in workers], pause):
                worker = next(worker for worker in workers if worker.pipe is pipe)
                try:
                    worked, value = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    if not worker.items:
                        raise RuntimeError(f"a process could not start ({_died(worker.process.exitcode)})") from None
                    yield worker.items.pop(), Lost(f"the decoder crashed on it ({_died(worker.process.exitcode)})")
                    _replace(workers, worker, function)
                    continue
                if worker.ready and not worked:
                    raise value
                if worker.ready:
                    yield worker.items.pop(), value
                worker.ready = True
                _hand_out(workers, worker, ahead, source)
            now = time.monotonic()
            for worker in [w for w in workers if w.items and now - w.since >= limit and not w.pipe.poll()]:
                yield worker.items.pop(), Lost(f"the decoder was not done with it after {limit:g} s")
                _replace(workers, worker, function)
    finally:
        for worker in workers:
            _end(worker)


def _take(source: Iterator[Item], count: int) -> Iterator[Item]:
    for _ in range(count):
        try:
            yield next(source)
        except StopIteration:
            return


def _hand_out(workers: list[_Worker[Item]], worker: _Worker[Item], ahead: list[Item], source: Iterator[Item]) -> None:
    following = [ahead.pop()] if ahead else list(_take(source, 1))
    if not following:
        workers.remove(worker)
        _end(worker)
        return
    worker.items, worker.since = following, time.monotonic()
    worker.pipe.send(following[0])


def _start(function: Callable[[Item], Result]) -> _Worker[Item]:
    # spawned: a fork would inherit decoders, threads and locks
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _replace(workers: list[_Worker[Item]], worker: _Worker[Item], function: Callable[[Item], Result]) -> None:
    workers.remove(worker)
    _end(worker)
    workers.append(_start(function))


def _end(worker: _Worker[Item]) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _work(function: Callable[[Item], Result], pipe: Connection) -> None:
    # Ctrl-C reaches the whole process group; the process that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    try:
        pipe.send((True, None))
        while True:
            item = pipe.recv()
            try:
                answer: tuple[bool, Any] = (True, function(item))
            except Exception as error:  # raised again where the work was asked for
                answer = (False, error)
            pipe.send(answer)
    except (EOFError, OSError):
        return  # the asking process is gone


def _die_with_parent() -> None:
    """So that a killed run leaves nobody behind who still writes (Linux; elsewhere the item at hand is finished)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:
            os._exit(1)


def _died(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
