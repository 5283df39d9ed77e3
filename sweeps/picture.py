"""Draw what a pretraining run has learned: the displacement that its first level sees on videos it never saw.

python sweeps/picture.py runs/pretrain/RUN FILE.png [--data DIR] [--videos ID,ID,...]

A column for each video, with two frames of its centred clip: the earlier one, the later one, the true displacement,
the learned one on the same scale (hue is the direction, red to the right; brightness the length), and the later frame
rebuilt from the earlier one by the learned displacement.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

import benchmarks  # noqa: E402
from benchmarks.synthmotion.sheet import coloured  # noqa: E402
from hcml.config import ConfigError, PretrainRun  # noqa: E402
from hcml.data.dataset import ViewDataset  # noqa: E402
from hcml.data.manifest import Manifest, VideoEntry  # noqa: E402
from hcml.objectives.reconstruction import warp  # noqa: E402
from hcml.objectives.self_supervision import SelfSupervision  # noqa: E402
from hcml.training.checkpoint import CheckpointError  # noqa: E402
from hcml.training.held_out import batch_flow  # noqa: E402
from hcml.training.transfer import build_without_weights, load_model, read_weights  # noqa: E402
from sweeps.freeze import run_from_dict  # noqa: E402

ROWS = ("earlier frame", "later frame", "true motion", "learned motion", "later, rebuilt")
SCALE, GAP, LABEL = 2, 4, 96


def learned(run: Path, data: Path, names: list[str]) -> tuple[list[str], list[list[np.ndarray]]]:
    """Video ids and, for each, the pictures of `ROWS`, uint8 [s, s, 3] (the true one black where nobody knows it).

    `names`: video ids; none = the first test video of each class, every other class. Raises CheckpointError,
    ConfigError, and what the benchmark raises.
    """
    payload = read_weights(run / "weights.pt", "pretrain")
    config = run_from_dict(payload["config"])
    assert isinstance(config, PretrainRun)  # read_weights has checked the phase
    if config.model.motion.pairing != "causal":
        raise ConfigError(
            "motion.pairing=lookahead looks from a frame to the next one: the picture shows the other way"
        )
    manifest = benchmarks.load(config.benchmark, data).test
    manifest = replace(manifest, entries=_chosen(manifest, names))
    model = build_without_weights(config.model)
    load_model(model, payload["model"], run, classifier=True)
    sizes = model.backbone.map_sizes(config.model.input_size)[: config.model.levels]
    heads = SelfSupervision(config.model, config.objective, sizes)
    heads.load_state_dict(payload["heads"])
    model.eval()
    heads.eval()
    dataset = ViewDataset(manifest, config.sampling, config.transform, config.benchmark.decoder)
    ids, pictures = [], []
    for index in range(len(manifest.entries)):
        item = dataset[index]
        if item["error"]:
            raise ConfigError(item["error"])
        clip = item["views"][:1]
        with torch.no_grad():
            level1 = heads.reconstruction(clip, model(clip, active_levels=1, classify=False).motion)
        middle = clip.shape[1] // 2
        found = level1.displacement[middle - 1]
        rebuilt = warp(clip[0, middle - 1 : middle], found[None])[0][0]
        truth = batch_flow(benchmarks.motion_field, manifest, [item["video_id"]], item["indices"], config)
        true = np.zeros_like(found.numpy()) if truth is None else np.nan_to_num(truth[0, middle - 1].numpy())
        longest = float(np.hypot(*true).max()) or float(found.norm(dim=0).max())
        ids.append(item["video_id"])
        pictures.append(
            [
                _pixels(clip[0, middle - 1]),
                _pixels(clip[0, middle]),
                coloured(true, longest),
                coloured(found.numpy(), longest),
                _pixels(rebuilt),
            ]
        )
    return ids, pictures


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
    parser.add_argument("file", type=Path, help="picture to write")
    parser.add_argument("--data", type=Path, default=Path("data"), help="root of the videos (default: %(default)s)")
    parser.add_argument("--videos", default="", help="test videos (default: the first of every other class)")
    options = parser.parse_args(arguments)
    try:
        ids, pictures = learned(options.run, options.data, [name for name in options.videos.split(",") if name])
        draw(ids, pictures).save(options.file, quality=90)
    except (CheckpointError, ConfigError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
