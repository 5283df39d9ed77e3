"""What a check has found, and running checks so that none of them can end or hang the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "findings: "
"""Begins the line of standard output on which a separate process tells its findings."""


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, how it is, and what to do if it is not well."""

    name: str
    level: str
    """ok | warning (works, but read it) | problem."""
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<8} {self.name}: {self.text}"
        return f"{line}\n{'':8}   -> {self.remedy}" if self.remedy else line


def ok(name: str, text: str) -> Finding:
    return Finding(name, "ok", text)


def warning(name: str, text: str, remedy: str = "") -> Finding:
    return Finding(name, "warning", text, remedy)


def problem(name: str, text: str, remedy: str) -> Finding:
    return Finding(name, "problem", text, remedy)


def guarded(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of a check. One that raises is itself a finding, because the others still have to be made."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:
        text = f"could not be checked: {type(error).__name__}: {error}"
        found.append(problem(name, text, "this is a mistake of the check or of something below it; please report it"))
    return found


def say(findings: Iterable[Finding]) -> None:
    """What a separate process prints for :func:`isolated`."""
    print("\n" + MARK + json.dumps([asdict(finding) for finding in findings]), flush=True)


def isolated(
    name: str, module: str, arguments: Sequence[str] = (), timeout: float = 120.0, env: Mapping[str, str] | None = None
) -> list[Finding]:
    """The findings of `python -m MODULE ARGUMENTS`, in a process of its own: a decoder may crash, a network may hang.

    It gets `timeout` seconds, and is ended with all that it has started. `env` is added to the environment.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **(env or {})}
    code, out, err = run(command, timeout, environment)
    for line in reversed(out.splitlines()):
        if line.startswith(MARK):
            return [Finding(**finding) for finding in json.loads(line.removeprefix(MARK))]
    last = next((line for line in reversed(err.splitlines()) if line.strip()), "no message")
    return [problem(name, f"{_ended(code, timeout)}: {last}", f"to see all of it, type: {' '.join(command[2:])}")]


def run(command: Sequence[str], timeout: float, env: Mapping[str, str] | None = None) -> tuple[int | None, str, str]:
    """(exit code, stdout, stderr) of a command; the code is None for one that took longer than `timeout` seconds and
    was ended with all its children, and 127 for one that is not there."""
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=None if env is None else dict(env),
            cwd=ROOT if command[0] == sys.executable else None,
            start_new_session=True,
        )
    except OSError as error:
        return 127, "", str(error)
    try:
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        try:
            out, err = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:  # in the kernel, on a file system that does not answer: leave it there
            out = err = ""
        return None, out, err


def _ended(code: int | None, timeout: float) -> str:
    if code is None:
        return f"no answer within {timeout:.0f} s"
    if code < 0:
        return f"crashed by {signal.Signals(-code).name}"
    return f"failed with exit code {code}"


def summary(findings: Sequence[Finding]) -> str:
    """The last line of the report."""
    count = {level: sum(finding.level == level for finding in findings) for level in ("problem", "warning")}
    if not count["problem"]:
        return f"no problems, {count['warning']} warning{'s' if count['warning'] != 1 else ''}"
    return ", ".join(f"{number} {level}{'s' if number != 1 else ''}" for level, number in count.items())
