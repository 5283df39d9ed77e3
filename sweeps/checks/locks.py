"""`python -m sweeps.checks.locks FOLDER`: does flock, which keeps two processes out of one run, work there?"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sweeps.checks.finding import Finding, ok, problem, say

TRY = """
import fcntl, sys
with open(sys.argv[1], "a") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("refused")
    else:
        print("given")
"""


def locks(folder: Path) -> Iterator[Finding]:
    """A lock that this process holds is refused to another one, and given to it afterwards."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".doctor-")
    remedy = (
        "runs need locks: set paths.runs to another file system, or ask the site to switch locks on (Lustre: flock)"
    )
    try:
        with os.fdopen(handle, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held = other(name)
        free = other(name)
    except OSError as error:
        yield problem("locks", f"flock does not work in {folder}: {error.strerror}", remedy)
        return
    finally:
        os.unlink(name)
    if (held, free) == ("refused", "given"):
        yield ok("locks", "a lock of one process keeps another one out")
    else:
        yield problem("locks", f"in {folder} a held lock was {held}, a free one {free}", remedy)


def other(name: str) -> str:
    """What another process says."""
    command = [sys.executable, "-I", "-c", TRY, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return done.stdout.strip() or f"an error ({done.stderr.strip().splitlines()[-1]})"


if __name__ == "__main__":
    say(locks(Path(sys.argv[1])))
