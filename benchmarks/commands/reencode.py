"""One video, decoded from its first frame on and encoded anew, so that every decoder gives the right frames of it.

Never a stream copy: that keeps what decoders stumble over. A copy is H.264 with closed groups of pictures, in mp4,
without sound; frame n of it is frame n of the original.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from benchmarks.commands.layout import cannot_write
from hcml.data.container import VideoError, check_file, pyav_errors, video_stream

SIZES = {"h264": None, "short256": 256, "340x256": (340, 256)}
"""Copy -> its size: the original's, its short side, or width and height."""
MAX_RATE = 1000
"""Frames per second above which a container's claim is not believed."""


@dataclass(frozen=True)
class Settings:
    """How copies are encoded; equal for all videos of a copy."""

    codec: str = "libx264"
    crf: int = 18
    preset: str = "fast"
    pixel_format: str = "yuv420p"
    key_frame_every: int = 32
    """At most this many frames are decoded before a wanted one."""
    x264: str = "open-gop=0:mbtree=0"
    """Closed groups, because decord miscounts in open ones; without the macroblock tree, because with it two
    encodings of the same frames differ now and then."""
    threads: int = 1
    resized_by: str = "bicubic"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Header:
    """What a container says of its video, without any frame decoded."""

    codec: str
    width: int
    height: int
    fps: float
    frames: int
    """0 = it does not say."""
    seconds: float
    """0 = it does not say."""

    promised: int
    """Frames that there should be, by `frames` or `seconds`; 0 = it does not say."""


@dataclass(frozen=True)
class Counted:
    """A video whose frames were counted."""

    header: Header
    frames: int


def libraries() -> dict[str, str]:
    """Names and versions of what encodes and decodes."""
    versions = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return {"pyav": av.__version__, **{name: versions[name] for name in ("libavcodec", "libavformat", "libswscale")}}


