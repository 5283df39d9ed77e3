"""A sample of the damaged videos that `python tests/soak/damaged_videos.py` sends through every reader."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SCRIPT = Path(__file__).parents[1] / "soak" / "damaged_videos.py"
ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=env, timeout=300)


def test_no_damaged_video_crashes_hangs_or_is_miscounted() -> None:
    """42 of the 105 pairs of a kind of video and a way to spoil it."""
    done = run("--files", "42", "--seed", "11", "--limit", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "42 damaged videos" in done.stdout and "Rules broken: 0" in done.stdout
    counts = {
        name: [int(number) for number in numbers.split()]
        for name, numbers in re.findall(
            r"^(\w+) ((?: +\d+){10})$", done.stdout.split("by what was done")[0], re.MULTILINE
        )
    }
    assert {"decord", "pyav", "frames"} <= set(counts)
    # Refused, or read: both must happen, else nothing was tried.
    assert all(numbers[0] > 3 and sum(numbers) > numbers[0] for numbers in counts.values()), counts


@pytest.mark.parametrize(
    ("break_it", "outcome"),
    [
        ("import ctypes; ctypes.string_at(0)", "crashed"),
        ("import time; time.sleep(100)", "hung"),
        ("raise KeyError('x')", "escaped"),
    ],
)
def test_the_soak_sees_what_it_looks_for(tmp_path: Path, break_it: str, outcome: str) -> None:
    """A decoder that crashes, hangs or raises anything else on its fourth file: said, and the others go on."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if '--child' in sys.argv:\n"
        "    import hcml.data.video as video\n"
        "    class Broken(video.PyAVReader):\n"
        "        def __init__(self, path):\n"
        "            if '/3/' in str(path):\n"
        f"                {break_it}\n"
        "            super().__init__(path)\n"
        "    video.READERS['pyav'] = Broken\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, SCRIPT, "--files", "5", "--seed", "3", "--limit", "4", "--decoders", "pyav"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert (
        "Rules broken: 1\n" in done.stdout and '"number": 3' in done.stdout and f'"outcome": "{outcome}"' in done.stdout
    )


def test_an_audit_reports_every_video_that_was_damaged_after_it_was_prepared() -> None:
    """Each way to damage a file thrice or more; those that every decoder passes over too."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.damaged_data_set", "--files", "60", "--seed", "3"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 damaged videos, 60 reported, not reported: 0" in done.stdout
    assert "changed" in done.stdout
