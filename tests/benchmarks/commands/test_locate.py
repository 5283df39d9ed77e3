"""Videos are found where they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.benchmarks.tree import grow, run


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("grown"))


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


def test_files_are_found_anywhere_by_exact_stem_and_duplicates_are_reported(root: Path) -> None:
    (root / "else/where").mkdir(parents=True)
    (root / "wave/c.mp4").rename(root / "else/where/c.MP4")
    (root / "wave/c.txt").write_text("not a video")
    shutil.copy(root / "catch/b.webm", root / "wave/cc.webm")
    outcome, said = run(root, "original")
    assert outcome.located.paths["c"] == "else/where/c.MP4" and not outcome.located.ambiguous
    shutil.copy(root / "else/where/c.MP4", root / "else/c.mkv")
    outcome, said = run(root, "original")
    assert outcome.located.ambiguous == {"c": ["else/c.mkv", "else/where/c.MP4"]}
    assert outcome.located.paths["c"] == "else/c.mkv"
    assert any("1 videos have several files" in line for line in said)


def test_links_to_folders_are_followed_once(root: Path, tmp_path: Path) -> None:
    (root / "wave").rename(tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    outcome, _ = run(root, "original")
    assert outcome.located.paths["c"] == "linked/c.mp4" and not outcome.located.ambiguous
