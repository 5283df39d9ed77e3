"""A run that is asked where it is says so, and goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import os, signal
from sweeps import job

def hanging():
    os.kill(os.getpid(), signal.SIGUSR1)

job._listen()
hanging()
print("goes on")
"""


def test_sigusr1_writes_the_stacks_of_all_threads_and_ends_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "goes on\n"
    assert "Current thread" in done.stderr and "in hanging" in done.stderr
