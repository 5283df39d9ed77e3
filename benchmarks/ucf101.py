"""UCF-101: 101 classes of clips in AVI, three splits that never divide a group of clips of one recording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lists import Lists, Once, agree_on_classes, folders_in, joined, refuse
from benchmarks.official import ListedVideo, Listing, Official

ANNOTATION_FOLDERS = ("", "ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask", "annotations", "splits")
VIDEO_FOLDERS = ("UCF-101", "videos", "UCF101")

_FILE = re.compile(r"v_([A-Za-z]+)_g(\d+)_c(\d+)\.avi")


@dataclass(frozen=True)
class UCF101(Official):
    """classInd.txt numbers the classes; trainlist0k.txt has `Class/file.avi number`, testlist0k.txt paths alone."""

    def listing(self, root: Path, split: str) -> Listing:
        self.check_split(split)
        lists, once, classes = Lists(root, self.title), Once(), self.classes()
        path = lists.find(ANNOTATION_FOLDERS, ("classInd.txt",))
        agree_on_classes(path, _class_index(lists, path), classes)
        # the folder is HandstandPushups, its files are v_HandStandPushups_*: only there do the two differ
        labels = {name.lower(): label for label, name in enumerate(classes)}
        folders = folders_in(lists.root, VIDEO_FOLDERS)
        videos: list[ListedVideo] = []
        groups: dict[str, str] = {}
        for subset in ("train", "test"):
            path = lists.find(ANNOTATION_FOLDERS, (f"{subset}list{int(split):02}.txt",))
            problems: list[str] = []
            for number, line in lists.lines(path):
                place = f"{path}:{number}"
                try:
                    folder, file, label = _entry(line, labels, numbered=subset == "train")
                    video_id = file.removesuffix(".avi")
                    once.check(video_id, place)
                    group = self.source_of(video_id)
                    if groups.setdefault(group, subset) != subset:
                        raise ValueError(
                            f"group {group} is in the training list too: both lists hold clips of one recording, so "
                            "this is no official split (a leak); fetch the official lists"
                        )
                    places = tuple(
                        joined(base, name, spelling)
                        for base in folders
                        for name in _folders(folder, file, classes[label])
                        for spelling in _spellings(file, classes[label])
                    )
                    videos.append(ListedVideo(video_id, label, subset, places))
                except ValueError as error:
                    problems.append(f"{place}: {error}")
            refuse(path, problems)
        return lists.listing(classes, videos)

    def source_of(self, video_id: str) -> str:
        """Class and group: the clips of `v_Archery_g03_*` come from one recording."""
        parts = _FILE.fullmatch(f"{video_id}.avi")
        return f"{parts[1]}_g{int(parts[2]):02}" if parts else video_id


def _class_index(lists: Lists, path: Path) -> list[str]:
    """The classes of classInd.txt, whose lines are `1 ApplyEyeMakeup`."""
    names: list[str] = []
    problems: list[str] = []
    for number, line in lists.lines(path):
        index, _, name = line.partition(" ")
        if index != str(len(names) + 1):
            problems.append(
                f"{path}:{number}: {line!r} should begin with {len(names) + 1}; fetch the official classInd.txt, which "
                "counts from 1"
            )
        names.append(name.strip())
    refuse(path, problems)
    return names


def _entry(line: str, labels: dict[str, int], *, numbered: bool) -> tuple[str, str, int]:
    """Folder, file and label of a line; ValueError says what is wrong with it."""
    path, *rest = line.split()
    folder, _, file = path.partition("/")
    parts = _FILE.fullmatch(file)
    if parts is None:
        raise ValueError(f"{path!r} is not like Archery/v_Archery_g01_c01.avi; fetch the official list")
    label = labels.get(folder.lower())
    if label is None:
        raise ValueError(f"unknown class {folder!r}; fetch the official list")
    if parts[1].lower() != folder.lower():
        raise ValueError(f"{path!r}: the file is of class {parts[1]}, the folder of {folder}; fetch the official list")
    if numbered and not rest:
        raise ValueError(f"{path!r} has no class number: this is a line of a test list; fetch the official list")
    if len(rest) > 1:
        raise ValueError(f"{line!r} is more than a path and the number of its class; fetch the official list")
    if rest and rest[0] != str(label + 1):
        raise ValueError(
            f"class number {rest[0]} of {folder}, which is {label + 1} in classInd.txt (they count from 1, in its "
            "order, not in Python's); fetch the official list"
        )
    return folder, file, label


def _folders(folder: str, file: str, name: str) -> list[str]:
    """The folder's name as the class is spelt, as it is listed, and as its files spell it: some copies renamed it."""
    return list(dict.fromkeys((name, folder, file.removeprefix("v_").partition("_")[0])))


def _spellings(file: str, name: str) -> Iterator[str]:
    """The file's name as listed, then as its class is spelt: some copies have renamed HandStandPushups' files."""
    yield file
    if not file.startswith(f"v_{name}_"):
        yield f"v_{name}_{file.removeprefix('v_').partition('_')[2]}"


BENCHMARK = UCF101(
    name="ucf101",
    title="UCF-101",
    splits=("1", "2", "3"),
    copies=("h264", "original"),
    avi=True,
    sizes={
        "1": {"train": 9537, "test": 3783},
        "2": {"train": 9586, "test": 3734},
        "3": {"train": 9624, "test": 3696},
    },
)
