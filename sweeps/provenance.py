"""Which code, on which machine: what a record needs to be traced and compared."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""Where our packages lie: the checkout, or a copy made by :func:`snapshot`."""

SCIENCE = ("hcml", "benchmarks")
"""Packages whose code can change a result ..."""
NO_SCIENCE = ("benchmarks/speed",)
"""... and folders in them that cannot: what measures the suite's own speed. Snapshots carry them all the same."""
PACKAGES = ("hcml", "benchmarks", "sweeps", "results")
_COPIED = (".py", ".yaml", ".csv", ".json", ".txt", ".html", ".css", ".js")


def fingerprint(root: Path = ROOT, packages: tuple[str, ...] = SCIENCE) -> str:
    """sha256 (64 hex) of the packages' syntax trees and lists (.txt, such as class names in the order of the labels):
    comments, docstrings and layout do not count.

    Raises SyntaxError, naming the file, where a file cannot be parsed.
    """
    digest = hashlib.sha256()
    for package in packages:
        for path in _science(root, package, "*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
            digest.update(f"{path.relative_to(root).as_posix()}\0{_dump(tree)}\0".encode())
        for path in _science(root, package, "*.txt"):
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
            digest.update("\0".join([path.relative_to(root).as_posix(), *lines, ""]).encode())
    return digest.hexdigest()


def _science(root: Path, package: str, pattern: str) -> list[Path]:
    apart = tuple(root / folder for folder in NO_SCIENCE)
    found = (root / package).rglob(pattern)
    return sorted(path for path in found if not any(folder in path.parents for folder in apart))


def _dump(node: Any) -> str:
    """Like ast.dump, but the same in every Python version (which differ in the empty fields they print)."""
    if isinstance(node, list):
        return "[" + ",".join(_dump(item) for item in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            value = [statement for statement in value if not _is_text(statement)]
        if value is None or value == [] or name in ("type_comment", "kind"):
            continue
        parts.append(f"{name}={_dump(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(statement: ast.stmt) -> bool:
    """A docstring, of a module, class, function or attribute: a string on its own does nothing."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def code_state(root: Path = ROOT) -> dict[str, Any]:
    """{fingerprint, commit, dirty}: commit is '' outside git; dirty is '' for a clean tree, else the first 16 hex
    digits of the sha256 of the uncommitted changes (untracked files by name)."""
    commit = _git(root, "rev-parse", "HEAD").strip()
    changes = ""
    if commit:
        changes = _git(root, "diff", "HEAD", "--", *PACKAGES)
        changes += _git(root, "ls-files", "--others", "--exclude-standard", "--", *PACKAGES)
    dirty = hashlib.sha256(changes.encode()).hexdigest()[:16] if changes else ""
    return {"fingerprint": fingerprint(root), "commit": commit, "dirty": dirty}


def _git(root: Path, *arguments: str) -> str:
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def snapshot(target: Path, root: Path = ROOT) -> Path:
    """Copy our packages' code below `target`, so that edits made while a sweep runs do not reach its later runs.

    The folder is named by the fingerprint and by the exact files; an existing one is used again. Returns it.
    """
    files = sorted(p for package in PACKAGES for p in (root / package).rglob("*") if _is_code(p.relative_to(root)))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    folder = target / f"{fingerprint(root)[:12]}-{digest.hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    partial = target / f".{folder.name}.{os.getpid()}"
    for path in files:
        copy = partial / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another sweep made the same copy meanwhile
            raise
        shutil.rmtree(partial)
    return folder


def _is_code(path: Path) -> bool:
    if path.suffix not in _COPIED or "__pycache__" in path.parts:
        return False
    return path.parts[:2] not in (("results", "records"), ("results", "tables"))


def environment(device: str = "auto", threads: int | None = None) -> dict[str, Any]:
    """Python, libraries and machine, as plain types. `device` is the configured one ('auto' = cuda if there is one)."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    state: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads if threads is not None else torch.get_num_threads(),
        "device": device,
        "gpu": torch.cuda.get_device_name() if device == "cuda" else "",
    }
    for package in ("torch", "timm", "decord", "av", "torchcodec", "pillow", "numpy", "hydra-core"):
        try:
            state[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            state[package] = ""
    return state


@cache
def cpu_model() -> str:
    """The processor's name as the system gives it."""
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
