"""What an audit finds in real files: frames a decoder gets wrong, files cut short, decoders that crash or hang."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.commands.audit import Report, audit
from benchmarks.commands.compare import Wrong, reduced, wrong_frames
from benchmarks.commands.examine import UNGUARDED, patterns, reader_of
from benchmarks.commands.isolate import Lost, run_isolated
from benchmarks.commands.layout import Layout, PrepareError
from benchmarks.commands.prepare import prepare
from benchmarks.commands.prepared import load_prepared, read_quarantine, write_quarantine
from hcml.data.manifest import Manifest, ManifestError
from hcml.data.video import VideoError, read_frames
from tests.benchmarks.tree import FRAMES, TOY, avi, cut_short, decode, encode, frame_folder, write_lists


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Healthy videos of three codecs, a static one, one of six frames; prepared as originals."""
    root = tmp_path_factory.mktemp("audited")
    encode(root / "a/h264.mp4", 60, g="12", bf="3")
    encode(root / "a/vp9.webm", 40, "libvpx-vp9", **{"cpu-used": "8", "g": "15"})
    encode(root / "a/still.mp4", 50, still=True, g="12")
    encode(root / "a/short.mp4", 6)
    encode(root / "a/large.mp4", 12, size=(320, 240))
    names = ["h264.mp4", "vp9.webm", "still.mp4", "short.mp4", "large.mp4"]
    write_lists(root, [f"{'train' if i else 'test'} {i % 3} a/{name}" for i, name in enumerate(names)])
    prepare(TOY, root, "original", processes=0)
    return root


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


def run(root: Path, version: str = "original", **options) -> Report:
    return audit(TOY, root, version, processes=options.pop("processes", 0), **options)


