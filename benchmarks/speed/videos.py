"""Videos to measure with: textures that move, with a camera's noise, encoded as `prepare` would."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from hcml.data.manifest import Manifest, VideoEntry

FPS = 30


def make_videos(root: Path, count: int, frames: int, width: int, height: int) -> Manifest:
    """`count` H.264 files below `root` (x264's defaults, CRF 23), kept if they are there; their manifest."""
    folder = root / f"{width}x{height}-{frames}"
    for number in range(count):
        path = folder / f"{number:03d}.mp4"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.part")
            _encode(temporary, _images(number, frames, width, height), width, height)
            os.replace(temporary, path)
    entries = [
        VideoEntry(f"{number:03d}", f"{folder.name}/{number:03d}.mp4", 0, frames, FPS) for number in range(count)
    ]
    return Manifest("speed", "v1", "1", "train", root, ["any"], {}, entries)


def as_folders(manifest: Manifest, quality: int = 90) -> Manifest:
    """The same videos as folders of JPEGs beside the files."""
    entries = []
    for entry in manifest.entries:
        folder = entry.path.removesuffix(".mp4")
        if not (manifest.root / folder).exists():
            temporary = manifest.root / f"{folder}.{os.getpid()}"
            temporary.mkdir()
            with av.open(str(manifest.video_path(entry))) as container:
                for number, frame in enumerate(container.decode(video=0), 1):
                    frame.to_image().save(temporary / f"{number:05d}.jpg", quality=quality)
            os.replace(temporary, manifest.root / folder)
        entries.append(VideoEntry(entry.video_id, folder, entry.label, entry.num_frames, entry.fps))
    return Manifest("speed", "v1", "1", "train", manifest.root, ["any"], {}, entries)


def _images(seed: int, frames: int, width: int, height: int) -> Iterator[np.ndarray]:
    """uint8 [height, width, 3] each: a texture with details of several sizes, drifting, and a patch on its own way."""
    rng = np.random.default_rng(seed)
    big = np.zeros((2 * height, 2 * width, 3))
    for cell in (8, 32, 96):
        coarse = rng.integers(0, 256, (2 * height // cell + 2, 2 * width // cell + 2, 3), dtype=np.uint8)
        planes = Image.fromarray(coarse).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
        big += np.asarray(planes, dtype=np.float64) / 3
    patch = big[: height // 3, : width // 3, ::-1]
    noise = rng.normal(0, 2, (8, height, width, 3))
    for t in range(frames):
        y, x = (int(side / 2 * (1 + np.sin(t / slow))) for side, slow in ((height, 41), (width, 67)))
        image = big[y : y + height, x : x + width] + noise[t % len(noise)]
        top, left = (int(side / 3 * (1 + np.cos(t / slow))) for side, slow in ((height, 29), (width, 23)))
        image[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
        yield image.clip(0, 255).astype(np.uint8)


def _encode(path: Path, images: Iterator[np.ndarray], width: int, height: int) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
