"""The command killed again and again, typed again each time: do its runs end as if nobody had touched them?

    python -m tests.soak.killed_runs --kills 50 --seed 0

A pretraining, fine-tuning and test on the embedded benchmark. At a random moment the sweep's process or that of the
run it executes gets a random signal; the same command follows. When all is done, the weights and predictions are
compared, bit for bit, with those of runs that were left alone, and the next seed begins, until there were enough
kills. Prints a summary; exit code 1 if anything differs, or if a finished run was executed again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import torch

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "levels=2 backbone=r18 input_size=32 num_frames=4 benchmark.train_per_class=2 benchmark.test_per_class=1 "
    "pretrain.length.steps=60 pretrain.length.batch_size=4 pretrain.eval_videos=1 finetune.length.steps=60 "
    "finetune.length.batch_size=4 motion.dim=8 objective.contrast.max_queries=32 objective.contrast.max_keys=64 "
    "compute.precision=fp32 compute.threads=1 runtime.workers=1 runtime.save_every=7 runtime.heartbeat=1"
).split()
SWEEP_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RUN_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR2)


def command(home: Path, runs: Path, seed: int) -> subprocess.Popen[bytes]:
    arguments = [f"seed={seed}", f"paths.runs={runs}", f"paths.data.root={home / 'data'}", *TINY]
    log = open(runs.with_suffix(".log"), "ab")
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweeps/run.py"), *arguments],
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def run_process(sweep: subprocess.Popen[bytes]) -> psutil.Process | None:
    """The process that executes a run, if there is one at the moment."""
    try:
        children = psutil.Process(sweep.pid).children()
        return next((child for child in children if "sweeps.job" in child.cmdline()), None)
    except psutil.NoSuchProcess:
        return None


def executed(runs: Path) -> dict[str, float]:
    """Finished run -> when it said so."""
    found = {}
    for path in runs.glob("*/*/status.json"):
        if json.loads(path.read_text())["state"] == "done":
            found[path.parent.name] = path.stat().st_mtime
    return found


def disturb(home: Path, runs: Path, seed: int, kills: int, rng: random.Random, seen: Counter[str]) -> list[str]:
    """Type the command until it ends well, with up to `kills` kills on the way; returns what went wrong."""
    wrong = []
    for _ in range(20 * kills + 20):
        finished = executed(runs)
        sweep = command(home, runs, seed)
        if sum(seen.values()) < kills:
            moment = time.monotonic() + rng.uniform(1, 25)
            while sweep.poll() is None and time.monotonic() < moment:
                time.sleep(0.05)
            victim = run_process(sweep) if rng.random() < 0.6 else psutil.Process(sweep.pid)
            if sweep.poll() is None and victim is not None:
                is_run = victim.pid != sweep.pid
                number = rng.choice(RUN_SIGNALS if is_run else SWEEP_SIGNALS)
                try:
                    victim.send_signal(number)
                    seen[f"{'run' if is_run else 'sweep'} {number.name}"] += 1
                except psutil.NoSuchProcess:
                    pass  # it ended by itself meanwhile, which is no kill
        code = sweep.wait()
        wrong += [f"{name} was executed again" for name, when in finished.items() if executed(runs).get(name) != when]
        if code == 0:
            return wrong
    return [*wrong, f"seed {seed} did not end: see {runs.with_suffix('.log')}"]


def differences(runs: Path, reference: Path) -> list[str]:
    """Files of weights and predictions that are not equal."""
    wrong = []
    for path in sorted(reference.glob("*/*/weights.pt")):
        other = runs / path.relative_to(reference)
        one, two = (torch.load(file, weights_only=True)["model"] for file in (path, other))
        if one.keys() != two.keys() or not all(torch.equal(one[key], two[key]) for key in one):
            wrong.append(f"{other.parent.name}: other weights")
    for path in sorted(reference.glob("*/*/predictions.csv")):
        if path.read_bytes() != (runs / path.relative_to(reference)).read_bytes():
            wrong.append(f"{path.parent.name}: other predictions")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, seen, wrong, began = random.Random(arguments.seed), Counter[str](), list[str](), time.monotonic()
    seeds = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        while sum(seen.values()) < arguments.kills:
            runs, reference = home / f"runs{seeds}", home / f"alone{seeds}"
            wrong += disturb(home, runs, seeds, arguments.kills, rng, seen)
            if command(home, reference, seeds).wait():
                wrong.append(f"seed {seeds}: the undisturbed command failed")
                break
            wrong += differences(runs, reference)
            seeds += 1
            print(f"{sum(seen.values())} kills, {seeds} sweeps, {len(wrong)} differences", file=sys.stderr, flush=True)
    print(f"{datetime.date.today()} killed_runs --kills {arguments.kills} --seed {arguments.seed}")
    print(f"{sum(seen.values())} kills in {seeds} sweeps of 3 runs, {time.monotonic() - began:.0f} s")
    print("\n".join(f"  {what}: {count}" for what, count in sorted(seen.items())))
    print(
        "\n".join(wrong) or "weights and predictions equal those of undisturbed runs bit for bit; none executed twice"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
