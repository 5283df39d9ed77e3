"""What the rows of a table say of themselves besides their labels: the column `kept apart by` and its footnotes.

A row tells what makes it incomparable with other rows (:data:`results.arm.IDENTITY`), and of the settings in which
comparable rows of the table differ those in which it is not as most of them are. What most have stands below the table:
so the rows of a study with a dozen ablations can be read, and a row that is silent can be relied on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

from results.arm import IDENTITY, Arm, Run, follows_from_axes, is_gap, value_text
from results.flatten import CONFIG_PREFIXES
from results.grouping import NOTE_COLUMN
from results.table import NOT_APPLICABLE

_HASHES = ("manifest_test", "manifest_train", "pretrain_manifest", "fingerprints")
Pairs = tuple[tuple[str, str], ...]
"""(column, value), ready to be read."""


class Told:
    """Of the arms of one table.

    without: keys of settings that its labels tell.
    label: those labels, where they are no axes.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        without: Collection[str] = (),
        label: Callable[[Run], Hashable] = lambda run: None,
    ) -> None:
        self._arms = arms  # ids are those of living objects
        self._common = _common(arms)
        names: dict[str, list[str]] = {}
        for name in sorted(_varying(arms)):
            phase, _, key = name.partition(".")
            if key not in without:
                names.setdefault(phase, []).append(name)
        values = {id(arm): _values(arm, names) for arm in arms}
        everything = [name for known in names.values() for name in known]
        self._usual = {name: most(found[name] for found in values.values() if name in found) for name in everything}
        self._unusual: dict[int, Pairs] = {}
        for known, found in values.items():
            self._unusual[known] = tuple(pair for pair in found.items() if pair[1] != self._usual[pair[0]])
        self._notes = {id(arm): self._note(arm) for arm in arms}
        self._tell_apart(arms, label)

    def _tell_apart(self, arms: Sequence[Arm], label: Callable[[Run], Hashable]) -> None:
        """Arms that still look alike tell everything in which they differ: one has a phase that the other has not, or
        it stands in a label that has no room for it."""
        looks: dict[tuple[object, ...], list[Arm]] = {}
        for arm in {id(arm): arm for arm in arms}.values():
            looks.setdefault((arm.first["phase"], arm.axes, label(arm.first), self.note(arm)), []).append(arm)
        for alike in looks.values():
            if len(alike) == 1:
                continue
            for name in sorted({name for arm in alike for name, _ in arm.apart if name not in IDENTITY}):
                found = {id(arm): value_text(arm.first.get(name)) or NOT_APPLICABLE for arm in alike}
                if len(set(found.values())) > 1:
                    for arm in alike:
                        known = [pair for pair in self._unusual[id(arm)] if pair[0] != name]
                        self._unusual[id(arm)] = (*known, (name, found[id(arm)]))
            self._notes |= {id(arm): self._note(arm) for arm in alike}

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return any(self._notes.values())

    def note(self, arm: Arm) -> str:
        return self._notes[id(arm)]

    def notes(self, arms: Iterable[Arm]) -> str:
        """Of a row of several arms, each once."""
        return "; ".join(dict.fromkeys(filter(None, map(self.note, arms))))

    def unusual(self, arm: Arm) -> Pairs:
        """The settings in which the arm is not as most are."""
        return self._unusual[id(arm)]

    def identity(self, arm: Arm) -> Pairs:
        """What makes it incomparable: hashes shortened, of a protocol what others have not."""
        found = []
        for name, value in arm.apart:
            if name not in IDENTITY:
                continue
            if name in _HASHES:
                value = "+".join(part[:8] for part in value.split("+")) or "the same as for training"
            elif name == "protocol":
                common = self._common[str(arm.first["phase"])]
                rest = [part for part in value.split(", ") if part not in common and not part.startswith("split mean(")]
                if not rest and arm.prefix:
                    continue
                value = ", ".join(rest) or "without more"
            found.append((name, value))
        return tuple(found)

    def _note(self, arm: Arm) -> str:
        told = [f"{IDENTITY[name]} {value}" for name, value in self.identity(arm)]
        return "; ".join(filter(None, [arm.prefix, *told, settings_text(self.unusual(arm), arm.first)]))

    @property
    def footnotes(self) -> list[str]:
        """True of every row that is silent."""
        found = []
        if self:
            found.append(f"Rows that differ in what the column `{NOTE_COLUMN}` names are never averaged.")
        told = {name for pairs in self._unusual.values() for name, _ in pairs if self._usual.get(name)}
        if told:
            usual = "; ".join(f"{name}={self._usual[name]}" for name in sorted(told))
            found.append(f"Where it says nothing of it: {usual}.")
        return found


def most(values: Iterable[str]) -> str:
    """The value of most; '' = of two values neither is more usual."""
    counts = Counter(values).most_common(2)
    return "" if not counts or [count for _, count in counts] == [counts[0][1]] * 2 else counts[0][0]


def settings_text(pairs: Pairs, run: Run) -> str:
    """One entry for each key and value: without phases where all phases of the run that have the key have the value."""
    shared: dict[tuple[str, str], list[str]] = {}
    for name, value in pairs:
        phase, _, key = name.partition(".")
        shared.setdefault((key, value), []).append(phase)
    parts = []
    for (key, value), phases in shared.items():
        having = [prefix[:-1] for prefix in CONFIG_PREFIXES if f"{prefix}{key}" in run]
        everywhere = len(phases) > 1 and set(having) == set(phases)
        parts.append(f"{key}={value}" if everywhere else f"{'/'.join(phases)}.{key}={value}")
    return "; ".join(parts)


def _varying(arms: Sequence[Arm]) -> set[str]:
    """The settings in which comparable arms differ."""
    blocks: dict[tuple[str, ...], list[Arm]] = {}
    for arm in arms:
        # not by its block, which knows of what differs where it was found: splits are looked for one by one
        blocks.setdefault(arm.comparable, []).append(arm)
    found: set[str] = set()
    for members in blocks.values():
        first = members[0].settings
        for arm in members[1:]:
            if arm.settings != first:
                found.update(name for name, _ in arm.settings.items() ^ first.items())
        # where the runs of one cell differ, in what no setting of ours is
        found.update(name for arm in members for name, _ in arm.apart if name not in IDENTITY)
    return {name for name in found if not follows_from_axes(name)}


def _values(arm: Arm, names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """names: phase -> settings. Of phases that the arm has."""
    settings = arm.settings
    return {
        name: settings[name] if name in settings else value_text(arm.first.get(name)) or NOT_APPLICABLE
        for phase, known in names.items()
        if not is_gap(arm.first.get(f"{phase}.benchmark.name"))  # which no configuration is without
        for name in known
    }


def _common(arms: Sequence[Arm]) -> Mapping[str, set[str]]:
    """Of each phase the parts of the protocol that all its arms share, which no note repeats."""
    texts: dict[str, set[str]] = {}
    for arm in arms:
        texts.setdefault(str(arm.first["phase"]), set()).add(value_text(arm.first["protocol"]))
    return {phase: set.intersection(*({*text.split(", ")} for text in found)) for phase, found in texts.items()}
