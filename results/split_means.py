"""The mean over the official splits of a data set, as its literature reports it: of each seed over the splits, then
over seeds. It is an arm like others, so that whatever compares arms with printed figures compares it, too."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from results import commands
from results.arm import AXES, IDENTITY, Arm, is_gap, shared_by, value_text
from results.flatten import CONFIG_PREFIXES
from results.reference.names import MEAN_OF_SPLITS, SPLITS
from results.stats import estimate
from results.table import Estimate

OFFICIAL = {name: tuple(s for s in splits if s != MEAN_OF_SPLITS) for name, splits in SPLITS.items()
            if MEAN_OF_SPLITS in splits}  # fmt: skip
"""Benchmark -> the splits that its mean is over."""
Key = tuple[str, Hashable]
"""Seed of a run, and what it shares with others that are not independent."""
_Family = dict[str, list[Arm]]


@dataclass(frozen=True)
class SplitMean(Arm):
    """Arms that differ in nothing but the official split, as one. `records` are the runs of all of them."""

    members: tuple[tuple[str, Arm | None], ...] = ()
    """Of each official split its arm; None where there is none, or several of which nobody knows which belongs here."""
    pretrained_on: str = ""
    """The split of the same data set that all were pretrained on; '' = each on its own, elsewhere, or not at all."""

    @property
    def complete(self) -> bool:
        return all(arm is not None for _, arm in self.members)

    @property
    def _arms(self) -> list[Arm | None]:
        return [arm for _, arm in self.members]

    def numbers(self, column: str) -> list[float]:
        """A figure for each seed (and pretraining)."""
        return list((over_seeds(self._arms, column) or {}).values())

    def estimate(self, column: str, factor: float = 1.0) -> tuple[Estimate | None, tuple[str, ...]]:
        """None unless all splits have runs of the same seeds: a mean over some of them is another quantity."""
        found = over_seeds(self._arms, column)
        if found is None:
            return None, ()
        runs = tuple(run["run_id"] for run in self.records if not is_gap(run.get(column)))
        return estimate([factor * value for value in found.values()], [key[1] for key in found]), runs

    @cached_property
    def shared(self) -> tuple[Hashable, ...]:
        """Runs of two splits are no two runs of one seed."""
        return tuple((split, key) for split, arm in self.members if arm is not None for key in arm.shared)

    def command(self, column: str) -> str:
        """What makes the runs that the mean lacks, their splits named; '' where no command does."""
        figures = {split: {} if arm is None else by_seed(arm, column) for split, arm in self.members}
        everything = set[Key]().union(*figures.values())
        lacking = {split: everything - set(found) for split, found in figures.items() if set(found) != everything}
        # of several arms for one split none was taken: another run would not decide between them
        known = {str(run.get(f"{run['phase']}.benchmark.split")) for run in self.records}
        lacking = {split: keys for split, keys in lacking.items() if figures[split] or split not in known}
        if not lacking:
            return ""
        splits, run = ",".join(lacking), self.first
        test = run["phase"] == "test"
        made = (commands.row("hierarchy", run, split=splits) if test
                else commands.frozen(run, str(run["phase"]), split=splits))  # fmt: skip
        if not made:
            return ""
        words = [] if " benchmark.split=" in made else [f"benchmark.split={splits}"]
        words += _pretraining(self, set[Key]().union(*lacking.values()))
        return " ".join([made, *words, f"seed={_joined({seed for keys in lacking.values() for seed, _ in keys})}"])


def split_means(arms: Sequence[Arm]) -> list[SplitMean]:
    """One for all arms that differ in nothing but the official split (of which some may have no arm yet)."""
    ours = [arm for arm in arms if split_of(arm) in OFFICIAL.get(_benchmark(arm), ())]
    names = _telling(ours)
    found: dict[tuple[Any, ...], _Family] = {}
    keys: dict[int, list[tuple[Any, ...]]] = {}
    for arm in ours:
        split = split_of(arm)
        keys[id(arm)] = list(_keys(arm, split, names))
        for key in keys[id(arm)]:
            found.setdefault(key, {}).setdefault(split, []).append(arm)
    means = []
    for key, family in found.items():
        first = next(iter(family.values()))[0]
        rivals = [found[other] for other in keys[id(first)] if other != key]
        # pretrained on the split that all of another family were pretrained on: it belongs there as well
        if len(family) == 1 and any(len(other) > 1 or key[-1] != "own" for other in rivals):
            continue
        pretrained_on = key[-1] if key[-1] in OFFICIAL[_benchmark(first)] else ""
        means.append(_mean(family, pretrained_on))
    return means


def split_of(arm: Arm) -> str:
    """The part of its benchmark that an arm was measured on."""
    return MEAN_OF_SPLITS if isinstance(arm, SplitMean) else value_text(arm.first.get(_split_column(arm)))


def compared(arm: Arm) -> list[Mapping[str, object]]:
    """The runs of an arm as a printed figure is compared with them: those of a mean have its splits."""
    if not isinstance(arm, SplitMean):
        return list(arm.records)
    return [{**run, _split_column(arm): MEAN_OF_SPLITS} for run in arm.records]


def over_seeds(arms: Sequence[Arm | None], column: str) -> dict[Key, float] | None:
    """Of each seed the mean over the arms; None unless every arm has the same seeds."""
    columns = [{} if arm is None else by_seed(arm, column) for arm in arms]
    everything = set[Key]().union(*columns)
    if not everything or any(set(values) != everything for values in columns):
        return None
    return {key: statistics.fmean(values[key] for values in columns) for key in sorted(everything, key=str)}


def by_seed(arm: Arm, column: str) -> dict[Key, float]:
    """The figure of each seed; of one that was run twice, the mean of both."""
    found: dict[Key, list[float]] = {}
    for run in arm.records:
        if not is_gap(run.get(column)):
            found.setdefault((str(run["seed"]), shared_by(run)), []).append(float(run[column]))
    return {key: statistics.fmean(values) for key, values in found.items()}


def _mean(family: _Family, pretrained_on: str) -> SplitMean:
    splits = OFFICIAL[_benchmark(next(iter(family.values()))[0])]
    members = tuple((split, family[split][0] if len(family.get(split, ())) == 1 else None) for split in splits)
    arms = [arm for split in splits for arm in family.get(split, ())]
    first = arms[0]
    apart = {n: v for n, v in first.apart if "manifest" not in n and not n.endswith(".benchmark.split")}
    parts = [part for part in str(first.first["protocol"]).split(", ") if not part.startswith("split ")]
    notes = [f"mean over splits {', '.join(splits)}"]
    notes += [f"pretraining on split {pretrained_on}"] if pretrained_on else []
    notes += [
        f"split {split} has runs on several lists of videos" for split in splits if len(family.get(split, ())) > 1
    ]
    apart["protocol"] = ", ".join([*parts, f"split {MEAN_OF_SPLITS}"])
    records = tuple(run for arm in arms for run in arm.records)
    return SplitMean(first.axes, tuple(apart.items()), records, first.varying, "; ".join(notes), members, pretrained_on)


def _telling(arms: Sequence[Arm]) -> list[str]:
    """Columns in which arms differ, whatever the split: not the videos of each, nor its name (nor the protocol, which
    has that in it)."""
    runs = [arm.first for arm in arms]
    config = {name for name in set[str]().union(*runs) if name.startswith(CONFIG_PREFIXES)}
    names = [*AXES, *(name for name in IDENTITY if "manifest" not in name and name != "protocol")]
    names += sorted(name for name in config if not name.endswith(".benchmark.split"))
    return [name for name in names if len({run.get(name) for run in runs}) > 1]


def _keys(arm: Arm, split: str, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """What arms of one mean have in common; the last part says on which split they were pretrained. What was pretrained
    on its own split may belong to two: to others pretrained on theirs, and to others pretrained on the same."""
    run = arm.first
    protocol = str(run["protocol"]).replace(f"split {split}", "split")
    base = (run["phase"], protocol, *map(run.get, names))
    trained = value_text(run.get("pretrain.benchmark.split"))
    if value_text(run.get("pretrain.benchmark.name")) != _benchmark(arm):
        yield (*base, f"elsewhere {trained}")
        return
    if trained == split:
        yield (*base, "own")
    yield (*base, trained)


def _pretraining(mean: SplitMean, lacking: set[Key]) -> list[str]:
    """Words for a pretraining on other data than those of the test, or of another seed."""
    name, words = value_text(mean.first.get("pretrain.benchmark.name")), list[str]()
    if name and name != _benchmark(mean):
        words.append(shlex.quote(f"+benchmark@pretrain.benchmark={name}"))
    if mean.pretrained_on:
        words.append(f"pretrain.split={mean.pretrained_on}")
    seeds = {str(shared[1]) for seed, shared in lacking if isinstance(shared, tuple) and shared[0].endswith("of seed")
             and str(shared[1]) != seed}  # fmt: skip
    return words + ([f"pretrain.seed={_joined(seeds)}"] if seeds else [])


def _joined(seeds: set[str]) -> str:
    return ",".join(sorted(seeds, key=lambda seed: (len(seed), seed)))


def _split_column(arm: Arm) -> str:
    return f"{arm.first['phase']}.benchmark.split"


def _benchmark(arm: Arm) -> str:
    return str(arm.first["benchmark"]).partition(" ")[0]
