"""Real encoded videos whose frames say their own index."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from hcml.data.manifest import Manifest, VideoEntry

CELL = 14
SIDE = 4 * CELL


def _burn(index: int) -> np.ndarray:
    """uint8 [56, 56, 3]: the bits of `index` as black and white cells, which survive any codec."""
    bits = np.array([(index >> bit) & 1 for bit in range(16)], dtype=np.uint8).reshape(4, 4)
    return np.repeat(np.kron(bits, np.ones((CELL, CELL), dtype=np.uint8))[..., None] * 220 + 16, 3, axis=-1)


def _read_index(frame: np.ndarray) -> int:
    """The index burnt into a decoded frame [56, 56, 3]."""
    cells = frame.mean(axis=-1).reshape(4, CELL, 4, CELL).mean(axis=(1, 3)).reshape(16) > 128
    return int(sum(1 << bit for bit in range(16) if cells[bit]))


def _encode(path: Path, num_frames: int, codec: str = "libx264", first: int = 0, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for index in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_burn(first + index), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def read_index() -> Callable[[np.ndarray], int]:
    return _read_index


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """encode(path, num_frames, codec="libx264", first=0, **options): frame t shows first + t."""
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
