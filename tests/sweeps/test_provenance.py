from __future__ import annotations

import subprocess

import pytest

from sweeps.provenance import PACKAGES, code_state, environment, fingerprint, snapshot

CODE = '''"""Module."""

WEIGHT = 1.5
"""Of an attribute."""


class A:
    """Class."""

    def f(self, x: int = 3) -> str:
        """Function."""
        return f"{x!r:>4}"  # comment
'''


@pytest.fixture
def root(tmp_path):
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "hcml" / "a.py").write_text(CODE)
    return tmp_path


@pytest.mark.parametrize(
    "old, new",
    [('"""Module."""', '"""Other."""'), ("  # comment", ""), ('"""Function."""\n        ', ""), ("\n\n\n", "\n\n")],
)
def test_words_and_layout_do_not_count(root, old, new):
    before = fingerprint(root)
    assert old in CODE
    (root / "hcml" / "a.py").write_text(CODE.replace(old, new))
    assert fingerprint(root) == before


@pytest.mark.parametrize(
    "old, new", [("1.5", "1.6"), ("int = 3", "int = 4"), ("return f", "return 'a' + f"), (":>4", ":>5"), ("A:", "B:")]
)
def test_code_counts(root, old, new):
    before = fingerprint(root)
    assert old in CODE
    (root / "hcml" / "a.py").write_text(CODE.replace(old, new))
    assert fingerprint(root) != before


def test_only_what_can_change_a_result_counts(root):
    before = fingerprint(root)
    (root / "results" / "b.py").write_text("x = 1")
    (root / "sweeps" / "b.py").write_text("x = 1")
    assert fingerprint(root) == before
    (root / "benchmarks" / "b.py").write_text("x = 1")
    assert fingerprint(root) != before


def test_fingerprint_is_the_same_in_every_python_version(root):
    assert fingerprint(root) == "063d5283b6e7b95cbcd303502648cede41821d4398874742658f07f75e89f350"


def test_what_measures_speed_is_no_science(root):
    before = fingerprint(root)
    (root / "benchmarks" / "speed").mkdir()
    (root / "benchmarks" / "speed" / "clock.py").write_text("x = 3")
    (root / "benchmarks" / "speed" / "names.txt").write_text("a")
    assert fingerprint(root) == before
    (root / "benchmarks" / "speedy.py").write_text("x = 3")
    assert fingerprint(root) != before


def test_a_snapshot_is_complete_and_made_once(root, tmp_path):
    (root / "benchmarks" / "p.yaml").write_text("a: 1")
    (root / "hcml" / "__pycache__").mkdir()
    (root / "hcml" / "__pycache__" / "a.json").write_text("{}")
    target = tmp_path / "_code"
    folder = snapshot(target, root)
    assert fingerprint(folder) == fingerprint(root)
    assert (folder / "benchmarks" / "p.yaml").read_text() == "a: 1"
    assert not (folder / "hcml" / "__pycache__").exists()
    assert snapshot(target, root) == folder
    (root / "sweeps" / "c.py").write_text("y = 2")
    assert snapshot(target, root) != folder, "other code, other folder, even where the fingerprint is the same"
    assert len(list(target.iterdir())) == 2


def test_git_state(root):
    assert code_state(root) | {"fingerprint": ""} == {"fingerprint": "", "commit": "", "dirty": ""}

    def git(*arguments):
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *name, *arguments], cwd=root, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    clean = code_state(root)
    assert len(clean["commit"]) == 40 and clean["dirty"] == ""
    (root / "hcml" / "a.py").write_text(CODE + "# more\n")
    dirty = code_state(root)
    assert dirty["commit"] == clean["commit"] and dirty["dirty"] and dirty["fingerprint"] == clean["fingerprint"]


def test_environment_names_versions_and_machine():
    import torch

    state = environment("cpu", threads=3)
    assert {"decord", "av", "torchcodec", "pillow"} <= set(state)  # what decodes videos; '' = not installed
    assert state["torch"] == torch.__version__.split("+")[0] or state["torch"] == torch.__version__
    assert state["threads"] == 3 and state["device"] == "cpu" and state["cpu"] and state["python"]


def test_the_order_of_classes_counts_and_is_copied(root, tmp_path):
    names = root / "benchmarks" / "classes.txt"
    prints = []
    for text in ("# source\nleft\nright\n", "# other source\nleft\nright\n", "# source\nright\nleft\n"):
        names.write_text(text)
        prints.append(fingerprint(root))
    assert prints[0] == prints[1] != prints[2]
    copy = snapshot(tmp_path / "copies", root)
    assert (copy / "benchmarks" / "classes.txt").read_text() == names.read_text()
    assert fingerprint(copy) == prints[2]
