"""HMDB-51: 51 classes of clips in AVI, whose names hold almost any character; three splits, a file a class each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.lists import Lists, Once, agree_on_classes, folders_in, joined, refuse
from benchmarks.official import AnnotationError, ListedVideo, Listing, Official

ANNOTATION_FOLDERS = (
    "testTrainMulti_7030_splits",
    "test_train_splits/testTrainMulti_7030_splits",
    "test_train_splits",
    "annotations",
    "splits",
    "hmdb51_splits",
    "",
)
VIDEO_FOLDERS = ("hmdb51_org", "videos", "HMDB51", "hmdb51")
CODES = {"0": None, "1": "train", "2": "test"}
"""Code in the lists -> subset; 0 = not used in this split."""


@dataclass(frozen=True)
class HMDB51(Official):
    """{class}_test_split{k}.txt has `name.avi code` of every clip of its class."""

    def listing(self, root: Path, split: str) -> Listing:
        self.check_split(split)
        lists, once, classes = Lists(root, self.title), Once(), self.classes()
        ending = f"_test_split{split}.txt"
        folder = _annotation_folder(lists.root, ending)
        found = sorted(name.removesuffix(ending) for name in _split_files(folder, ending))
        agree_on_classes(folder / f"*{ending}", found, classes)
        folders = folders_in(lists.root, VIDEO_FOLDERS)
        videos: list[ListedVideo] = []
        for label, name in enumerate(classes):
            # by name, not by a pattern: climb is the beginning of climb_stairs, and [ ] are no letters to glob
            path = folder / f"{name}{ending}"
            problems: list[str] = []
            for number, line in lists.lines(path):
                place = f"{path}:{number}"
                try:
                    file, code = _entry(line)
                    video_id = file.removesuffix(".avi")
                    once.check(video_id, place)
                    subset = CODES[code]
                    if subset is not None:
                        places = tuple(joined(base, name, file) for base in folders)
                        videos.append(ListedVideo(video_id, label, subset, places))
                except ValueError as error:
                    problems.append(f"{place}: {error}")
            refuse(path, problems)
        return lists.listing(classes, videos)


def _annotation_folder(root: Path, ending: str) -> Path:
    """The first known folder that has split files; not a search, which would find other data sets' too."""
    for name in ANNOTATION_FOLDERS:
        folder = root / name
        if _split_files(folder, ending):
            return folder
    where = ", ".join(name or "." for name in ANNOTATION_FOLDERS)
    raise AnnotationError(
        f"{root}: no files *{ending} (looked in: {where}); unpack the official test_train_splits.rar there"
    )


def _split_files(folder: Path, ending: str) -> list[str]:
    """Names of the split files in a folder, without the hidden ones that some systems leave beside them."""
    if not folder.is_dir():
        return []
    return [p.name for p in folder.iterdir() if p.name.endswith(ending) and not p.name.startswith(".")]


def _entry(line: str) -> tuple[str, str]:
    """File and code of a line, which may end in spaces; ValueError says what is wrong with it."""
    file, _, code = (part.strip() for part in line.rpartition(" "))
    if code not in CODES or not file:
        raise ValueError(
            f"{line!r} is not a file and a code (1 = train, 2 = test, 0 = unused); fetch the official split files"
        )
    if not file.endswith(".avi") or "/" in file or "\\" in file or "\0" in file:
        raise ValueError(f"{file!r} is no name of an .avi file; fetch the official split files")
    return file, code


BENCHMARK = HMDB51(
    name="hmdb51",
    title="HMDB-51",
    splits=("1", "2", "3"),
    copies=("h264", "original"),
    avi=True,
    sizes={split: {"train": 3570, "test": 1530} for split in ("1", "2", "3")},
)
