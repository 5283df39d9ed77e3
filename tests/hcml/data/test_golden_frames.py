"""Each reader gives the frame that was asked for, or refuses the file: frames show their own index."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from hcml.data.seeking import _is_misjudged
from hcml.data.survey import survey
from hcml.data.video import VideoError, open_reader, read_frames

Encode = Callable[..., Path]
ReadIndex = Callable[[np.ndarray], int]
DECODERS = ["decord", "pyav", "torchcodec"]

UNEVEN = [int(t) for t in np.cumsum(np.random.default_rng(3).choice([11, 40, 80, 400], 40))]
GOOD: dict[str, tuple[int, dict[str, Any]]] = {
    "h264.mp4": (40, dict(g="12", bf="3")),
    "h264.mkv": (40, dict(g="12", bf="3")),
    "h264-open.mp4": (40, {"g": "10", "bf": "2", "x264-params": "open-gop=1"}),
    "h264-sound.mp4": (30, dict(g="9", bf="3", sound=True)),
    "h264-uneven.mp4": (40, dict(times=UNEVEN, g="9", bf="2")),
    "h264-late.mp4": (40, dict(times=[t + 700 for t in UNEVEN], g="9", bf="2")),
    "h264-57x43.mp4": (30, dict(size=(57, 43), pix_fmt="yuv444p", g="9", bf="2")),
    "h264-48x56.mp4": (30, dict(size=(48, 56), g="9", bf="2")),  # decord fails at a few small widths
    "h264-72x24.mp4": (30, dict(size=(72, 24), g="9", bf="2")),
    "h264-one.mp4": (1, {}),
    "hevc.mp4": (30, {"codec": "libx265", "size": (96, 80), "x265-params": "keyint=9:open-gop=0:log-level=none"}),
    "hevc-open.mp4": (30, {"codec": "libx265", "size": (96, 80), "x265-params": "keyint=9:log-level=none"}),
    "vp9.webm": (40, {"codec": "libvpx-vp9", "g": "12", "cpu-used": "8"}),
    "vp9-uneven.webm": (40, {"codec": "libvpx-vp9", "times": UNEVEN, "g": "12", "cpu-used": "8"}),
    "vp9-hidden.webm": (40, {"codec": "libvpx-vp9", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "5"}),
    "vp9-57x43.webm": (30, {"codec": "libvpx-vp9", "size": (57, 43), "g": "9", "cpu-used": "8"}),
    "vp9-one.webm": (1, {"codec": "libvpx-vp9"}),
    "vp8.webm": (30, {"codec": "libvpx", "g": "9", "cpu-used": "8"}),
}
REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "mpeg4-b.avi": (40, dict(codec="mpeg4", bf="2", g="12", qscale="2")),
    "mpeg4.avi": (40, dict(codec="mpeg4", bf="0", g="12", qscale="2")),
    "h264-b.avi": (40, dict(bf="3", g="12")),
    "mpeg4-b.mp4": (40, dict(codec="mpeg4", bf="2", g="12", qscale="2")),
    "mpeg4-b.mkv": (40, dict(codec="mpeg4", bf="2", g="12", qscale="2")),
    "mpeg1.mpg": (30, dict(codec="mpeg1video", bf="2", g="9")),
    "h264.ts": (30, dict(bf="2", g="9")),
}


def patterns(count: int) -> Iterator[list[int]]:
    """Ways to ask for frames of a video that has `count`."""
    rng = np.random.default_rng(count)
    yield list(range(count))
    yield list(range(count - 1, -1, -1))
    yield [count - 1]
    yield [count // 2] * 3
    for _ in range(4):
        yield [int((part + rng.random()) * count / 8) for part in range(8)]
        yield [int(index) for index in rng.integers(0, count, 6)]
        start = int(rng.integers(0, count))
        yield [min(start + 2 * step, count - 1) for step in range(8)]


def assert_golden(path: Path, decoder: str, count: int, read_index: ReadIndex, first: int = 0) -> None:
    for wanted in patterns(count):
        with closing(open_reader(path, decoder)) as reader:
            assert len(reader) == count
            frames = reader.get(np.array(wanted))
        assert [read_index(frame) for frame in frames] == [first + index for index in wanted]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, encode: Encode) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("kinds")

    def make(name: str) -> Path:
        count, how = (GOOD | REFUSED)[name]
        path = folder / name
        return path if path.exists() else encode(path, count, **how)

    return make


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", GOOD)
def test_the_frames_asked_for(made: Callable[[str], Path], read_index: ReadIndex, name: str, decoder: str) -> None:
    path = made(name)
    assert_golden(path, decoder, GOOD[name][0], read_index)
    width, height = GOOD[name][1].get("size", (56, 56))
    assert read_frames(path, np.array([0]), decoder).shape == (1, height, width, 3)


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
@pytest.mark.parametrize("name", REFUSED)
def test_kinds_that_are_read_wrongly_are_refused(
    made: Callable[[str], Path], read_index: ReadIndex, name: str, decoder: str
) -> None:
    path = made(name)
    with pytest.raises(VideoError, match=f"{decoder} reads wrong.*re-encode it to H.264.*or set benchmark.decoder=pyav"):
        open_reader(path, decoder)
    assert_golden(path, "pyav", REFUSED[name][0], read_index)


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_an_edit_list_hides_is_not_shown(
    tmp_path: Path, encode: Encode, read_index: ReadIndex, decoder: str
) -> None:
    """As `ffmpeg -ss 0.28 -i ... -c copy` cuts: packets from the key frame before on, and a list that hides 7 frames."""
    path = shifted(encode(tmp_path / "v.mp4", 40, g="12", bf="3"), tmp_path / "w.mp4", frames=7)
    assert survey(str(path)).hidden == 7
    assert_golden(path, decoder, 33, read_index, first=7)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_video_that_starts_between_key_frames(
    tmp_path: Path, encode: Encode, read_index: ReadIndex, decoder: str
) -> None:
    """What can be decoded begins at the next key frame; the packets before are not frames."""
    path = shifted(encode(tmp_path / "v.mp4", 40, g="12", bf="0"), tmp_path / "w.mkv", drop=5)
    assert survey(str(path)).packets == 35
    assert_golden(path, decoder, 28, read_index, first=12)


@pytest.mark.parametrize("decoder", DECODERS)
def test_two_frames_at_one_time_are_two_frames(
    tmp_path: Path, encode: Encode, read_index: ReadIndex, decoder: str
) -> None:
    path = shifted(encode(tmp_path / "v.mp4", 30, g="9", bf="0"), tmp_path / "w.mkv", halve=True)
    assert not survey(str(path)).seekable
    assert_golden(path, decoder, 30, read_index)


def shifted(source: Path, target: Path, frames: int = 0, drop: int = 0, halve: bool = False) -> Path:
    """A stream copy: `frames` earlier, without its first `drop` packets, or with two frames each at one time."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = old.streams.video[0]
        stream = new.add_stream_from_template(video)
        step = round(1 / (video.average_rate * video.time_base))
        for number, packet in enumerate(packet for packet in old.demux(video) if packet.dts is not None):
            if number < drop:
                continue
            packet.pts -= frames * step
            packet.dts -= frames * step
            if halve:
                packet.pts -= (number % 2) * step
                packet.dts = packet.pts
            packet.stream = stream
            new.mux(packet)
    return target


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("matrix", "turns"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)]
)
def test_frames_come_upright(
    tmp_path: Path, encode: Encode, read_index: ReadIndex, decoder: str, matrix: tuple[int, ...], turns: int
) -> None:
    """(0, 1, -1, 0) sends what points right to pointing down: a quarter turn clockwise, -1 in numpy's count."""
    path = encode(tmp_path / "v.mp4", 20, size=(72, 56), g="6", bf="2")
    stored = read_frames(path, np.arange(20), "pyav")
    set_matrix(path, matrix)
    wanted = np.array([0, 19, 7, 8, 13])
    shown = read_frames(path, wanted, decoder)
    assert [read_index(np.rot90(frame, -turns)) for frame in shown] == wanted.tolist()
    assert np.array_equal(shown, np.rot90(stored[wanted], turns, axes=(1, 2)))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0.7071, 0.7071, -0.7071, 0.7071)])
