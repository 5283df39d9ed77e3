"""Readers that seek: fast, and allowed to only where they were found to be right.

Each file is surveyed first (its packets are read, none is decoded): kinds of files that the decoders read wrongly are
refused, and within the known kinds those files that cannot be sought in are decoded from their start, by PyAV.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hcml.data.container import VideoError, check_file, one_line
from hcml.data.sequential import Frames, Indices, PyAVReader, checked, read_in_order
from hcml.data.survey import refuse_to_seek, survey


class SeekingReader(ABC):
    """What decord and torchcodec have in common. One thread each: loader processes are the parallelism."""

    name = ""
    _failures: tuple[type[Exception], ...] = (RuntimeError, OSError, IndexError, ValueError, StopIteration)
    """What the decoder raises for bad files."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        check_file(self._path)
        self._import()
        self._survey = survey(self._path)
        refuse_to_seek(self._path, self._survey, self.name)
        with self._errors():
            self._length = self._open()
        if self._length == 0:
            raise VideoError(self._path, "holds no frames; fetch or encode it again")
        found = self._survey
        self._seeks = found.seekable and not found.hidden and self._length == found.packets
        if not self._seeks:  # packets, too, need not be frames: a video may start between two key frames
            self._length = len(PyAVReader(self._path))

    def __len__(self) -> int:
        return self._length

    def get(self, indices: Indices) -> Frames:
        wanted = checked(self._path, indices, self._length)
        if not self._seeks:
            return read_in_order(self._path, wanted)
        with self._errors():
            frames = self._read(wanted)
        if frames.shape[0] != len(wanted) or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise VideoError(self._path, f"{self.name} gave {frames.dtype} {frames.shape} for {len(wanted)} indices")
        return frames

    def close(self) -> None:
        self._reader: Any = None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except VideoError:
            raise
        except self._failures as error:
            reason = f"{self.name} cannot decode it ({one_line(error)}); fetch or encode it again"
            raise VideoError(self._path, reason) from error

    @abstractmethod
    def _import(self) -> None:
        """Raises ImportError with what to install."""

    @abstractmethod
    def _open(self) -> int:
        """Opens the file and returns the number of frames that the decoder sees in it."""

    @abstractmethod
    def _read(self, wanted: list[int]) -> Frames: ...


class DecordReader(SeekingReader):
    """decord, the default."""

    name = "decord"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        sides = (self._survey.width, self._survey.height)  # a quarter turn swaps them
        self._seeks = self._seeks and not any(map(_is_misjudged, sides))

    def _import(self) -> None:
        try:
            from decord import DECORDError, logging
        except (ImportError, OSError) as error:
            raise ImportError(
                f"decord cannot be imported ({error}): install the locked requirements, or set benchmark.decoder=pyav"
            ) from error
        self._failures = (*SeekingReader._failures, DECORDError)
        logging.set_level(logging.QUIET)  # one VideoError in place of FFmpeg's line for every damaged packet

    def _open(self) -> int:
        from decord import VideoReader

        # decord repeats the last good frame in place of a broken one unless it is told to tolerate (almost) none.
        self._reader = VideoReader(self._path, num_threads=1, fault_tol=1e-9)
        return len(self._reader)

    def _read(self, wanted: list[int]) -> Frames:
        frames: Frames = self._reader.get_batch(wanted).asnumpy()
        return frames


def _is_misjudged(width: int) -> bool:
    """Whether decord takes frames of this width for ones with another number of channels than 3, and fails: it divides
    the length of a line, padded to 32 pixels, by the width (8, 12, 16, 24, 48 and 72 give a whole number)."""
    padded = -(-width // 32) * 32
    return padded != width and 3 * padded % width == 0


class TorchCodecReader(SeekingReader):
    """torchcodec in its exact mode, which reads all packets on opening; needs the extra `torchcodec` and FFmpeg."""

    name = "torchcodec"

    def _import(self) -> None:
        try:
            import torchcodec.decoders  # noqa: F401
        except (ImportError, OSError, RuntimeError) as error:
            raise ImportError(
                f"torchcodec cannot be imported ({one_line(error)}): install the extra with `pip install "
                "'hcml[torchcodec]'` and FFmpeg's shared libraries (Debian: apt-get install ffmpeg), "
                "or set benchmark.decoder=decord"
            ) from error

    def _open(self) -> int:
        from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined, unused-ignore]

        self._reader = VideoDecoder(
            self._path, dimension_order="NHWC", num_ffmpeg_threads=1, device="cpu", seek_mode="exact"
        )
        return len(self._reader)

    def _read(self, wanted: list[int]) -> Frames:
        frames: Frames = self._reader.get_frames_at(wanted).data.numpy()
        return frames
