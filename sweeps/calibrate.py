"""Calibrate synthmotion with references that know nothing of HCML, on the calibration stream.

python sweeps/calibrate.py [--runs DIR] [--data DIR] [--check]

(i) a bag of frames (ResNet-18, no temporal modelling) and a ResNet-18 on one frame, for every frame of the video, must
be within the 99 % binomial interval of chance; (ii) a classifier on the true trajectories at least 95 %; (iii)
ResNet-18 with temporal shift between 30 and 85 % in every tier. The runs are ordinary runs of sweeps/run.py, so what
is finished is not run again; --check only judges what there is. Exit code 0 if all hold, 1 if one does not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks.synthmotion import oracle  # noqa: E402
from benchmarks.synthmotion.spec import TIERS, VERSIONS  # noqa: E402
from results.collect import collect  # noqa: E402
from results.stats import binomial_interval  # noqa: E402

LOWEST, HIGHEST = 30.0, 85.0
"""Per cent of the temporal reference, in each tier: neither hopeless nor solved."""
TRAJECTORIES = 95.0
"""Per cent that the true trajectories must be worth."""
CHANCE = 1 / 4
"""Each tier has four classes, and the tier of a video is given."""
FRAMES = VERSIONS["calibration"].frames
SINGLE_FRAME = [  # one frame is an eighth of a clip: more videos of it in the same time
    "num_frames=1",
    "finetune.length.steps=250",
    "finetune.length.batch_size=32",
]


def commands(paths: list[str]) -> list[list[str]]:
    """The sweeps that the calibration needs."""
    start = [sys.executable, str(ROOT / "sweeps" / "run.py"), "-m", "experiment=calibration", *paths]
    frames = "finetune.sampling.first_frame=" + ",".join(map(str, range(FRAMES)))
    return [[*start, "temporal=none,shift"], [*start, *SINGLE_FRAME, frames]]


def judge(frame: Any) -> list[tuple[str, str, bool]]:
    """(reference, figures, whether it is as it must be) for each reference; what is missing is not.

    `frame`: the DataFrame of results.collect.
    """
    tests = frame[(frame["phase"] == "test") & (frame["test.benchmark.version"] == "calibration")]
    tests = tests[tests["test.benchmark.split"] == "all"]
    clips = tests[tests["test.model.num_frames"] > 1]
    bags = clips[clips["temporal"] == "none"]
    lines = [
        _at_chance(f"bag of frames, {tier}", bags, f"group.{tier}.top1", f"group.{tier}.counted") for tier in TIERS
    ]
    singles = tests[tests["test.model.num_frames"] == 1]
    for index in range(FRAMES):
        rows = singles[singles["test.sampling.first_frame"] == index]
        lines.append(_at_chance(f"single frame {index}", rows, "metric.top1", "metric.videos"))
    exact = oracle_accuracy()
    lines.append(("true trajectories", _figures(exact), min(exact.values()) >= TRAJECTORIES))
    shift = _per_tier(clips[clips["temporal"] == "shift"])
    fits = len(shift) == len(TIERS) and all(LOWEST <= value <= HIGHEST for value in shift.values())
    lines.append(("r18, temporal=shift", _figures(shift), fits))
    return lines


def oracle_accuracy() -> dict[str, float]:
    """Per cent of the rules on true trajectories, per tier, on held-out videos of the calibration stream."""
    return oracle.accuracy("test", 100, VERSIONS["calibration"])


def _per_tier(rows: Any) -> dict[str, float]:
    """Per tier, the mean over the given runs (seeds); empty without a run."""
    return {tier: float(rows[f"group.{tier}.top1"].mean()) for tier in TIERS} if len(rows) else {}


def _at_chance(name: str, rows: Any, column: str, counted: str) -> tuple[str, str, bool]:
    """Whether the top-1 of the only row lies within the 99 % interval of guessing."""
    if not len(rows):
        return name, "missing", False
    row = rows.iloc[0]
    videos = int(row[counted])
    hits = round(videos * row[column] / 100)
    low, high = binomial_interval(videos, CHANCE, 0.99)
    figures = (
        f"{100 * hits / videos:.1f} (chance {100 * CHANCE:.0f}, {100 * low / videos:.1f} to {100 * high / videos:.1f})"
    )
    return name, figures, low <= hits <= high


def _figures(values: dict[str, float]) -> str:
    return ", ".join(f"{tier} {value:.1f}" for tier, value in values.items()) or "missing"


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="runs", help="run folders (default: %(default)s)")
    parser.add_argument("--data", default="data", help="root of the videos (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="run nothing, judge the runs that are finished")
    options = parser.parse_args()
    if not options.check:
        for command in commands([f"paths.runs={options.runs}", f"paths.data.root={options.data}"]):
            subprocess.run(command, check=False)  # what failed is missing below
    lines = judge(collect(Path(options.runs)))
    for name, figures, ok in lines:
        print(f"{'ok ' if ok else 'NOT'}  {name}: {figures}")
    print(f"specification {VERSIONS['calibration'].content_hash()}")
    return 0 if all(ok for _, _, ok in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
