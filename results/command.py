"""What commands share that print what they found in files: text that cannot harm a terminal, and a quiet end when
nobody reads on (`| head`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def one_line(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def run(main: Callable[[], int]) -> int:
    """The exit code of `main`, or that of a program whose reader has gone (128 + SIGPIPE)."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # what is still in the buffer goes nowhere: Python would complain when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code
