"""One video file: rendered, encoded to H.264 by PyAV's x264, decoded again and hashed. Imports neither hcml nor torch,
so that rendering processes start quickly."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.synthmotion.render import draw_scene, render
from benchmarks.synthmotion.spec import Spec, SpecError, video_id

REPEATABLE = {"threads": "1", "x264-params": "mbtree=0"}
"""x264 without what makes two encodings of the same frames differ: its macroblock tree, together with B-frames, reads
memory it has not written (measured: with it, 1 to 40 % of small videos differ from one encoding to the next)."""


def relative_path(subset: str, class_name: str, index: int) -> str:
    """Where a video lies, relative to the folder of its version."""
    return f"videos/{subset}/{class_name}/{index:05d}.mp4"


def encode(path: Path, frames: np.ndarray, spec: Spec) -> None:
    """Writes frames uint8 [F, H, W, 3] as an H.264 mp4, whole or not at all.

    The bytes depend on the frames, the specification and the library alone (REPEATABLE). Raises SpecError if it
    cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(temporary), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(spec.fps))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.gop_size = spec.gop
            stream.thread_count = 1
            stream.options = {"crf": str(spec.crf), "preset": spec.preset, **REPEATABLE}
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        os.replace(temporary, path)
    except (av.FFmpegError, OSError) as error:
        raise SpecError(
            f"{path}: the video could not be written ({error}); check the disk, then start again"
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def decoded_hash(path: Path) -> tuple[str, int]:
    """sha256 (hex) over the decoded planes of a video, and its number of frames.

    Planes, not RGB: H.264 fixes the decoder's output bit for bit, the conversion to RGB it leaves to libraries.
    """
    digest, count = hashlib.sha256(), 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            digest.update(np.ascontiguousarray(frame.to_ndarray()).tobytes())
            count += 1
    return digest.hexdigest(), count


def write_video(spec: Spec, folder: Path, subset: str, class_name: str, index: int) -> dict[str, Any]:
    """Renders and encodes one video; returns its row for videos.jsonl. Raises SpecError if frames got lost."""
    scene = draw_scene(spec, subset, class_name, index)
    path = folder / relative_path(subset, class_name, index)
    encode(path, render(scene), spec)
    frames_sha256, count = decoded_hash(path)
    if count != spec.frames:
        raise SpecError(f"{path}: {spec.frames} frames were encoded but {count} can be decoded; check PyAV's x264")
    return {
        "video_id": video_id(subset, class_name, index),
        "subset": subset,
        "class": class_name,
        "index": index,
        "bytes": path.stat().st_size,
        "frames_sha256": frames_sha256,
        "parameters": scene.parameters,
    }


def write_some(spec: Spec, folder: Path, keys: list[tuple[str, str, int]]) -> list[dict[str, Any]]:
    """:func:`write_video` for several (subset, class, index): the unit of work of a rendering process."""
    return [write_video(spec, folder, *key) for key in keys]