def test_other_orientations_are_refused(
    tmp_path: Path, encode: Encode, decoder: str, matrix: tuple[float, ...]
) -> None:
    path = encode(tmp_path / "v.mp4", 3)
    set_matrix(path, matrix)
    with pytest.raises(VideoError, match="mirrored or turned by an odd angle.*encode it again"):
        open_reader(path, decoder)


def set_matrix(path: Path, matrix: tuple[float, ...]) -> None:
    """(a, b, c, d) into the track header (ISO/IEC 14496-12, 8.3.2: version 0)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65536) for value in matrix)
    rows = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in rows)
    path.write_bytes(data)


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
@pytest.mark.parametrize("size", [(56, 56), (96, 80), (340, 256)])
def test_readers_that_may_seek_do(
    tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], decoder: str
) -> None:
    """Otherwise all of the above would be PyAV's merit."""
    path = encode(tmp_path / "v.mp4", 20, size=size, g="6", bf="3")
    monkeypatch.setattr("hcml.data.seeking.read_in_order", lambda *_: pytest.fail("decoded from the start"))
    with contextlib.closing(open_reader(path, decoder)) as reader:
        assert len(reader.get(np.array([0, 19, 8]))) == 3


def test_widths_that_decord_fails_at_are_known() -> None:
    """Measured with one-frame videos of every width from 8 to 399."""
    assert [width for width in range(8, 400) if _is_misjudged(width)] == [8, 12, 16, 24, 48, 72]
