"""Plain lines that say how far a command is: no bars, which ruin the logs of jobs."""

from __future__ import annotations

import time
from collections.abc import Callable

Say = Callable[[str], None]
"""Called with one line of text."""

INTERVAL = 5.0
"""Seconds between two lines, at least."""


def quiet(_: str) -> None:
    """Says nothing."""


class Lines:
    """Counts `total` pieces of work and says at most every five seconds how many are done, how fast, how long yet."""

    def __init__(self, say: Say, done: str, total: int, interval: float = INTERVAL) -> None:
        """`done` is the line's beginning, such as 'prepared'."""
        self._say, self._done_word, self._total, self._interval = say, done, total, interval
        self._done, self._started = 0, time.monotonic()
        self._next = self._started + interval

    def step(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval
            rate = self._done / max(now - self._started, 1e-9)
            left = (self._total - self._done) / rate
            self._say(
                f"{self._done_word} {self._done} of {self._total} ({percent(self._done, self._total)}), "
                f"{rate:.3g} a second, about {duration(left)} left"
            )


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def amount(size: int) -> str:
    """Bytes, in GiB or, below one, in MiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def duration(seconds: float) -> str:
    """12 s, 3 min 5 s, 4 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
