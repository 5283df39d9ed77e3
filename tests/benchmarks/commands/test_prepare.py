"""Preparing a real tree of real encoded files: found, counted, encoded anew; and what goes wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.commands.examine import UNGUARDED, reader_of
from benchmarks.commands.layout import Layout, PrepareError
from benchmarks.commands.ledger import read_ledger
from benchmarks.commands.prepare import prepare
from benchmarks.commands.prepared import load_prepared
from benchmarks.official import AnnotationError
from hcml.data.video import read_frames
from tests.benchmarks.tree import FRAMES, HARD, TOY, Toy, avi, cut_short, decode, encode, grow, run, write_lists


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("grown"))


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


def test_manifests_of_a_copy_hold_found_missing_and_origin(root: Path) -> None:
    outcome, said = run(root, processes=2)
    assert not outcome.unreadable and not outcome.cut_short and outcome.done_now == 3
    assert any("4 videos are listed, 3 found (75.0 %), 1 missing (25.0 %)" in line for line in said)
    data = load_prepared(TOY, root, "h264", "1")
    stem = HARD.rpartition("/")[2].removesuffix(".avi")
    assert [(e.video_id, e.path, e.label, e.num_frames, e.fps) for e in data.train.entries] == [
        (stem, f"prepared/h264/{HARD.removesuffix('avi')}mp4", 0, 40, 25.0),
        ("b", "prepared/h264/catch/b.mp4", 1, 30, 12.0),
    ]
    assert [(e.video_id, e.num_frames, e.fps) for e in data.test.entries] == [("c", 25, 30.0)]
    assert data.test.missing == ["gone"] and data.train.missing == []
    assert data.train.mirror == [[0, 1]] and data.train.classes == TOY.classes()
    origin = data.train.origin
    assert origin["annotations"].keys() == {"list1.txt"} and "official_lists" not in origin
    assert origin["encoder"]["crf"] == 18 and origin["encoder"]["x264"] == "open-gop=0:mbtree=0"
    assert f"pyav {av.__version__}" in origin["encoder"]["libraries"][0]
    assert "synthetic" not in origin


@pytest.mark.parametrize("version", ["h264", "short256", "340x256"])
def test_a_copy_shows_frame_n_of_the_original_as_frame_n_to_every_decoder(root: Path, version: str) -> None:
    run(root, version)
    data = load_prepared(TOY, root, version, "1")
    originals = {"b": root / "catch/b.webm", "c": root / "wave/c.mp4"}
    for entry in [*data.train.entries, *data.test.entries]:
        path = root / entry.path
        frames = decode(path)
        assert len(frames) == entry.num_frames
        size = {"h264": (48, 64), "short256": (256, 342), "340x256": (256, 340)}[version]
        assert frames[0].shape[:2] == size
        indices = np.random.default_rng(0).permutation(entry.num_frames)
        for given in (read_frames(path, indices), reader_of(UNGUARDED)(path).get(indices)):
            assert max(np.abs(a.astype(int) - frames[i]).mean() for a, i in zip(given, indices, strict=True)) < 3
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert float(stream.average_rate) == entry.fps and stream.frames == entry.num_frames
            assert len(container.streams) == 1
        if version == "h264":
            source = decode(originals.get(entry.video_id, root / HARD))
            assert len(source) == len(frames)
            assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(source, frames, strict=True)) < 3


@pytest.mark.parametrize("count", ["packets", "decode"])
def test_originals_are_counted_and_decord_is_warned_of(root: Path, count: str) -> None:
    _, said = run(root, "original", count=count)
    data = load_prepared(TOY, root, "original", "2")
    assert [(e.path, e.num_frames) for e in data.train.entries] == [(HARD, 40), ("catch/b.webm", 30)]
    assert any("decord will refuse 1 of these files" in line and "h264" in line for line in said)
    assert "encoder" not in data.train.origin
    assert not (root / "prepared/original").exists()


def test_unreadable_files_are_quarantined_with_the_reason_and_tried_again(root: Path) -> None:
    whole = (root / "catch/b.webm").read_bytes()
    (root / "catch/b.webm").write_bytes(b"<html>404</html>" * 50)
    (root / "wave/c.mp4").write_bytes((root / "wave/c.mp4").read_bytes()[:-200])
    outcome, _ = run(root, processes=2)
    assert outcome.unreadable.keys() == {"b", "c"}
    assert "catch/b.webm: PyAV cannot decode it" in outcome.unreadable["b"]
    assert "truncated" in outcome.unreadable["c"]
    train = load_prepared(TOY, root, "h264", "1").train
    assert train.quarantine == {"b": outcome.unreadable["b"]}
    assert [entry.num_frames for entry in train.entries] == [40, 0]
    assert not (root / "prepared/h264/catch/b.mp4").exists()
    (root / "catch/b.webm").write_bytes(whole)
    outcome, _ = run(root)
    assert outcome.unreadable.keys() == {"c"} and outcome.done_now == 2
    assert load_prepared(TOY, root, "h264", "1").train.quarantine == {}


def test_a_file_cut_short_is_noted(tmp_path: Path) -> None:
    cut_short(avi(tmp_path / "a/one.avi", 120))
    write_lists(tmp_path, ["train 0 a/one.avi"])
    outcome, _ = run(tmp_path)
    assert outcome.cut_short == ["one"] and not outcome.unreadable
    row = read_ledger(Layout(tmp_path, "h264").ledger)["one"]
    assert row["promised"] == 120 and row["frames"] < 110


def test_done_videos_are_left_alone_and_changed_ones_are_done_again(root: Path) -> None:
    run(root)
    paths = [path for path in (root / "prepared/h264").rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in paths}
    assert len(before) == 3
    outcome, said = run(root)
    assert outcome.done_now == 0 and {path: path.stat().st_mtime_ns for path in paths} == before
    assert "3 of 3 are encoded already" in said
    encode(root / "wave/c.mp4", 31)
    (root / "prepared/h264/catch/b.mp4").unlink()
    outcome, _ = run(root)
    assert outcome.done_now == 2
    assert load_prepared(TOY, root, "h264", "1").test.entries[0].num_frames == 31


def test_originals_may_be_deleted_once_they_are_encoded(root: Path) -> None:
    run(root)
    before = load_prepared(TOY, root, "h264", "1").train.content_hash()
    (root / "catch/b.webm").unlink()
    outcome, said = run(root)
    assert outcome.located.missing == ["gone"] and outcome.done_now == 0
    assert "1 videos are there as copies alone: their originals are gone" in said
    assert load_prepared(TOY, root, "h264", "1").train.content_hash() == before


def test_folders_that_cannot_be_written_are_one_clear_error(root: Path) -> None:
    (root / "prepared").write_text("a file in the place of the folder")
    with pytest.raises(PrepareError, match="prepared.* cannot be written"):
        run(root)


def test_a_synthetic_tree_says_so(root: Path) -> None:
    (root / "SYNTHETIC").write_text("made up\n")
    run(root, "original", splits=["1"])
    assert load_prepared(TOY, root, "original", "1").test.origin["synthetic"] is True


def test_official_sizes_are_recognised(root: Path) -> None:
    sized = Toy(sizes={"1": {"train": 2, "test": 2}, "2": {"train": 2, "test": 3}})
    prepare(sized, root, "original", processes=0)
    assert load_prepared(sized, root, "original", "1").train.origin["official_lists"] is True
    assert load_prepared(sized, root, "original", "2").train.origin["official_lists"] is False
    known = Toy(known_sizes={"train": (7, 2), "test": (2, 9)})
    prepare(known, root, "original", processes=0)
    assert load_prepared(known, root, "original", "2").train.origin["official_lists"] is True


def test_a_subset_that_is_not_there_at_all_is_no_data_set(root: Path) -> None:
    write_lists(root, ["train 0 nowhere/x.mp4", "test 1 catch/b.webm"], ("1",))
    with pytest.raises(PrepareError, match="none of the 1 train videos of split 1 is under .*nowhere/x.mp4"):
        run(root, "original")
    write_lists(root, ["train 1 catch/b.webm", "test 2 wave/c.mp4"], ("1",))
    write_lists(root, ["train 1 catch/b.webm", "test 2 nowhere/x.mp4"], ("2",))
    outcome, said = run(root, "original")
    assert outcome.listings.keys() == {"1"} and any("split 2 is left out: none of the 1 test videos" in s for s in said)
    with pytest.raises(PrepareError, match="none of the 1 test videos of split 2"):
        run(root, "original", splits=["2"])


def test_further_splits_may_lack_their_lists_unless_they_are_asked_for(root: Path) -> None:
    (root / "list2.txt").unlink()
    outcome, said = run(root, "original")
    assert outcome.listings.keys() == {"1"} and len(outcome.manifests) == 2
    assert any("warning: split 2 is left out" in line and "list2.txt" in line for line in said)
    with pytest.raises(AnnotationError, match="list2.txt"):
        run(root, "original", splits=["2"])
    (root / "list1.txt").unlink()
    with pytest.raises(AnnotationError, match="list1.txt"):
        run(root, "original")


def test_bad_requests_are_refused(root: Path) -> None:
    with pytest.raises(PrepareError, match="toy has no copy 'h265'; it has: h264, original"):
        run(root, "h265")
    with pytest.raises(PrepareError, match="there is no such folder"):
        run(root / "none")
    with pytest.raises(AnnotationError, match="split"):
        run(root, splits=["3"])
    for name in ("Movies", "catch", "wave"):
        shutil.rmtree(root / name)
    with pytest.raises(PrepareError, match="none of the 4 videos of toy is there"):
        run(root)


def test_frame_folders_are_counted_and_gaps_are_unreadable(tmp_path: Path) -> None:
    for video_id, names in {"7": range(1, 9), "8": [1, 2, 4], "9": []}.items():
        (tmp_path / "frames" / video_id).mkdir(parents=True)
        for number in names:
            (tmp_path / "frames" / video_id / f"{number:05d}.jpg").write_bytes(b"x")
    write_lists(tmp_path, ["train 0 other/7", "train 1 frames/8", "test 1 frames/9", "test 0 frames/10"], ("1",))
    outcome = prepare(FRAMES, tmp_path, processes=0)
    assert outcome.unreadable["8"] == "frames/8: has 3 frames, but no 00003.jpg; unpack it again"
    assert "holds no frames" in outcome.unreadable["9"] and outcome.located.missing == ["10"]
    train = load_prepared(FRAMES, tmp_path, "original", "1").train
    assert [(e.path, e.num_frames) for e in train.entries] == [("frames/7", 8), ("frames/8", 0)]
    (tmp_path / "frames/8/00003.jpg").write_bytes(b"x")
    assert prepare(FRAMES, tmp_path, processes=0).unreadable.keys() == {"9"}
    assert read_ledger(Layout(tmp_path, "original").ledger)["8"]["frames"] == 4
