"""How commands end when something outside them ends them: in words, with an exit code that scripts know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def command(body: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of which `body` is the main function, run by bash with `shell` behind it."""
    code = f"import sys\nfrom results.command import run\ndef main():\n {body}\nsys.exit(run(main, ValueError))"
    words = [f"{name}={value}" for name, value in environment.items()]
    line = ["env", *words, "bash", "-c", f'"$0" -c "$1" {shell}; exit ${{PIPESTATUS[0]}}', sys.executable, code]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("return 1", 1, ""),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("raise ValueError('the file\\nis damaged')", 2, "error: the file is damaged\n"),
        ("open('/nowhere/at/all')", 2, "error: /nowhere/at/all: No such file or directory\n"),
    ],
)
def test_every_end_is_said_in_one_line(body: str, code: int, said: str) -> None:
    done = command(body)
    assert (done.returncode, done.stderr) == (code, said)


def test_a_fault_of_ours_is_not_hidden() -> None:
    assert "KeyError" in command("return {}['a']").stderr


def test_a_reader_that_goes_away_and_a_full_disk() -> None:
    many = "print('a line of text\\n' * 100000)"
    done = command(many, "| head -n 1")
    assert (done.returncode, done.stderr, done.stdout) == (141, "", "a line of text\n")
    for body in (many, "print('short')"):
        done = command(body, "> /dev/full")
        assert (done.returncode, done.stderr) == (2, "error: standard output: No space left on device\n")


def test_a_terminal_without_our_characters() -> None:
    done = command("print('\\u00b1')", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "\\xb1\n")
