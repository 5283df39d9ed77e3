"""Video files seen from outside: what can be said about them without a decoder.

Decoders read a file that was cut short as a shorter video, and turn frames as far as they understand its orientation;
these checks keep such files from them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_TRUNCATED = "the file is truncated or still being written; fetch or encode it again"


class VideoError(RuntimeError):
    """A video that cannot be read: `path`, and in the message the reason and what to do."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def check_file(path: str) -> None:
    """Refuses what no decoder should be asked to guess about: missing, empty, mp4 and webm files cut short, and mp4
    files whose orientation is no quarter turn."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise VideoError(path, "is not a file; a folder of frames needs benchmark.decoder=frames")
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(path, "is not a file")
        if status.st_size == 0:
            raise VideoError(path, "is empty (0 bytes); fetch or encode it again")
        with open(path, "rb") as stream:
            head = stream.read(8)
            if head[4:] in _MP4_FIRST_BOXES:
                _check_mp4(path, stream, status.st_size)
            elif head[:4] == _EBML:
                _check_webm(path, stream, status.st_size)
    except FileNotFoundError:
        raise VideoError(path, "there is no such file; check the data root, or prepare the benchmark again") from None
    except OSError as error:
        raise VideoError(path, f"cannot be opened ({error.strerror})") from error


def _check_mp4(path: str, stream: BinaryIO, size: int) -> None:
    boxes = {kind: (start, end) for kind, start, end in _mp4_boxes(stream, size)}
    if b"moov" not in boxes:
        raise VideoError(path, f"has no index (mp4 box 'moov'): {_TRUNCATED}")
    claimed = max(end for _, end in boxes.values())
    if claimed > size:
        raise VideoError(path, f"its parts add up to {claimed} bytes, but it has {size}: {_TRUNCATED}")
    start, end = boxes[b"moov"]
    stream.seek(start)
    matrix = _matrix_of_video(stream.read(end - start))
    if matrix is not None and not _is_quarter_turn(matrix):
        raise VideoError(
            path,
            f"is to be shown mirrored or turned by an odd angle (matrix {matrix}), which decoders do in different "
            "ways; encode it again as it is to be seen",
        )


def _mp4_boxes(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of its content, end) of the top-level boxes, in bytes; the last end may lie behind the file's."""
    start = 0
    while start + 8 <= size:
        stream.seek(start)
        head, content = stream.read(16), start + 8
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length, content = int.from_bytes(head[8:16], "big"), start + 16
        elif length == 0:
            length = size - start
        if length < 8:
            return
        yield head[4:8], content, start + length
        start += length


def _inside(box: bytes) -> dict[bytes, list[bytes]]:
    """Contents of the boxes inside a box, by kind."""
    found: dict[bytes, list[bytes]] = {}
    for kind, start, end in _mp4_boxes(io.BytesIO(box), len(box)):
        found.setdefault(kind, []).append(box[start:end])
    return found


def _matrix_of_video(moov: bytes) -> tuple[int, int, int, int] | None:
    """(a, b, c, d) of the video track's display matrix, in 1/65536; None if there is no such track."""
    for track in _inside(moov).get(b"trak", []):
        parts = _inside(track)
        handler = b"".join(_inside(b"".join(parts.get(b"mdia", []))).get(b"hdlr", []))
        header = b"".join(parts.get(b"tkhd", []))
        if handler[8:12] == b"vide" and header:
            place = 40 if header[0] == 0 else 52  # ISO/IEC 14496-12, 8.3.2: version 1 has 64-bit times
            a, b, c, d = (int.from_bytes(header[at : at + 4], "big", signed=True) for at in (place, place + 4, place + 12, place + 16))
            return a, b, c, d
    return None


def _is_quarter_turn(matrix: tuple[int, int, int, int]) -> bool:
    a, b, c, d = matrix
    upright = b == c == 0 and (a > 0) == (d > 0) and (a < 0) == (d < 0)
    return upright or (a == d == 0 and b * c < 0)


def _check_webm(path: str, stream: BinaryIO, size: int) -> None:
    """EBML header, then the Segment, which says how long it is unless it was written to a pipe (RFC 8794, 9559)."""
    stream.seek(4)
    head_size = _ebml_size(stream)
    if head_size is None:
        return
    stream.seek(head_size, io.SEEK_CUR)
    if stream.read(4) != _SEGMENT:
        return
    length = _ebml_size(stream)
    if length is not None and stream.tell() + length > size:
        raise VideoError(path, f"its segment ends at byte {stream.tell() + length}, but it has {size}: {_TRUNCATED}")


def _ebml_size(stream: BinaryIO) -> int | None:
    """The variable-length integer at the stream's place; None = unknown (all bits set) or not one."""
    first = stream.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + stream.read(extra), "big")
    return None if value == (1 << 7 * (extra + 1)) - 1 else value


def video_stream(path: str, container: Any) -> Any:
    """The stream that FFmpeg takes for the video: a cover picture is a video stream, too."""
    stream = container.streams.best("video")
    if stream is None:
        raise VideoError(path, "holds no video stream; fetch or encode it again")
    if stream.codec_context is None:
        raise VideoError(path, "its video has a codec that FFmpeg does not know; fetch or encode it again")
    return stream


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
