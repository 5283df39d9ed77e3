"""synthmotion: an embedded benchmark of actions that only motion defines, rendered to real H.264 files.

No single frame says anything about the class (see motion.py); training and test share no textures, sizes or speeds.
Four tiers of four classes each: direction, change, order, relation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.synthmotion.fields import displacement
from benchmarks.synthmotion.motion import draw_motion
from benchmarks.synthmotion.render import draw_scene
from benchmarks.synthmotion.spec import (
    CLASSES,
    DEFAULT_PER_CLASS,
    TIERS,
    VERSIONS,
    Spec,
    SpecError,
    parse_video_id,
)
from benchmarks.synthmotion.write import Progress, folder_of, load_spec, write_benchmark

if TYPE_CHECKING:
    from hcml.config import BenchmarkConfig
    from hcml.data.manifest import Data, Manifest

GROUPS: dict[str, list[int]] = {tier: [CLASSES.index(name) for name in names] for tier, names in TIERS.items()}
"""Tier -> class indices, as in Manifest.groups."""
directed = True
"""Classes depend on left and right, so a flip would give videos the label of another class."""

SPLITS = ("all", *TIERS)
"""all: the sixteen classes of all tiers; the name of a tier: its four classes alone."""


def num_classes(config: BenchmarkConfig) -> int:
    """Classes of the split. Raises SpecError."""
    _check_split(config)
    return len(_classes(config.split))


def class_names(config: BenchmarkConfig) -> list[str]:
    """Those of all tiers, or of the one that is the split. Raises SpecError."""
    _check_split(config)
    return _classes(config.split)


def _classes(split: str) -> list[str]:
    return list(CLASSES if split == "all" else TIERS[split])


def counts(config: BenchmarkConfig) -> dict[str, int]:
    """Videos per class of each subset; 0 in the configuration stands for DEFAULT_PER_CLASS, not for whatever the
    folder happens to hold, so that a configuration means the same on every machine."""
    return {
        "train": config.train_per_class or DEFAULT_PER_CLASS["train"],
        "test": config.test_per_class or DEFAULT_PER_CLASS["test"],
    }


def prepare(root: Path, config: BenchmarkConfig, progress: Progress | None = None, processes: int = 2) -> Path:
    """Renders what `config` asks for and `root` lacks; returns the folder. Raises SpecError."""
    _check_split(config)
    return write_benchmark(root, config.version, counts(config), processes=processes, progress=progress)


def load(root: Path, config: BenchmarkConfig) -> Data:
    """Both manifests: the first videos of each class. Raises SpecError if some have not been rendered."""
    from hcml.data.manifest import Data

    _check_split(config)
    load_spec(root, config.version)
    return Data(*(_manifest(Path(root), config, subset, count) for subset, count in counts(config).items()))


def _manifest(root: Path, config: BenchmarkConfig, subset: str, count: int) -> Manifest:
    from hcml.data.annotations import read_annotations
    from hcml.data.manifest import Manifest

    folder = folder_of(root, config.version)
    path = folder / f"{subset}.csv"
    command = f"python -m benchmarks.synthmotion --root {root} --version {config.version} --{subset}-per-class {count}"
    if not path.exists():
        raise SpecError(f"{path} does not exist; render the videos with: {command}")
    every = Manifest(
        benchmark="synthmotion",
        version=config.version,
        split=config.split,
        subset=subset,
        root=folder,
        classes=list(CLASSES),
        groups=GROUPS,
        entries=read_annotations(path, folder, CLASSES),
    )
    manifest = every.subset_per_class(count)
    if len(manifest.entries) != count * len(CLASSES):
        raise SpecError(
            f"{path} lists {len(every.entries)} videos, too few for {count} of each of {len(CLASSES)} classes; "
            f"render the rest with: {command}"
        )
    return manifest if config.split == "all" else _one_tier(manifest, config.split)


def _one_tier(manifest: Manifest, tier: str) -> Manifest:
    """The videos of one tier, with labels that count its classes alone."""
    labels = GROUPS[tier]
    entries = [replace(e, label=labels.index(e.label)) for e in manifest.entries if e.group == tier]
    return replace(manifest, classes=_classes(tier), groups={tier: list(range(len(labels)))}, entries=entries)


def _check_split(config: BenchmarkConfig) -> None:
    if config.split not in SPLITS:
        raise SpecError(f"benchmark.split={config.split!r} is not a split of synthmotion: {', '.join(SPLITS)}")


def motion_field(manifest: Manifest, video_id: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True displacement between the frames `indices` [T] of a video of this benchmark.

    Returns flow float32 [T-1, 2, H, W] (dx, dy), pixels of the video: frame t at p shows what frame t-1 showed at
    p + flow; and valid bool [T-1, H, W]. See :func:`benchmarks.synthmotion.fields.displacement`.
    """
    spec = load_spec(manifest.root.parent, manifest.version)
    return displacement(draw_scene(spec, *parse_video_id(video_id)), indices)


def trajectories(subset: str, class_name: str, index: int, spec: Spec = VERSIONS["v1"]) -> tuple[np.ndarray, int]:
    """True positions float64 [S, F, 2] of a video's sprites before wrapping, and its class index. The sprites that
    act come first; the last one always follows the camera alone."""
    return draw_motion(spec, subset, class_name, index).paths, CLASSES.index(class_name)
