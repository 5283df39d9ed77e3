"""A thread that looks, while a process works, whether another process of its run has failed or vanished."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

log = logging.getLogger(__name__)

FAILED, READ, BEAT = "hcml/failed", "hcml/read", "hcml/beat"
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0
"""How long the main thread has to end by itself, once another process has failed."""
LOST_POLLS = 240
"""Polls without a sign of life after which a process counts as gone. Polls and not seconds: a run that is suspended as
a whole goes on as if nothing had been."""
LEAVE_SECONDS = 60.0
"""How long a process that failed stays until the others have read why."""
INTERRUPTED = "interrupted: "


@dataclass(frozen=True)
class Failure:
    """Why another process ended: what it wrote into the store."""

    text: str

    @property
    def interrupted(self) -> bool:
        """It was asked to stop; nothing went wrong."""
        return self.text.startswith(INTERRUPTED)

    @property
    def summary(self) -> str:
        """`rank 1 of 2 failed: <last line of its traceback>`."""
        lines = [line for line in self.text.removeprefix(INTERRUPTED).splitlines() if line.strip()]
        return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


OnFailure = Callable[[Failure], int]
"""Called from the watching thread when the main thread cannot end by itself; returns the exit code."""


def leave(failure: Failure) -> int:
    log.error("%s", failure.text)
    return 1


class Watcher:
    """Polls the store of a run until `stop`; `failure` is what was found there.

    The main thread may sit in a collective that no other process will ever join. So it gets a few seconds to notice
    `failure` by itself, and then this thread ends the process: `on_failure` says how.

    Args:
        store: a connection of its own, since the main thread's may be waiting.
    """

    def __init__(self, store: Any, rank: int, size: int, on_failure: OnFailure = leave) -> None:
        self.store, self.rank, self.size, self.on_failure = store, rank, size, on_failure
        self.failure: Failure | None = None
        self.own = False
        """The failure is this process's own: its main thread is about to end."""
        self._found, self._stop = threading.Event(), threading.Event()
        self._beats: dict[int, tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        # A machine that lost its power closes no connection.
        self.store.set_timeout(timedelta(seconds=LEAVE_SECONDS))
        self._thread.start()

    def stop(self) -> None:
        """The main thread leaves."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def wait(self, seconds: float) -> Failure | None:
        """What is found within `seconds`."""
        self._found.wait(seconds)
        return self.failure

    def _watch(self) -> None:
        polls = 0
        while not self._stop.wait(POLL_SECONDS):
            polls += 1
            try:
                self.store.add(f"{BEAT}/{self.rank}", 1)
                if self.store.check([FAILED]):
                    self._find(self.store.get(FAILED).decode())
                    self.store.add(READ, 1)
                elif self.rank == 0 and (lost := self._lost(polls)) is not None:
                    silent = f"no sign of life for {LOST_POLLS * POLL_SECONDS:.0f} s"
                    text = f"rank {lost} of {self.size} failed:\n{silent}: it was killed, or its node died"
                    self.store.compare_set(FAILED, "", text)
            except RuntimeError as error:
                if self._stop.is_set():
                    return
                self._find(f"rank 0 of {self.size} failed:\nits connection broke ({error}): see its log")
            if self._found.is_set():
                if not self.own:
                    self._end()
                return

    def _find(self, text: str) -> None:
        self.failure = Failure(text)
        self._found.set()

    def _lost(self, polls: int) -> int | None:
        """A rank whose beats have not moved for long; ranks that have not beaten yet are still connecting."""
        if polls % 10:
            return None
        for rank in range(1, self.size):
            beats = self.store.add(f"{BEAT}/{rank}", 0)
            before, since = self._beats.get(rank, (0, polls))
            if beats != before:
                self._beats[rank] = (beats, polls)
            elif beats and polls - since > LOST_POLLS:
                return rank
        return None

    def _end(self) -> None:
        if self._stop.wait(GRACE_SECONDS):
            return
        assert self.failure is not None
        code = self.on_failure(self.failure)
        if self.rank == 0:  # it keeps the store
            wait_for_readers(self.store, self.size, GRACE_SECONDS)
        os._exit(code)


def wait_for_readers(store: Any, count: int, seconds: float) -> None:
    """Until `count` processes have read why another one failed."""
    deadline = time.monotonic() + seconds
    try:
        while store.add(READ, 0) < count and time.monotonic() < deadline:
            time.sleep(0.1)
    except RuntimeError as error:  # rank 0, which kept the store, is gone
        log.warning("the other processes cannot be told: %s", error)
