from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcml.data.annotations import read_annotations
from hcml.data.manifest import Data, Manifest, ManifestError, VideoEntry

HEADER = "video_id,path,class,num_frames,fps,group\n"


def manifest(**changes: object) -> Manifest:
    entries = [VideoEntry(f"v{k}", f"clips/v{k}.mp4", k % 3, 24 + k, 25.0, "left" if k % 3 else "") for k in range(9)]
    plain = dict(benchmark="toy", version="v1", split="1", subset="train", root=Path("data"))
    return Manifest(**{**plain, "classes": ["a", "b", "c"], "groups": {"left": [1, 2]}, "entries": entries, **changes})


def write(folder: Path, text: str) -> Path:
    path = folder / "train.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_saved_and_loaded_again_it_is_the_same(tmp_path: Path) -> None:
    before = manifest()
    before.save(tmp_path / "a" / "m.json")
    assert Manifest.load(tmp_path / "a" / "m.json", Path("data")) == before
    assert os.listdir(tmp_path / "a") == ["m.json"]
    elsewhere = Manifest.load(tmp_path / "a" / "m.json", tmp_path)
    assert elsewhere.video_path(elsewhere.entries[0]) == tmp_path / "clips" / "v0.mp4"


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=5), st.floats(0.1, 100))
def test_any_names_survive(tmp_path_factory: pytest.TempPathFactory, names: list[str], fps: float) -> None:
    names = [name.encode("utf-8", "replace").decode() for name in names]
    names = list(dict.fromkeys(names))
    entries = [VideoEntry(name, "a], [.mp4", label, 24, fps) for label, name in enumerate(names)]
    before = manifest(classes=names, groups={}, entries=entries)
    path = tmp_path_factory.mktemp("names") / "m.json"
    before.save(path)
    assert Manifest.load(path, before.root) == before


def test_the_hash_covers_everything_but_the_root() -> None:
    base = manifest()
    assert manifest(root=Path("elsewhere")).content_hash() == base.content_hash()
    first, *others = base.entries
    changed = [
        manifest(benchmark="other"),
        manifest(version="v2"),
        manifest(split="2"),
        manifest(subset="test"),
        manifest(classes=["a", "b", "d"]),
        manifest(groups={"left": [1, 2, 0]}),
        manifest(entries=[*others, first]),
        manifest(entries=[replace(first, video_id="x"), *others]),
        manifest(entries=[replace(first, path="x"), *others]),
        manifest(entries=[replace(first, label=1), *others]),
        manifest(entries=[replace(first, num_frames=1), *others]),
        manifest(entries=[replace(first, fps=1.0), *others]),
        manifest(entries=[first, replace(others[0], group=""), *others[1:]]),
    ]
    hashes = {m.content_hash() for m in changed}
    assert len(hashes) == len(changed) and base.content_hash() not in hashes


def test_the_hash_never_moves() -> None:
    """Records hold it: a change of the format must not pass unnoticed."""
    entries = [VideoEntry("v0", "v0.mp4", 0, 24, 25.0, "g")]
    small = Manifest("toy", "v1", "1", "train", Path("."), ["a", "b"], {"g": [0, 1]}, entries)
    assert small.content_hash() == "73d75dbff37bd17bf85bb9b86688efe8c72c64d3d243b1ec091e6df8c03d8e22"


def test_first_videos_of_each_class() -> None:
    base = manifest()
    assert [e.video_id for e in base.subset_per_class(2).entries] == ["v0", "v1", "v2", "v3", "v4", "v5"]
    assert base.subset_per_class(0) == base
    assert base.subset_per_class(100) == base
    with pytest.raises(ManifestError, match="at least 0"):
        base.subset_per_class(-1)