def kinds(report: Report) -> dict[str, str]:
    return {video_id: finding.kind for video_id, finding in report.found.items()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MPEG-4 AVI files and their copies."""
    root = tmp_path_factory.mktemp("mpeg4")
    avi(root / "a/one.avi", 60)
    avi(root / "a/two.avi", 45)
    write_lists(root, ["train 0 a/one.avi", "test 1 a/two.avi"])
    for version in ("original", "h264"):
        prepare(TOY, root, version, processes=0)
    return root


class TestDecordOnMpeg4WithBFrames:
    """The reason for `prepare` and for the guard in hcml/data/container.py (dmlc/decord#252)."""

    def test_unguarded_decord_gives_wrong_frames_and_no_error(self, tree: Path) -> None:
        frames = np.stack(decode(tree / "a/one.avi"))
        indices = np.array([50, 20, 33, 7, 41, 59])
        given = reader_of(UNGUARDED)(tree / "a/one.avi").get(indices)
        assert given.shape == frames[indices].shape
        distance = np.abs(given[:, None].astype(int) - frames[None]).mean(axis=(2, 3, 4))
        assert (distance.argmin(axis=1) != indices).any()
        assert distance.min(axis=1).max() < 5, "they are frames of the video, only other ones"

    def test_the_audit_catches_it_and_writes_nothing_down(self, tree: Path) -> None:
        report = run(tree, decoder=UNGUARDED)
        assert kinds(report) == {"one": "wrong frames", "two": "wrong frames"}
        assert "was asked for, frame" in report.found["one"].reason
        assert not Layout(tree, "original").quarantine.exists() and report.list_file is None

    def test_guarded_decord_refuses_and_pyav_reads_right(self, tree: Path) -> None:
        report = run(tree, decoder="decord")
        assert kinds(report) == {"one": "unreadable", "two": "unreadable"}
        assert "re-encode it to H.264 (prepare does)" in report.found["one"].reason
        assert load_prepared(TOY, tree, "original", "1").train.quarantine.keys() == {"one"}
        assert run(tree, decoder="pyav").found == {}
        assert load_prepared(TOY, tree, "original", "1").train.quarantine == {}

    @pytest.mark.parametrize("decoder", ["decord", UNGUARDED])
    def test_the_prepared_copy_passes(self, tree: Path, decoder: str) -> None:
        assert run(tree, "h264", decoder=decoder, again=True).found == {}


def test_healthy_videos_pass_and_are_not_checked_twice(root: Path) -> None:
    report = run(root, processes=2)
    assert (report.checked, report.skipped, report.found, report.quarantined) == (5, 0, {}, 0)
    assert Layout(root, "original").quarantine.read_text() == "video_id,path,reason\n"
    report = run(root)
    assert (report.checked, report.skipped) == (0, 5)
    assert run(root, again=True).checked == 5
    assert run(root, decoder="pyav").checked == 5


def test_bad_files_are_listed_by_kind_and_come_off_the_list_when_they_are_well(root: Path) -> None:
    originals = {name: (root / "a" / name).read_bytes() for name in ("h264.mp4", "vp9.webm", "short.mp4", "large.mp4")}
    (root / "a/h264.mp4").unlink()
    (root / "a/vp9.webm").write_bytes(originals["vp9.webm"][: len(originals["vp9.webm"]) // 2])
    (root / "a/short.mp4").write_bytes(originals["short.mp4"][:-50])
    encode(root / "a/large.mp4", 40)
    report = run(root)
    assert kinds(report) == {
        "h264": "missing file",
        "vp9": "truncated",
        "short": "truncated",
        "large": "frame count",
    }
    assert "holds 40 frames, but the manifest says 12" in report.found["large"].reason
    listed = read_quarantine(Layout(root, "original").quarantine)
    assert listed.keys() == report.found.keys() and listed["vp9"][0] == "a/vp9.webm"
    assert listed["vp9"][1].startswith("truncated: ")
    data = load_prepared(TOY, root, "original", "1")
    assert data.train.quarantine.keys() | data.test.quarantine.keys() == report.found.keys()

    for name, content in originals.items():
        (root / "a" / name).write_bytes(content)
    report = run(root)
    assert (report.checked, report.skipped, report.found) == (4, 1, {})
    assert read_quarantine(Layout(root, "original").quarantine) == {}


def test_a_sample_leaves_the_rest_of_the_list_alone(root: Path) -> None:
    before = {name: ("a/x", "said so") for name in ("h264", "vp9", "still", "short", "large")}
    path = Layout(root, "original").quarantine
    write_quarantine(path, before)
    report = run(root, sample=2, seed=3)
    assert report.checked == 2 and report.quarantined == 3
    left = read_quarantine(path)
    assert len(left) == 3 and left.items() <= before.items()
    assert run(root, sample=2, seed=3).skipped == 2, "the seed decides who is drawn"
    assert run(root).checked == 3


@pytest.mark.parametrize("version", ["original", "h264"])
def test_a_file_cut_short_is_found_in_its_copy_too(tmp_path: Path, version: str) -> None:
    cut_short(avi(tmp_path / "a/one.avi", 120))
    avi(tmp_path / "a/two.avi", 20)
    write_lists(tmp_path, ["train 0 a/one.avi", "test 1 a/two.avi"])
    assert prepare(TOY, tmp_path, version, processes=0).cut_short == ["one"]
    report = run(tmp_path, version, decoder="pyav")
    assert kinds(report) == {"one": "truncated"}
    assert "but its header says 120" in report.found["one"].reason


def test_what_could_not_be_encoded_has_the_reason_of_its_original(root: Path) -> None:
    (root / "a/short.mp4").write_bytes(b"no video" * 50)
    prepare(TOY, root, "h264", processes=0)
    report = run(root, "h264")
    assert kinds(report) == {"short": "unreadable"}
    assert report.found["short"].reason.startswith("a/short.mp4: PyAV cannot decode it")


def test_zeroed_packets_in_the_middle_are_found(root: Path) -> None:
    content = bytearray((root / "a/h264.mp4").read_bytes())
    start = content.index(b"mdat") + len(content) // 3
    content[start : start + 600] = bytes(600)
    (root / "a/h264.mp4").write_bytes(content)
    assert kinds(run(root)) == {"h264": "unreadable"}


def test_damage_that_decodes_without_an_error_is_found_by_its_bytes(root: Path) -> None:
    path = root / "a/vp9.webm"
    good = path.read_bytes()
    for place in range(len(good) // 2, len(good) - 200, 50):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with contextlib.suppress(VideoError):
            read_frames(path, np.arange(40), "pyav")
            break
    else:
        pytest.fail("every damage was noticed by the decoder: nothing was tried")
    found = kinds(run(root))
    assert found.keys() == {"vp9"} and found["vp9"] in ("changed", "wrong frames")
    prepare(TOY, root, "original", processes=0)
    assert kinds(run(root)).keys() == {"vp9"}, "a file of the same size must not pass as prepared"


def test_a_changed_frame_of_a_folder_is_found_packed_or_not(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        frame_folder(tmp_path / "a" / name, 12)
    write_lists(tmp_path, ["train 0 a/one", "train 1 a/two", "test 1 a/three"], ("1",))
    prepare(FRAMES, tmp_path, "original", processes=0)
    assert audit(FRAMES, tmp_path, "original", processes=0).found == {}
    path = tmp_path / "a/two/00007.jpg"
    path.write_bytes((tmp_path / "a/two/00008.jpg").read_bytes())
    assert kinds(audit(FRAMES, tmp_path, "original", processes=0, again=True)) == {"two": "changed"}


def test_files_that_decord_refuses_are_audited_with_the_decoder_that_runs_need(tree: Path) -> None:
    said: list[str] = []
    report = audit(replace(TOY, avi=True), tree, "original", processes=0, again=True, say=said.append)
    assert (report.decoder, report.found) == ("pyav", {})
    assert any("benchmark.decoder=pyav" in line for line in said)


def test_a_decoder_that_takes_too_long_is_that_videos_failure(root: Path) -> None:
    report = run(root, processes=2, limit=0.0005, sample=3)
    assert set(kinds(report).values()) == {"crash or hang"} and report.checked == 3
    assert "was not done with it after 0.0005 s" in next(iter(report.found.values())).reason
    assert len(read_quarantine(Layout(root, "original").quarantine)) == 3


@pytest.mark.slow
def test_crashes_and_hangs_cost_one_item_each() -> None:
    started = time.monotonic()
    sleeps = list(run_isolated(time.sleep, [0.0, 60.0, 0.01, 0.02], processes=2, limit=1.5))
    assert time.monotonic() - started < 30
    assert sorted((item, isinstance(result, Lost)) for item, result in sleeps) == [
        (0.0, False),
        (0.01, False),
        (0.02, False),
        (60.0, True),
    ]
    crashes = dict(run_isolated(signal.raise_signal, [signal.SIGSEGV, signal.SIGCONT], processes=1, limit=60))
    assert crashes == {
        signal.SIGSEGV: Lost("the decoder crashed on it (SIGSEGV)"),
        signal.SIGCONT: None,
    }
    with pytest.raises(ValueError, match="sleep length must be non-negative"):
        list(run_isolated(time.sleep, [-1.0], processes=1, limit=60))


def test_what_is_not_prepared_or_unknown_is_an_error(root: Path) -> None:
    with pytest.raises(PrepareError, match=r"not prepared.*python -m benchmarks prepare toy --root .* --copy short256"):
        run(root, "short256")
    with pytest.raises(PrepareError, match="--decoder nonsense is not one of decord, pyav"):
        run(root, decoder="nonsense")
    with pytest.raises(PrepareError, match="--sample -1"):
        run(root, sample=-1)
    (root / "list2.txt").open("a").write("train 0 a/new.mp4\n")
    with pytest.raises(ManifestError, match="was changed after"):
        run(root)
    assert run(root, splits=["1"]).checked == 5


def test_counts_may_differ_by_two_percent_as_training_lets_them(root: Path) -> None:
    manifest_path = Layout(root, "original").manifest("1", "test")
    manifest = Manifest.load(manifest_path, root)
    (entry,) = manifest.entries
    for promised, healthy in ((61, True), (63, False)):
        replace(manifest, entries=[replace(entry, num_frames=promised)]).save(manifest_path)
        assert (run(root, splits=["1"]).found == {}) is healthy


class TestComparing:
    """Frames [N, H, W, 3] of a scene in which a square of 9 x 9 pixels moves by 2 pixels a frame, before noise."""

    @pytest.fixture
    def frames(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        frames = np.repeat(rng.integers(40, 200, (1, 120, 160, 3), dtype=np.uint8), 30, axis=0)
        for number, frame in enumerate(frames):
            frame[50:59, 20 + 2 * number : 29 + 2 * number] = 250
        return frames

    def judge(self, given: np.ndarray, asked: list[int], frames: np.ndarray) -> list[Wrong]:
        return wrong_frames(np.stack([reduced(f) for f in given]), asked, np.stack([reduced(f) for f in frames]))

    def test_right_frames_pass_in_other_colours(self, frames: np.ndarray) -> None:
        rng = np.random.default_rng(1)
        asked = [0, 29, 7, 7, 15]
        given = frames[asked] * 0.95 + 6 + rng.normal(0, 2, frames[asked].shape)
        assert self.judge(np.clip(given, 0, 255).astype(np.uint8), asked, frames) == []

    def test_neighbours_are_told_apart_by_a_small_moving_thing(self, frames: np.ndarray) -> None:
        rng = np.random.default_rng(1)
        given = np.clip(frames[[3, 9, 20]] + rng.normal(0, 2, frames[:3].shape), 0, 255).astype(np.uint8)
        assert self.judge(given, [3, 8, 25], frames) == [Wrong(8, 9), Wrong(25, 20)]

    def test_frames_of_a_static_video_cannot_be_wrong(self, frames: np.ndarray) -> None:
        still = np.repeat(frames[:1], 20, axis=0)
        noisy = np.clip(still + np.random.default_rng(1).normal(0, 3, still.shape), 0, 255).astype(np.uint8)
        assert self.judge(noisy[[4, 5]], [12, 3], still) == []

    def test_pixels_of_no_frame_are_wrong(self, frames: np.ndarray) -> None:
        assert self.judge(255 - frames[:1], [0], frames) == [Wrong(0, -1)]

    def test_long_videos_are_searched_whole(self, frames: np.ndarray) -> None:
        long = np.concatenate([np.zeros((600, 120, 160, 3), np.uint8), frames])
        assert self.judge(frames[:1], [600], long) == []
        assert self.judge(frames[5:6], [3], long) == [Wrong(3, 605)]


@pytest.mark.parametrize("length", [1, 2, 7, 16, 300])
def test_patterns_stay_inside_and_reach_the_last_frame(length: int) -> None:
    indices = np.concatenate(list(patterns(length, np.random.default_rng(0))))
    assert indices.min() >= 0 and indices.max() == length - 1


def test_a_turned_video_is_compared_the_way_the_decoder_shows_it(root: Path) -> None:
    path = encode(root / "a/h264.mp4", 60, size=(64, 32), g="12")
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = (0, 65536, 0, -65536, 0, 0, 32 << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in quarter)
    path.write_bytes(content)
    prepare(TOY, root, "original", processes=0)
    assert read_frames(path, np.array([0]), "decord").shape == (1, 64, 32, 3)
    assert run(root, decoder="decord").found == {}
    assert run(root, decoder="pyav").found == {}
