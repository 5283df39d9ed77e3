"""Clips a second of the pipeline that training uses, and what the time goes into.

Shares are measured in the process itself, with one thread, by clocks around a reader's opening and reading; what is
left of an item is the transform, and what is left of a batch is collation. With loader processes only the rate is
measured: batches that arrive, those that were read ahead while nobody measured not counted. Files lie in the page
cache after the first round, so disks and networks are not in these numbers.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.videos import FPS, as_folders, make_videos
from hcml.config import SamplingConfig, TransformConfig
from hcml.data.dataset import ClipDataset, ClipItem
from hcml.data.loader import train_batches
from hcml.data.manifest import Manifest, VideoEntry
from hcml.data.stream import PREFETCH
from hcml.data.video import READERS, Reader, open_reader

SAMPLINGS = {
    "uniform": SamplingConfig(mode="uniform", num_frames=8),
    "dense": SamplingConfig(mode="dense", num_frames=8, frame_stride=2),
}
PARTS = ("open", "decode", "transform", "collate")
BATCH = 8


@dataclass
class Clock:
    """Seconds by part."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("open", "decode", "item"), 0.0))

    @contextmanager
    def running(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - started


class _TimedReader:
    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader, self._clock = reader, clock

    def __len__(self) -> int:
        return len(self._reader)

    def get(self, indices: Any) -> Any:
        with self._clock.running("decode"):
            return self._reader.get(indices)

    def close(self) -> None:
        with self._clock.running("open"):
            self._reader.close()


@dataclass(eq=False)
class TimedClips(ClipDataset):
    """The training dataset with clocks in it."""

    clock: Clock = field(default_factory=Clock)

    def _open(self, entry: VideoEntry) -> Any:
        with self.clock.running("open"):
            return _TimedReader(open_reader(self.manifest.video_path(entry), self.decoder), self.clock)

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        with self.clock.running("item"):
            item = super().__getitem__(key)
        if item["replaced"]:
            raise ValueError(f"{self.decoder} cannot read {', '.join(item['replaced'])}: nothing to measure")
        return item


@dataclass(frozen=True)
class Row:
    """One line of the table. `rates`: clips a second by number of loader processes. `shares`: of the time in one
    process, by part, adding up to 1."""

    decoder: str
    sampling: str
    rates: dict[int, float]
    shares: dict[str, float]


def measure(manifest: Manifest, decoder: str, sampling: str, crop: int, seconds: float, workers: list[int]) -> Row:
    transform = TransformConfig(crop_size=crop, scale=[0.25, 1.0], flip="horizontal")
    how = (manifest, SAMPLINGS[sampling], transform, decoder)
    data = TimedClips(*how)
    with train_batches(data, BATCH, 0, 0, 10**9) as batches:
        # Once through the files first: imports, page cache, the transform's first call.
        for _ in range(-(-len(data) // BATCH)):
            next(batches)
        data.clock.seconds.update(dict.fromkeys(data.clock.seconds, 0.0))
        count, elapsed = _count(batches, seconds)
    parts = data.clock.seconds
    spent = {
        "open": parts["open"],
        "decode": parts["decode"],
        "transform": parts["item"] - parts["open"] - parts["decode"],
        "collate": elapsed - parts["item"],
    }
    rates = {}
    for number in workers:
        if number == 0:
            rates[0] = count / elapsed
            continue
        with train_batches(ClipDataset(*how), BATCH, 0, 0, 10**9, workers=number, timeout=300) as batches:
            for _ in range(number * PREFETCH + 1):
                next(batches)
            arrived, waited = _count(batches, seconds)
        rates[number] = arrived / waited
    return Row(decoder, sampling, rates, {part: spent[part] / elapsed for part in PARTS})


def _count(batches: Iterator[Any], seconds: float) -> tuple[int, float]:
    """(clips, seconds) of the batches that come within about `seconds`, at least two."""
    started, clips = time.perf_counter(), 0
    for number in itertools.count(1):
        clips += len(next(batches)["label"])
        elapsed = time.perf_counter() - started
        if elapsed >= seconds and number >= 2:
            return clips, elapsed
    raise AssertionError("unreachable")


def table(rows: list[Row]) -> str:
    """Markdown."""
    workers = list(rows[0].rates)
    heads = ["decoder", "sampling", *(f"{n} workers" if n else "in process" for n in workers), *PARTS]
    lines = [heads, ["---", "---", *["--:"] * (len(heads) - 2)]]
    for row in rows:
        rates = [f"{row.rates[number]:.1f}" for number in workers]
        lines.append([row.decoder, row.sampling, *rates, *(f"{100 * row.shares[part]:.0f} %" for part in PARTS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(decoders: list[str]) -> str:
    names = {"decord": "decord", "pyav": "av", "torchcodec": "torchcodec", "frames": "pillow"}
    packages = ["torch", *(names[decoder] for decoder in decoders)]
    return f"{len(os.sched_getaffinity(0))} cores, {_processor()}; {', '.join(f'{p} {_version(p)}' for p in packages)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def add_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--decoder", default="decord,pyav", help=f"some of {', '.join(READERS)}, with commas")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="to measure each figure for")
    parser.add_argument("--workers", default="0,1,2", help="numbers of loader processes, with commas; 0 = none")
    parser.add_argument("--frames", type=int, default=10 * FPS, help=f"length of a video, {FPS} frames a second")
    parser.add_argument("--size", default="340x256", help="WIDTHxHEIGHT of the videos")
    parser.add_argument("--crop", type=int, default=224, help="side of the clips")
    parser.add_argument("--folder", type=Path, help="where videos are made and found again (default: temporary)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    decoders = args.decoder.split(",")
    for decoder in decoders:
        if decoder not in READERS:
            raise ValueError(f"--decoder={decoder!r} is not one of {', '.join(READERS)}")
    workers = _numbers("--workers", args.workers, ",", 0)
    width, height = _numbers("--size", args.size, "x", 16, count=2)
    if min(args.videos, args.frames) < 1 or args.seconds <= 0:
        raise ValueError("--videos, --frames and --seconds must be positive")
    torch.set_num_threads(1)  # as in a loader process
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        print(f"{args.videos} videos of {args.frames} frames, {width}x{height}, H.264; clips of 8 x {args.crop} px, "
              f"batches of {BATCH}", flush=True)  # fmt: skip
        videos = make_videos(folder, args.videos, args.frames, width, height)
        size = sum(videos.video_path(entry).stat().st_size for entry in videos.entries) / len(videos.entries)
        print(f"{size / 1000:.0f} kB a video; {machine(decoders)}", flush=True)
        folders = as_folders(videos) if "frames" in decoders else videos
        rows = [
            measure(folders if decoder == "frames" else videos, decoder, sampling, args.crop, args.seconds, workers)
            for decoder in decoders
            for sampling in SAMPLINGS
        ]
    print("\nClips a second, and shares of the time in one process\n")
    print(table(rows))
    return 0


def _numbers(name: str, text: str, between: str, low: int, count: int = 0) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(between)]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < low or count not in (0, len(numbers)):
        raise ValueError(f"{name}={text!r} must be whole numbers of at least {low} with {between!r} between them")
    return numbers
