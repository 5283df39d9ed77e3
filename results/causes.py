"""What stands behind a figure that is another than before: differences of the runs that made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from results.arm import is_gap
from results.copies import Behind, Copies
from results.flatten import CONFIG_PREFIXES, flat
from results.record import RecordError, read_record

CODE = ("fingerprints", "commit", "dirty")
DATA = (
    "benchmark",
    "manifest_train",
    "manifest_test",
    "pretrain_manifest",
    "videos_train",
    "videos_test",
    "expected_train",
    "expected_test",
    "unreadable_train",
    "unreadable_test",
)
_HASHES = ("fingerprints", "commit", "manifest_train", "manifest_test", "pretrain_manifest")
_WEIGHTS = "pretrained_weights"
_FIGURES = ("metric.", "group.", "cost.")


@dataclass(frozen=True, order=True)
class Difference:
    """`kind`: code, data, decoder, protocol, configuration, environment, seeds or record; `a` and `b` to be read."""

    kind: str
    name: str
    a: str
    b: str
    phases: tuple[str, ...] = ()
    """Of the runs that it is about; () = all."""

    def concerns(self, phases: frozenset[str]) -> bool:
        """Whether it can stand behind a figure whose chain of runs has these `phases`."""
        return not self.phases or not phases.isdisjoint(self.phases)

    def __str__(self) -> str:
        if self.kind == "record":
            return f"record of {self.name}: {self.a}"
        name = self.kind if self.kind == self.name else f"{self.kind} {self.name}"
        if self.kind == "configuration" and self.phases:
            name = f"{self.kind} {'/'.join(self.phases)}.{self.name}"
        return f"{name}: {self.a or 'none'} -> {self.b or 'none'}"


class Runs:
    """The runs of one side."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._copies = Copies(frame)
        self._environments: dict[str, Mapping[str, Any]] = {}

    def of(self, behind: Behind) -> list[dict[str, Any]]:
        """The rows behind a cell."""
        places = self._copies.of(behind)
        rows = self._frame.iloc[places].to_dict("records") if places else []
        return [{str(name): value for name, value in row.items() if not is_gap(value)} for row in rows]

    def environment(self, run: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of a row, from its record; {} where the record has gone since."""
        path = str(run.get("path", ""))
        if path not in self._environments:
            try:
                environment = read_record(Path(path))["environment"]
                # the weights of the run before: others whenever anything is
                self._environments[path] = {n: v for n, v in flat(environment).items() if not n.startswith(_WEIGHTS)}
            except RecordError:
                self._environments[path] = {}
        return self._environments[path]


@dataclass(frozen=True)
class Causes:
    """All that differs between the runs behind a figure, and the phases of their chains."""

    differences: tuple[Difference, ...] = ()
    phases: frozenset[str] = frozenset()


def causes(a: Runs, b: Runs, first: Behind, second: Behind) -> Causes:
    """What differs between the runs `first` of `a` and `second` of `b`; nothing where one of them is empty."""
    mine, theirs = a.of(first), b.of(second)
    if not mine or not theirs:
        return Causes()
    found = _columns("code", CODE, mine, theirs) + _columns("data", DATA, mine, theirs)
    found += _columns("decoder", ("decoder",), mine, theirs) + _protocol(mine, theirs)
    found += _columns("configuration", ("profile", "weights"), mine, theirs) + _configuration(mine, theirs)
    sides = ([a.environment(run) for run in mine], [b.environment(run) for run in theirs])
    found += _columns("environment", sorted({name for side in sides for run in side for name in run}), *sides)
    found += _columns("seeds", ("seed", "pretrain_seed"), mine, theirs)
    return Causes(tuple(found + _records(mine, theirs)), _phases(mine) & _phases(theirs))


def distance(a: Runs, b: Runs, first: Behind, second: Behind) -> int:
    """In how many ways the runs are other experiments; 1000 where one side has none to ask."""
    mine, theirs = a.of(first), b.of(second)
    if not mine or not theirs:
        return 1000
    found = _columns("code", CODE[:1], mine, theirs) + _columns("data", DATA, mine, theirs)
    return len(found + _columns("decoder", ("decoder",), mine, theirs) + _configuration(mine, theirs))


def common(cells: Sequence[Causes]) -> list[Difference]:
    """The differences that stand behind every one of the figures that they concern, in the order of the first."""
    explained = [cell for cell in cells if cell.differences]
    if len(explained) < 2:
        return []
    counts = Counter(difference for cell in explained for difference in cell.differences)
    return [
        difference
        for difference, count in counts.items()
        if count > 1 and count == sum(difference.concerns(cell.phases) for cell in explained)
    ]


def merged(found: Iterable[Difference]) -> list[Difference]:
    """One entry where several phases differ in one key in the same way."""
    phases: dict[Difference, list[str]] = {}
    for one in found:
        phases.setdefault(replace(one, phases=()), []).extend(one.phases)
    return [replace(one, phases=tuple(sorted(set(where)))) for one, where in phases.items()]


def _phases(runs: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(p.rstrip(".") for run in runs for p in CONFIG_PREFIXES if any(name.startswith(p) for name in run))


def _columns(
    kind: str, names: Iterable[str], mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> list[Difference]:
    found = []
    for name in names:
        a, b = (_values(name, side) for side in (mine, theirs))
        if a != b:
            found.append(Difference(kind, name, a, b))
    return found


def _values(name: str, runs: Sequence[Mapping[str, Any]]) -> str:
    values = {_text(name, run[name]) for run in runs if not is_gap(run.get(name)) and run[name] != ""}
    return ", ".join(sorted(values))


def _text(name: str, value: Any) -> str:
    if name in _HASHES:
        return "+".join(part[:12] for part in str(value).split("+"))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _configuration(mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    names = sorted({name for run in (*mine, *theirs) for name in run if name.startswith(CONFIG_PREFIXES)})
    found = []
    for difference in _columns("configuration", names, mine, theirs):
        phase, _, key = difference.name.partition(".")
        found.append(replace(difference, name=key, phases=(phase,)))
    return found


def _protocol(mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Of the protocol only the parts that differ."""
    phases = tuple(sorted({str(run["phase"]) for run in (*mine, *theirs)}))
    sides = [
        {part for run in side for part in str(run.get("protocol", "")).split(", ") if part} for side in (mine, theirs)
    ]
    if sides[0] == sides[1]:
        return [replace(one, phases=phases) for one in _columns("protocol", ("protocol_name",), mine, theirs)]
    texts = [", ".join(sorted(side - sides[1 - index])) for index, side in enumerate(sides)]
    return [Difference("protocol", "protocol", texts[0], texts[1], phases)]


def _records(mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Runs of one configuration and one code on both sides that measured something else."""
    found = []
    others = {(run["run_id"], run["fingerprint"]): run for run in theirs}
    for run in mine:
        other = others.get((run["run_id"], run["fingerprint"]))
        if other is None:
            continue
        figures = sorted(name for name in {*run, *other} if name.startswith(_FIGURES))
        names = [name for name in figures if run.get(name) != other.get(name)]
        if not names:
            continue
        same_time = run["started"] == other["started"] and run["finished"] == other["finished"]
        when = "one run, of one start and end: a record was changed" if same_time else "it was run anew"
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        name = f"{run['slug']}-{run['run_id'][:12]}"
        found.append(Difference("record", name, f"{shown} differ{'s' if len(names) == 1 else ''} ({when})", ""))
    return found
