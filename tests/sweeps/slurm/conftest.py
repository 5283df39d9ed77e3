"""SLURM's commands as scripts of the test's own: they say what they are told, and note how they were called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FakeCommand = Callable[..., Path]


@pytest.fixture
def fake_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommand:
    """fake_command(name, out="", err="", code=0, seconds=0) puts a command on a PATH that holds nothing else.

    `out` may also be a list: an answer for each call, the last one for good. Returns the file of its calls, a JSON list
    of arguments a line.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, out: str | list[str] = "", err: str = "", code: int = 0, seconds: float = 0) -> Path:
        calls = tmp_path / f"{name}.calls"
        answers = [out] if isinstance(out, str) else out
        script = (
            f"#!{sys.executable} -S\nimport json, sys, time\n"
            f"calls = open({str(calls)!r}, 'a+'); calls.seek(0); n = len(calls.readlines())\n"
            "calls.write(json.dumps(sys.argv[1:]) + '\\n'); calls.close()\n"
            f"answers = {answers!r}\n"
            "sys.stdout.buffer.write(answers[min(n, len(answers) - 1)].encode('latin-1', 'replace'))\n"
            "sys.stdout.flush()\n"
            f"time.sleep({seconds}); sys.stderr.write({err!r}); sys.exit({code})\n"
        )
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
        return calls

    return make
