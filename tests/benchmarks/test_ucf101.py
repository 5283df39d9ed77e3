from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.official import AnnotationError
from benchmarks.ucf101 import BENCHMARK

CLASSES = BENCHMARK.classes()
TRAIN = [
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1",
    "Hammering/v_Hammering_g08_c01.avi 35",
    "HammerThrow/v_HammerThrow_g08_c01.avi 36",
    "HandstandPushups/v_HandStandPushups_g08_c01.avi 37",
]
TEST = ["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c02.avi"]


def write(root: Path, train: list[str] = TRAIN, test: list[str] = TEST, folder: str = "ucfTrainTestlist") -> Path:
    """The files of split 2 with the line ends of the official ones."""
    into = root / folder
    into.mkdir(parents=True, exist_ok=True)
    index = [f"{i} {name}" for i, name in enumerate(CLASSES, 1)]
    for name, lines in (("classInd", index), ("trainlist02", train), ("testlist02", test)):
        (into / f"{name}.txt").write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return into


@pytest.mark.parametrize("folder", ["", "ucfTrainTestlist", "annotations"])
def test_a_split_is_read(tmp_path: Path, folder: str) -> None:
    write(tmp_path, folder=folder)
    listing = BENCHMARK.listing(tmp_path, "2")
    assert [(v.video_id, CLASSES[v.label]) for v in listing.subset("train")] == [
        ("v_ApplyEyeMakeup_g08_c01", "ApplyEyeMakeup"),
        ("v_Hammering_g08_c01", "Hammering"),
        ("v_HammerThrow_g08_c01", "HammerThrow"),
        ("v_HandStandPushups_g08_c01", "HandstandPushups"),
    ]
    assert [v.label for v in listing.subset("train")] == [0, 34, 35, 36]
    assert [v.label for v in listing.subset("test")] == [0, 36]
    assert len(listing.annotations) == 3
    with pytest.raises(AnnotationError, match="no annotation file trainlist01.txt"):
        BENCHMARK.listing(tmp_path, "1")


def test_labels_follow_class_ind_and_not_the_sorted_names() -> None:
    by_python = sorted(CLASSES)
    moved = {name for name in CLASSES if by_python.index(name) != CLASSES.index(name)}
    assert moved == {"HammerThrow", "Hammering", "JumpRope", "JumpingJack"}


@pytest.mark.parametrize("base", ["UCF-101", "videos", "UCF101", ""])
@pytest.mark.parametrize("folder", ["HandstandPushups", "HandStandPushups"])
@pytest.mark.parametrize("file", ["v_HandStandPushups_g08_c01.avi", "v_HandstandPushups_g08_c01.avi"])
def test_handstand_pushups_is_found_however_it_is_spelt(tmp_path: Path, base: str, folder: str, file: str) -> None:
    write(tmp_path)
    path = tmp_path / base / folder / file
    path.parent.mkdir(parents=True)
    path.touch()
    video = BENCHMARK.listing(tmp_path, "2").videos[3]
    assert [tmp_path / place for place in video.places if (tmp_path / place).exists()] == [path]


def test_only_the_class_with_two_spellings_has_more_than_one_place(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "UCF-101").mkdir()
    videos = BENCHMARK.listing(tmp_path, "2").videos
    assert videos[0].places == ("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",)
    assert len(videos[3].places) == 4


def test_clips_of_a_group_have_one_source() -> None:
    assert BENCHMARK.source_of("v_HandStandPushups_g08_c01") == BENCHMARK.source_of("v_HandStandPushups_g08_c07")
    assert BENCHMARK.source_of("v_Archery_g08_c01") != BENCHMARK.source_of("v_Archery_g09_c01")
    assert BENCHMARK.source_of("v_Archery_g08_c01") != BENCHMARK.source_of("v_Biking_g08_c01")


def test_a_group_in_both_lists_is_refused(tmp_path: Path) -> None:
    write(tmp_path, test=["Biking/v_Biking_g01_c01.avi", "Hammering/v_Hammering_g08_c02.avi"])
    with pytest.raises(
        AnnotationError, match=r"testlist02\.txt:2: group Hammering_g08 is in the training list too.*leak"
    ):
        BENCHMARK.listing(tmp_path, "2")


def test_a_video_in_both_lists_is_refused(tmp_path: Path) -> None:
    write(tmp_path, test=["ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi"])
    with pytest.raises(AnnotationError, match=r"testlist02\.txt:1: .*twice, first at .*trainlist02\.txt:1"):
        BENCHMARK.listing(tmp_path, "2")


def test_every_problem_of_a_list_is_told_at_once(tmp_path: Path) -> None:
    bad = {
        "Hammering/v_Hammering_g01_c01.avi 36": "class number 36 of Hammering, which is 35",
        "Hammering/v_Hammering_g01_c02.avi": "this is a line of a test list",
        "Juggling/v_Juggling_g01_c01.avi 47": "unknown class 'Juggling'",
        "Archery/v_Biking_g01_c01.avi 3": "the file is of class Biking, the folder of Archery",
        "../v_Biking_g01_c01.avi 11": "unknown class '..'",
        "v_Biking_g01_c01.avi 11": "is not like Archery",
        "Archery/x/v_Archery_g01_c01.avi 3": "is not like Archery",
        "Archery/v_Archery_g01_c01.avi 3 x": "is more than a path",
    }
    into = write(tmp_path, train=["Archery/v_Archery_g02_c01.avi 3", *bad])
    with pytest.raises(AnnotationError) as caught:
        BENCHMARK.listing(tmp_path, "2")
    head, *lines = str(caught.value).splitlines()
    assert head == f"{into / 'trainlist02.txt'}: {len(bad)} problems"
    for number, (line, words) in enumerate(zip(lines, bad.values(), strict=True), 2):
        assert f"trainlist02.txt:{number}: " in line and words in line and "fetch the official list" in line


def test_a_test_list_with_numbers_must_have_the_right_ones(tmp_path: Path) -> None:
    write(tmp_path, test=["Archery/v_Archery_g01_c01.avi 3"])
    assert BENCHMARK.listing(tmp_path, "2").subset("test")[0].label == 2
    write(tmp_path, test=["Archery/v_Archery_g01_c01.avi 2"])
    with pytest.raises(AnnotationError, match="class number 2 of Archery, which is 3"):
        BENCHMARK.listing(tmp_path, "2")


def test_class_ind_must_be_the_official_one(tmp_path: Path) -> None:
    path = write(tmp_path) / "classInd.txt"
    path.write_text("".join(f"{i} {name}\n" for i, name in enumerate(sorted(CLASSES), 1)))
    with pytest.raises(AnnotationError, match=r"class 34 .* is 'HammerThrow', not 'Hammering' \(the same classes in"):
        BENCHMARK.listing(tmp_path, "2")
    path.write_text("".join(f"{i} {name}\n" for i, name in enumerate(CLASSES)))
    with pytest.raises(AnnotationError, match=r"classInd\.txt:1: '0 ApplyEyeMakeup' should begin with 1"):
        BENCHMARK.listing(tmp_path, "2")
