"""Weights must not be judged on videos that they were trained on, nor on videos cut from the same recordings.

Splits of one data set overlap: the training videos of UCF-101's split 1 hold test videos of splits 2 and 3. Labels make
no difference: self-supervised pretraining on a test video leaks it too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hcml.config import BenchmarkConfig, ConfigError
from sweeps.plan import Plan

log = logging.getLogger(__name__)

Load = Callable[[BenchmarkConfig], Any]
"""A benchmark's configuration -> its Data."""


class LeakError(ConfigError):
    """Weights that have seen test videos, or of which that cannot be known; the message says which and what to do."""


def check_leaks(used: BenchmarkConfig, seen: Iterable[BenchmarkConfig], load: Load, what: str) -> None:
    """Raises :class:`LeakError` if weights trained on the training videos of `seen` have met test videos of `used`.

    Videos of one source (Official.source_of: a UCF-101 group, for instance) count as one. Other data sets are not
    compared: their videos have other names. `what` names the weights in the message. Raises what `load` raises when
    it cannot load `used`.
    """
    from benchmarks import source_of

    compared = [other for other in seen if other.name == used.name]
    tested = [entry.video_id for entry in load(_whole(used)).test.entries] if compared else []
    for other in compared:
        try:
            trained = {source_of(used.name, entry.video_id) for entry in load(_whole(other)).train.entries}
        except (OSError, ValueError) as error:
            raise LeakError(
                f"{what} was trained on {other.name} split {other.split}, whose list is needed to make sure that it "
                f"saw no test video of split {used.split}: {error}"
            ) from error
        leaked = [video_id for video_id in tested if source_of(used.name, video_id) in trained]
        if leaked:
            raise LeakError(
                f"{what} was trained on {other.name} split {other.split}, which holds {len(leaked)} of the "
                f"{len(tested)} test videos of split {used.split}, or others cut from the same recordings (the first: "
                f"{leaked[0]}): results on that split would be worthless. Use the same split in every phase"
            )


def trained_on(weights: Path) -> list[BenchmarkConfig]:
    """The benchmarks that a weights.pt has been trained on, itself and its ancestors.

    Raises :class:`LeakError` for a file that does not say."""
    from hcml.training.checkpoint import CheckpointError, read_file

    try:
        return [BenchmarkConfig(**plain) for plain in read_file(weights)["trained_on"]]
    except (CheckpointError, KeyError, TypeError) as error:
        raise LeakError(
            f"{weights} does not say which videos it was trained on ({error}): use the weights.pt of a run of this code"
        ) from error


def check_plan(plan: Plan, load: Load) -> None:
    """:func:`check_leaks` for every run to execute, before the first of them starts.

    A benchmark that cannot be loaded is no leak: the runs on it fail and say why, the others go on.
    """
    runs = {entry.run.run_id: entry.run for entry in plan.entries}
    checked = set()
    for entry in plan.todo:
        seen, current = [], entry.run
        while current.parent is not None:
            current = runs[current.parent]
            seen.append(current.config.benchmark)
        if current.weights:
            seen += trained_on(Path(current.weights))
        key = repr((entry.run.config.benchmark, seen))
        if key not in checked:  # runs of other seeds and networks ask the same
            try:
                check_leaks(entry.run.config.benchmark, seen, load, f"what {entry.run.name} starts from")
            except LeakError:
                raise
            except (OSError, ValueError) as error:
                log.info("%s: leaks cannot be looked for: %s", entry.run.name, error)
        checked.add(key)


def _whole(config: BenchmarkConfig) -> BenchmarkConfig:
    """A selection of a few videos must not hide a leak. (An embedded benchmark has as many as one asks for.)"""
    from benchmarks import module_of

    if hasattr(module_of(config.name), "counts"):
        return config
    return BenchmarkConfig(config.name, config.version, config.split, decoder=config.decoder)
