"""`python -m benchmarks.synthmotion --root DIR`: render the videos that are missing; `--sheet FILE`: draw a contact
sheet of the classes."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.synthmotion.sheet import write_sheet
from benchmarks.synthmotion.spec import CLASSES, DEFAULT_PER_CLASS, VERSIONS, Spec, SpecError
from benchmarks.synthmotion.write import damaged_videos, folder_of, write_benchmark


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthmotion", description=__doc__)
    parser.add_argument("--root", type=Path, help="data folder; videos go to ROOT/synthmotion-VERSION")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="only draw one video of every class to this picture")
    parser.add_argument("--version", default="v1", help=f"{', '.join(VERSIONS)}, or a name of your own")
    parser.add_argument("--train-per-class", type=int, default=DEFAULT_PER_CLASS["train"])
    parser.add_argument("--test-per-class", type=int, default=DEFAULT_PER_CLASS["test"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--verify", action="store_true", help="decode every video and compare it with its hash")
    own = parser.add_argument_group("for versions of your own")
    for name in ("size", "frames", "fps", "crf", "gop", "seed"):
        own.add_argument(f"--{name}", type=int, help=f"default {getattr(Spec(), name)}")
    options = parser.parse_args(arguments)
    if min(options.train_per_class, options.test_per_class) < 0:
        parser.error("counts must not be negative")
    if options.root is None and options.sheet is None:
        parser.error("say where to: --root DIR for the videos, --sheet FILE.png for a contact sheet")
    if options.sheet is not None:
        return _draw(options.sheet, options.version)

    names = ("size", "frames", "fps", "crf", "gop", "seed")
    changes = {name: value for name in names if (value := getattr(options, name)) is not None}
    started = time.monotonic()
    try:
        spec = None
        if changes or not (options.version in VERSIONS or folder_of(options.root, options.version).exists()):
            spec = replace(Spec(), **changes)
        folder = write_benchmark(
            options.root,
            options.version,
            {"train": options.train_per_class, "test": options.test_per_class},
            spec=spec,
            processes=options.processes,
            progress=_Lines(),
        )
        damaged = damaged_videos(folder) if options.verify else []
        if damaged:
            raise SpecError(
                f"{folder}: {len(damaged)} videos are missing or damaged: {', '.join(damaged[:10])}"
                f"{', ...' if len(damaged) > 10 else ''}; delete them and run this again"
            )
    except (SpecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    videos = (options.train_per_class + options.test_per_class) * len(CLASSES)
    print(f"{folder}: {videos} videos are there ({time.monotonic() - started:.0f} s)")
    return 0


def _draw(path: Path, version: str) -> int:
    if version not in VERSIONS:
        print(f"error: --sheet knows the versions {', '.join(VERSIONS)}, not {version!r}", file=sys.stderr)
        return 1
    try:
        write_sheet(path, VERSIONS[version])
    except (ValueError, OSError) as error:
        print(f"error: {path} cannot be written: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


class _Lines:
    """A line at most every five seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() >= self._next:
            self._next = time.monotonic() + 5
            print(f"rendered {done} of {total} videos", flush=True)


if __name__ == "__main__":
    sys.exit(main())
