from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kinetics400 import BENCHMARK, EXTENSIONS, FILES, FOLDERS, folder_names
from benchmarks.official import AnnotationError

HEAD = "label,youtube_id,time_start,time_end,split\n"
TRAIN = HEAD + 'abseiling,-aaaaaaaaaa,0,10,train\n"massaging person\'s head",bbbbbbbbb_b,17,27,train\n'
VAL = HEAD + '"passing American football (in game)",ccccccccccc,100,110,validate\n'
GAME = "passing American football (in game)"


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(TRAIN)
    (tmp_path / "val.csv").write_text(VAL)
    return tmp_path


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_rows_become_videos_and_missing_files_are_no_error(root: Path) -> None:
    listing = BENCHMARK.listing(root, "val")
    classes = BENCHMARK.classes()
    assert listing.classes == classes
    assert [(v.video_id, classes[v.label], v.subset, v.places[0]) for v in listing.videos] == [
        ("-aaaaaaaaaa_000000_000010", "abseiling", "train", "train/abseiling/-aaaaaaaaaa_000000_000010.mp4"),
        (
            "bbbbbbbbb_b_000017_000027",
            "massaging person's head",
            "train",
            "train/massaging_persons_head/bbbbbbbbb_b_000017_000027.mp4",
        ),
        ("ccccccccccc_000100_000110", GAME, "test", f"val/{folder_names(GAME)[0]}/ccccccccccc_000100_000110.mp4"),
    ]
    assert set(listing.annotations) == {"train.csv", "val.csv"}
    assert [BENCHMARK.source_of(v.video_id) for v in listing.videos] == ["-aaaaaaaaaa", "bbbbbbbbb_b", "ccccccccccc"]


@pytest.mark.parametrize("name", FILES["val"])
@pytest.mark.parametrize("folder", ["", "annotations"])
def test_the_names_that_the_validation_list_has(root: Path, name: str, folder: str) -> None:
    (root / "val.csv").unlink()
    path = touch(root / folder / name)
    path.write_text(VAL)
    assert len(BENCHMARK.listing(root, "val").subset("test")) == 1


def test_two_validation_lists_that_differ_are_refused(root: Path) -> None:
    (root / "validate.csv").write_text(VAL)
    BENCHMARK.listing(root, "val")
    (root / "validate.csv").write_text(VAL.replace("ccc", "ddd"))
    with pytest.raises(AnnotationError, match=r"val\.csv and .*validate\.csv differ"):
        BENCHMARK.listing(root, "val")


def test_columns_are_found_by_name(root: Path) -> None:
    text = 'youtube_id, is_cc, time_end, time_start, label\r\nccccccccccc, 0, 110, 100, "' + GAME + '"\r\n'
    (root / "val.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (video,) = BENCHMARK.listing(root, "val").subset("test")
    assert (video.video_id, BENCHMARK.classes()[video.label]) == ("ccccccccccc_000100_000110", GAME)


def test_labels_may_be_written_as_folders(root: Path) -> None:
    for form in folder_names(GAME):
        (root / "val.csv").write_text(f"{HEAD}{form},ccccccccccc,100,110,val\n")
        (video,) = BENCHMARK.listing(root, "val").subset("test")
        assert BENCHMARK.classes()[video.label] == GAME


def test_no_two_classes_share_a_form_of_their_names() -> None:
    classes = BENCHMARK.classes()
    forms = [form for name in classes for form in {name, *folder_names(name)}]
    assert len(forms) == len(set(forms)) > len(classes)
    assert folder_names("massaging person's head") == [
        "massaging_persons_head",  # torchvision
        "massaging_person's_head",  # mmaction2
        "massaging person's head",
        "massaging persons head",
    ]


@pytest.mark.parametrize("base", FOLDERS["val"])
@pytest.mark.parametrize("form", folder_names(GAME))
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_clips_are_found_in_every_layout(root: Path, base: str, form: str, extension: str) -> None:
    path = touch(root / base / form / f"ccccccccccc_000100_000110{extension}")
    (video,) = BENCHMARK.listing(root, "val").subset("test")
    found = [root / place for place in video.places if (root / place).exists()]
    assert found == [path] and len(video.places) <= 3


@pytest.mark.parametrize("base", ["train", "videos_train", "videos/train_split"])
def test_clips_that_nobody_sorted_are_found(root: Path, base: str) -> None:
    path = touch(root / base / "-aaaaaaaaaa_000000_000010.mp4")
    video = BENCHMARK.listing(root, "val").subset("train")[0]
    assert [root / place for place in video.places if (root / place).exists()] == [path]


def test_a_test_list_needs_labels(root: Path) -> None:
    (root / "test.csv").write_text("youtube_id,time_start,time_end,split\nddddddddddd,0,10,test\n")
    with pytest.raises(AnnotationError, match=r"test\.csv:1: this test list has no labels .*benchmark\.split=val"):
        BENCHMARK.listing(root, "test")
    (root / "test.csv").write_text(HEAD + "abseiling,ddddddddddd,0,10,test\n")
    (video,) = BENCHMARK.listing(root, "test").subset("test")
    assert video.video_id == "ddddddddddd_000000_000010"
    (root / "test.csv").write_text(HEAD + ",ddddddddddd,0,10,test\n")
    with pytest.raises(AnnotationError, match="the line has no label"):
        BENCHMARK.listing(root, "test")


def test_lists_of_other_projects_are_refused(root: Path) -> None:
    (root / "val.csv").write_text("val/abseiling/a.mp4,0\n")
    with pytest.raises(AnnotationError, match=r"val\.csv:1: no column label, youtube_id, time_start, time_end"):
        BENCHMARK.listing(root, "val")


def test_every_problem_of_a_file_is_told_at_once(root: Path) -> None:
    rows = (
        "abseiling,eeeeeeeeeee,0,10,val",
        "ab-sailing,fffffffffff,0,10,val",
        "abseiling,#NAME?,0,10,val",
        "abseiling,ggggggggggg,a,10,val",
        "abseiling,hhhhhhhhhhh",
        "abseiling,eeeeeeeeeee,0.0,10.0,val",
    )
    (root / "val.csv").write_text(HEAD + "\n".join(rows) + "\n")
    with pytest.raises(AnnotationError) as caught:
        BENCHMARK.listing(root, "val")
    first, *lines = str(caught.value).splitlines()
    assert first.endswith("val.csv: 5 problems")
    for line, (number, words) in zip(
        lines,
        [
            (3, "unknown class 'ab-sailing'"),
            (4, "spread sheets damage ids"),
            (5, "must be whole seconds"),
            (6, "must be whole seconds"),
            (7, "listed twice"),
        ],
        strict=True,
    ):
        assert f"val.csv:{number}: " in line and words in line and "fetch" in line


def test_a_clip_of_both_lists_is_refused(root: Path) -> None:
    (root / "val.csv").write_text(TRAIN)
    with pytest.raises(AnnotationError, match=r"val\.csv:2: .*listed twice, first at .*train\.csv:2"):
        BENCHMARK.listing(root, "val")


def test_a_quote_that_never_ends_is_told(root: Path) -> None:
    (root / "val.csv").write_text(HEAD + '"abseiling,eeeeeeeeeee,0,10,val\n')
    with pytest.raises(AnnotationError, match=r"val\.csv:2: not CSV"):
        BENCHMARK.listing(root, "val")
