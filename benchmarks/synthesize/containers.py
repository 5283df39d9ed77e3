"""The files of an imitation: frames of synthmotion in the containers that the official data sets come in.

Imports neither hcml nor torch, so that rendering processes start quickly.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from PIL import Image

from benchmarks.synthmotion.encode import REPEATABLE
from benchmarks.synthmotion.render import draw_scene, render
from benchmarks.synthmotion.spec import Spec


@dataclass(frozen=True)
class Clip:
    """One video to be: what it shows and where it goes."""

    place: str
    """Relative to the root; its ending decides the container: .mp4 (H.264), .webm (VP9), .avi (MPEG-4 part 2 with
    B-frames, tagged XVID), none (a folder of JPEG files, 00001.jpg, ...)."""
    subset: str
    """synthmotion's: train | test, which share no textures."""
    motion: str
    """A class of synthmotion."""
    mirrored: bool = False
    index: int = 0
    """Which of the scenes of that subset and motion."""
    width: int = 320
    height: int = 240
    frames: int = 32
    fps: Fraction = Fraction(25)


ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "26", "preset": "veryfast", **REPEATABLE}),
    ".webm": ("libvpx-vp9", {"crf": "36", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    ".avi": ("mpeg4", {"qscale": "5"}),
}
"""File ending -> encoder and its options; one thread, so that equal frames give equal bytes."""
GOP = 12
B_FRAMES = 2


def draw(clip: Clip) -> np.ndarray:
    """The frames of a clip at synthmotion's size, uint8 [F, 56, 56, 3]."""
    frames = render(draw_scene(Spec(frames=clip.frames), clip.subset, clip.motion, clip.index))
    return np.ascontiguousarray(frames[:, :, ::-1]) if clip.mirrored else frames


def write_clip(root: Path, clip: Clip) -> None:
    """Writes one clip, whole or not at all; nothing if it is there. Raises OSError and av.FFmpegError."""
    path = root / clip.place
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        if path.suffix in ENCODERS:
            _encode(temporary, clip, path.suffix)
        else:
            _write_folder(temporary, clip)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)
        raise


def write_clips(root: Path, clips: list[Clip]) -> int:
    """:func:`write_clip` for several: the unit of work of a rendering process. Returns how many."""
    for clip in clips:
        write_clip(root, clip)
    return len(clips)


def _scaled(clip: Clip, pixel_format: str) -> Iterator[av.VideoFrame]:
    for array in draw(clip):
        frame = av.VideoFrame.from_ndarray(array, format="rgb24")
        frame = frame.reformat(clip.width, clip.height, format=pixel_format, interpolation="BILINEAR")
        frame.pict_type = PictureType.NONE
        yield frame


def _encode(path: Path, clip: Clip, ending: str) -> None:
    codec, options = ENCODERS[ending]
    # bitexact: else WebM gets a random number and all get the library's version
    with av.open(str(path), "w", format=ending[1:], options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=clip.fps)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.gop_size, stream.thread_count, stream.options = GOP, 1, options
        if ending == ".avi":
            stream.codec_context.max_b_frames = B_FRAMES
            stream.codec_context.codec_tag = "XVID"
        for frame in _scaled(clip, "yuv420p"):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_folder(path: Path, clip: Clip) -> None:
    path.mkdir()
    for number, frame in enumerate(_scaled(clip, "rgb24"), 1):
        Image.fromarray(frame.to_ndarray()).save(path / f"{number:05}.jpg", quality=85)
