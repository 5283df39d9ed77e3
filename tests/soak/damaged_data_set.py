"""A prepared data set whose every video is damaged afterwards: does the audit report each of them?

    python -m tests.soak.damaged_data_set --files 1000 --seed 0

Videos of four kinds of files and folders of JPEG frames, prepared, then damaged in every way of damage.py, then
audited by the code behind `python -m benchmarks audit`. Prints a summary; exit code 1 if a video was not reported.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.commands.audit import audit
from benchmarks.commands.layout import Layout
from benchmarks.commands.prepare import prepare
from benchmarks.commands.prepared import read_quarantine
from tests.benchmarks.tree import FRAMES, TOY, Toy, write_lists
from tests.soak.damage import BYTES, CODECS, FOLDER, WAYS, make_good, video_of

KINDS = [kind for kind in CODECS if not kind.endswith(".avi")]  # decord refuses any AVI: nothing could be missed
ONE_IN_FIVE = 5
"""Share of frame folders: the rest are files."""


def harm(path: Path, way: str, other: Path, rng: np.random.Generator) -> None:
    """Damages a file in place; `other` is a file of another container."""
    before = path.read_bytes()
    if way in BYTES:
        after = before
        while after == before:  # zeros over zeros are no damage
            after = BYTES[way](before, rng)
        path.write_bytes(after)
        return
    path.unlink()
    if way == "another container's name":
        shutil.copy(other, path)
    elif way == "a folder":
        path.mkdir()
    elif way == "a dangling link":
        path.symlink_to("nowhere")


def damage_and_audit(root: Path, good: Path, data: Toy, count: int, seed: int, processes: int) -> list[tuple[str, str]]:
    """(way, kind of finding or '') of each of `count` videos of a data set below `root`."""
    ways: dict[str, str] = {}
    paths: dict[str, Path] = {}
    for number in range(count):
        kind = FOLDER if data.frame_folders else KINDS[number % len(KINDS)]
        name = f"v{number:05d}" + ("" if data.frame_folders else Path(kind).suffix)
        paths[f"v{number:05d}"] = path = root / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = video_of(good, kind)
        shutil.copytree(source, path) if source.is_dir() else shutil.copy(source, path)
    lines = [f"{'test' if n % 2 else 'train'} {n % 3} videos/{path.name}" for n, path in enumerate(paths.values())]
    write_lists(root, lines, data.splits)
    prepare(data, root, "original", processes=processes)
    healthy = audit(data, root, "original", processes=processes)
    if healthy.found:
        raise SystemExit(f"reported before anything was damaged: {healthy.found}")
    for number, (video_id, path) in enumerate(paths.items()):
        rng = np.random.default_rng((seed, number))
        ways[video_id] = way = WAYS[(number + seed) % len(WAYS)]
        victim = path / f"{int(rng.integers(1, 41)):05d}.jpg" if path.is_dir() else path
        other = good / ("vp9.webm" if path.suffix != ".webm" else "h264.mp4")
        harm(victim, way, other, rng)
    report = audit(data, root, "original", processes=processes, again=True)
    quarantined = read_quarantine(Layout(root, "original").quarantine)
    return [(way, report.found[i].kind if i in report.found and i in quarantined else "") for i, way in ways.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "good").mkdir()
        make_good(root / "good")
        folders = options.files // ONE_IN_FIVE
        arguments = (options.seed, options.processes)
        found = damage_and_audit(root / "files", root / "good", TOY, options.files - folders, *arguments)
        found += damage_and_audit(root / "folders", root / "good", FRAMES, folders, *arguments)
    missed = [way for way, kind in found if not kind]
    command = f"python -m tests.soak.damaged_data_set --files {options.files} --seed {options.seed}"
    print(f"{command}\n{datetime.datetime.now(datetime.UTC).date()}, {time.monotonic() - started:.0f} s\n")
    kinds = sorted({kind for _, kind in found if kind})
    print(f"{'':26}" + "".join(f"{kind:>14}" for kind in (*kinds, "not reported")))
    for way in WAYS:
        counts = Counter(kind for name, kind in found if name == way)
        print(f"{way:26}" + "".join(f"{counts[kind]:14d}" for kind in (*kinds, "")))
    print(f"\n{len(found)} damaged videos, {len(found) - len(missed)} reported, not reported: {len(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
