"""Damaged videos through every reader: none may crash, hang, escape with another exception, or give another number of
frames than decoding from the first frame on does.

    python tests/soak/damaged_videos.py --files 1000 --seed 0

Every file is read in a child process, which is ended after `--limit` seconds, because a decoder's crash takes its
process along. Prints a summary; exit code 1 if a rule was broken.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from damage import CODECS, FOLDER, FRAMES, WAYS, make_good, spoil, video_of  # beside this file

from hcml.data.video import READERS, VideoError, open_reader, read_frames

BROKEN = ("crashed", "hung", "escaped", "miscounted")
OUTCOMES = ("refused", "unharmed", "shorter", "longer", "other pixels", "another frame", *BROKEN)
INSIDE = ("1 byte changed", "8 bytes changed", "64 bytes changed", "a block of zeros", "a block lost")
STRIDE = 37
"""Shares no factor with the number of pairs of kind and way."""
CLOSE = 3.0
"""Mean difference, of 255, up to which a frame that was read is one of the undamaged ones: recompression noise is far
below, two different frames are above 20."""


def outcome(path: Path, decoder: str, truth: np.ndarray) -> tuple[str, str]:
    """(one of OUTCOMES, detail) of reading all frames of `path`; `truth` uint8 [F, H, W, 3] is what it once held."""
    try:
        with contextlib.closing(open_reader(path, decoder)) as reader:
            count = len(reader)
            frames = reader.get(np.arange(count))
    except VideoError as error:
        return "refused", error.reason
    except Exception as error:  # anything else is a finding
        return "escaped", f"{type(error).__name__}: {error}"
    if decoder not in ("pyav", "frames") and count != (expected := count_in_order(path)):
        return "miscounted", f"{count} frames, in order {expected}"
    if frames.shape == truth.shape and np.array_equal(frames, truth):
        return "unharmed", ""
    if frames.shape[1:] != truth.shape[1:]:
        return "other pixels", f"{count} frames of {frames.shape[2]}x{frames.shape[1]}"
    ahead = truth[:count].astype(np.int16)
    harmed = [t for t in range(min(count, FRAMES)) if np.abs(frames[t] - ahead[t]).mean() > CLOSE]
    elsewhere = [t for t in harmed if (np.abs(truth - frames[t].astype(np.int16)).mean(axis=(1, 2, 3)) < CLOSE).any()]
    if elsewhere:
        return "another frame", f"{len(elsewhere)} of {count}, the first {elsewhere[0]}"
    if count > FRAMES:
        return "longer", f"{count} of {FRAMES}"
    if count < FRAMES and not harmed:
        return "shorter", f"{count} of {FRAMES}"
    return "other pixels", f"{len(harmed)} of {count}"


def count_in_order(path: Path) -> int:
    """Frames that come out of decoding from the start, damaged ones included; packets that cannot be decoded are
    passed over."""
    import av

    count = 0
    with contextlib.suppress(av.FFmpegError), av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError):
                count += len(packet.decode())
    return count


def child(good: Path) -> None:
    """Reads tasks {path, decoder, kind} from standard input, line by line, and answers each with [outcome, detail]."""
    truths: dict[str, np.ndarray] = {}
    for line in sys.stdin:
        task = json.loads(line)
        kind = task["kind"]
        if kind not in truths:
            source = FOLDER if kind not in CODECS else kind
            decoder = "frames" if source == FOLDER else "pyav"
            truths[kind] = read_frames(video_of(good, source), np.arange(FRAMES), decoder)
        print("\x01" + json.dumps(outcome(Path(task["path"]), task["decoder"], truths[kind])), flush=True)


class Child:
    """A process that reads; started anew after its death."""

    def __init__(self, good: Path, limit: float) -> None:
        self.command = [sys.executable, __file__, "--child", str(good)]
        self.limit, self.process = limit, None

    def ask(self, **task: str) -> tuple[str, str]:
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + self.limit
        while select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
            line = self.process.stdout.readline()
            if not line:
                code = self.process.wait()
                self.process = None
                return "crashed", f"exit code {code}"
            if line.startswith("\x01"):  # else something that a library printed
                said, detail = json.loads(line[1:])
                return said, detail
        self.close()
        return "hung", f"no answer for {self.limit:g} s"

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def soak(root: Path, files: int, seed: int, decoders: list[str], limit: float) -> Iterator[dict[str, Any]]:
    """One result {number, kind, way, decoder, outcome, detail} for each damaged file and decoder."""
    good = root / "good"
    good.mkdir()
    kinds = make_good(good)
    reader = Child(good, limit)
    try:
        for number in range(files):
            rng = np.random.default_rng((seed, number))
            # Every pair of both once before any comes again, in an order in which few files show many of them.
            pair = (number * STRIDE + seed) % (len(kinds) * len(WAYS))
            kind, way = kinds[pair % len(kinds)], WAYS[pair // len(kinds)]
            target = root / f"{number}"
            name = spoil(good, kind, target, way, rng)
            for decoder in decoders:
                # Each video goes to its readers; now and then to the wrong ones, too.
                if (decoder == "frames") == (kind in CODECS) and number % 10:
                    continue
                said, detail = reader.ask(path=str(video_of(target, name)), decoder=decoder, kind=kind)
                result = dict(number=number, kind=kind, way=way, decoder=decoder, outcome=said, detail=detail)
                yield result
            shutil.rmtree(target)
    finally:
        reader.close()


def table(results: list[dict[str, Any]], row: str) -> str:
    """Counts of outcomes by `row` (decoder | kind | way)."""
    shown = [o for o in OUTCOMES if row == "decoder" or any(result["outcome"] == o for result in results)]
    order = {name: place for place, name in enumerate(WAYS)}
    names = sorted({result[row] for result in results}, key=lambda name: (order.get(name, 0), name))
    width = max(len(name) for name in names) + 2
    lines = [" " * width + "".join(f"{o:>15}" for o in shown)]
    for name in names:
        counts = Counter(result["outcome"] for result in results if result[row] == name)
        lines.append(f"{name:{width}}" + "".join(f"{counts[o]:15d}" for o in shown))
    return "\n".join(lines)


def summary(results: list[dict[str, Any]], files: int) -> str:
    parts = [f"{files} damaged videos, {len(results)} readings.", "", table(results, "decoder")]
    for decoder in dict.fromkeys(result["decoder"] for result in results):
        mine = [result for result in results if result["decoder"] == decoder]
        parts += ["", f"{decoder}, by what was done to the file", table(mine, "way")]
        changed = [result for result in mine if result["way"] in INSIDE]
        parts += ["", f"{decoder}, by kind of file, where bytes were changed or lost somewhere", table(changed, "kind")]
    broken = [result for result in results if result["outcome"] in BROKEN]
    parts += ["", f"Rules broken: {len(broken)}", *(json.dumps(result) for result in broken[:50])]
    return "\n".join(parts)


def memory(root: Path, opens: int, decoders: list[str]) -> Iterator[str]:
    """Growth of this process's resident memory over `opens` openings with two frames read each."""
    good = root / "memory"
    good.mkdir()
    make_good(good)
    page = os.sysconf("SC_PAGE_SIZE")
    for decoder in decoders:
        path = video_of(good, FOLDER if decoder == "frames" else "h264.mp4")
        sizes = []
        for number in range(opens):
            read_frames(path, np.array([0, FRAMES - 1]), decoder)
            if number in (min(200, opens // 4), opens // 2, opens - 1):
                sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20)
        yield f"{decoder}: {opens} openings, {sizes[0]:.0f} -> {sizes[1]:.0f} -> {sizes[2]:.0f} MiB"


def installed() -> list[str]:
    """The decoders that are there; in CI all have to be."""
    found = list(READERS)
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        if os.environ.get("CI"):
            raise
        found.remove("torchcodec")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="damaged videos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a reading may take")
    parser.add_argument("--opens", type=int, default=0, help="also measure memory over so many openings a reader")
    parser.add_argument("--decoders", help="some of them, with commas (default: all that are installed)")
    parser.add_argument("--machine", default=f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child)
        return 0
    started = time.monotonic()
    print(f"date: {datetime.date.today()}")
    print(f"command: python tests/soak/damaged_videos.py {' '.join(sys.argv[1:])}")
    decoders = args.decoders.split(",") if args.decoders else installed()
    print(f"machine: {args.machine}; decoders: {', '.join(decoders)}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        results = list(soak(Path(folder), args.files, args.seed, decoders, args.limit))
        print(summary(results, args.files), flush=True)
        if args.opens:
            print("\nResident memory early, halfway and at the end:")
            for line in memory(Path(folder), args.opens, decoders):
                print(line, flush=True)
    print(f"\n{time.monotonic() - started:.0f} s")
    return int(any(result["outcome"] in BROKEN for result in results))


if __name__ == "__main__":
    sys.exit(main())
