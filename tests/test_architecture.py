"""The rules of the house that a machine can hold: who imports whom, file length, no machine's paths.

A planted offence shows for each rule that it bites."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hcml", "benchmarks", "sweeps", "results")

# The longest prefix of a module's name decides what of ours it may import (prefixes too). "hcml" itself stands for
# the small modules that have no line of their own: they know the configuration alone.
ALLOWED: dict[str, tuple[str, ...]] = {
    "hcml": ("hcml.config",),
    "hcml.config": ("hcml.config",),
    "hcml.data": ("hcml.data", "hcml.config"),
    "hcml.backbone": ("hcml.taps", "hcml.temporal", "hcml.weights", "hcml.config"),
    "hcml.offline_weights": ("hcml.weights", "hcml.config"),
    "hcml.motion": ("hcml.motion", "hcml.config"),
    "hcml.model": ("hcml.backbone", "hcml.temporal", "hcml.motion", "hcml.config"),
    "hcml.objectives": ("hcml.objectives", "hcml.motion", "hcml.model", "hcml.config"),
    "hcml.training": ("hcml",),
    "benchmarks": ("benchmarks", "hcml.data", "hcml.config"),
    # The command line alone: `weights fetch` is a matter of hcml, and belongs beside the commands that fetch data.
    "benchmarks.__main__": ("benchmarks", "hcml.data", "hcml.config", "hcml.offline_weights"),
    "benchmarks.speed": ("benchmarks", "hcml", "results"),
    "results": ("results",),
    "sweeps": ("sweeps", "hcml", "benchmarks", "results"),
}
# Third-party packages by the only ones of ours that may know them.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "hydra": ("sweeps",),
    "hydra_plugins": ("sweeps",),
    "omegaconf": ("sweeps",),
    "submitit": ("sweeps",),
    "pandas": ("results",),
    "torch": ("hcml", "benchmarks", "sweeps"),
    "timm": ("hcml", "sweeps"),
}
MAX_LINES = 330
OFFERED = ("torchcodec",)
"""Extras of hcml itself: imported only inside functions, so that it works without them."""


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything `path` imports at any depth: inside functions, under TYPE_CHECKING, relative,
    and by import_module with a literal. `from a import b` gives a.b where that is a module, a otherwise."""
    module = module_name(path, root)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                inside = root.joinpath(*base.split("."), alias.name)
                is_module = inside.is_dir() or inside.with_suffix(".py").is_file()
                yield node.lineno, f"{base}.{alias.name}" if is_module else base
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                name = node.args[0].value
                yield node.lineno, f"{package}{name}" if name.startswith(".") else name


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def import_offences(root: Path) -> list[str]:
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            module = module_name(path, root)
            rule = max((key for key in ALLOWED if within(module, key)), key=len)
            for line, name in imports_of(path, root):
                top = name.partition(".")[0]
                place = f"{path.relative_to(root)}:{line}: {module} imports {name}"
                if top in PACKAGES and not any(within(name, allowed) for allowed in ALLOWED[rule]):
                    found.append(f"{place}; {rule} may import {', '.join(ALLOWED[rule]) or 'nothing of ours'}")
                elif top == "tests":
                    found.append(f"{place}; only tests may")
                elif top in ONLY_IN and package not in ONLY_IN[top]:
                    found.append(f"{place}; only {', '.join(ONLY_IN[top])} may")
    return found


