"""Preparing a real tree of real encoded files: found, counted, encoded anew, resumed; and what goes wrong."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.examine import UNGUARDED, reader_of
from benchmarks.layout import Layout, PrepareError
from benchmarks.ledger import open_ledger, read_ledger
from benchmarks.official import AnnotationError
from benchmarks.prepare import prepare
from benchmarks.prepared import load_prepared, write_quarantine
from benchmarks.reencode import VideoError, count_packets, reencode, size_of_copy
from hcml.data.manifest import ManifestError
from hcml.data.video import read_frames
from tests.benchmarks.tree import FRAMES, TOY, Toy, avi, cut_short, decode, encode, write_lists

HARD = "Movies/brush hair/#19_(a)_[b]!&;+~@ you'd_0.avi"
LINES = [
    f"train 0 {HARD}",
    "train 1 catch/b.webm",
    "test 2 wave/c.mp4",
    "test 1 catch/gone.avi",
]


def grow(root: Path) -> Path:
    avi(root / HARD)
    encode(root / "catch/b.webm", 30, "libvpx-vp9", rate=12, **{"cpu-used": "8"})
    encode(root / "wave/c.mp4", 25, rate=30)
    write_lists(root, LINES)
    return root


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("grown"))


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


def run(root: Path, version: str = "h264", **options):
    said: list[str] = []
    return prepare(TOY, root, version, processes=options.pop("processes", 0), say=said.append, **options), said


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
    assert origin["annotations"].keys() == {"list1.txt"} and origin["official_lists"] is False
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


def test_encoding_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    source = avi(tmp_path / "a.avi")
    for name in ("x", "y"):
        reencode(source, tmp_path / f"{name}.mp4", tmp_path / "scratch", "h264")
    assert (tmp_path / "x.mp4").read_bytes() == (tmp_path / "y.mp4").read_bytes()


def test_sizes_of_copies_are_even_and_keep_the_aspect() -> None:
    assert size_of_copy(320, 240, "short256") == (342, 256)
    assert size_of_copy(240, 320, "short256") == (256, 342)
    assert size_of_copy(1920, 1080, "short256") == (456, 256)
    assert size_of_copy(1920, 1080, "340x256") == (340, 256)
    assert size_of_copy(321, 241, "h264") == (320, 240)
    assert size_of_copy(320, 240, "h264") == (320, 240)


def test_odd_sizes_and_turned_videos(tmp_path: Path) -> None:
    """A turned one becomes upright, as decord shows it."""
    odd = encode(tmp_path / "odd.webm", 5, "libvpx-vp9", (33, 21))
    reencode(odd, tmp_path / "odd.mp4", tmp_path / "scratch", "h264")
    assert [frame.shape for frame in decode(tmp_path / "odd.mp4")] == [(20, 32, 3)] * 5
    path = encode(tmp_path / "turned.mp4", 5, size=(64, 32))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = (0, 65536, 0, -65536, 0, 0, 32 << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in quarter)
    path.write_bytes(content)
    reencode(path, tmp_path / "upright.mp4", tmp_path / "scratch", "h264")
    upright = np.stack(decode(tmp_path / "upright.mp4"))
    assert upright.shape == (5, 64, 32, 3)
    assert np.abs(read_frames(path, np.arange(5)).astype(int) - upright).mean() < 3


@pytest.mark.parametrize("count", ["packets", "decode"])
def test_originals_are_counted_and_decord_is_warned_of(root: Path, count: str) -> None:
    _, said = run(root, "original", count=count)
    data = load_prepared(TOY, root, "original", "2")
    assert [(e.path, e.num_frames) for e in data.train.entries] == [(HARD, 40), ("catch/b.webm", 30)]
    assert any("decord will refuse 1 of these files" in line and "h264" in line for line in said)
    assert "encoder" not in data.train.origin
    assert not (root / "prepared/original").exists()


def test_files_are_found_anywhere_by_exact_stem_and_duplicates_are_reported(root: Path) -> None:
    (root / "else/where").mkdir(parents=True)
    (root / "wave/c.mp4").rename(root / "else/where/c.MP4")
    (root / "wave/c.txt").write_text("not a video")
    shutil.copy(root / "catch/b.webm", root / "wave/cc.webm")
    outcome, said = run(root, "original")
    assert outcome.located.paths["c"] == "else/where/c.MP4" and not outcome.located.ambiguous
    shutil.copy(root / "else/where/c.MP4", root / "else/c.mkv")
    outcome, said = run(root, "original")
    assert outcome.located.ambiguous == {"c": ["else/c.mkv", "else/where/c.MP4"]}
    assert outcome.located.paths["c"] == "else/c.mkv"
    assert any("1 videos have several files" in line for line in said)


def test_links_to_folders_are_followed_once(root: Path, tmp_path: Path) -> None:
    (root / "wave").rename(tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    outcome, _ = run(root, "original")
    assert outcome.located.paths["c"] == "linked/c.mp4" and not outcome.located.ambiguous


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


COMMAND = """
import sys
from pathlib import Path
from benchmarks.prepare import prepare
from tests.benchmarks.tree import TOY

if __name__ == "__main__":
    print(prepare(TOY, Path(sys.argv[1]), "h264", processes=2, say=lambda line: print(line, flush=True)).done_now)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "command.py"
    path.write_text(COMMAND)
    return path


