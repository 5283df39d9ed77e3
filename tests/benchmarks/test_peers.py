"""The readers beside torchvision's: the same videos in the same subsets, under the same classes.

torchvision's data sets are built whole, but for the part that opens the videos.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torchvision import datasets
from torchvision.datasets.folder import find_classes

import benchmarks
from benchmarks.kinetics400 import folder_names
from benchmarks.official import Listing

Roots = Callable[[str], Path]


class NoClips:
    """Stands for torchvision's VideoClips, which this version has no means of reading videos for."""

    def __init__(self, paths: list[str], *args: object, **options: object) -> None:
        self.paths = paths

    def subset(self, indices: list[int]) -> NoClips:
        return NoClips([self.paths[i] for i in indices])


@pytest.fixture(autouse=True)
def _no_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ucf101", "hmdb51", "kinetics"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.VideoClips", NoClips)


def theirs(data: Any) -> dict[str, str]:
    """File name -> class, of what torchvision selects."""
    chosen = [data.samples[i] for i in data.indices] if hasattr(data, "indices") else data.samples
    assert [path for path, _ in chosen] == data.video_clips.paths
    return {Path(path).name: data.classes[label] for path, label in chosen}


def ours(listing: Listing, root: Path, subset: str) -> dict[str, str]:
    """File name -> class, of the listed videos that are there."""
    found = {}
    for video in listing.subset(subset):
        there = [place for place in video.places if (root / place).exists()]
        found |= {Path(place).name: listing.classes[video.label] for place in there[:1]}
    return found


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("fold", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "peer", "videos", "lists"),
    [
        ("ucf101", datasets.UCF101, "UCF-101", "ucfTrainTestlist"),
        ("hmdb51", datasets.HMDB51, "hmdb51_org", "testTrainMulti_7030_splits"),
    ],
)
def test_folds_are_torchvisions(
    name: str, peer: Any, videos: str, lists: str, fold: int, train: bool, imitation: Roots
) -> None:
    root = imitation(name)
    data = peer(str(root / videos), str(root / lists), frames_per_clip=1, fold=fold, train=train)
    listing = benchmarks.module_of(name).listing(root, str(fold))
    selected = ours(listing, root, "train" if train else "test")
    assert selected == theirs(data) and len(selected) == (12 if train else 6)


@pytest.mark.parametrize(("subset", "split"), [("train", "val"), ("test", "val"), ("test", "test")])
def test_kinetics_clips_are_torchvisions(subset: str, split: str, imitation: Roots) -> None:
    root = imitation("kinetics400")
    data = datasets.Kinetics(str(root), frames_per_clip=1, split="train" if subset == "train" else split)
    selected = ours(benchmarks.module_of("kinetics400").listing(root, split), root, subset)
    assert {file: folder_names(name)[0] for file, name in selected.items()} == theirs(data)
    assert len(selected) == {"train": 11, "test": 5 if split == "val" else 6}[subset]


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("ucf101", {"HammerThrow", "Hammering", "JumpRope", "JumpingJack"}),
        ("hmdb51", set()),
        ("kinetics400", {"skiing crosscountry", "skiing (not slalom or crosscountry)"}),
    ],
)
def test_torchvision_numbers_classes_by_folder(name: str, moved: set[str], tmp_path: Path) -> None:
    """Its numbers are those of sorted folder names: the same as ours but for these classes."""
    classes = benchmarks.module_of(name).classes()
    folders = [folder_names(x)[0] if name == "kinetics400" else x for x in classes]
    for folder in folders:
        (tmp_path / folder).mkdir()
    _, numbers = find_classes(tmp_path)
    assert {x for label, x in enumerate(classes) if numbers[folders[label]] != label} == moved
