"""How long it takes to make all tables of thousands of run folders, and how much memory.

Every repeat is a process of its own. A small machine that does other work makes the clock on the wall a measure of
that work: the seconds of the processor are said beside it, with the load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed import records

PARTS = ("collect", "tables", "together")


def add_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=10_000, help="run folders (default: 10000)")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes that make the tables (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the figures in the records (default: 0)")
    parser.add_argument("--out", help="keep the folders here (default: a temporary folder, removed afterwards)")
    parser.add_argument("--cold", action="store_true", help="before each repeat, drop the records from the page cache")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises ValueError for counts below 1 or a folder in use, OSError if the folders cannot be written."""
    if args.count < 1 or args.repeats < 1:
        raise ValueError(f"--count {args.count} and --repeats {args.repeats} must be at least 1")
    if args.out and Path(args.out).is_dir() and any(Path(args.out).iterdir()):
        raise ValueError(f"--out {args.out} is not empty: give a new folder, or remove it")
    folder = Path(args.out or tempfile.mkdtemp(prefix="hcml-records-"))
    try:
        made = records.write(folder, args.count, args.seed)
        print(f"{args.count} run folders: {', '.join(f'{count} {kind}' for kind, count in made.items())}")
        results = []
        for number in range(args.repeats):
            if args.cold:
                drop_from_cache(folder)
            results.append(in_fresh_process(folder))
            print(f"{number + 1}: {said(results[-1])}", flush=True)
        print(summary(results, "cold (inodes and folders warm)" if args.cold else "warm"))
    finally:
        if not args.out:
            shutil.rmtree(folder)
    return 0


def in_fresh_process(folder: Path) -> dict[str, Any]:
    """What :func:`measure` returns. Raises ValueError with the last lines of the process's error output."""
    command = [sys.executable, "-m", "benchmarks.speed.tables", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError("making the tables failed: " + " | ".join(done.stderr.strip().splitlines()[-3:]))
    return dict(json.loads(done.stdout))


def measure(folder: Path) -> dict[str, Any]:
    """Seconds on the wall and of the processor (`..._cpu`) of collect() and of all tables, the reading of the published
    figures included, imports not; the peak memory in MiB of this process, imports included, and that of the largest of
    its helpers (0 = none), of which it shares a good part with this one."""
    from results.collect import collect, problems
    from results.reference import load
    from results.tables import all_tables

    clocks = [(time.perf_counter(), _cpu())]
    frame = collect(folder)
    clocks.append((time.perf_counter(), _cpu()))
    tables = all_tables(frame, load())
    clocks.append((time.perf_counter(), _cpu()))
    found: dict[str, Any] = {"records": len(frame), "left_out": len(problems(frame)), "count": len(tables)}
    for part, (first, last) in zip(PARTS, ((0, 1), (1, 2), (0, 2)), strict=True):
        found[part], found[f"{part}_cpu"] = (clocks[last][kind] - clocks[first][kind] for kind in (0, 1))
    return found | {"peak_mib": _peak_mib(), "helper_peak_mib": _resident_mib(resource.RUSAGE_CHILDREN)}


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux begins with the peak of the process that started this one
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    return _resident_mib(resource.RUSAGE_SELF)


def _resident_mib(whose: int) -> float:
    return resource.getrusage(whose).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _cpu() -> float:
    return sum(os.times()[:4])


def said(found: dict[str, Any]) -> str:
    times = ", ".join(f"{part} {found[part]:.2f} s ({found[f'{part}_cpu']:.2f} s of processor)" for part in PARTS)
    return (
        f"{times}; {found['records']} records, {found['left_out']} named and left out, {found['count']} tables; "
        f"peak memory {found['peak_mib']:.0f} MiB, of the largest helper {found['helper_peak_mib']:.0f} MiB"
    )


def summary(results: list[dict[str, Any]], cache: str) -> str:
    """Median and range over the repeats, and on what."""
    parts = []
    for part in (*PARTS, "together_cpu"):
        values = [found[part] for found in results]
        name = part.replace("_cpu", ", processor")
        parts.append(f"{name} {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    where = f"{os.cpu_count()} cores, {load}, Python {platform.python_version()}, file cache {cache}"
    return f"median of {len(results)}: {'; '.join(parts)}. {where}."


def drop_from_cache(folder: Path) -> None:
    """Asks the system to forget the contents of the files below. Raises ValueError where it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        raise ValueError("--cold needs posix_fadvise, which this system has not: leave it out")
    for path in folder.rglob("*.json"):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)  # only what is on disk can be dropped
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
