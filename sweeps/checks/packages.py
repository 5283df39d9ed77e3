"""Python and what is installed, beside requirements.lock and pyproject.toml."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sweeps.checks.finding import ROOT, Finding, ok, problem, warning

OWN = ("torch", "torchvision", "triton", "torchcodec")
"""What a cluster's own torch brings along in other versions (and nvidia-*, cuda-*)."""


def python(root: Path = ROOT) -> Iterator[Finding]:
    """Version and place of the interpreter."""
    text = f"{platform.python_version()} at {sys.executable}"
    wanted = SpecifierSet(
        tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    )
    if platform.python_version() in wanted:
        yield ok("python", text)
    else:
        yield problem("python", text, f"{wanted} is needed: make install PYTHON=/path/to/python3.11")


def packages(root: Path = ROOT) -> Iterator[Finding]:
    """What is needed and missing or too old; what differs from the lock."""
    again = "make install (with the cluster's torch: make install SYSTEM_TORCH=1 PYTHON=...)"
    bad = list(unmet(root))
    if bad:
        yield problem("packages", "; ".join(bad), again)
    locked = read_lock(root / "requirements.lock")
    found = {name: installed(name) for name in locked}
    other = {name: version for name, version in found.items() if version not in ("", locked[name])}
    text = f"{sum(found[name] == version for name, version in locked.items())} of {len(locked)} as in requirements.lock"
    if not other:
        if not bad:
            yield ok("packages", text)
        return
    differ = ", ".join(f"{name} {version} (lock: {locked[name]})" for name, version in sorted(other.items()))
    reason = "numbers of two environments need not agree to the last bit (each record names the versions)"
    own = all(name in OWN or name.startswith(("nvidia", "cuda")) for name in other)
    if own:
        yield warning("packages", f"{text}; of another torch: {differ}", f"as with SYSTEM_TORCH=1; {reason}")
    else:
        yield warning("packages", f"{text}; other versions: {differ}", f"{again}; {reason}")


def unmet(root: Path = ROOT) -> Iterator[str]:
    """Requirements of pyproject.toml (without tools and extras) that are missing or in a version too old."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["suite"]]:
        requirement = Requirement(line)
        version = installed(requirement.name)
        if not version:
            yield f"{requirement.name} is missing"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} does not fit {requirement.specifier}"


def main() -> int:
    """`python -m sweeps.checks.packages`: what `make install SYSTEM_TORCH=1` ends with; 1 = something does not fit."""
    found = [*python(), *packages()]
    print("\n".join(str(finding) for finding in found))
    return int(any(finding.level == "problem" for finding in found))


def read_lock(path: Path) -> dict[str, str]:
    """Package -> version."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    return {re.sub(r"\[.*", "", name): version for name, version in pairs}


def installed(name: str) -> str:
    """The version that is installed, without its build ("2.6.0+cu124" is 2.6.0); '' = none."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
