"""A check that raises, crashes or hangs is a finding, and the others are still made."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sweeps.checks import finding
from sweeps.checks.finding import Finding, guarded, isolated, ok, problem, run, summary, warning

BODY = {
    "good": "from sweeps.checks.finding import ok, say; print('noise'); say([ok('x', 'fine')])",
    "raises": "raise RuntimeError('no such library')",
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": "import time; print('busy', flush=True); time.sleep(60)",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """module(name) -> findings of a process with that body."""

    def make(name: str, timeout: float = 20.0) -> list[Finding]:
        (tmp_path / "planted.py").write_text(BODY[name])
        path = f"{finding.ROOT}:{tmp_path}"
        return isolated("x", "planted", timeout=timeout, env={"PYTHONPATH": path})

    return make


def test_the_findings_of_another_process_are_read(module: Any) -> None:
    assert module("good") == [ok("x", "fine")]


@pytest.mark.parametrize(
    ("name", "says"), [("raises", "no such library"), ("crashes", "SIGSEGV"), ("hangs", "no answer within 2 s")]
)
def test_a_process_that_fails_is_a_problem_with_its_reason(module: Any, name: str, says: str) -> None:
    began = time.monotonic()
    (found,) = module(name, timeout=2.0 if name == "hangs" else 20.0)
    assert found.level == "problem" and says in found.text and "-m planted" in found.remedy
    assert time.monotonic() - began < 15


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {file}; wait"
    assert run(["sh", "-c", script], timeout=1.0)[0] is None
    pid = int(file.read_text())
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the child lives")


def test_a_missing_command_is_an_answer() -> None:
    assert run(["no-such-command"], 1.0)[0] == 127
    assert run([sys.executable, "-c", "print(1)"], 20.0) == (0, "1\n", "")


def test_a_check_that_raises_keeps_what_it_found_before() -> None:
    def check() -> Any:
        yield ok("a", "fine")
        raise KeyError("b")

    first, second = guarded("a", check)
    assert first.level == "ok" and second.level == "problem" and "KeyError: 'b'" in second.text


def test_the_last_line_counts() -> None:
    assert summary([ok("a", ""), warning("b", "")]) == "no problems, 1 warning"
    assert summary([problem("a", "", "x"), problem("b", "", "x")]) == "2 problems, 0 warnings"
    assert str(problem("a", "bad", "mend it")) == "problem  a: bad\n           -> mend it"
