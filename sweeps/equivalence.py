"""`python -m sweeps.equivalence A B --what TEXT`: do two versions of the code give the same numbers?

A and B are folders of code (a store's `_code/<fingerprint>-...`, or checkouts) or commits of this checkout. Both do one
tiny chain of pretraining, fine-tuning and test on the embedded benchmark, each in processes of its own; losses of all
20 steps of both trainings and the predictions must be equal to the last bit. Then the pair is written to
results/equivalent.json with the evidence (without --what it is only checked). It shows that this chain is the same, and
so the code that it runs through: say with --what what differs, and give --overrides that lead through it.

Exit code 0 when they are the same, 1 when they differ, 2 when one of them could not be run.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.command import run as run_command
from results.equivalent import FILE, Equivalent, EquivalentError, Evidence, add, read
from sweeps.provenance import PACKAGES, ROOT, fingerprint

STEPS = 20
TINY = (
    "backbone=r18 levels=3 input_size=48 num_frames=8 benchmark.train_per_class=2 benchmark.test_per_class=1 "
    f"pretrain.length.steps={STEPS} pretrain.length.batch_size=4 pretrain.eval_videos=1 "
    f"finetune.length.steps={STEPS} finetune.length.batch_size=4 motion.dim=8 "
    "objective.contrast.max_queries=64 objective.contrast.max_keys=128 "
    "compute.precision=fp32 compute.threads=1 runtime.workers=0 runtime.log_every=1"
).split()
_TIMES = ("data_time", "step_time", "clips_per_second")


class CannotRun(RuntimeError):
    """A version that could not be run to its end; the text ends with what it printed last."""


@dataclass(frozen=True)
class Numbers:
    """What one version computed: (phase, step, name) -> number, and the lines of predictions.csv."""

    losses: dict[tuple[str, int, str], float]
    predictions: tuple[str, ...]

    @property
    def sha256(self) -> str:
        lines = [f"{phase} {step} {name} {value!r}" for (phase, step, name), value in sorted(self.losses.items())]
        return hashlib.sha256("\n".join([*lines, *self.predictions]).encode()).hexdigest()


def differences(a: Numbers, b: Numbers) -> list[str]:
    """Everything in which the two are not equal, in the order in which it was computed; [] if nothing."""
    found = []
    phases = {"pretrain": 0, "finetune": 1}
    for key in sorted({*a.losses, *b.losses}, key=lambda key: (phases.get(key[0], 2), key[1:])):
        mine, theirs = a.losses.get(key), b.losses.get(key)
        if mine != theirs:
            found.append(f"{key[0]} step {key[1]}: {key[2]} is {mine!r} with A, {theirs!r} with B")
    if a.predictions != b.predictions:
        lines = itertools.zip_longest(a.predictions, b.predictions, fillvalue="no line")
        first = next(pair for pair in lines if pair[0] != pair[1])
        found.append(f"predictions differ, first: {first[0][:80]!r} with A, {first[1][:80]!r} with B")
    return found


def compute(code: Path, home: Path, overrides: Sequence[str] = ()) -> Numbers:
    """Runs the tiny chain with the packages in `code`, everything of it below `home`. Raises :class:`CannotRun`."""
    home.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(code / "sweeps" / "run.py"), *TINY, *overrides],
        cwd=home,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotRun(
            f"{code}: exit code {done.returncode}:\n" + "\n".join((done.stdout + done.stderr)[-2000:].splitlines())
        )
    return read_numbers(home / "runs")


def read_numbers(runs: Path) -> Numbers:
    """Of the one chain in a store. Raises :class:`CannotRun` where a journal has not all steps."""
    losses: dict[tuple[str, int, str], float] = {}
    for phase in ("pretrain", "finetune"):
        steps = 0
        for line in _journal(runs / phase):
            steps += 1
            step = int(line["step"])
            values = {name: value for name, value in line.items() if isinstance(value, int | float)}
            losses |= {(phase, step, name): value for name, value in values.items() if name not in _TIMES}
        if steps < STEPS and (runs / phase).is_dir():
            raise CannotRun(f"{runs / phase}: {steps} steps are in the journal, not {STEPS}")
    predictions = [path.read_text().splitlines() for path in sorted((runs / "test").glob("*/predictions.csv"))]
    if not losses or len(predictions) != 1:
        raise CannotRun(f"{runs}: {len(predictions)} tests, where one chain was to be run")
    return Numbers(losses, tuple(predictions[0]))


def _journal(phase: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(phase.glob("*/metrics.jsonl")):
        yield from (json.loads(line) for line in path.read_text().splitlines())


def code_of(version: str, target: Path) -> Path:
    """The folder of a version: itself, or a commit's packages, written below `target`. Raises :class:`CannotRun`."""
    folder = Path(version)
    if (folder / "sweeps" / "run.py").is_file():
        return folder.resolve()
    if folder.is_dir():
        raise CannotRun(f"{version} has no sweeps/run.py: name a store's _code/<fingerprint>-... or a checkout")
    if version.startswith("-"):  # git would take it for an option
        raise CannotRun(f"{version} is no folder and no commit")
    packed = subprocess.run(
        ["git", "archive", "--format=tar", version, "--", *PACKAGES], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode:
        raise CannotRun(f"{version} is no folder and no commit: {packed.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(target, filter="data")
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.equivalence", description="Compares two versions of the code.", allow_abbrev=False
    )
    parser.add_argument("a", metavar="A", help="folder of code, or a commit")
    parser.add_argument("b", metavar="B", help="folder of code, or a commit")
    parser.add_argument("--what", default="", metavar="TEXT", help="what differs between them; writes the entry")
    parser.add_argument("--file", type=Path, default=FILE, help="where to write it (default: results/equivalent.json)")
    parser.add_argument("--overrides", nargs="+", default=[], metavar="KEY=VALUE", help="more for the tiny chain")
    options = parser.parse_args(arguments)
    if options.what and not options.what.strip():
        parser.error("--what is empty: say what differs between the two, or leave it out")
    with tempfile.TemporaryDirectory(prefix="equivalence-") as scratch:
        try:
            return _check(options, Path(scratch))
        except (CannotRun, EquivalentError) as error:
            print(error, file=sys.stderr)
            return 2


def _check(options: argparse.Namespace, scratch: Path) -> int:
    codes = [code_of(version, scratch / f"code_{side}") for side, version in (("a", options.a), ("b", options.b))]
    a, b = (fingerprint(code) for code in codes)
    print(f"A {a[:12]}  {options.a}\nB {b[:12]}  {options.b}")
    if a == b:
        print("the same fingerprint: nothing to compare")
        return 0
    if options.what:
        _check_file(options.file)
    sides = [compute(code, scratch / side, options.overrides) for code, side in zip(codes, "ab", strict=True)]
    found = differences(*sides)
    if found:
        print(f"different: {found[0]}" + (f" ({len(found) - 1} more differences)" if len(found) > 1 else ""))
        return 1
    print(f"the same: {len(sides[0].losses)} numbers of {STEPS} steps of each training, {sides[0].sha256[:12]}")
    if not options.what:
        print("no entry was written: say with --what what differs between the two")
        return 0
    command = shlex.join(["python", "sweeps/run.py", *TINY, *options.overrides])
    entry = Equivalent(a, b, options.what, Evidence(command, _commit(), STEPS, sides[0].sha256))
    print(f"{options.file}: {'written' if add(entry, options.file) else 'has the pair already'}")
    return 0


def _check_file(path: Path) -> None:
    """Whether an entry could be written, asked before minutes of computing. Raises EquivalentError or OSError."""
    if path.exists():
        read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(run_command(main))