def test_group_names_are_sorted() -> None:
    assert manifest(groups={"z": [0], "left": [1, 2]}).group_names == ["left", "z"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subset": "val"}, "subset='val'"),
        ({"classes": ["a", "b", "a"]}, "class name occurs twice"),
        ({"groups": {"left": [1, 2, 3]}}, "group 'left' must list class indices within 0..2"),
        ({"groups": {"left": [1]}}, "'v2': class 2 is not one of group 'left'"),
        ({"entries": [VideoEntry("v", "v", 0, 1, 1.0)] * 2}, "'v' occurs twice"),
        ({"entries": [VideoEntry("v", "v", 3, 1, 1.0)]}, r"label 3 is not within 0\.\.2"),
        ({"entries": [VideoEntry("v", "../v", 0, 1, 1.0)]}, "leaves the data root"),
    ],
)
def test_contradictions_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        manifest(**changes)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with pytest.raises(ManifestError, match=r"m\.json: there is no manifest; run .* prepare"):
        Manifest.load(path, tmp_path)
    manifest().save(path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ManifestError, match="not a readable manifest"):
        Manifest.load(path, tmp_path)
    path.write_text(json.dumps({"format": 99}))
    with pytest.raises(ManifestError, match="not a manifest of format"):
        Manifest.load(path, tmp_path)
    path.write_text(text.replace('"v3", "clips/v3.mp4", 0', '"v3", "clips/v3.mp4", 1'))
    with pytest.raises(ManifestError, match="it was edited"):
        Manifest.load(path, tmp_path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.json"
    manifest().save(path)
    before = path.read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        manifest(version="v2").save(path)
    assert path.read_text() == before and os.listdir(tmp_path) == ["m.json"]


def test_subsets_must_agree() -> None:
    test = manifest(subset="test")
    assert Data(manifest(), test).test is test
    with pytest.raises(ManifestError, match="differ in classes"):
        Data(manifest(), manifest(subset="test", classes=["a", "b", "d"]))


def test_annotations(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + 'one,a/1.mp4,walk,24,25,slow\n\n"t,wo","b/2,.mp4",run,300,29.97,\n')
    assert read_annotations(path, tmp_path, ["run", "walk"]) == [
        VideoEntry("one", "a/1.mp4", 1, 24, 25.0, "slow"),
        VideoEntry("t,wo", "b/2,.mp4", 0, 300, 29.97, ""),
    ]
    path = write(tmp_path, "video_id,path,class,num_frames,fps\none,a/1.mp4,walk,24,25\n")
    assert read_annotations(path, tmp_path, ["run", "walk"]) == [VideoEntry("one", "a/1.mp4", 1, 24, 25.0, "")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("two,b.mp4,run,24", "too few fields: 4 in place of 6; complete or remove"),
        ("two,b.mp4,run,24,25,,", "too many fields: 7 in place of 6; put .* double quotes"),
        ("two,b.mp4,fly,24,25,", "unknown class 'fly'; the 2 classes are run, walk"),
        ("two,../b.mp4,run,24,25,", r"path '../b.mp4' leaves the data root \('..'\)"),
        ("two,a/../../b.mp4,run,24,25,", "leaves the data root"),
        ("two,a\\..\\..\\b.mp4,run,24,25,", "leaves the data root"),
        ("two,/etc/passwd,run,24,25,", "is absolute"),
        ("two,C:\\b.mp4,run,24,25,", "is absolute"),
        ("two,,run,24,25,", "is empty"),
        ("one,b.mp4,run,24,25,", "'one' is already on line 2; remove one"),
        (",b.mp4,run,24,25,", "the video id is empty"),
        ("two,b.mp4,run,many,25,", "num_frames='many' is not a whole number"),
        ("two,b.mp4,run,2.5,25,", "num_frames='2.5' is not a whole number"),
        ("two,b.mp4,run,0,25,", "num_frames='0' must be a whole number above 0"),
        ("two,b.mp4,run,24,nan,", "fps='nan' must be a number above 0"),
        ("two,b.mp4,run,24,-1,", "fps='-1' must be a number above 0"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path, HEADER + f"one,a.mp4,walk,24,25,\n{line}\n")
    with pytest.raises(ManifestError, match=rf"train\.csv:3: .*{said}"):
        read_annotations(path, tmp_path, ["run", "walk"])


def test_all_bad_lines_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "".join(f"v{k},a.mp4,fly,24,25,\n" for k in range(50)))
    with pytest.raises(ManifestError) as caught:
        read_annotations(path, tmp_path, ["run"])
    lines = str(caught.value).splitlines()
    assert "50 problems" in lines[0] and ":2:" in lines[1] and ":21:" in lines[20] and lines[-1] == "... and 30 more"


def test_files_that_are_no_annotations(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.csv: there is no such annotation file"):
        read_annotations(tmp_path / "none.csv", tmp_path, ["a"])
    with pytest.raises(ManifestError, match=r"train\.csv:1: the header is 'path label'; it must be 'video_id,path"):
        read_annotations(write(tmp_path, "path label\na.mp4 1\n"), tmp_path, ["a"])
    with pytest.raises(ManifestError, match=r"train\.csv:1: the header is ''"):
        read_annotations(write(tmp_path, ""), tmp_path, ["a"])
    (tmp_path / "train.csv").write_bytes(b"\xff\xfe\x00video")
    with pytest.raises(ManifestError, match="not a readable CSV file in UTF-8"):
        read_annotations(tmp_path / "train.csv", tmp_path, ["a"])


def test_links_may_not_leave_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "in", outside):
        folder.mkdir(parents=True)
        (folder / "v.mp4").write_bytes(b"x")
    (root / "folder").symlink_to(outside)
    (root / "file.mp4").symlink_to(outside / "v.mp4")
    (root / "inner.mp4").symlink_to(root / "in" / "v.mp4")
    (root / "inner").symlink_to(root / "in")
    for path in ("folder/v.mp4", "folder/missing.mp4", "file.mp4"):
        with pytest.raises(ManifestError, match=r"train\.csv:2: path .* leads out of the data root by a symbolic link"):
            read_annotations(write(tmp_path, HEADER + f"v,{path},a,24,25,\n"), root, ["a"])
    for path in ("in/v.mp4", "inner.mp4", "inner/v.mp4", "missing/v.mp4"):
        assert read_annotations(write(tmp_path, HEADER + f"v,{path},a,24,25,\n"), root, ["a"])[0].path == path
    # A root that is itself reached by a link is no reason to refuse its videos.
    (tmp_path / "linked").symlink_to(root)
    assert read_annotations(write(tmp_path, HEADER + "v,in/v.mp4,a,24,25,\n"), tmp_path / "linked", ["a"])


def test_what_is_missing_quarantined_and_mirrored_is_kept_and_hashed(tmp_path: Path) -> None:
    extras = {
        "missing": ["gone"],
        "quarantine": {"v1": "truncated"},
        "mirror": [[0, 2]],
        "origin": {"annotations": {"train.csv": "12ab"}, "synthetic": True},
    }
    before = manifest(**extras)
    before.save(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json", before.root) == before
    assert before.listed == 10
    assert [before.mirrored_label(label) for label in range(3)] == [2, 1, 0]
    hashes = {manifest(**{name: value}).content_hash() for name, value in extras.items()}
    assert len(hashes | {manifest().content_hash()}) == 5


def test_quarantined_videos_are_no_part_of_the_healthy_and_follow_a_selection() -> None:
    whole = manifest(quarantine={"v1": "wrong frames", "v5": "empty"}, missing=["gone"])
    assert [entry.video_id for entry in whole.healthy().entries] == ["v0", "v2", "v3", "v4", "v6", "v7", "v8"]
    part = whole.subset_per_class(1)
    assert part.quarantine == {"v1": "wrong frames"} and part.missing == [] and part.listed == 3
    assert whole.subset_per_class(100) == whole and whole.subset_per_class(100).listed == 10  # all lack what they lack


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"quarantine": {"nobody": "x"}}, "does not list: nobody"),
        ({"missing": ["v3"]}, "both listed and missing: v3"),
        ({"mirror": [[0, 1], [1, 2]]}, "at most one"),
        ({"mirror": [[0]]}, "must be pairs"),
        ({"mirror": [[0, 3]]}, "within 0..2"),
    ],
)
def test_extras_that_contradict_the_entries_are_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ManifestError, match=text):
        manifest(**changes)
