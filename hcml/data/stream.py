"""An iterator over batches that are read here or in loader processes, and that says which videos made one hang or die.

torch's DataLoader moves the batches; this adds errors that name videos, an end that also ends hanging processes, and
independence from torch's global random numbers.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

POLL_SECONDS = 2.0
"""How soon the death of a loader process is noticed."""
PREFETCH = 2
"""Batches that a loader process prepares ahead."""

Batch = TypeVar("Batch")
Key = TypeVar("Key")


class LoaderError(RuntimeError):
    """A loader process hangs or died; the message names the videos that were being read."""


@dataclass
class _Failure:
    """An exception on its way out of a loader process: torch would rebuild it from its text alone."""

    error: Exception
    trace: str


@dataclass(eq=False)
class BatchSource(Dataset[Any]):
    """(step, keys) -> batch; what a loader process runs."""

    collate: Callable[[int, Any], Any]

    def __getitem__(self, task: tuple[int, Any]) -> Any:
        try:
            return self.collate(*task)
        except Exception as error:
            return _Failure(error, traceback.format_exc())


class BatchStream(Iterator[Batch], Generic[Batch]):
    """An iterator over batches that owns its loader processes; `close` ends them."""

    def __init__(
        self,
        source: BatchSource,
        tasks: Iterable[tuple[int, Sequence[Key]]],
        name: Callable[[Key], str],
        workers: int,
        timeout: float,
    ) -> None:
        self._source, self._name, self._timeout = source, name, timeout
        self._in_flight: deque[tuple[int, Sequence[Any]]] = deque()
        self._tasks = self._noted(tasks)
        self._loader: Any = None
        self._processes: list[BaseProcess] = []
        self._owner = os.getpid()
        self._closed = False
        if workers:
            self._start(workers)

    def _noted(self, tasks: Iterable[tuple[int, Sequence[Any]]]) -> Iterator[tuple[int, Sequence[Any]]]:
        for task in tasks:
            self._in_flight.append(task)
            yield task

    def _start(self, workers: int) -> None:
        loader = DataLoader(
            self._source,
            batch_size=None,
            sampler=self._tasks,
            num_workers=workers,
            collate_fn=_same,
            worker_init_fn=_set_up_worker,
            timeout=POLL_SECONDS,
            prefetch_factor=PREFETCH,
            # Without a generator of its own the loader draws from torch's global one, and a resumed run, which
            # makes its loader at another step, would go on with other random numbers.
            generator=torch.Generator(),
        )
        before = signal.getsignal(signal.SIGCHLD)
        self._loader = iter(loader)
        self._processes = list(self._loader._workers)
        # torch's handler raises in the middle of whatever the main thread does; we look for deaths in __next__,
        # where the videos can be named.
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGCHLD, before)
        # Loader processes ignore SIGTERM, with which multiprocessing would try to end them at exit, and wait for ever.
        self._at_exit = functools.partial(_kill, self._processes)
        atexit.register(self._at_exit)

    def __iter__(self) -> BatchStream[Batch]:
        return self

    def __enter__(self) -> BatchStream[Batch]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        try:
            batch = self._source[next(self._tasks)] if self._loader is None else self._receive()
        except BaseException:
            self.close()
            raise
        self._in_flight.popleft()
        if isinstance(batch, _Failure):
            if self._loader is not None:
                batch.error.add_note(f"in a loader process:\n{batch.trace}")
            self.close()
            raise batch.error
        return batch

    def _receive(self) -> Any:
        started = time.monotonic()
        while True:
            try:
                return next(self._loader)
            except RuntimeError as error:
                dead = [process for process in self._processes if not process.is_alive()]
                waited = time.monotonic() - started
                if dead:
                    raise LoaderError(f"{_obituary(dead)}; {self._suspects()}") from error
                if self._timeout and waited >= self._timeout:
                    raise LoaderError(
                        f"no batch for {waited:.0f} s (runtime.loader_timeout={self._timeout:g}); {self._suspects()}"
                    ) from error
                if "timed out" not in str(error):
                    raise

    def _suspects(self) -> str:
        """The videos of the batches asked for and not yet received, the awaited one first."""
        batches = [f"batch {step}: {', '.join(self._name(key) for key in keys)}" for step, keys in self._in_flight]
        return "the videos being read were, the likeliest first, " + "; ".join(batches)

    def close(self) -> None:
        """Ends the loader processes, busy ones too; a closed stream has no more batches."""
        if getattr(self, "_closed", True):
            return
        self._closed = True
        if self._loader is not None and os.getpid() == self._owner:  # not in a fork of the process that started them
            _kill(self._processes)
            atexit.unregister(self._at_exit)
        self._loader = None


def _set_up_worker(_: int) -> None:
    # A scheduler's signals go to the whole process group; the training process saves and then ends its loaders.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)


def _same(batch: Any) -> Any:
    return batch


def _kill(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.kill()
    for process in processes:
        process.join()


def _obituary(dead: Sequence[BaseProcess]) -> str:
    causes = {
        -signal.SIGBUS: "bus error: shared memory (/dev/shm) is full, use fewer runtime.workers or a smaller batch",
        -signal.SIGKILL: "killed, as the system does when memory runs out",
        -signal.SIGSEGV: "crashed in the decoder",
    }
    codes = [process.exitcode for process in dead]
    told = [causes.get(code, f"exit code {code}") if code is not None else "gone" for code in codes]
    return f"{len(dead)} of the loader processes died ({'; '.join(told)})"
