"""What is shipped, and what is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hcml", "benchmarks", "sweeps", "results", "tests")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, because a build leaves files beside the sources."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def build(checkout: Path, hook: str, target: Path) -> zipfile.ZipFile:
    """The wheel a PEP 517 hook makes, with the setuptools of this environment (no network)."""
    command = [sys.executable, "-c", BUILD, hook, str(target)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(target / done.stdout.splitlines()[-1])


def test_the_wheel_ships_hcml_alone(checkout: Path, tmp_path: Path) -> None:
    with build(checkout, "build_wheel", tmp_path) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"hcml"}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hcml").rglob("*.py")}
    assert sources <= set(names)
    assert "hcml/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_an_editable_install_puts_the_whole_checkout_on_the_path(checkout: Path, tmp_path: Path) -> None:
    """One .pth line with the checkout: hcml, benchmarks, sweeps and results are importable from anywhere."""
    with build(checkout, "build_editable", tmp_path) as wheel:
        entries = {name: wheel.read(name).decode().strip() for name in wheel.namelist() if name.endswith(".pth")}
    (line,) = entries.values()
    assert Path(line).resolve() == checkout.resolve()
    code = f"import sys; sys.path.append({line!r}); import benchmarks, hcml, results, sweeps; print(hcml.__file__)"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    bad = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!-]*", line)]
    assert not bad, f"not name==version: {bad}"
    pins = {normal(name): version for name, version in (line.split("==") for line in lines)}
    assert len(pins) == len(lines), "a package is pinned twice"
    return pins


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_satisfies_every_requirement_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    pins = locked()
    for requirement in map(Requirement, wanted):
        version = pins.get(normal(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements.lock: install it, then make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but locked at {version}"


def test_the_lock_holds_no_version_of_one_machine() -> None:
    """A local version (+cpu, +cu130) or pip itself would not install elsewhere."""
    pins = locked()
    assert "pip" not in pins and "hcml" not in pins
    assert [name for name, version in pins.items() if "+" in version] == []
