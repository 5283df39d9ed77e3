"""The two commands of the README, with a stand-in for python so that nothing is installed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SWEEP = "python sweeps/run.py -m backbone=r50,r101 levels=1,2,3"

# Makes itself the python of a new environment, and writes down how it is called.
FAKE = """#!/bin/sh
echo "$(basename "$(dirname "$0")")/python $*" >> "$CALLS"
case "$*" in
  *version_info*) exit ${OLD_PYTHON:-0} ;;
  -V) echo "Python 3.8.0" ;;
  "-m venv .venv") [ -z "$NO_VENV" ] || exit 1; mkdir -p .venv/bin && cp "$0" .venv/bin/python
    echo "include-system-site-packages = false" > .venv/pyvenv.cfg ;;
  "-m venv --system-site-packages .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python
    echo "include-system-site-packages = true" > .venv/pyvenv.cfg ;;
  *"import torch"*) exit ${NO_TORCH:-0} ;;
  "-m sweeps.checks.packages") exit ${UNMET:-0} ;;
  "-m virtualenv .venv") [ -z "$NO_VENV" ] || exit 1 ;;
  "-m pip --version") test -x "$0" ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder / "calls.txt"
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, folder)
        self.python = folder / "host" / "python3"
        self.python.parent.mkdir()
        self.python.write_text(FAKE)
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "ARGS"))}
        command = ["make", f"PYTHON={self.python}", *arguments]
        env |= {"CALLS": str(self.calls_file), **environment}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)

    def calls(self) -> list[str]:
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_sweep_installs_once_then_runs_the_line_it_shows(place: Place) -> None:
    first = place.make("sweep")
    assert first.returncode == 0, first.stderr
    assert SWEEP in first.stdout.splitlines()
    calls = place.calls()
    installs = [call for call in calls if " install " in call]
    assert "-r requirements.lock" in installs[0] and "--editable ." in installs[1] and len(installs) == 2
    assert calls[-1] == f"bin/{SWEEP}"

    second = place.make("sweep")
    assert second.returncode == 0 and SWEEP in second.stdout.splitlines()
    assert place.calls() == [f"bin/{SWEEP}"], "the second call must not install again"


def test_a_changed_lock_is_installed_into_the_same_environment(place: Place) -> None:
    place.make("install")
    place.calls()
    later = (place.folder / ".venv/.installed").stat().st_mtime + 10
    os.utime(place.folder / "requirements.lock", (later, later))
    assert place.make("install").returncode == 0
    calls = place.calls()
    assert any("-r requirements.lock" in call for call in calls)
    assert not any("-m venv" in call for call in calls)


def test_arguments_reach_the_sweep_and_are_shown(place: Place) -> None:
    done = place.make("sweep", "ARGS=profile=full 'seed=0,1'")
    assert done.returncode == 0, done.stderr
    assert f"{SWEEP} profile=full 'seed=0,1'" in done.stdout.splitlines()
    assert place.calls()[-1] == f"bin/{SWEEP} profile=full seed=0,1"


def test_a_failing_sweep_fails_make(place: Place) -> None:
    place.make("install")
    (place.folder / ".venv/bin/python").write_text("#!/bin/sh\nexit 3\n")
    assert place.make("sweep").returncode != 0


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"OLD_PYTHON": "1"}, "Python 3.11 or newer is needed"),
        ({"NO_VENV": "1"}, "apt-get install python3-venv"),
    ],
)
def test_what_is_missing_is_named_and_leaves_nothing_half_made(
    place: Place, environment: dict[str, str], says: str
) -> None:
    done = place.make("sweep", **environment)
    assert done.returncode != 0
    assert says in done.stderr
    assert not (place.folder / ".venv/.installed").exists()
    assert not any("sweeps/run.py" in call for call in place.calls())
    assert place.make("sweep").returncode == 0, "once the reason is gone, the same command works"


def test_a_missing_python_is_named(place: Place) -> None:
    done = place.make("install", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "no-such-python was not found" in done.stderr


def test_the_systems_torch_is_used_and_nothing_of_torch_is_installed(place: Place) -> None:
    done = place.make("install", "SYSTEM_TORCH=1")
    assert done.returncode == 0, done.stderr
    calls = place.calls()
    assert any("-m venv --system-site-packages .venv" in call for call in calls)
    installs = [call for call in calls if " install " in call]
    assert "--no-deps -r .venv/requirements.txt" in installs[0] and "--editable ." in installs[1]
    assert calls[-1] == "bin/python -m sweeps.checks.packages"
    lines = (place.folder / ".venv/requirements.txt").read_text().splitlines()
    names = {line.partition("==")[0] for line in lines}
    of_torch = {name for name in names if name.startswith(("torch", "nvidia-", "cuda-", "triton"))}
    assert not of_torch and {"timm", "decord", "submitit", "numpy"} <= names

    assert place.make("sweep").returncode == 0
    assert place.calls() == [f"bin/{SWEEP}"], "later calls keep that environment"


def test_another_kind_of_environment_is_made_anew(place: Place) -> None:
    place.make("install")
    place.calls()
    assert place.make("install", "SYSTEM_TORCH=1").returncode == 0
    assert any("--system-site-packages" in call for call in place.calls())
    assert place.make("install", "SYSTEM_TORCH=").returncode == 0
    calls = place.calls()
    assert any(call.endswith("-m venv .venv") for call in calls) and any("-r requirements.lock" in c for c in calls)


@pytest.mark.parametrize(
    ("environment", "says"), [({"NO_TORCH": "1"}, "has no torch and torchvision"), ({"UNMET": "1"}, "")]
)
def test_a_torch_that_is_missing_or_too_old_is_no_installation(
    place: Place, environment: dict[str, str], says: str
) -> None:
    done = place.make("install", "SYSTEM_TORCH=1", **environment)
    assert done.returncode != 0 and says in done.stderr
    assert not list(place.folder.glob(".venv/.installed*"))


def test_clean_keeps_runs_data_and_environment(place: Place) -> None:
    place.make("install")
    for name in ("hcml", "benchmarks", "sweeps", "results", "tests", "runs/test/x", "data/videos", "hcml/__pycache__"):
        (place.folder / name).mkdir(parents=True)
    assert place.make("clean").returncode == 0
    assert (place.folder / "runs/test/x").is_dir() and (place.folder / "data/videos").is_dir()
    assert (place.folder / ".venv/.installed").exists()
    assert not (place.folder / "hcml/__pycache__").exists()


def test_help_lists_every_target(place: Place) -> None:
    done = place.make()
    assert done.returncode == 0
    for target in ("install", "sweep", "tables", "test", "lint", "format", "lock", "clean"):
        assert f"make {target} " in done.stdout
