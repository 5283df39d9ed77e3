"""``python -m results.reference check``, in a process of its own and in ours."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from results.reference import __main__
from tests.results.reference.samples import FILLED, HEAD

ROOT = Path(__file__).resolve().parents[3]
Command = Callable[..., tuple[int, str, str]]


def test_the_committed_data_pass_the_check() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "results.reference", "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "published figures, each with its source" in done.stdout


def test_what_the_check_says(folder: Path, command: Command) -> None:
    assert command("check") == (
        0,
        "1 published figures, each with its source\n1 of 2 cells of the paper transcribed, each with its source\n",
        "",
    )
    assert command("check", "--empty") == (0, "sthv1-resnet50-levels3-progressive-top1\n", "")
    (folder / "hcml.yaml").write_text(HEAD + FILLED.replace("v2", "").replace('text: "1.50"', "text: 1.50"))
    code, out, err = command("check")
    assert (code, out) == (1, "") and err.startswith("2 problems in the reference data:\nhcml.yaml:3 (ucf101-")


def test_a_terminal_without_such_letters_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    __main__.say("row \u2190 \u00fc", stream)
    stream.flush()
    assert stream.buffer.getvalue() == b"row \\u2190 \\xfc\n"  # type: ignore[attr-defined]
