"""The class lists in label order, and what every reader of annotation files shares."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import benchmarks
from benchmarks.lists import Lists, agree_on_classes, folders_in, refuse
from benchmarks.official import AnnotationError, Listing, classes_hash

PINNED = {
    "kinetics400": (400, "e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f"),
    "sthv1": (174, "5465813d437e762ccee1d2090d585d6383665e9f0216e055d6d506993a8b3fd7"),
    "sthv2": (174, "c9c5a86ece619e1ab2e7ca0614c85377a534873e17108b13243e5d22089a0a85"),
    "ucf101": (101, "fabeefc51625dad8a5b960156ccf75eea4c3b914d95bc02b43618fd61ecd1930"),
    "hmdb51": (51, "c24c56a7af6f3ea55c8fb2a8e5b2c3a42644fcc5d86e49313536cfbd3499538a"),
}


@pytest.mark.parametrize("name", PINNED)
def test_a_class_list_is_the_pinned_one_and_names_its_source(name: str) -> None:
    data = benchmarks.module_of(name)
    classes = data.classes()
    assert (len(classes), classes_hash(classes)) == PINNED[name]
    assert len(set(classes)) == len(classes)
    head = [line for line in (data.CLASSES / f"{name}.txt").read_text().splitlines() if line.startswith("#")]
    assert "ead from" in " ".join(head)


def test_the_order_of_each_list_is_the_documented_one() -> None:
    lists = {name: benchmarks.module_of(name).classes() for name in PINNED}
    for name in ("kinetics400", "sthv2", "hmdb51"):
        assert lists[name] == sorted(lists[name])
    assert lists["ucf101"] == sorted(lists["ucf101"], key=str.lower) != sorted(lists["ucf101"])
    # V1 has the same classes in the order of its labels.csv; alphabetical numbers belong to other code bases
    assert sorted(lists["sthv1"]) == lists["sthv2"] != lists["sthv1"]
    numbers = {
        "Turning the camera left while filming something": (2, 166),
        "Turning the camera right while filming something": (4, 167),
        "Pushing something from left to right": (30, 93),
        "Pushing something from right to left": (41, 94),
        "Pulling something from left to right": (66, 86),
        "Pulling something from right to left": (52, 87),
    }
    for name, (v1, v2) in numbers.items():
        assert (lists["sthv1"].index(name), lists["sthv2"].index(name)) == (v1, v2)


def test_kinetics_classes_are_torchvisions() -> None:
    from torchvision.models._meta import _KINETICS400_CATEGORIES

    assert benchmarks.module_of("kinetics400").classes() == _KINETICS400_CATEGORIES


@pytest.mark.parametrize("name", PINNED)
def test_an_unknown_split_and_an_empty_folder_are_refused(name: str, tmp_path: Path) -> None:
    data = benchmarks.module_of(name)
    with pytest.raises(AnnotationError, match="not a split of"):
        data.listing(tmp_path, "9")
    with pytest.raises(AnnotationError, match=r"(?s)no (annotation file|files).*looked in.*(put|unpack) the official"):
        data.listing(tmp_path, data.splits[0])
    with pytest.raises(AnnotationError, match="there is no such folder"):
        data.listing(tmp_path / "nowhere", data.splits[0])


def test_the_first_difference_between_class_lists_is_named() -> None:
    path = Path("labels.csv")
    agree_on_classes(path, ["a", "b", "c"], ["a", "b", "c"])
    with pytest.raises(AnnotationError, match=r"class 1 .* is 'c', not 'b' \(the same classes in another order\)"):
        agree_on_classes(path, ["a", "c", "b"], ["a", "b", "c"])
    with pytest.raises(AnnotationError, match=r"class 2 .* is 'd', not 'c'; use the official file"):
        agree_on_classes(path, ["a", "b", "d"], ["a", "b", "c"])
    with pytest.raises(AnnotationError, match=r"labels.csv: 2 classes in place of 3; missing: b, c; unknown: d"):
        agree_on_classes(path, ["a", "d"], ["a", "b", "c"])


def test_two_candidates_must_be_equal(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "sub/b.txt").write_text("x")
    lists = Lists(tmp_path, "Some Data")
    assert lists.find(("", "sub"), ("b.txt", "a.txt")) == tmp_path / "a.txt"
    (tmp_path / "sub/b.txt").write_text("y")
    with pytest.raises(AnnotationError, match=r"a\.txt and .*b\.txt differ; keep the one"):
        lists.find(("", "sub"), ("b.txt", "a.txt"))


def test_what_was_read_is_noted_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\n two \n")
    lists = Lists(tmp_path, "Some Data")
    assert lists.lines(tmp_path / "sub/a.txt") == [(1, "one"), (3, "two")]
    assert lists.annotations == {"sub/a.txt": hashlib.sha256((tmp_path / "sub/a.txt").read_bytes()).hexdigest()}
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(AnnotationError, match=r"b\.txt: not readable as UTF-8"):
        lists.text(tmp_path / "b.txt")


def test_lists_without_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="list no train videos"):
        Lists(tmp_path, "Some Data").listing(["a"], [])


def test_twenty_problems_are_shown_and_none_is_no_error() -> None:
    refuse(Path("x"), [])
    with pytest.raises(AnnotationError) as caught:
        refuse(Path("x"), [f"x:{i}: bad" for i in range(30)])
    text = str(caught.value)
    assert text.startswith("x: 30 problems") and text.count(": bad") == 20 and "and 10 more" in text


def test_packed_folders_count_as_folders(tmp_path: Path) -> None:
    assert folders_in(tmp_path, ("a", "b")) == ["a", ""]
    (tmp_path / "b.shards").mkdir()
    assert folders_in(tmp_path, ("a", "b")) == ["b"]
    (tmp_path / "a").mkdir()
    assert folders_in(tmp_path, ("a", "b")) == ["a", "b"]


def test_published_sizes() -> None:
    sizes = {name: benchmarks.module_of(name).sizes for name in PINNED}
    assert sizes["sthv1"] == {"val": {"train": 86017, "test": 11522}}
    assert sizes["sthv2"] == {"val": {"train": 168913, "test": 24777}}
    assert {sum(split.values()) for split in sizes["ucf101"].values()} == {13320}
    assert sizes["hmdb51"]["3"] == {"train": 70 * 51, "test": 30 * 51}
    # no two copies of Kinetics agree
    kinetics = benchmarks.module_of("kinetics400")
    assert kinetics.sizes == {} and 246535 in kinetics.known_sizes["train"] and 19796 in kinetics.known_sizes["test"]


def test_a_listing_gives_its_subsets() -> None:
    assert Listing(["a"], [], {}).subset("train") == []
