"""Video files seen from outside: what can be said about them without decoding a frame.

Decoders give wrong frames without an error on some files that look good; these checks keep such files from them.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot")
_MPEG4_PART2 = re.compile(rb"stsd.{8}.{4}mp4v", re.DOTALL)
"""In an mp4's index: a sample description whose codec is MPEG-4 part 2."""


class VideoError(RuntimeError):
    """A video that cannot be read: `path`, and in the message the reason and what to do."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def check_file(path: str) -> None:
    """Refuses what no decoder should be asked to guess about: missing, empty, and mp4 files cut short."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(path, "is not a file")
        if status.st_size == 0:
            raise VideoError(path, "is empty (0 bytes); fetch or encode it again")
        with open(path, "rb") as stream:
            if stream.read(8)[4:] in _MP4_FIRST_BOXES:
                _check_mp4(path, stream, status.st_size)
    except FileNotFoundError:
        raise VideoError(path, "there is no such file; check the data root, or prepare the benchmark again") from None
    except OSError as error:
        raise VideoError(path, f"cannot be opened ({error.strerror})") from error


def _check_mp4(path: str, stream: BinaryIO, size: int) -> None:
    again = "the file is truncated or still being written; fetch or encode it again"
    if b"moov" not in (boxes := {kind: end for kind, _, end in _mp4_boxes(stream, size)}):
        raise VideoError(path, f"has no index (mp4 box 'moov'): {again}")
    if max(boxes.values()) > size:
        raise VideoError(path, f"its parts add up to {max(boxes.values())} bytes, but it has {size}: {again}")


def _mp4_boxes(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the top-level boxes, in bytes; the last end may lie behind the file's."""
    start = 0
    while start + 8 <= size:
        stream.seek(start)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = size - start
        if length < 8:
            return
        yield head[4:8], start, start + length
        start += length


def refuse_mpeg4(path: str) -> None:
    """decord gives wrong frames, silently, for MPEG-4 part 2 with B-frames (dmlc/decord#252), which is what AVI
    files of action benchmarks hold; stream-copying them to mp4 does not help."""
    with open(path, "rb") as stream:
        head = stream.read(12)
        found = "AVI container" if head[:4] == b"RIFF" and head[8:] == b"AVI " else ""
        if head[4:8] in _MP4_FIRST_BOXES:
            for kind, start, end in _mp4_boxes(stream, os.fstat(stream.fileno()).st_size):
                if kind == b"moov":
                    stream.seek(start)
                    if _MPEG4_PART2.search(stream.read(end - start)):
                        found = "MPEG-4 part 2 codec"
    if found:
        raise VideoError(
            path,
            f"{found}: decord reads wrong frames from such files without saying so; "
            "re-encode it to H.264 (prepare does), or set benchmark.decoder=pyav",
        )


def seeks_reliably(path: str) -> bool:
    """Whether decord may seek in this file: every key frame starts a group of its own ('closed').

    With open groups (x264's open-gop, x265's default) decord miscounts after a seek, without an error. Measured on
    H.264 with 3 B-frames: every clip that starts behind the second key frame is late by 3 frames; and even where no
    frame is stored behind a key frame that is shown later, the last frames of the video are wrong. Only an IDR
    picture closes a group in H.264 and HEVC; other codecs are judged by their time stamps. Decodes nothing.
    """
    import av

    with pyav_errors(path), av.open(path) as container:
        stream = video_stream(path, container)
        codec, extra = stream.codec_context.name, stream.codec_context.extradata or b""
        key_time = None
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            if packet.is_keyframe:
                if key_time is not None and not _starts_anew(codec, extra, bytes(packet)):
                    return False
                key_time = packet.pts
            elif key_time is not None and packet.pts < key_time:
                return False
    return True


def _starts_anew(codec: str, extra: bytes, packet: bytes) -> bool:
    if codec == "h264":
        return 5 in {unit & 31 for unit in _units(packet, extra, 4)}
    if codec == "hevc":
        return not {19, 20}.isdisjoint({unit >> 1 & 63 for unit in _units(packet, extra, 21)})
    return True


def _units(packet: bytes, extra: bytes, size_at: int) -> Iterator[int]:
    """First byte of each NAL unit of a packet: behind start codes, or, when the codec's description `extra` is that
    of an mp4 (its first byte is 1), behind lengths, whose own size that description has at `size_at`."""
    if extra[:1] != b"\x01" or len(extra) <= size_at:
        yield from (match[1][0] for match in re.finditer(rb"\x00\x00\x01(.)", packet, re.DOTALL))
        return
    width, place = (extra[size_at] & 3) + 1, 0
    while place + width < len(packet):
        yield packet[place + width]
        place += width + int.from_bytes(packet[place : place + width], "big")


def video_stream(path: str, container: Any) -> Any:
    if not container.streams.video:
        raise VideoError(path, "holds no video stream; fetch or encode it again")
    return container.streams.video[0]


@contextlib.contextmanager
def pyav_errors(path: str) -> Iterator[None]:
    import av

    try:
        yield
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, f"PyAV cannot decode it ({one_line(error)}); fetch or encode it again") from error


def one_line(error: BaseException) -> str:
    """The telling line of an error: decord puts a source position in front and a C++ stack trace behind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return re.sub(r"^((\[[\d:]+\]\s*)?(/\S+:\d+:\s*))+", "", text)[:200]
