"""`python -m sweeps.checks.decoders NAME`: each decoder reads a small H.264 video that was written on the spot."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sweeps.checks.finding import Finding, ok, problem, say, warning

DECODERS = {"decord": "decord", "pyav": "av", "torchcodec": "torchcodec"}
"""Decoder -> its package."""
CODECS = ("h264", "vp9", "mpeg4")
FRAMES, STEP = 24, 9


def codecs() -> Iterator[Finding]:
    """What the FFmpeg behind PyAV reads and writes: the data sets come in these."""
    import av

    missing = [name for name in CODECS if name not in av.codec.codecs_available]
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    text = f"PyAV {av.__version__}, libavcodec {version}"
    if missing:
        yield problem("codecs", f"{text} cannot read {', '.join(missing)}", "install PyAV's own wheel: make install")
    elif "libx264" not in av.codec.codecs_available:
        remedy = (
            "`prepare` needs it to re-encode AVI files: install PyAV's own wheel (make install), or prepare elsewhere"
        )
        yield warning("codecs", f"{text} reads {', '.join(CODECS)}, but cannot write H.264", remedy)
    else:
        yield ok("codecs", f"{text}: reads {', '.join(CODECS)}, writes H.264")


def decoder(name: str, needed: bool) -> Iterator[Finding]:
    """Whether one decoder gives the right frames. `needed`: a run is configured with it."""
    from hcml.data.video import VideoError, read_frames

    package = DECODERS[name]
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if not version and not needed:
        yield ok(name, "not installed; it is optional (benchmark.decoder=torchcodec)")
        return
    remedy = {
        "torchcodec": "it needs FFmpeg's shared libraries (module load ffmpeg, apt-get install ffmpeg) and must fit "
        "torch: its page lists which version goes with which",
    }.get(name, "make install")
    if name != "pyav":
        remedy += "; or benchmark.decoder=pyav, which is slower"
    wanted = np.array([FRAMES - 1, 0, 7, 13])
    with tempfile.TemporaryDirectory(prefix="hcml-doctor-") as folder:
        video = write_video(Path(folder) / "doctor.mp4")
        try:
            frames = read_frames(video, wanted, name)
        except (VideoError, ImportError, OSError, RuntimeError) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            found = f"{package} {version or 'is missing'}: {first}"
            yield problem(name, found, remedy) if needed else warning(name, found, remedy)
            return
    wrong = [int(i) for i, frame in zip(wanted, frames, strict=True) if abs(frame.mean() - brightness(i)) > STEP / 2]
    if wrong:
        yield problem(name, f"{package} {version} gives wrong frames for {wrong}", "use another benchmark.decoder")
    else:
        yield ok(name, f"{package} {version} decodes H.264, every frame asked for is the right one")


def brightness(index: int) -> float:
    return 20.0 + STEP * index


def write_video(path: Path) -> Path:
    """24 frames of 64 x 48, each as bright as its number says, with B-frames."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"bf": "2", "g": "8", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(FRAMES):
            picture = np.full((48, 64, 3), brightness(index), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


if __name__ == "__main__":
    say(codecs() if sys.argv[1] == "codecs" else decoder(sys.argv[1], needed="needed" in sys.argv[2:]))
