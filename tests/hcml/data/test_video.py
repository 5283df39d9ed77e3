from __future__ import annotations

import gc
import pickle
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from hcml.data.survey import survey
from hcml.data.video import DecordReader, VideoError, open_reader, read_frames

Encode = Callable[..., Path]
ReadIndex = Callable[[np.ndarray], int]
DECODERS = ["decord", "pyav", "torchcodec"]

PATTERNS = [
    [0],
    [59],
    [3, 5, 7, 9, 11, 13, 15, 17],
    [59, 0, 30, 30, 29, 1],
    [11, 12, 13],
    [7, 14, 21, 28, 35, 42, 49, 56],
    list(range(60)),
    list(range(59, -1, -1)),
]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_golden_frames(mp4: Path, read_index: ReadIndex, decoder: str, pattern: list[int]) -> None:
    with closing(open_reader(mp4, decoder)) as reader:
        assert len(reader) == 60
        frames = reader.get(np.array(pattern))
    assert frames.shape == (len(pattern), 56, 56, 3) and frames.dtype == np.uint8
    assert [read_index(frame) for frame in frames] == pattern


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b.mp4", "libx264", {"g": "250", "bf": "3"}),
        # decord itself reads wrong frames from these two, without an error.
        ("open.mp4", "libx264", {"g": "10", "bf": "2", "x264-params": "open-gop=1"}),
        ("late.mkv", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
        ("one.mp4", "libx264", {"g": "1"}),
        ("v.webm", "libvpx-vp9", {"g": "20", "cpu-used": "8"}),
    ],
)
def test_random_access_equals_sequential(
    tmp_path: Path, encode: Encode, read_index: ReadIndex, name: str, codec: str, options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, 45, codec, **options)
    everything = read_frames(path, np.arange(45), "pyav")
    assert [read_index(frame) for frame in everything] == list(range(45))
    rng = np.random.default_rng(0)
    with closing(DecordReader(path)) as reader:
        for _ in range(12):
            indices = rng.integers(0, 45, 8)
            assert np.array_equal(reader.get(indices), everything[indices])
    for start in range(31):
        indices = np.arange(start, start + 15, 2)
        assert np.array_equal(read_frames(path, indices, "decord"), everything[indices])


@pytest.mark.parametrize("open_gop", [0, 1])
@pytest.mark.parametrize("b_frames", [0, 1, 2, 3])
@pytest.mark.parametrize("gop", [7, 10, 13])
def test_every_single_frame_of_any_gop(
    tmp_path: Path, encode: Encode, read_index: ReadIndex, gop: int, b_frames: int, open_gop: int
) -> None:
    options = {"g": str(gop), "bf": str(b_frames), "x264-params": f"open-gop={open_gop}"}
    path = encode(tmp_path / "v.mp4", 25, **options)
    assert [read_index(read_frames(path, np.array([k]))[0]) for k in range(25)] == list(range(25))


def test_decord_seeks_where_groups_are_closed(tmp_path: Path, encode: Encode) -> None:
    """Otherwise every long video would be decoded from its start."""
    for name, codec, options in (
        ("h264.mp4", "libx264", {"g": "7", "bf": "3"}),
        ("h264.ts", "libx264", {"g": "7", "bf": "3"}),
        ("vp9.webm", "libvpx-vp9", {"g": "7", "cpu-used": "8"}),
        ("hevc.mp4", "libx265", {"x265-params": "keyint=7:open-gop=0:log-level=error"}),
    ):
        assert survey(str(encode(tmp_path / name, 40, codec, **options))).seekable, name
    for name, codec, options in (
        ("h264.mp4", "libx264", {"g": "7", "bf": "3", "x264-params": "open-gop=1"}),
        ("h264.ts", "libx264", {"g": "7", "bf": "3", "x264-params": "open-gop=1"}),
        ("hevc.mp4", "libx265", {"x265-params": "keyint=7:open-gop=1:log-level=error"}),
    ):
        assert not survey(str(encode(tmp_path / f"open-{name}", 40, codec, **options))).seekable, name


@pytest.mark.parametrize("decoder", DECODERS)
def test_indices_outside_are_refused_with_the_numbers(mp4: Path, decoder: str) -> None:
    with closing(open_reader(mp4, decoder)) as reader:
        with pytest.raises(VideoError, match=r"golden\.mp4: frames 58\.\.60 were asked for, but it has frames 0\.\.59"):
            reader.get(np.array([58, 60]))
        with pytest.raises(VideoError, match=r"frames -1\.\.3 were asked for"):
            reader.get(np.array([-1, 3]))
        for wrong in (np.array([[1]]), np.array([0.5]), np.array([], dtype=np.int64)):
            with pytest.raises(VideoError, match=r"integers of shape \[T\]"):
                reader.get(wrong)


