"""What a video file's packets say: can a frame be sought in it, and how many frames will come out.

Decoders that seek give wrong frames without an error on files that look good. Measured with decord 0.6.0 and
torchcodec 0.17.0 against decoding from the first frame on (tests/hcml/data/test_golden_frames.py):

- AVI with B-frames and MPEG program streams have no presentation times: both return other frames than the ones asked
  for, decord also in AVI without B-frames; MPEG-4 part 2 with B-frames is wrong under decord in every container
  (dmlc/decord#252), stream-copied to mp4 or not. Nothing but the kinds in `SOUGHT_IN` is therefore sought in.
- Open groups of pictures (x264's open-gop, x265's default): decord miscounts after a seek, torchcodec fails.
- An edit list that hides frames (`ffmpeg -ss ... -c copy` writes one): decord shows the hidden frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hcml.data.container import VideoError, pyav_errors, video_stream

SOUGHT_IN = {"mov": "mp4", "matroska": "webm/mkv"}
"""FFmpeg's names of the containers that decoders may seek in, and ours."""
SOUGHT_CODECS = {"h264": "H.264", "hevc": "HEVC", "vp8": "VP8", "vp9": "VP9", "av1": "AV1"}


@dataclass(frozen=True)
class Survey:
    """The packets of a video stream.

    `hidden`: packets that are decoded and not shown. `seekable`: each key frame starts a group of its own ('closed'),
    the first packet is one, and all packets have times, no two the same. `width`, `height`: in pixels, as stored.
    """

    container: str
    codec: str
    packets: int
    hidden: int
    seekable: bool
    width: int
    height: int

    @property
    def kind_is_known(self) -> bool:
        return self.container in SOUGHT_IN and self.codec in SOUGHT_CODECS


def survey(path: str) -> Survey:
    """Reads all packets of the video and decodes none. Raises :class:`VideoError` if PyAV cannot open it."""
    import av

    times: set[int] = set()
    packets = hidden = 0
    closed, key_time = True, None
    with pyav_errors(path), av.open(path) as container:
        stream = video_stream(path, container)
        codec, extra = stream.codec_context.name, stream.codec_context.extradata or b""
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            packets += 1
            hidden += packet.is_discard
            if packet.pts is None:
                continue
            times.add(packet.pts)
            if packet.is_keyframe:
                if key_time is not None and not _starts_anew(codec, extra, packet):
                    closed = False
                key_time = packet.pts
            elif key_time is None or packet.pts < key_time:
                closed = False
        if packets == 0:
            raise VideoError(path, "holds no frames; fetch or encode it again")
        return Survey(
            container=container.format.name.split(",")[0],
            codec=codec,
            packets=packets,
            hidden=hidden,
            seekable=closed and len(times) == packets,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
        )


def refuse_to_seek(path: str, found: Survey, decoder: str) -> None:
    """Raises :class:`VideoError` for containers and codecs whose frames `decoder` is not known to find."""
    if not found.kind_is_known:
        kind = f"{SOUGHT_CODECS.get(found.codec, found.codec)} in {SOUGHT_IN.get(found.container, found.container)}"
        raise VideoError(
            path,
            f"{kind}: {decoder} reads wrong frames from such files without saying so; "
            "re-encode it to H.264 (prepare does), or set benchmark.decoder=pyav",
        )


def _starts_anew(codec: str, extra: bytes, packet: Any) -> bool:
    """Whether a key frame closes the group before it: only an IDR picture does in H.264 and HEVC; other codecs are
    judged by their times alone. With open groups decord is late by the number of B-frames behind the second key
    frame; and even where no frame is stored behind a key frame that is shown later, the last frames are wrong."""
    if codec == "h264":
        return 5 in {unit & 31 for unit in _units(bytes(packet), extra, 4)}
    if codec == "hevc":
        return not {19, 20}.isdisjoint({unit >> 1 & 63 for unit in _units(bytes(packet), extra, 21)})
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
