"""The pictures that a report shows of a pretraining run: <run folder>/pictures/pictures.json and PNG files beside it.

For two videos of each tier (the same in every run, so that runs can be compared): the two frames, the true and the
learned displacement in the colours of Baker et al., the rebuilt frame and its error, the motion energy of each level.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hcml.data.manifest import Manifest, VideoEntry
from results.record import write_text
from sweeps.learned import Opened, Seen, look, open_pretraining

FOLDER, FILE = "pictures", "pictures.json"
PER_GROUP = 2
SIDE = 192
"""Pixels of a picture's side; maps are enlarged without smoothing, so that what is coarse looks coarse."""
ERROR_SCALE = 0.5
"""Mean absolute difference of the colours, frames in [0, 1], at which the error is brightest."""
_WHEEL = (
    (15, (0, 1, 0), (1, 0, 0)),
    (6, (-1, 0, 0), (1, 1, 0)),
    (4, (0, 0, 1), (0, 1, 0)),
    (11, (0, -1, 0), (0, 1, 1)),
    (13, (1, 0, 0), (0, 0, 1)),
    (6, (0, 0, -1), (1, 0, 1)),
)
"""Steps, what each adds, where it starts: red, yellow, green, cyan, blue, magenta, and back to red."""
_HEAT = np.array([(0x44, 0x01, 0x54), (0x3B, 0x52, 0x8B), (0x21, 0x91, 0x8C), (0x5E, 0xC9, 0x62), (0xFD, 0xE7, 0x25)])
"""Five stops of viridis, whose brightness grows evenly."""


def colour_wheel() -> np.ndarray:
    """float [55, 3] in [0, 1]: the colours of directions in Baker et al., IJCV 92 (2011), section 4.1."""
    parts = [np.array(start) + np.outer(np.arange(steps) / steps, change) for steps, change, start in _WHEEL]
    return np.concatenate(parts).clip(0, 1)


def flow_colours(backward: np.ndarray, longest: float) -> np.ndarray:
    """Backward displacement float [2, H, W] in pixels (where a pixel came from) as uint8 [H, W, 3], as motion forward.

    Hue is the direction (red: right), white is rest, full colour `longest` pixels or more.
    """
    right, down = -backward[0], -backward[1]
    wheel = colour_wheel()
    place = (np.arctan2(-down, -right) / np.pi + 1) / 2 * (len(wheel) - 1)
    low = np.floor(place).astype(int)
    share = (place - low)[..., None]
    hue = (1 - share) * wheel[low] + share * wheel[(low + 1) % len(wheel)]
    length = np.clip(np.hypot(right, down) / max(longest, 1e-9), 0, 1)[..., None]
    return np.asarray(np.rint(255 * (1 - length * (1 - hue))), dtype=np.uint8)


def heat(values: np.ndarray, brightest: float) -> np.ndarray:
    """float [h, w], 0 to `brightest`, as uint8 [h, w, 3] from dark violet to yellow."""
    place = np.clip(values / max(brightest, 1e-9), 0, 1) * (len(_HEAT) - 1)
    low = np.minimum(place.astype(int), len(_HEAT) - 2)
    share = (place - low)[..., None]
    return np.asarray(np.rint((1 - share) * _HEAT[low] + share * _HEAT[low + 1]), dtype=np.uint8)


def wheel_picture(side: int = SIDE) -> np.ndarray:
    """The legend: each point shows the colour of a motion from the centre to it; outside the circle white."""
    down, right = (np.mgrid[:side, :side] - (side - 1) / 2) / (side / 2)
    flow = np.stack([-right, -down])
    return np.where((np.hypot(right, down) <= 1)[..., None], flow_colours(flow, 1.0), 255).astype(np.uint8)