def test_imports_follow_the_layout() -> None:
    assert import_offences(ROOT) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("hcml/data/video.py", "from hcml.model import HCML"),
        ("hcml/data/video.py", "def f():\n    from ..model import HCML"),
        ("hcml/data/video.py", "from hcml import model"),
        ("hcml/data/video.py", "import importlib\nimportlib.import_module('hcml.model')"),
        ("hcml/model.py", "import hydra"),
        ("hcml/model.py", "from omegaconf import DictConfig"),
        ("hcml/model.py", "from .training import loop"),
        ("hcml/motion/prime.py", "from hcml.backbone import Backbone"),
        ("hcml/taps.py", "from hcml.backbone import Backbone"),
        ("benchmarks/synthmotion/render.py", "from hcml.model import HCML"),
        ("benchmarks/synthmotion/render.py", "import sweeps.run"),
        ("results/tables.py", "from hcml.config import to_dict"),
        ("results/tables.py", "import torch"),
        ("sweeps/run.py", "from tests import helpers"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, text: str) -> None:
    for package in (
        "hcml/config",
        "hcml/data",
        "hcml/training",
        "hcml/motion",
        "benchmarks/synthmotion",
        "results",
        "sweeps",
    ):
        (tmp_path / package).mkdir(parents=True)
    for module in ("hcml/model.py", "hcml/backbone.py", "hcml/config/__init__.py", "hcml/training/loop.py"):
        (tmp_path / module).touch()
    (tmp_path / "benchmarks/synthmotion/ok.py").write_text("from hcml.data.manifest import Manifest\nimport torch\n")
    (tmp_path / "sweeps/ok.py").write_text("import hydra, hcml.training, benchmarks, results\n")
    assert import_offences(tmp_path) == []
    (tmp_path / file).write_text(text + "\n")
    (offence,) = import_offences(tmp_path)
    assert offence.startswith(file)


def test_the_package_declares_what_it_imports() -> None:
    """The wheel carries hcml alone, so its requirements must be all that hcml imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # An extra that hcml offers counts, but not those that the checkout adds around it.
    extras = [line for name, lines in project["optional-dependencies"].items() if name in OFFERED for line in lines]
    declared = [*project["dependencies"], *extras]
    names = {re.split(r"[<>=!~ ;\[]", line, maxsplit=1)[0].replace("-", "_").lower() for line in declared}
    names |= {"pil"} if "pillow" in names else set()
    third_party = {
        name.partition(".")[0]
        for path in (ROOT / "hcml").rglob("*.py")
        for _, name in imports_of(path, ROOT)
        if name.partition(".")[0] not in sys.stdlib_module_names
    } - {"hcml"}
    third_party = {name.lower() for name in third_party}
    assert third_party <= names, f"add to [project] dependencies: {sorted(third_party - names)}"


@pytest.mark.parametrize("extra", OFFERED)
def test_hcml_imports_its_extras_only_when_they_are_used(extra: str) -> None:
    code = f"import sys; sys.modules[{extra!r}] = None; import hcml.data.dataset, hcml.training.finetune"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def project_files(root: Path = ROOT) -> list[Path]:
    """The files a commit would hold: tracked ones and new ones that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    return [path for name in listing.split("\0") if name and (path := root / name).is_file()]


def test_no_file_is_too_long() -> None:
    python = [path for path in project_files() if path.suffix == ".py"]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in python}
    assert len(lengths) > 10
    too_long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES}
    assert not too_long, f"split these (limit {MAX_LINES} lines, aim at 300): {too_long}"


# With classes of one letter, so that this file is not its own first offender.
LEFTOVERS = re.compile(r"(?:^|[^.\w])/(?:work|farm|root|tmp)/|TO[D]O|FIX[M]E|NotImplemented[E]rror")


def test_no_machine_paths_and_no_leftovers() -> None:
    found = []
    for path in project_files():
        if path.suffix == ".lock":
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        place = path.relative_to(ROOT)
        found += [f"{place}:{i}: {line[:120]}" for i, line in enumerate(lines, 1) if LEFTOVERS.search(line)]
    assert found == []


def test_leftovers_are_recognised() -> None:
    for text in ("see /" + "work/main", "open('/" + "tmp/x')", "# TO" + "DO later"):
        assert LEFTOVERS.search(text), text
    for text in ("./work/x", "a/work/b", "runs/tmp/x", "todo"):
        assert not LEFTOVERS.search(text), text
