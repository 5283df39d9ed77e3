"""Staging to another disk: what is needed, once, and usable as a root."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from benchmarks.commands.audit import audit
from benchmarks.commands.layout import Layout, PrepareError
from benchmarks.commands.pack import pack
from benchmarks.commands.prepare import prepare
from benchmarks.commands.prepared import load_prepared, write_quarantine
from benchmarks.commands.stage import stage
from hcml.data.manifest import ManifestError
from hcml.data.video import read_frames
from tests.benchmarks.tree import FRAMES, TOY, avi, encode, frame_folder, write_lists


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("staged")
    avi(root / "a/#1 [x].avi", 20)
    encode(root / "a/two.mp4", 20)
    encode(root / "a/three.mp4", 20)
    write_lists(root, ["train 0 a/#1 [x].avi", "test 1 a/two.mp4", "test 1 a/gone.mp4"])
    (root / "list2.txt").write_text("train 0 a/three.mp4\n")
    (root / "SYNTHETIC").write_text("made up\n")
    prepare(TOY, root, "h264", processes=0)
    write_quarantine(Layout(root, "h264").quarantine, {"two": ("a", "does not play")})
    return root


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


def test_the_result_is_a_root(root: Path, tmp_path: Path) -> None:
    to = tmp_path / "local/disk"
    staged = stage(TOY, root, to, "h264", processes=2)
    assert staged.copied == staged.files and staged.absent == 0
    for split in ("1", "2"):
        here, there = load_prepared(TOY, to, "h264", split), load_prepared(TOY, root, "h264", split)
        assert here.train.content_hash() == there.train.content_hash()
        assert here.test.content_hash() == there.test.content_hash()
        for entry in here.train.entries:
            assert len(read_frames(here.train.video_path(entry), np.array([0, 19]))) == 2
    assert not (to / "a").exists(), "originals are not needed"
    assert audit(TOY, to, "h264", processes=0).checked == 3
    stage(TOY, to, tmp_path / "further", "h264")
    assert audit(TOY, tmp_path / "further", "h264", processes=0).skipped == 3, "what was audited stays audited"


def test_only_what_is_missing_or_of_another_size_is_copied(root: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    stage(TOY, root, to, "h264", ["1"])
    videos = sorted((to / "prepared/h264").rglob("*.mp4"))
    assert [path.stem for path in videos] == ["#1 [x]", "two"]
    before = {path: path.stat().st_ino for path in videos}
    videos[0].write_bytes(b"cut short")
    stage(TOY, root, to, "h264", ["1"])
    assert videos[1].stat().st_ino == before[videos[1]]
    assert videos[0].read_bytes() == (root / "prepared/h264/a/#1 [x].mp4").read_bytes()
    stage(TOY, root, to, "h264")
    assert len(list((to / "prepared/h264").rglob("*.mp4"))) == 3
    assert not [path for path in to.rglob("*") if path.name.endswith(".partial")]


def test_unreadable_videos_are_counted_and_left_out(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "prepared")
    (root / "a/two.mp4").write_bytes(b"no video" * 40)
    prepare(TOY, root, "h264", processes=0)
    assert stage(TOY, root, tmp_path / "to", "h264").absent == 1
    assert "two" in load_prepared(TOY, tmp_path / "to", "h264", "1").test.quarantine


def test_room_is_asked_for_first(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 100, 100))
    with pytest.raises(PrepareError, match="has 0.0 MiB left, and 0.0 MiB are needed: make room there"):
        stage(TOY, root, tmp_path / "to", "h264")
    assert not list((tmp_path / "to").rglob("*.mp4"))


def test_what_makes_no_sense_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="is the --root itself"):
        stage(TOY, root, root / ".", "h264")
    with pytest.raises(PrepareError, match="not prepared.*python -m benchmarks prepare toy"):
        stage(TOY, root, tmp_path / "to", "short256")
    (tmp_path / "file").write_text("")
    with pytest.raises(PrepareError, match="cannot be written"):
        stage(TOY, root, tmp_path / "file" / "to", "h264")
    (root / "list1.txt").write_text("train 0 a/other.mp4\n")
    with pytest.raises(ManifestError, match="was changed after"):
        stage(TOY, root, tmp_path / "to", "h264")


@pytest.mark.parametrize("packed", [False, True])
def test_frame_folders_are_staged_as_shards_where_they_are_packed(tmp_path: Path, packed: bool) -> None:
    root, to = tmp_path / "root", tmp_path / "to"
    for number in range(3):
        frame_folder(root / f"all/{number}", 6)
    write_lists(root, [f"{'train' if number else 'test'} 0 all/{number}" for number in range(3)], ("1",))
    prepare(FRAMES, root, processes=0)
    if packed:
        pack(FRAMES, root, processes=0)
    stage(FRAMES, root, to)
    assert (to / "all").exists() is not packed and (to / "all.shards/000000.tar").exists() is packed
    data = load_prepared(FRAMES, to, "original", "1")
    for entry in data.train.entries:
        assert np.array_equal(
            read_frames(data.train.video_path(entry), np.arange(6), "frames"),
            read_frames(root / entry.path, np.arange(6), "frames"),
        )