def rate_of(stream: Any) -> Fraction:
    """Frames per second of a stream: the mean, where the container knows it. Raises ValueError if nothing is known."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= MAX_RATE:
            return Fraction(rate).limit_denominator(100_000)
    raise ValueError("its frame rate is unknown")


def header_of(container: Any, stream: Any) -> Header:
    seconds = 0.0
    if stream.duration is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    context = stream.codec_context
    fps, frames, seconds = float(rate_of(stream)), stream.frames or 0, max(0.0, seconds)
    by_time = round(seconds * fps)
    promised = frames or by_time
    if "mp4" in container.format.name and frames and by_time:
        # a part that was cut out of an mp4 may count frames that its edit list hides
        promised = min(frames, by_time)
    return Header(context.name, context.width, context.height, fps, frames, seconds, promised)


def count_packets(path: Path) -> Counted:
    """Frames of a video by counting its packets, nothing decoded; MPEG-4 part 2, whose packets may hold two frames or
    none, is decoded. Raises :class:`VideoError`."""
    check_file(str(path))
    with pyav_errors(str(path)), av.open(str(path)) as container:
        stream = video_stream(str(path), container)
        header = header_of(container, stream)
        if stream.codec_context.name == "mpeg4":
            frames = sum(1 for _ in decoded(str(path), container, stream))
        else:
            frames = sum(1 for packet in container.demux(stream) if packet.size and not packet.is_discard)
    return _counted(path, header, frames)


def count_decoded(path: Path) -> Counted:
    """Frames of a video by decoding all. Raises :class:`VideoError`."""
    check_file(str(path))
    with pyav_errors(str(path)), av.open(str(path)) as container:
        stream = video_stream(str(path), container)
        header = header_of(container, stream)
        frames = sum(1 for _ in decoded(str(path), container, stream))
    return _counted(path, header, frames)


def lost_frames(promised: int, found: int) -> bool:
    """Whether a file must be taken for truncated: more than 2 % and more than two frames fewer than its header
    promises. Two, because headers of good files miscount by one or two."""
    return promised - found > max(2, 0.02 * promised)


def _counted(path: Path, header: Header, frames: int) -> Counted:
    if frames == 0:
        raise VideoError(path, "holds no frames; fetch it again")
    return Counted(header, frames)


def decoded(path: str, container: Any, stream: Any) -> Iterator[Any]:
    """All frames of a stream in order, by one thread. Raises :class:`VideoError`, at a damaged frame too."""
    stream.codec_context.thread_type = "SLICE"  # frame threads can deadlock (PyAV#1962)
    stream.codec_context.thread_count = 1
    with pyav_errors(path):
        for number, frame in enumerate(container.decode(stream)):
            if frame.is_corrupt:
                raise VideoError(path, f"frame {number} is damaged; fetch it again")
            yield frame


def size_of_copy(width: int, height: int, version: str) -> tuple[int, int]:
    """(width, height) of the copy `version` of a video, both even."""
    wanted = SIZES[version]
    if isinstance(wanted, tuple):
        return wanted
    scale = Fraction(wanted, min(width, height)) if wanted else Fraction(1)
    if wanted and width <= height:
        return wanted, _even(height * scale)
    if wanted:
        return _even(width * scale), wanted
    # one row or column less at most, so that nothing is made up
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def _even(length: Fraction) -> int:
    return max(2, round(length / 2) * 2)


def reencode(source: Path, target: Path, scratch: Path, version: str, settings: Settings | None = None) -> Counted:
    """Writes the copy `version` of `source` to `target`, whole or not at all, by way of the folder `scratch`.

    Every decoded frame goes in once, at the original's mean frame rate. A turned video (its header says so) is turned
    upright, as decord and ffmpeg show it. Raises :class:`VideoError` if the source cannot be read and
    :class:`PrepareError` if the copy cannot be written.
    """
    settings = settings or Settings()
    check_file(str(source))
    temporary = scratch / f"{os.getpid()}.mp4"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        counted = _encode(source, temporary, version, settings)
        _check_copy(source, temporary, counted.frames)
        os.replace(temporary, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return counted


def _encode(source: Path, temporary: Path, version: str, settings: Settings) -> Counted:
    path = str(source)
    with pyav_errors(path):
        container = av.open(path)
    with container:
        with pyav_errors(path):
            stream = video_stream(path, container)
            header, rate = header_of(container, stream), rate_of(stream)
        frames = 0
        with av.open(str(temporary), "w", format="mp4") as output:
            encoder: Any = None
            reformatter = VideoReformatter()
            for frame in decoded(path, container, stream):
                upright = _upright(frame)
                if encoder is None:
                    encoder = _encoder(output, rate, upright, version, settings)
                image = reformatter.reformat(
                    upright,
                    width=encoder.width,
                    height=encoder.height,
                    format=settings.pixel_format,
                    interpolation=Interpolation.BICUBIC,
                    dst_color_range=ColorRange.MPEG if upright.format.name.startswith("yuvj") else None,
                    threads=1,
                )
                # The encoder decides on key frames, not the source; and time is counted anew, because time stamps of
                # real files are missing, repeat and jump.
                image.pict_type = 0
                image.pts, image.time_base = frames, 1 / rate
                output.mux(encoder.encode(image))
                frames += 1
            if encoder is None:
                raise VideoError(source, "holds no frames; fetch it again")
            output.mux(encoder.encode())
    return Counted(header, frames)


def _encoder(output: Any, rate: Fraction, frame: Any, version: str, settings: Settings) -> Any:
    encoder = output.add_stream(settings.codec, rate=rate)
    encoder.width, encoder.height = size_of_copy(frame.width, frame.height, version)
    encoder.pix_fmt = settings.pixel_format
    encoder.time_base = 1 / rate
    encoder.gop_size = settings.key_frame_every
    encoder.thread_count = settings.threads
    encoder.options = {
        "crf": str(settings.crf),
        "preset": settings.preset,
        "x264-params": settings.x264,
        "threads": str(settings.threads),
    }
    context = encoder.codec_context
    context.colorspace, context.color_range = frame.colorspace, ColorRange.MPEG
    context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    return encoder


def _upright(frame: Any) -> Any:
    turns = round(frame.rotation / 90) % 4
    if turns == 0:
        return frame
    turned = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
    return av.VideoFrame.from_ndarray(turned, format="rgb24")


def _check_copy(source: Path, copy: Path, frames: int) -> None:
    """Reads the copy's packets back: a copy that lost a frame would shift all that follow it."""
    found = count_packets(copy).frames
    if found != frames:
        raise VideoError(source, f"its copy holds {found} frames in place of {frames}; report this as a bug")
