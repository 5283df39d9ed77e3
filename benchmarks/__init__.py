"""What is measured: each benchmark turns its files into manifests; nothing here knows the method.

`BENCHMARKS` names the modules and, for data sets of others, the objects (benchmarks/official.py). Each has
`num_classes(config)`, `class_names(config)`, `prepare(root, config)`, `load(root, config) -> Data`; where the truth is
known, `motion_field(manifest, video_id, indices)`; and where the configuration decides how many videos there are,
`counts(config)` of each class and `GROUPS` of classes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hcml.config import BenchmarkConfig
    from hcml.data.manifest import Data, Manifest

# modules are imported when asked for: rendering processes need neither torch nor the other benchmarks
BENCHMARKS: dict[str, str] = {
    "synthmotion": "benchmarks.synthmotion",
    "kinetics400": "benchmarks.kinetics400:BENCHMARK",
    "sthv1": "benchmarks.something_something:V1",
    "sthv2": "benchmarks.something_something:V2",
    "ucf101": "benchmarks.ucf101:BENCHMARK",
    "hmdb51": "benchmarks.hmdb51:BENCHMARK",
}
"""Name of a benchmark -> its module, or the object in a module, that has the functions above."""


class UnknownBenchmark(ValueError):
    """A benchmark that nobody has registered."""


def module_of(name: str) -> Any:
    """The module or object of a benchmark; raises :class:`UnknownBenchmark` naming the known ones."""
    if name not in BENCHMARKS:
        raise UnknownBenchmark(f"benchmark.name={name!r} is unknown; there are: {', '.join(sorted(BENCHMARKS))}")
    module, _, attribute = BENCHMARKS[name].partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def prepare(config: BenchmarkConfig, root: Path) -> Path:
    """Makes the data that `config` asks for ready under `root` (for an embedded benchmark: renders what is missing);
    returns its folder."""
    folder: Path = module_of(config.name).prepare(Path(root), config)
    return folder


def load(config: BenchmarkConfig, root: Path) -> Data:
    """The training and the test manifest of prepared data."""
    data: Data = module_of(config.name).load(Path(root), config)
    return data


def num_classes(config: BenchmarkConfig) -> int:
    """Classes of a benchmark's split, known before its data is."""
    count: int = module_of(config.name).num_classes(config)
    return count


def class_names(config: BenchmarkConfig) -> list[str]:
    """Names of the split's classes in the order of the labels: what the outputs of a classifier stand for."""
    names: list[str] = module_of(config.name).class_names(config)
    return names


def source_of(name: str, video_id: str) -> str:
    """The recording that a video was cut from; where nobody knows better, the video is its own."""
    known = getattr(module_of(name), "source_of", None)
    return video_id if known is None else str(known(video_id))


def motion_field(manifest: Manifest, video_id: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """True displacement between the frames `indices` int64 [T] of a video, or None where nobody knows it.

    flow float32 [T-1, 2, H, W], (dx, dy) in pixels of the source video: frame t at p shows what frame t-1 showed at
    p + flow; valid bool [T-1, H, W].
    """
    field = getattr(module_of(manifest.benchmark), "motion_field", None)
    return None if field is None else field(manifest, video_id, indices)
