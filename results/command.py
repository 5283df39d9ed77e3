"""What commands share: text that cannot harm a terminal, and an end in words whatever ends them: a reader that has gone
(`| head`), Ctrl-C, a folder that cannot be written, a full disk, a terminal without our characters."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable

INTERRUPTED, NO_READER = 130, 141
"""128 + the signal's number, as shells say it: SIGINT, SIGPIPE."""


def one_line(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def run(main: Callable[[], int], *refusals: type[Exception]) -> int:
    """The exit code of `main`; 2 after one line of why for its `refusals` and for what cannot be read or written."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no ± shows \xb1
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        _drop()
        return NO_READER
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except OSError as error:
        name = error.filename2 or error.filename
        _say(f"error: {'standard output' if name is None else os.fsdecode(name)}: {error.strerror or error}")
        _drop()
        return 2
    except refusals as error:
        _say(f"error: {error}")
        return 2
    return code


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(one_line(text), file=sys.stderr, flush=True)


def _drop() -> None:
    """What is still in the buffer goes nowhere if it cannot be written: Python would complain when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
