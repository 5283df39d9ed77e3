"""Good videos of every container, and seeded ways to spoil them."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import av
import numpy as np
from PIL import Image

FRAMES, WIDTH, HEIGHT = 40, 96, 80
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264.mp4": ("libx264", {"g": "12", "bf": "3"}),
    "h264-tail.mp4": ("libx264", {"g": "250", "bf": "0"}),
    "h264.mkv": ("libx264", {"g": "12", "bf": "2"}),
    "vp9.webm": ("libvpx-vp9", {"g": "12", "cpu-used": "8"}),
    "mpeg4.avi": ("mpeg4", {"g": "12", "bf": "2", "qscale": "4"}),
}
FOLDER, PACKED = "folder", "packed"

Bytes = Callable[[bytes, np.random.Generator], bytes]


def make_good(root: Path) -> list[str]:
    """One good video of each kind below `root`; the names of the kinds. All show the same: textures that move, with a
    camera's noise, so that every packet holds something."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 255, (20, 24, 3)), np.ones((9, 9, 1)))
    images = [
        (texture[t : t + HEIGHT, 2 * t : 2 * t + WIDTH] + rng.normal(0, 6, (HEIGHT, WIDTH, 3))).clip(0, 255)
        for t in range(FRAMES)
    ]
    frames = [np.ascontiguousarray(image.astype(np.uint8)) for image in images]
    for name, (codec, options) in CODECS.items():
        _encode(root / name, frames, codec, options)
    (root / FOLDER / "v").mkdir(parents=True)
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(root / FOLDER / "v" / f"{number:05d}.jpg", quality=85)
    pack(root / FOLDER / "v", root / f"{PACKED}.shards")
    return [*CODECS, FOLDER, PACKED]


def video_of(root: Path, kind: str) -> Path:
    """The path that a reader is given."""
    return root / kind / "v" if kind in (FOLDER, PACKED) else root / kind


def _encode(path: Path, frames: list[np.ndarray], codec: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def pack(folder: Path, target: Path) -> None:
    target.mkdir()
    with tarfile.open(target / "000000.tar", "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, f"v/{path.name}")
    with tarfile.open(target / "000000.tar") as tar:
        places = [(member.offset_data, member.size) for member in tar]
    with closing(sqlite3.connect(target / "index.sqlite")) as index:
        index.execute("CREATE TABLE videos (id TEXT PRIMARY KEY, shard TEXT, frames INTEGER, places BLOB)")
        index.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        index.execute("INSERT INTO meta VALUES ('format', '1')")
        blob = np.array(places, dtype="<u8").tobytes()
        index.execute("INSERT INTO videos VALUES ('v', '000000.tar', ?, ?)", (len(places), blob))
        index.commit()


def _flip(count: int) -> Bytes:
    def flip(data: bytes, rng: np.random.Generator) -> bytes:
        spoilt = bytearray(data)
        for place in rng.integers(0, len(data), count):
            spoilt[place] ^= int(rng.integers(1, 256))
        return bytes(spoilt)

    return flip


def _zeros(data: bytes, rng: np.random.Generator) -> bytes:
    start, size = int(rng.integers(0, len(data))), int(rng.integers(16, 2048))
    return data[:start] + bytes(len(data[start : start + size])) + data[start + size :]


def _lost(data: bytes, rng: np.random.Generator) -> bytes:
    start, size = int(rng.integers(0, len(data))), int(rng.integers(1, 1024))
    return data[:start] + data[start + size :]


BYTES: dict[str, Bytes] = {
    "1 byte changed": _flip(1),
    "8 bytes changed": _flip(8),
    "64 bytes changed": _flip(64),
    "first 64 bytes noise": lambda data, rng: rng.bytes(64) + data[64:],
    "a block of zeros": _zeros,
    "a block lost": _lost,
    "truncated": lambda data, rng: data[: int(rng.integers(1, len(data)))],
    "doubled": lambda data, rng: data + data,
    "noise": lambda data, rng: rng.bytes(len(data)),
    "a text": lambda data, rng: b"<html><body>404 not found</body></html>\n" * 50,
    "empty": lambda data, rng: b"",
}
WAYS = [*BYTES, "another container's name", "a folder", "a dangling link", "gone"]


def spoil(good: Path, kind: str, target: Path, way: str, rng: np.random.Generator) -> str:
    """Puts video `kind` of `good` into the new folder `target`, spoilt in `way`; the kind under whose name it lies
    there. In a folder one frame is spoilt, in a packed one the shard or its index."""
    target.mkdir(parents=True)
    name = kind
    if kind in CODECS:
        if way == "another container's name":
            name = str(rng.choice([other for other in CODECS if Path(other).suffix != Path(kind).suffix]))
        shutil.copy(good / kind, target / name)
        victim = target / name
    elif kind == FOLDER:
        shutil.copytree(good / FOLDER, target / FOLDER)
        victim = target / FOLDER / "v" / f"{int(rng.integers(1, FRAMES + 1)):05d}.jpg"
    else:
        shutil.copytree(good / f"{PACKED}.shards", target / f"{PACKED}.shards")
        victim = target / f"{PACKED}.shards" / str(rng.choice(["000000.tar", "index.sqlite"]))
    if way in BYTES:
        victim.write_bytes(BYTES[way](victim.read_bytes(), rng))
    elif kind not in CODECS and way == "another container's name":
        shutil.copy(good / "vp9.webm", victim)
    else:
        if way != "another container's name":
            victim.unlink()
        if way == "a folder":
            victim.mkdir()
        if way == "a dangling link":
            victim.symlink_to("nowhere")
    return name
