"""A data set of a few seconds: a real tree of real encoded files, and the Official that reads its list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from benchmarks.commands.prepare import Outcome, prepare
from benchmarks.official import AnnotationError, ListedVideo, Listing, Official, sha256_of

CLASSES = ["brush_hair", "catch", "wave"]


@dataclass(frozen=True)
class Toy(Official):
    """`list.txt`: lines "SUBSET LABEL PLACE"; the id is the place's stem."""

    name: str = "toy"
    title: str = "Toy"
    splits: tuple[str, ...] = ("1", "2")
    copies: tuple[str, ...] = ("h264", "original", "short256", "340x256")
    mirrored: tuple[tuple[str, str], ...] = (("brush_hair", "catch"),)

    def classes(self) -> list[str]:
        return list(CLASSES)

    def listing(self, root: Path, split: str) -> Listing:
        path = root / f"list{split}.txt"
        if not path.is_file():
            raise AnnotationError(f"{path}: there is no such file")
        videos = []
        for line in path.read_text(encoding="utf-8").splitlines():
            subset, label, place = line.split(" ", 2)
            name = place.rpartition("/")[2]
            stem = name if self.frame_folders else name.rpartition(".")[0]
            videos.append(ListedVideo(stem, int(label), subset, (place,)))
        return Listing(self.classes(), videos, {path.name: sha256_of(path)})


TOY = Toy()
FRAMES = Toy(copies=("original",), frame_folders=True, splits=("1",))


def picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [H, W, 3]: a scene that moves by two pixels a frame, so that no two frames within 100 are alike."""
    rows, columns = np.mgrid[:height, :width]
    grey = 128 + 60 * np.sin((columns + 2 * index) / 5) + 50 * np.sin((rows + index) / 7 + columns / 9)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def encode(
    path: Path,
    frames: int = 40,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    rate: int = 25,
    still: bool = False,
    b_frames: int | None = None,
    **options: str,
) -> Path:
    """Writes a video of :func:`picture` 0, 1, ... (of 0 alone if `still`); size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        for index in range(frames):
            image = picture(0 if still else index, size[1], size[0])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def avi(path: Path, frames: int = 40) -> Path:
    """MPEG-4 part 2 with B-frames, as HMDB-51 and UCF-101 are handed out."""
    return encode(path, frames, "mpeg4", b_frames=2, g="12", qscale="3")


def cut_short(path: Path) -> None:
    """Takes the last frames of an AVI away, and its index: it still opens, and just looks shorter."""
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"00dc", 0, len(content) * 6 // 10)])


def write_lists(root: Path, lines: list[str], splits: tuple[str, ...] = ("1", "2")) -> None:
    for split in splits:
        (root / f"list{split}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def frame_folder(folder: Path, frames: int) -> Path:
    """JPEGs 00001.jpg, ... of :func:`picture`."""
    folder.mkdir(parents=True)
    for number in range(frames):
        Image.fromarray(picture(number)).save(folder / f"{number + 1:05d}.jpg", quality=90)
    return folder


HARD = "Movies/brush hair/#19_(a)_[b]!&;+~@ you'd_0.avi"
LINES = [
    f"train 0 {HARD}",
    "train 1 catch/b.webm",
    "test 2 wave/c.mp4",
    "test 1 catch/gone.avi",
]


def grow(root: Path) -> Path:
    """Three videos of three codecs, and the lists of four."""
    avi(root / HARD)
    encode(root / "catch/b.webm", 30, "libvpx-vp9", rate=12, **{"cpu-used": "8"})
    encode(root / "wave/c.mp4", 25, rate=30)
    write_lists(root, LINES)
    return root


def run(root: Path, version: str = "h264", **options: Any) -> tuple[Outcome, list[str]]:
    """:func:`benchmarks.commands.prepare.prepare` of :data:`TOY`, and what it said."""
    said: list[str] = []
    return prepare(TOY, root, version, processes=options.pop("processes", 0), say=said.append, **options), said
