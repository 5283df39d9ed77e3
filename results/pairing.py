"""Runs of two arms side by side: which belong together, and which of their differences are independent.

Two runs are a pair where their seeds agree, and those of their pretrainings where both sides have one under that seed.
Pairs that share a run, or a pretraining on either side, are not independent: they count as one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from results.arm import Arm, Run, is_gap, shared_by


@dataclass(frozen=True)
class Pair:
    ours: Run
    other: Run
    group: int
    """The same for pairs that are not independent."""


def pairs_of(ours: Arm, other: Arm, column: str) -> list[Pair]:
    """Every pair of runs that both have a figure in `column`, in the order of the seeds."""
    by_seed: dict[Hashable, list[Run]] = {}
    for run in other.records:
        if not is_gap(run.get(column)):
            by_seed.setdefault(run["seed"], []).append(run)
    found: list[tuple[Run, Run]] = []
    for mine in ours.records:
        theirs = [] if is_gap(mine.get(column)) else by_seed.get(mine["seed"], [])
        alike = [run for run in theirs if _agree(mine, run)]
        found += [(mine, run) for run in alike or theirs]
    found.sort(key=lambda pair: (pair[0]["seed"], pair[0]["run_id"], pair[1]["run_id"]))
    groups = _connected([_shared(*pair) for pair in found])
    return [Pair(mine, run, group) for (mine, run), group in zip(found, groups, strict=True)]


def _agree(ours: Run, other: Run) -> bool:
    seeds = [run.get("pretrain_seed") for run in (ours, other)]
    return any(map(is_gap, seeds)) or seeds[0] == seeds[1]


def _shared(ours: Run, other: Run) -> list[Hashable]:
    """What another pair must not have, to be independent of this one."""
    sides = (("ours", ours), ("other", other))
    names: list[Hashable] = [run["run_id"] for _, run in sides]
    for side, run in sides:
        if run["pretrain_id"]:
            names += [run["pretrain_id"], (side, shared_by(run))]
    return names


def _connected(names: Sequence[Iterable[Hashable]]) -> list[int]:
    """For each set of names a number, the same for those that are linked by common names, through others too."""
    groups: list[int] = []
    members: dict[Hashable, int] = {}
    for number, own in enumerate(names):
        own = list(own)
        linked = {groups[members[name]] for name in own if name in members}
        groups.append(min(linked, default=number))
        groups = [groups[number] if group in linked else group for group in groups]
        members |= dict.fromkeys(own, number)
    return groups
