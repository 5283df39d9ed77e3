"""Runs that may be averaged: an arm, and what tells arms apart."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from results.flatten import CONFIG_PREFIXES
from results.stats import estimate
from results.table import Estimate

IDENTITY = {
    "benchmark": "benchmark",
    "manifest_test": "test videos",
    "manifest_train": "training videos",
    "pretrain_manifest": "pretraining videos",
    "protocol": "protocol",
    "decoder": "decoder",
    "profile": "profile",
    "fingerprints": "code",
}
"""Column -> what it is called in notes. Rows that differ in one of these are never averaged, and say so."""
EXTRA_AXES = {
    "weights": "weights",
    "temporal": "temporal",
    "motion_input": "motion input",
    "prime": "prime motion",
    "fusion_init": "fusion init",
    "pairing": "pairing",
    "features": "features",
    "pooling": "over time",
}
"""Axes that a table shows only where its rows differ in them."""
AXES = ("levels", "pretraining", "backbone", *EXTRA_AXES)
CONTROLS = {"motion_input": "static", "pairing": "lookahead (target visible)"}
"""What is not the method but a control of it: no printed figure is ours to reproduce with it unless it says so."""
MOTION_KEYS = ("model.motion", "model.fusion")
"""Settings that mean nothing for a plain backbone."""
AXIS_KEYS = (
    *("model.backbone.name", "model.levels", "curriculum.steps_per_level", "model.temporal.mode", "model.motion.input"),
    *("model.motion.prime", "model.motion.pairing", "model.fusion.init", "features.source", "features.pool", "init"),
)
"""Settings that follow from axes."""
_NEVER = ("init", "seed", "objective")
"""Keys of a fine-tuning that follow from others: where it starts from, and an objective that it does not use."""

Run = Mapping[str, Any]
"""A row of the frame; columns that it has no value for may be missing."""


@dataclass(frozen=True)
class Arm:
    """Runs of one configuration and different seeds, with all that tells them from other runs of the table."""

    axes: tuple[tuple[str, Any], ...]
    apart: tuple[tuple[str, str], ...]
    """(column, value) of all that varies in the table besides the axes."""
    records: tuple[Run, ...]
    """The rows of its runs in the frame, in the order of their ids."""
    varying: tuple[str, ...] = ()
    """The settings in which any of the arms differ that it was found with, whatever axis they follow from."""
    prefix: str = ""
    """What a row of it says first, before all that sets it apart from others."""

    def __getitem__(self, axis: str) -> Any:
        return self._values[axis]

    @cached_property
    def _values(self) -> dict[str, Any]:
        return dict(self.axes)

    @property
    def first(self) -> Run:
        """For what all runs of the arm have in common."""
        return self.records[0]

    @property
    def setting(self) -> tuple[Any, ...]:
        """What two arms must have in common to stand in one row of a table with the backbones side by side."""
        axes = tuple((name, value) for name, value in self.axes if name not in ("levels", "pretraining", "backbone"))
        return (*axes, *self.apart)

    @property
    def block(self) -> tuple[str, ...]:
        """Arms of different blocks are not comparable at all."""
        return tuple(value for name, value in self.apart if name in IDENTITY)

    @cached_property
    def comparable(self) -> tuple[str, ...]:
        """What other arms must have in common with it to be comparable, wherever they were found."""
        return (self.first["phase"], *(value_text(self.first.get(name)) for name in IDENTITY))

    @cached_property
    def settings(self) -> dict[str, str]:
        """Of :attr:`varying`, the values."""
        return {name: value_text(value) for name in self.varying if not is_gap(value := self.first.get(name))}

    @property
    def apart_text(self) -> str:
        """The same as one text, for :attr:`results.table.Row.block`."""
        return "; ".join(self.block)

    def numbers(self, column: str) -> list[float]:
        """The values of a column, a run each, those that have none left out."""
        return [float(run[column]) for run in self.records if not is_gap(run.get(column))]

    def estimate(self, column: str, factor: float = 1.0) -> tuple[Estimate | None, tuple[str, ...]]:
        """Of `factor` times the figure in `column`, and the ids of the runs that have it."""
        if (column, factor) not in self._estimates:
            self._estimates[column, factor] = self._estimate(column, factor)
        return self._estimates[column, factor]

    def _estimate(self, column: str, factor: float) -> tuple[Estimate | None, tuple[str, ...]]:
        found = [(run, key) for run, key in zip(self.records, self.shared, strict=True) if not is_gap(run.get(column))]
        if not found:
            return None, ()
        values = [factor * float(run[column]) for run, _ in found]
        return estimate(values, [key for _, key in found]), tuple(run["run_id"] for run, _ in found)

    @cached_property
    def _estimates(self) -> dict[tuple[str, float], tuple[Estimate | None, tuple[str, ...]]]:
        return {}  # a figure stands in many tables

    @cached_property
    def shared(self) -> tuple[Hashable, ...]:
        """Of each run, what it has in common with those that it is not independent of."""
        return tuple(map(shared_by, self.records))

    def values(self, column: str) -> list[Any]:
        """The distinct values of a column, sorted as text; gaps left out."""
        if column not in self._distinct:
            found = {run[column] for run in self.records if not is_gap(run.get(column))}
            self._distinct[column] = sorted(found, key=str) if len(found) > 1 else list(found)
        return self._distinct[column]

    @cached_property
    def _distinct(self) -> dict[str, list[Any]]:
        return {}

    def groups(self, metric: str) -> set[str]:
        """Those for which some run has `metric`."""
        if metric not in self._groups:
            head, tail = "group.", f".{metric}"
            columns = {name for name in self._group_columns if name.endswith(tail)}
            self._groups[metric] = {
                name[len(head) : -len(tail)]
                for name in columns
                if any(not is_gap(run.get(name)) for run in self.records)
            }
        return self._groups[metric]

    @cached_property
    def _groups(self) -> dict[str, set[str]]:
        return {}

    @cached_property
    def _group_columns(self) -> list[str]:
        return [name for name in set[str]().union(*self.records) if name.startswith("group.")]


@lru_cache(maxsize=10_000)
def is_setting(name: str) -> bool:
    """Whether a column of the frame is something that is set for a run and matters to its results."""
    if name in IDENTITY or name == "weights":
        return True
    if not name.startswith(CONFIG_PREFIXES):
        return False
    phase, _, key = name.partition(".")
    if phase == "finetune" and (key.startswith("model.") or key.split(".")[0] in _NEVER):
        return False  # the test's model is the fine-tuned one
    return not (phase == "pretrain" and key.startswith(("model.backbone", "model.levels", *MOTION_KEYS)))


@lru_cache(maxsize=10_000)
def is_told(name: str) -> bool:
    """Whether a row must tell the setting where it is unusual: not what makes it incomparable, which it tells anyway,
    nor what follows from axes."""
    return name.startswith(CONFIG_PREFIXES) and is_setting(name) and not follows_from_axes(name)


@lru_cache(maxsize=10_000)
def follows_from_axes(name: str) -> bool:
    key = f"{name.partition('.')[2]}."
    return any(key.startswith(f"{owned}.") for owned in AXIS_KEYS)


def is_gap(value: Any) -> bool:
    return value is None or bool(value != value)  # nan differs from itself


def is_control(run: Run, but: Collection[str] = ()) -> bool:
    """Whether the run is a control of the method; `but`: axes in which somebody asks for one."""
    return any(run.get(name) == control for name, control in CONTROLS.items() if name not in but)


def shared_by(run: Run) -> Hashable:
    """What runs of one arm that are not independent have in common: their pretraining, known by its seed (all else is
    the same in an arm), or its id or file where nobody knows that; without one, the seed of the run itself: two runs of
    one seed are one run, done twice for the sake of a setting that no phase reads."""
    if not run["pretrain_id"]:
        return "seed", run["seed"]
    seed = run.get("pretrain_seed")
    return ("pretraining", run["pretrain_id"]) if is_gap(seed) else ("pretraining of seed", seed)


def value_text(value: Any) -> str:
    """By which values are compared: nothing for a gap."""
    if type(value) is str:
        return value
    return "" if is_gap(value) else str(value)
