"""SIGTERM and SIGUSR2 ask the loop to save and stop; the handler itself only sets a flag."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


class Preempted(RuntimeError):
    """The run was asked to stop and has saved a checkpoint; the same call goes on from there."""

    def __init__(self, step: int, signal_name: str) -> None:
        super().__init__(f"stopped by {signal_name} after step {step}, checkpoint saved: start the same run to go on")
        self.step = step
        self.signal_name = signal_name


class StopFlag:
    """Context in which SIGTERM and SIGUSR2 set a flag; the previous handlers are restored at the end.

    Python delivers signals to the main thread only, so in any other thread the flag stays unset and the handlers are
    left as they are.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self._previous: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.signal_name)

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python; it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
