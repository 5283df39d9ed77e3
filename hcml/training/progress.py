"""What a person sees while a phase runs: a rich bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressReport:
    """Shows ``label``, steps, losses, clips/s and the time left.

    On a terminal a live bar; elsewhere one plain line per call of :meth:`interval` (a bar would fill a job's log with
    control characters).
    """

    def __init__(self, label: str, start: int, total: int, terminal: bool | None = None) -> None:
        self.label, self.total, self.start = label, total, start
        self.terminal = sys.stdout.isatty() if terminal is None else terminal
        self._began = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> ProgressReport:
        if self.terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[numbers]}"),
                TimeRemainingColumn(),
                console=Console(file=sys.stdout, force_terminal=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, completed=self.start, numbers="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def interval(self, done: int, numbers: Mapping[str, float], clips_per_second: float) -> None:
        """``numbers`` are the losses (and the like) of the last interval."""
        text = " ".join(
            [*(f"{name} {value:.4g}" for name, value in numbers.items()), f"{clips_per_second:.1f} clips/s"]
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=done, numbers=text)
            return
        left = (time.monotonic() - self._began) / max(1, done - self.start) * (self.total - done)
        print(f"{self.label} step {done}/{self.total} {text} left {_clock(left)}", flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
