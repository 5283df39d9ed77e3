"""One video examined: can it be read, does it hold the frames it should, and are frames read by their index right?"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.commands.compare import Wrong, distance_to, reduced, wrong_frames
from benchmarks.commands.frames import frames_hash, images_of
from benchmarks.commands.reencode import decoded, header_of, lost_frames
from benchmarks.official import sha256_of
from hcml.data.container import VideoError, check_file, pyav_errors, video_stream
from hcml.data.video import READERS

UNGUARDED = "decord-unguarded"
"""decord as it comes, without the checks of hcml/data/video.py: to see what they are for. No run can use it."""
TOLERANCE = 0.02
"""Share of frames by which counts may differ: what hcml/data/dataset.py lets pass."""
PATTERNS = 2
"""Version of what :func:`examine` does; videos found healthy by another version are examined anew."""


@dataclass(frozen=True)
class Finding:
    """`kind` is '' for a healthy video; else reasons are counted by it, and `reason` has the details."""

    kind: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """A video to examine. `sha256`: of what was prepared ('' = not known). `known`: what `prepare` found of an original
    and its copy does not show (None = nothing)."""

    video_id: str
    path: str
    num_frames: int
    sha256: str = ""
    known: Finding | None = None


class UnguardedDecord:
    """A reader (hcml.data.video.Reader) that decord alone answers for."""

    def __init__(self, path: str | Path) -> None:
        from decord import DECORDError, VideoReader, logging

        logging.set_level(logging.QUIET)
        self._path, self._error = str(path), DECORDError
        try:
            self._reader: Any = VideoReader(str(path), num_threads=1)
        except (DECORDError, RuntimeError) as error:
            raise VideoError(path, f"decord cannot open it ({str(error).splitlines()[0]})") from error

    def __len__(self) -> int:
        return len(self._reader)

    def get(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        try:
            frames: NDArray[np.uint8] = self._reader.get_batch([int(index) for index in indices]).asnumpy()
        except (self._error, RuntimeError) as error:
            raise VideoError(self._path, f"decord cannot decode it ({str(error).splitlines()[0]})") from error
        return frames

    def close(self) -> None:
        self._reader = None


def reader_of(decoder: str) -> Callable[[str | Path], Any]:
    """The reader named `decoder`; raises ValueError naming the known ones."""
    known: dict[str, Callable[[str | Path], Any]] = {**READERS, UNGUARDED: UnguardedDecord}
    if decoder not in known:
        raise ValueError(f"--decoder {decoder} is not one of {', '.join(known)}")
    return known[decoder]


def examine(case: Case, *, root: Path, decoder: str, seed: int, frame_folders: bool) -> Finding:
    """Reads a video in order and by index, and compares its bytes with those that were prepared, for most damage inside
    a frame decodes without an error. Raises nothing that the video is to blame for."""
    path = root / case.path
    finding = case.known or _read(case, path, decoder, seed, frame_folders)
    if finding.kind or not case.sha256:
        return finding
    if (frames_hash(path) if frame_folders else sha256_of(path)) == case.sha256:
        return finding
    return Finding(
        "changed",
        "its bytes are not those that were prepared: it was damaged or exchanged; delete it, fetch it again if it is "
        "no copy, and prepare again",
    )


def _read(case: Case, path: Path, decoder: str, seed: int, frame_folders: bool) -> Finding:
    try:
        if frame_folders:
            reference, header_says, turned = _stacked(path, [reduced(image) for image in images_of(path)]), 0, 0
        else:
            reference, header_says, turned = _in_order(path)
        with contextlib.closing(reader_of(decoder)(path)) as reader:
            length = len(reader)
    except VideoError as error:
        kinds = {"no such file": "missing file", "truncated": "truncated"}
        return Finding(next((kinds[word] for word in kinds if word in error.reason), "unreadable"), error.reason)
    found = len(reference)
    if lost_frames(header_says, found):
        return Finding("truncated", f"holds {found} frames, but its header says {header_says}; fetch it again")
    for who, count in ((decoder, length), ("the manifest", case.num_frames)):
        if abs(count - found) > TOLERANCE * found:
            return Finding("frame count", f"holds {found} frames, but {who} says {count}; fetch or prepare it again")
    wrong: list[Wrong] = []
    asked = 0
    rng = np.random.default_rng([seed, zlib.crc32(case.video_id.encode())])
    for indices in patterns(min(found, length), rng):
        try:
            with contextlib.closing(reader_of(decoder)(path)) as reader:
                frames = reader.get(indices)
        except VideoError as error:
            return Finding("unreadable", f"frames {indices.tolist()}: {error.reason}")
        given = _same_way_up(frames, turned, reference, indices)
        if given is None:
            return Finding(
                "wrong frames", f"{decoder} gives frames of another size ({frames.shape[2]}x{frames.shape[1]})"
            )
        wrong += wrong_frames(given, indices.tolist(), reference)
        asked += len(indices)
    if wrong:
        first = wrong[0]
        got = f"frame {first.got}" if first.got >= 0 else "pixels that no frame has"
        text = f"{decoder} gives {len(wrong)} wrong frames of {asked} (frame {first.asked} was asked for, {got} came)"
        return Finding("wrong frames", text)
    return Finding()


def patterns(length: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Indices as training and testing ask for them: one of each of 8 segments, 16 in a row, 8 with a stride of 4, the
    last, and 8 anywhere in any order."""
    segment = length / 8
    yield np.minimum(((np.arange(8) + 0.5) * segment).astype(np.int64), length - 1)
    for count, stride in ((16, 1), (8, 4)):
        span = (count - 1) * stride + 1
        start = int(rng.integers(0, max(1, length - span + 1)))
        yield np.minimum(start + stride * np.arange(count), length - 1)
    yield np.array([length - 1])
    yield rng.integers(0, length, 8)


def _in_order(path: Path) -> tuple[NDArray[np.uint8], int, int]:
    """All frames, reduced [N, D]; how many the header says there are (0: unknown); by how many quarter turns
    (counter-clockwise) the video is to be shown."""
    from av.video.reformatter import VideoReformatter

    check_file(str(path))
    frames, turned = [], 0
    with pyav_errors(str(path)):
        container = av.open(str(path))
    with container:
        with pyav_errors(str(path)):
            stream = video_stream(str(path), container)
            header = header_of(container, stream)
        reformatter = VideoReformatter()
        for frame in decoded(str(path), container, stream):
            turned = round(frame.rotation / 90) % 4
            frames.append(reduced(reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()))
    return _stacked(path, frames), header.promised, turned


def _stacked(path: Path, frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if not frames:
        raise VideoError(path, "holds no frames; fetch it again")
    if len({frame.shape for frame in frames}) > 1:
        raise VideoError(path, "changes its size in the middle; encode it again")
    return np.stack(frames)


def _same_way_up(
    frames: NDArray[np.uint8], turned: int, reference: NDArray[np.uint8], indices: NDArray[np.int64]
) -> NDArray[np.uint8] | None:
    """Frames [T, H, W, 3] reduced [T, D], turned back where the decoder turned them; None if the size is another."""
    candidates = []
    for turns in {0, turned}:
        back = np.rot90(frames, -turns, axes=(1, 2))
        small = np.stack([reduced(frame) for frame in back])
        if small.shape[1] == reference.shape[1]:
            candidates.append(small)
    if not candidates:
        return None
    return min(candidates, key=lambda small: distance_to(small, indices.tolist(), reference))