@pytest.mark.parametrize("decoder", DECODERS)
class TestFilesThatCannotBeRead:
    def refused(self, path: Path, decoder: str) -> str:
        with pytest.raises(VideoError) as caught:
            read_frames(path, np.arange(60), decoder)
        assert caught.value.path == str(path) and str(path) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        return caught.value.reason

    def test_missing(self, tmp_path: Path, decoder: str) -> None:
        assert "there is no such file; check the data root" in self.refused(tmp_path / "none.mp4", decoder)

    def test_a_folder(self, tmp_path: Path, decoder: str) -> None:
        assert "is not a file" in self.refused(tmp_path, decoder)

    def test_empty(self, tmp_path: Path, decoder: str) -> None:
        (tmp_path / "v.mp4").touch()
        assert "is empty (0 bytes)" in self.refused(tmp_path / "v.mp4", decoder)

    def test_no_video(self, tmp_path: Path, decoder: str) -> None:
        (tmp_path / "v.mp4").write_bytes(b"<html>404 not found</html>" * 40)
        assert "cannot decode it" in self.refused(tmp_path / "v.mp4", decoder)

    def test_zeros_in_place_of_packets(self, tmp_path: Path, encode: Encode, decoder: str) -> None:
        path = encode(tmp_path / "v.mp4", 60, g="12")
        data = bytearray(path.read_bytes())
        start = data.index(b"mdat")
        size = int.from_bytes(data[start - 4 : start], "big")
        data[start + size // 2 : start + size - 4] = bytes(size - 4 - size // 2)
        path.write_bytes(data)
        started = time.monotonic()
        assert "cannot decode it" in self.refused(path, decoder)
        assert time.monotonic() - started < 5

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
    @pytest.mark.parametrize("flags", ["", "faststart", "frag_keyframe"])
    def test_truncated_mp4(self, tmp_path: Path, encode: Encode, decoder: str, share: float, flags: str) -> None:
        path = encode(tmp_path / "v.mp4", 60, g="12")
        if flags:
            path = remux(path, tmp_path / "w.mp4", flags)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        self.refused(path, decoder)

    def test_truncated_webm(self, tmp_path: Path, encode: Encode, decoder: str) -> None:
        """All decoders take it for a shorter video."""
        path = encode(tmp_path / "v.webm", 60, "libvpx-vp9", **{"cpu-used": "8"})
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * 0.7)])
        assert "but it has" in self.refused(path, decoder)

    def test_sound_only(self, tmp_path: Path, decoder: str) -> None:
        path = tmp_path / "v.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        assert "video stream" in self.refused(path, decoder)


def remux(source: Path, target: Path, flags: str) -> Path:
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": flags}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_other_layouts_of_mp4_are_read(tmp_path: Path, encode: Encode, read_index: ReadIndex, flags: str) -> None:
    path = remux(encode(tmp_path / "v.mp4", 40, g="12"), tmp_path / "w.mp4", flags)
    assert [read_index(frame) for frame in read_frames(path, np.array([0, 13, 39]), "decord")] == [0, 13, 39]


@pytest.mark.parametrize("name", ["v.avi", "v.mp4"])
def test_mpeg4_with_b_frames_is_refused_by_decord_and_read_right_by_pyav(
    tmp_path: Path, encode: Encode, read_index: ReadIndex, name: str
) -> None:
    """decord returns other frames than the ones asked for on these, without an error."""
    path = encode(tmp_path / name, 40, "mpeg4", bf="2", g="12", qscale="2")
    with pytest.raises(VideoError, match="re-encode it to H.264.*or set benchmark.decoder=pyav"):
        open_reader(path)
    wanted = [0, 7, 8, 9, 31]
    assert [read_index(frame) for frame in read_frames(path, np.array(wanted), "pyav")] == wanted


def test_an_unknown_decoder_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"benchmark\.decoder='opencv' is not one of decord, pyav"):
        open_reader("v.mp4", "opencv")


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_a_decoder_that_is_not_installed_is_named(mp4: Path, monkeypatch: pytest.MonkeyPatch, decoder: str) -> None:
    monkeypatch.setitem(sys.modules, decoder, None)
    monkeypatch.setitem(sys.modules, f"{decoder}.decoders", None)
    said = {"decord": "install the locked requirements", "torchcodec": r"pip install 'hcml\[torchcodec\]'.*FFmpeg"}
    with pytest.raises(ImportError, match=f"{decoder} cannot be imported.*{said[decoder]}.*set benchmark.decoder="):
        open_reader(mp4, decoder)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(VideoError(Path("a/v.mp4"), "is empty")))
    assert (error.path, error.reason, str(error)) == ("a/v.mp4", "is empty", "a/v.mp4: is empty")


@pytest.fixture
def jpegs(tmp_path: Path, burn: Callable[..., np.ndarray]) -> Path:
    for number in (1, 2):
        Image.fromarray(burn(number)).save(tmp_path / f"{number:05d}.jpg")
    return tmp_path


def resident_mib() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of this process from /proc")
@pytest.mark.parametrize("decoder", [*DECODERS, "frames"])
def test_memory_does_not_grow(mp4: Path, jpegs: Path, decoder: str) -> None:
    """The long version: python tests/soak/damaged_videos.py --opens 20000."""

    def read(times: int) -> None:
        for _ in range(times):
            with closing(open_reader(jpegs if decoder == "frames" else mp4, decoder)) as opened:
                opened.get(np.arange(2))

    rounds = 1000 if decoder == "decord" else 300
    read(50)
    gc.collect()
    before = resident_mib()
    read(rounds)
    gc.collect()
    assert resident_mib() - before < 20
