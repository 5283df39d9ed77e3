"""How a command that prints much ends when nobody reads on (`| head`): quietly."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


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
