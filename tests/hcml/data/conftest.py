"""Real encoded videos whose frames say their own index."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hcml.data.manifest import Manifest, VideoEntry

SIDE = 56
MILLISECOND = Fraction(1, 1000)


def _burn(index: int, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """uint8 [height, width, 3]: the bits of `index` as 4x4 black and white cells, which survive any codec."""
    bits = np.array([(index >> bit) & 1 for bit in range(16)], dtype=np.uint8).reshape(4, 4)
    cells = bits[np.arange(height) * 4 // height][:, np.arange(width) * 4 // width]
    return np.repeat(cells[..., None] * 220 + 16, 3, axis=-1)


def _read_index(frame: np.ndarray) -> int:
    """The index burnt into a decoded frame [H, W, 3]: the middle of each cell."""
    high, wide = (np.array(side) * np.arange(1, 8, 2) // 8 for side in frame.shape[:2])
    cells = [frame[y - 2 : y + 3, x - 2 : x + 3].mean() > 128 for y in high for x in wide]
    return int(sum(1 << bit for bit in range(16) if cells[bit]))


def _encode(
    path: Path,
    num_frames: int,
    codec: str = "libx264",
    first: int = 0,
    size: tuple[int, int] = (SIDE, SIDE),
    times: Sequence[int] | None = None,
    pix_fmt: str = "yuv420p",
    sound: bool = False,
    **options: str,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        silence = container.add_stream("aac", rate=8000) if sound else None
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = MILLISECOND
        if silence is not None:
            _mux_silence(container, silence)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(_burn(first + index, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _mux_silence(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    """One second."""
    for number in range(8):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 1024 * number
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


@pytest.fixture(autouse=True)
def _torchcodec_is_there(request: pytest.FixtureRequest) -> None:
    """Tests of an extra run where it is installed, and in CI it must be."""
    named = getattr(request.node, "callspec", None)
    if named is not None and named.params.get("decoder") == "torchcodec" and not os.environ.get("CI"):
        pytest.importorskip("torchcodec", exc_type=(ImportError, RuntimeError, OSError))


@pytest.fixture(scope="session")
def read_index() -> Callable[[np.ndarray], int]:
    return _read_index


@pytest.fixture(scope="session")
def burn() -> Callable[..., np.ndarray]:
    """burn(index, width=56, height=56): uint8 [height, width, 3]."""
    return _burn


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """encode(path, num_frames, codec="libx264", first=0, size=(56, 56), times=None, pix_fmt="yuv420p", sound=False,
    **options): frame t shows first + t, at times[t] milliseconds or 25 frames a second; size = (width, height)."""
    return _encode


@pytest.fixture(scope="session")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264, 60 frames, B-frames, a key frame every 12."""
    return _encode(tmp_path_factory.mktemp("golden") / "golden.mp4", 60, g="12", bf="3")


@pytest.fixture(scope="session")
def make_manifest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Manifest]:
    """make_manifest(count, num_frames=24): videos v0.. whose frame t of video k shows 100 k + t; two classes."""

    def make(count: int, num_frames: int = 24, subset: str = "train") -> Manifest:
        root = tmp_path_factory.mktemp("videos")
        for number in range(count):
            _encode(root / "clips" / f"v{number}.mp4", num_frames, first=100 * number, g="12")
        entries = [
            VideoEntry(f"v{k}", f"clips/v{k}.mp4", k % 2, num_frames, 25.0, ("left", "right")[k % 2])
            for k in range(count)
        ]
        groups = {"right": [1], "left": [0]}
        return Manifest("toy", "v1", "1", subset, root, ["a", "b"], groups, entries)

    return make


@pytest.fixture(scope="session")
def seven(make_manifest: Callable[..., Manifest]) -> Manifest:
    """Seven readable videos; do not change their files."""
    return make_manifest(7)