def start(script: Path, root: Path, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(script), str(root)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, script: Path) -> None:
    root = tmp_path / "root"
    first = encode(root / "wave/0.mp4", 120, size=(160, 120))
    for number in range(1, 24):
        shutil.copy(first, root / f"wave/{number}.mp4")
    write_lists(root, [f"train 2 wave/{number}.mp4" for number in range(24)])
    (root / "list1.txt").open("a").write("test 1 wave/none.mp4\n")
    process = start(script, root)
    ledger = Layout(root, "h264").ledger
    deadline = time.monotonic() + 60
    while not ledger.exists() or ledger.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = read_ledger(ledger)
    assert 3 <= len(done) < 24
    assert not (root / "manifests").exists()
    with ledger.open("a") as stream:
        stream.write('{"video_id": "23", "frames"')  # torn by the kill
    output, errors = start(script, root).communicate(timeout=120)
    assert output.splitlines()[-1] == str(24 - len(done)), errors
    assert {row["frames"] for row in read_ledger(ledger).values()} == {120}
    assert len(load_prepared(TOY, root, "h264", "2").train.entries) == 24
    assert not Layout(root, "h264").scratch.exists()
    assert len([path for path in (root / "prepared/h264").rglob("*") if path.is_file()]) == 24


@pytest.mark.slow
def test_two_runs_at_once_do_the_work_once(root: Path, script: Path) -> None:
    runs = [start(script, root), start(script, root)]
    outputs = [process.communicate(timeout=120)[0] for process in runs]
    assert sorted(output.splitlines()[-1] for output in outputs) == ["0", "3"]
    assert len(Layout(root, "h264").ledger.read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_one_clear_error(root: Path, script: Path) -> None:
    """A limit on file size stands for a full disk: the system refuses to write in the same way."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    _, errors = start(script, root, preexec_fn=limit).communicate(timeout=120)
    assert "PrepareError" in errors.splitlines()[-1], errors
    assert "cannot be written" in errors and "make room there" in errors
    assert not list((root / "prepared/h264").rglob("*.mp4"))


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


class TestLoading:
    def test_what_is_not_prepared_names_the_command(self, root: Path) -> None:
        command = f"python -m benchmarks prepare toy --root {root} --copy short256 --split 1"
        with pytest.raises(ManifestError, match=command):
            load_prepared(TOY, root, "short256", "1")
        with pytest.raises(AnnotationError, match="'9' is not a split of toy: 1, 2"):
            load_prepared(TOY, root, "h264", "9")
        with pytest.raises(AnnotationError, match="'h265' is not a copy"):
            load_prepared(TOY, root, "h265", "1")

    def test_changed_annotations_make_manifests_stale(self, root: Path) -> None:
        run(root, "original")
        (root / "list1.txt").open("a").write("train 1 wave/new.mp4\n")
        with pytest.raises(ManifestError, match=r"list1\.txt was changed after toy was prepared.*--split 1"):
            load_prepared(TOY, root, "original", "1")
        load_prepared(TOY, root, "original", "2")
        (root / "list2.txt").unlink()
        load_prepared(TOY, root, "original", "2")

    def test_quarantine_is_merged_and_other_ids_left_out(self, root: Path) -> None:
        run(root, "original")
        write_quarantine(
            Layout(root, "original").quarantine, {"b": ("catch/b.webm", 'says "no", often'), "z": ("z", "")}
        )
        data = load_prepared(TOY, root, "original", "1")
        assert data.train.quarantine == {"b": 'says "no", often'} and data.test.quarantine == {}

    def test_a_damaged_quarantine_list_is_an_error(self, root: Path) -> None:
        run(root, "original")
        path = Layout(root, "original").quarantine
        path.parent.mkdir()
        path.write_text("video_id,path,reason\nb,catch/b.webm\n")
        with pytest.raises(ManifestError, match=r"original\.csv:2: 2 cells in place of 3"):
            load_prepared(TOY, root, "original", "1")

    def test_two_data_sets_do_not_share_a_root(self, root: Path) -> None:
        run(root, "original")
        with pytest.raises(PrepareError, match="belongs to toy: give each data set a --root of its own"):
            prepare(Toy(name="other"), root, "original", processes=0)
        with pytest.raises(ManifestError, match="belongs to toy, not to other"):
            load_prepared(Toy(name="other"), root, "original", "1")


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


def test_a_ledger_drops_its_torn_last_line_and_refuses_other_damage(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with open_ledger(path) as ledger:
        ledger.add({"video_id": "a", "frames": 1})
    with path.open("a") as stream:
        stream.write('{"video_id": "b"')
    with open_ledger(path) as ledger:
        assert ledger.rows.keys() == {"a"}
        ledger.add({"video_id": "c"})
    assert [json.loads(line)["video_id"] for line in path.read_text().splitlines()] == ["a", "c"]
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(PrepareError, match=r"l\.jsonl:1: not a row"):
        read_ledger(path)


def test_a_video_without_frames_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video stream"):
        count_packets(path)
    with pytest.raises(VideoError, match="no video stream"):
        reencode(path, tmp_path / "x.mp4", tmp_path / "scratch", "h264")
    assert not (tmp_path / "x.mp4").exists()
