"""Which runs may be averaged: those that differ in nothing but the seed.

Runs of one table are told apart by *axes* (what the table compares: backbone, levels, pretraining, ...), by what makes
results incomparable (:data:`results.arm.IDENTITY`), and by every other configuration value that differs between runs
that would otherwise share a cell. What a row says of the last two: :mod:`results.told`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from results.arm import AXES, EXTRA_AXES, IDENTITY, Arm, Run, is_told, value_text
from results.flatten import CONFIG_PREFIXES

TIERS = ("direction", "change", "order", "relation")
"""synthmotion's groups, in their order of difficulty."""
NOTE_COLUMN = "kept apart by"
SPLIT = "test.benchmark.split"
"""The column that says which part of a benchmark a run was tested on."""
_PRETRAINING_ORDER = ("none", "joint", "progressive")


def arms_of(runs: Iterable[Run]) -> list[Arm]:
    """The arms of some runs of one phase: comparable ones together, then by levels, pretraining, backbone.

    The result does not depend on the order of the runs.
    """
    rows = sorted(runs, key=lambda run: (run["run_id"], run["fingerprint"]))
    if not rows:
        return []
    identity = [name for name in IDENTITY if len({value_text(run.get(name)) for run in rows}) > 1]
    # several manifests, protocols or profiles bring their own configuration values: compare only inside a cell
    config = sorted(name for name in set[str]().union(*rows) if name.startswith(CONFIG_PREFIXES))
    varying = sorted({name for cell in _split(rows, [*AXES, *IDENTITY]) for name in _differing(cell, config)})
    arms = []
    for members in _split(rows, [*AXES, *IDENTITY, *varying]):
        first = members[0]
        axes = tuple((name, first.get(name)) for name in AXES)
        apart = tuple((name, value_text(first.get(name))) for name in (*identity, *varying))
        arms.append(Arm(axes, apart, tuple(members)))
    settings = _varying([arm.first for arm in arms])
    return sorted((replace(arm, varying=settings) for arm in arms), key=_order)


def _varying(firsts: Sequence[Run]) -> tuple[str, ...]:
    """The settings in which some of the runs differ, but for those that follow from axes."""
    found = []
    for name in sorted(name for name in set[str]().union(*firsts) if is_told(name)):
        values = [run.get(name) for run in firsts]
        if any(value != values[0] for value in values) and len(set(map(value_text, values))) > 1:
            found.append(name)
    return tuple(found)


def _differing(cell: Sequence[Run], config: Sequence[str]) -> set[str]:
    """Those of `config` in which the runs of a cell are not all the same; a gap is a value."""
    found: set[str] = set()
    first = list(map(cell[0].get, config))
    for run in cell[1:]:
        values = list(map(run.get, config))
        if values != first:
            pairs = zip(config, first, values, strict=True)
            found |= {name for name, ours, other in pairs if ours != other and value_text(ours) != value_text(other)}
    return found


def _order(arm: Arm) -> tuple[Any, ...]:
    return (arm.block, *axes_order(dict(arm.axes)), arm.apart)


def families_of(runs: Sequence[Run]) -> list[dict[str, Arm]]:
    """The arms of test runs, those that differ in nothing but the split (each tested on groups of its own) together.

    Returns, for each row of a table of groups, split -> arm, in the order of :func:`arms_of`.
    """
    by_split: dict[str, list[Run]] = {}
    for run in runs:
        by_split.setdefault(value_text(run.get(SPLIT)) or "all", []).append(run)
    found: dict[tuple[str, ...], list[dict[str, Arm]]] = {}
    columns = set[str]().union(*runs)
    config = sorted(name for name in columns if name.startswith(CONFIG_PREFIXES) and not name.endswith(".split"))
    names = [*AXES, *(name for name in IDENTITY if "manifest" not in name), *config]
    for split in sorted(by_split, key=lambda name: (name not in TIERS, name in TIERS and TIERS.index(name), name)):
        for arm in arms_of(by_split[split]):
            groups = arm.groups("top1")
            members = found.setdefault(_beyond_split(arm, split, names), [])
            for family in members:
                if split not in family and groups.isdisjoint(groups_of(list(family.values()), "top1")):
                    family[split] = arm
                    break
            else:
                members.append({split: arm})
    families = [family for members in found.values() for family in members]
    return sorted(families, key=lambda family: min(_order(arm) for arm in family.values()))


def _beyond_split(arm: Arm, split: str, names: Sequence[str]) -> tuple[str, ...]:
    """What arms of different splits must have in common: all but the manifests (the pretraining's too: each fold of a
    data set is pretrained on its own training videos) and the name that a split brings."""
    named = f"split {split}"
    values = map(arm.first.get, names)
    return tuple([v.replace(named, "split") if type(v) is str else value_text(v) for v in values])


def of_several_codes(arms: Sequence[Arm]) -> bool:
    return len({arm.first["fingerprints"] for arm in arms}) > 1


def block_of(arm: Arm, several: bool) -> str:
    """Of a row of several arms that were found apart, such as those of several splits: what its first arm says, and its
    code if the table has runs of `several`."""
    text, code = arm.apart_text, str(arm.first["fingerprints"])
    return "; ".join(filter(None, [text, code])) if several and code not in text.split("; ") else text


def groups_of(arms: Sequence[Arm], metric: str) -> list[str]:
    """The groups for which some arm has `metric`: the tiers in their order, then others by name."""
    names = set[str]().union(*(arm.groups(metric) for arm in arms))
    return [tier for tier in TIERS if tier in names] + sorted(names - set(TIERS))


def axes_order(axes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key: levels, pretraining (none, joint, progressive, others), natural order of the backbone, the rest."""
    rest = tuple(value_text(axes[name]) for name in EXTRA_AXES)
    return (axes["levels"], pretraining_order(axes["pretraining"]), natural(axes["backbone"]), rest)


def pretraining_order(name: str) -> tuple[int, str]:
    return (_PRETRAINING_ORDER.index(name) if name in _PRETRAINING_ORDER else len(_PRETRAINING_ORDER), name)


@lru_cache(maxsize=10_000)
def natural(name: str) -> tuple[tuple[str, int], ...]:
    """resnet50 before resnet101: runs of digits count as numbers."""
    parts: list[tuple[str, int]] = []
    text = ""
    digits = ""
    for char in name + "\0":
        if char in "0123456789":
            digits += char
            continue
        if digits:
            parts.append((text, int(digits)))
            text, digits = "", ""
        text += char
    return (*parts, (text, -1))


def shown_axes(arms: Sequence[Arm]) -> list[str]:
    """Those of :data:`EXTRA_AXES` in which the arms differ (a plain backbone's '-' is no difference)."""
    return [name for name in EXTRA_AXES if len({value_text(arm[name]) for arm in arms} - {"-"}) > 1]


def _split(rows: Sequence[Run], names: Sequence[str]) -> list[list[Run]]:
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in rows:
        # most values are texts: half of the time is not to call anything for them
        key = tuple([value if type(value) is str else value_text(value) for value in map(run.get, names)])
        found.setdefault(key, []).append(run)
    return [found[key] for key in sorted(found)]