def write_picture_set(run: Path, data: Path) -> Path:
    """Returns the path of pictures.json, which is written last. The same run gives the same bytes.

    Raises CheckpointError, ConfigError, OSError, and what the benchmark raises.
    """
    opened = open_pretraining(run, data)
    chosen = choose(opened.manifest)
    seen = look(opened, [entry for _, entry in chosen])
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    _save(folder / "wheel.png", wheel_picture())
    brightest = [max(float(one.energy[level].max()) for one in seen) for level in range(opened.config.model.levels)]
    videos = []
    for (group, entry), one in zip(chosen, seen, strict=True):
        images = []
        for name, pixels, note in _pictures(one, opened, brightest):
            file = f"{entry.video_id}-{name.replace(' ', '-')}.png".replace("/", "_")
            _save(folder / file, pixels)
            images.append({"name": name, "file": file, "note": note})
        videos.append({"video_id": entry.video_id, "group": group, "class": opened.manifest.classes[entry.label],
                       "images": images, **_figures(one)})  # fmt: skip
    content = {
        "run_id": json.loads((run / "record.json").read_text())["run_id"] if (run / "record.json").exists() else "",
        "levels": opened.config.model.levels,
        "videos": videos,
        "wheel": "wheel.png",
        "scale": f"full colour: {_longest(opened):g} px between two frames of the clip; white: at rest",
    }
    write_text(folder / FILE, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return folder / FILE


def choose(manifest: Manifest) -> list[tuple[str, VideoEntry]]:
    """(group, entry): the first video of the first and of the middle class of each group; '' = no groups."""
    groups = manifest.groups or {"": list(range(len(manifest.classes)))}
    first: dict[int, VideoEntry] = {}
    for entry in manifest.entries:
        first.setdefault(entry.label, entry)
    chosen = []
    for group, members in groups.items():
        there = [label for label in sorted(members) if label in first]
        picked = [there[index * len(there) // PER_GROUP] for index in range(min(PER_GROUP, len(there)))]
        chosen += [(group, first[label]) for label in picked]
    return chosen


def _longest(opened: Opened) -> float:
    """Pixels of full colour, the same for every run of one input size: a twelfth of the side."""
    return float(opened.config.transform.crop_size / 12)


def _pictures(one: Seen, opened: Opened, brightest: list[float]) -> list[tuple[str, np.ndarray, str]]:
    longest = _longest(opened)
    found = [("earlier frame", _pixels(one.earlier), ""), ("later frame", _pixels(one.later), "")]
    if one.truth is not None:
        found.append(("true displacement", flow_colours(one.truth, longest), ""))
    if one.found is not None and one.rebuilt is not None:
        error = (one.rebuilt - one.later).abs().mean(dim=0).numpy()
        found.append(("learned displacement", flow_colours(one.found, longest), ""))
        found.append(("reconstruction", _pixels(one.rebuilt), "the earlier frame, moved by the learned displacement"))
        found.append(("error", heat(error, ERROR_SCALE), f"of the reconstruction; brightest: {ERROR_SCALE:g} of 1"))
    for level, values in enumerate(one.energy):
        note = f"norm of P_{level + 1}, {values.shape[0]} x {values.shape[1]}; brightest: {brightest[level]:.3g}"
        found.append((f"motion energy {level + 1}", heat(values, brightest[level]), note))
    return found


def _figures(one: Seen) -> dict[str, Any]:
    """Of the pictures shown, not of the benchmark: end-point error in px, and reconstruction ratio."""
    figures: dict[str, Any] = {"end_point_error": None, "reconstruction_ratio": None}
    if one.truth is not None and one.found is not None:
        figures["end_point_error"] = round(float(np.hypot(*(one.found - one.truth)).mean()), 3)
    if one.rebuilt is not None:
        still = float((one.earlier - one.later).abs().mean())
        ratio = float((one.rebuilt - one.later).abs().mean()) / still if still else None
        figures["reconstruction_ratio"] = None if ratio is None else round(ratio, 3)
    return figures


def _pixels(frame: torch.Tensor) -> np.ndarray:
    return (255 * frame.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()


def _save(path: Path, pixels: np.ndarray) -> None:
    side = max(1, SIDE // max(pixels.shape[:2])) * max(pixels.shape[:2])
    size = (side * pixels.shape[1] // max(pixels.shape[:2]), side * pixels.shape[0] // max(pixels.shape[:2]))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
    picture.quantize(64, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
