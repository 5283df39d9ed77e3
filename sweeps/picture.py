"""Draw what a pretraining run has learned: the displacement that its first level sees on videos it never saw.

python sweeps/picture.py runs/pretrain/RUN FILE.png [--data DIR] [--videos ID,ID,...]
python sweeps/picture.py runs/pretrain/RUN            the set that the report shows, into RUN/pictures
python sweeps/picture.py runs --all                   the same for every pretraining there

A column for each video, with two frames of its centred clip: the earlier one, the later one, the true displacement,
the learned one on the same scale (hue is the direction, red to the right; brightness the length), and the later frame
rebuilt from the earlier one by the learned displacement.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks.synthmotion.sheet import coloured  # noqa: E402
from hcml.config import ConfigError  # noqa: E402
from hcml.data.manifest import Manifest, VideoEntry  # noqa: E402
from hcml.training.checkpoint import CheckpointError  # noqa: E402
from sweeps.learned import look, open_pretraining  # noqa: E402
from sweeps.picture_set import write_picture_set  # noqa: E402

ROWS = ("earlier frame", "later frame", "true motion", "learned motion", "later, rebuilt")
SCALE, GAP, LABEL = 2, 4, 96


def learned(run: Path, data: Path, names: list[str]) -> tuple[list[str], list[list[np.ndarray]]]:
    """Video ids and, for each, the pictures of `ROWS`, uint8 [s, s, 3] (the true one black where nobody knows it).

    `names`: video ids; none = the first test video of each class, every other class. Raises CheckpointError,
    ConfigError, and what the benchmark raises.
    """
    opened = open_pretraining(run, data)
    pictures = []
    seen = look(opened, _chosen(opened.manifest, names))
    for one in seen:
        if one.found is None or one.rebuilt is None:
            raise ConfigError("this run did not learn to reconstruct (objective.reconstruction.weight=0)")
        true = np.zeros_like(one.found) if one.truth is None else one.truth
        longest = float(np.hypot(*true).max()) or float(np.hypot(*one.found).max())
        flows = [coloured(true, longest), coloured(one.found, longest)]
        pictures.append([_pixels(one.earlier), _pixels(one.later), *flows, _pixels(one.rebuilt)])
    return [one.entry.video_id for one in seen], pictures


def _chosen(manifest: Manifest, names: list[str]) -> list[VideoEntry]:
    if not names:
        first = {entry.label: entry for entry in reversed(manifest.entries)}
        return [first[label] for label in sorted(first)[::2]]
    known = {entry.video_id: entry for entry in manifest.entries}
    if lost := [name for name in names if name not in known]:
        raise ConfigError(f"no such test video: {', '.join(lost)} (there is {manifest.entries[0].video_id}, ...)")
    return [known[name] for name in names]


def _pixels(frame: torch.Tensor) -> np.ndarray:
    return (255 * frame.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()


def draw(ids: list[str], pictures: list[list[np.ndarray]]) -> Image.Image:
    """One column for each video, the rows named on the left, the classes on top."""
    side = SCALE * pictures[0][0].shape[0]
    sheet = Image.new("RGB", (LABEL + len(ids) * (side + GAP), 14 + len(ROWS) * (side + GAP)), "white")
    text = ImageDraw.Draw(sheet)
    for row, name in enumerate(ROWS):
        text.text((2, 14 + row * (side + GAP) + side // 2 - 5), name, fill="black")
    for column, (video_id, found) in enumerate(zip(ids, pictures, strict=True)):
        left = LABEL + column * (side + GAP)
        text.text((left, 1), video_id.split("-")[1] if "-" in video_id else video_id, fill="black")
        for row, pixels in enumerate(found):
            tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (left, 14 + row * (side + GAP)))
    return sheet


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished pretraining run")
    parser.add_argument("file", type=Path, nargs="?", help="picture to write; without it, the run's set of pictures")
    parser.add_argument("--all", action="store_true", help="RUN is a folder of runs: a set for each pretraining in it")
    parser.add_argument("--data", type=Path, default=Path("data"), help="root of the videos (default: %(default)s)")
    parser.add_argument("--videos", default="", help="test videos (default: the first of every other class)")
    options = parser.parse_args(arguments)
    runs = [options.run]
    if options.all:
        runs = sorted(path.parent for path in options.run.glob("pretrain/*/record.json"))
        if not runs:
            print(f"error: no finished pretraining below {options.run}", file=sys.stderr)
            return 1
    try:
        if options.file is None:
            for run in runs:
                print(write_picture_set(run, options.data))
            return 0
        ids, pictures = learned(options.run, options.data, [name for name in options.videos.split(",") if name])
        draw(ids, pictures).save(options.file, quality=90)
    except (CheckpointError, ConfigError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
