from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.hmdb51 import BENCHMARK
from benchmarks.official import AnnotationError

CLASSES = BENCHMARK.classes()
FOLDER = "testTrainMulti_7030_splits"
ODD = "Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_fr_goo_0"
LINES = {
    "brush_hair": [(f"{ODD}.avi", 1), ("red_head_brush_hair_u_cm_np1_ba_goo_0.avi", 0), ("x(1)_brush_hair_0.avi", 2)],
    "climb": [("a_climb_f_cm_np1_ba_bad_0.avi", 1)],
    "climb_stairs": [("a_climb_stairs_f_cm_np1_ba_bad_0.avi", 2)],
}


def write(root: Path, lines: dict[str, list[tuple[str, int]]] = LINES, folder: str = FOLDER, split: int = 1) -> Path:
    """A file for each class; the official lines end in a space."""
    into = root / folder
    into.mkdir(parents=True, exist_ok=True)
    for name in CLASSES:
        text = "".join(f"{file} {code} \n" for file, code in lines.get(name, []))
        (into / f"{name}_test_split{split}.txt").write_bytes(text.encode())
    return into


@pytest.mark.parametrize("folder", [FOLDER, f"test_train_splits/{FOLDER}", "annotations", "splits", ""])
def test_codes_say_train_test_and_unused(tmp_path: Path, folder: str) -> None:
    write(tmp_path, folder=folder)
    listing = BENCHMARK.listing(tmp_path, "1")
    assert [(v.video_id, CLASSES[v.label], v.subset) for v in listing.videos] == [
        (ODD, "brush_hair", "train"),
        ("x(1)_brush_hair_0", "brush_hair", "test"),
        ("a_climb_f_cm_np1_ba_bad_0", "climb", "train"),
        ("a_climb_stairs_f_cm_np1_ba_bad_0", "climb_stairs", "test"),
    ]
    assert len(listing.annotations) == 51


def test_each_split_has_files_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, split=1)
    write(tmp_path, {"wave": [("a.avi", 1), ("b.avi", 2)]}, split=3)
    assert [v.video_id for v in BENCHMARK.listing(tmp_path, "3").videos] == ["a", "b"]
    with pytest.raises(AnnotationError, match=r"no files \*_test_split2\.txt"):
        BENCHMARK.listing(tmp_path, "2")


@pytest.mark.parametrize("base", ["hmdb51_org", "videos", ""])
def test_clips_are_found_in_every_layout(tmp_path: Path, base: str) -> None:
    write(tmp_path)
    path = tmp_path / base / "brush_hair" / f"{ODD}.avi"
    path.parent.mkdir(parents=True)
    path.touch()
    places = BENCHMARK.listing(tmp_path, "1").videos[0].places
    assert [tmp_path / place for place in places if (tmp_path / place).exists()] == [path]


def test_every_class_needs_its_file(tmp_path: Path) -> None:
    into = write(tmp_path)
    (into / "climb_test_split1.txt").unlink()
    with pytest.raises(AnnotationError, match="50 classes in place of 51; missing: climb; unknown: none"):
        BENCHMARK.listing(tmp_path, "1")
    (into / "climbing_test_split1.txt").touch()
    with pytest.raises(AnnotationError, match="is 'climb_stairs', not 'climb'"):
        BENCHMARK.listing(tmp_path, "1")


def test_hidden_files_of_other_systems_are_passed_over(tmp_path: Path) -> None:
    into = write(tmp_path)
    (into / "._climb_test_split1.txt").write_bytes(b"\xff")
    (into / "classInd.txt").touch()
    assert len(BENCHMARK.listing(tmp_path, "1").videos) == 4


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    bad = {
        "a.avi 3": "is not a file and a code",
        "a.avi": "is not a file and a code",
        "a.mp4 1": "is no name of an .avi file",
        "../a.avi 1": "is no name of an .avi file",
        "kept.avi 2": "listed twice, first at",
    }
    path = write(tmp_path) / "chew_test_split1.txt"
    path.write_text("kept.avi 0 \n" + "".join(f"{line} \n" for line in bad))
    with pytest.raises(AnnotationError) as caught:
        BENCHMARK.listing(tmp_path, "1")
    head, *lines = str(caught.value).splitlines()
    assert head == f"{path}: {len(bad)} problems"
    for number, (line, words) in enumerate(zip(lines, bad.values(), strict=True), 2):
        assert line.startswith(f"{path}:{number}: ") and words in line


def test_a_clip_of_two_classes_is_refused(tmp_path: Path) -> None:
    """Matched by base name alone, as elsewhere, it would count for both."""
    write(tmp_path, LINES | {"climb_stairs": LINES["climb"]})
    with pytest.raises(
        AnnotationError, match=r"climb_stairs_test_split1\.txt:1: .*first at .*climb_test_split1\.txt:1"
    ):
        BENCHMARK.listing(tmp_path, "1")


NAMES = st.text("ab_-)(!#][&+;~@1. ", min_size=1, max_size=12).map(str.strip).filter(lambda name: name not in ("", "."))


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(["climb", "climb_stairs", "kick"]), st.integers(0, 2))))
def test_names_of_any_characters_come_back(names: dict[str, tuple[str, int]]) -> None:
    lines: dict[str, list[tuple[str, int]]] = {"wave": [("w1.avi", 1), ("w2.avi", 2)]}
    for name, (where, code) in names.items():
        lines.setdefault(where, []).append((f"{name}.avi", code))
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), lines)
        (Path(root) / "videos").mkdir()
        videos = BENCHMARK.listing(Path(root), "1").videos
    found = {v.video_id: (CLASSES[v.label], v.subset, v.places) for v in videos if CLASSES[v.label] != "wave"}
    assert found == {
        name: (where, {1: "train", 2: "test"}[code], (f"videos/{where}/{name}.avi",))
        for name, (where, code) in names.items()
        if code
    }
