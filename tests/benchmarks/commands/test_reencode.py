"""One video encoded anew."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.commands.reencode import VideoError, count_packets, reencode, size_of_copy
from hcml.data.video import read_frames
from tests.benchmarks.tree import avi, decode, encode


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
