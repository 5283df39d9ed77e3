"""What was found: the comparisons that a reader asks for first, each with its interval and what it shows, controls too.

Arms are paired only where they differ in what the question names and in nothing else (:mod:`results.settings`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from results.ablation_tables import difference_cell
from results.arm import IDENTITY as NAMES
from results.arm import Arm
from results.cells import accuracy
from results.predictions import right_answers
from results.runs import Runs
from results.settings import Varying
from results.table import Cell, Column, Row, Table, label
from results.told import Told

NAME = "findings"
HIGHER, LOWER, NONE, SINGLE = "higher", "lower", "no difference shown", "not judged"
QUESTIONS = {
    "Motion levels, nothing pretrained": "against the plain backbone, trained as long",
    "Pretraining, then the same fine-tuning": "against the same network from scratch, fine-tuned as long",
    "Pretraining, at as many steps in all": "against the same network from scratch, all steps with labels",
    "Motion, not parameters": "against the same network shown each frame and itself: nothing moves",
    "Temporal modelling, no motion levels": "against the plain backbone: a rival that is not ours",
}
"""What is asked -> what is compared with what."""
LEVELS, ALIKE, EQUAL, MOTION, TEMPORAL = QUESTIONS
COLUMNS = (
    *(Column(name, "label") for name in ("question", "benchmark", "backbone", "levels", "with", "against")),
    Column("difference", unit="points"),
    Column("shown", "label"),
    *(Column(name, unit="%") for name in ("top-1", "top-1 of the other")),
)
Pair = tuple[str, str, str, Arm, Arm]
"""(question, what ours has, what the other has, ours, the other)."""


def findings_table(runs: Runs) -> Table | None:
    """The pairs that there are; None without one."""
    arms = runs.arms("test")
    told = Told(arms)
    pairs = sorted(_pairs(arms), key=lambda pair: _order(pair, told)) if arms else []
    alike: dict[tuple[str, ...], list[Pair]] = {}
    for pair in pairs:
        alike.setdefault(_look(pair), []).append(pair)
    rows = [_row(pair, alike[_look(pair)], told) for pair in pairs]
    caption = (
        "Top-1 in per cent of the test videos. Difference in points, seed paired with seed; in brackets its 95 % "
        "interval, Student's t over independent pretrainings. `higher` and `lower`: the interval leaves 0 out; "
        "`no difference shown`: it holds 0, which is no proof that there is none; `not judged`: one seed tells nothing "
        "of others. Each interval is of its own comparison: of twenty, one is expected to miss."
    )
    return Table(NAME, "What was found", caption, COLUMNS, tuple(rows)) if rows else None


@dataclass(frozen=True)
class Said:
    place: str
    shown: str
    difference: str
    cell: str
    """The key of the difference in the page's data."""


def sentences(table: Table | None) -> list[tuple[str, str, list[Said]]]:
    """(question, what it compares, what its rows show): no more than the intervals do. Where two rows of a question
    would have one name, all have their full ones."""
    if table is None:
        return []
    names = {name: place for place, name in enumerate(table.header)}
    several = [
        name for name in ("benchmark", "backbone") if len({row.cells[names[name]].text for row in table.rows}) > 1
    ]
    found: dict[str, list[tuple[list[str], Said]]] = {}
    for number, row in enumerate(table.rows):
        text = {name: row.cells[place].text for name, place in names.items()}
        what = f"levels {text['levels']}" if text["levels"] != "0" else text["with"]
        place = ", ".join([*(text[name] for name in several), what])
        full = [*(text[name] for name in several), f"levels {text['levels']}", text["with"]]
        cell = f"{NAME}-{number}-{names['difference']}"
        said = Said(place, text["shown"], text["difference"], cell)
        found.setdefault(text["question"], []).append((full, said))
    return [(question, QUESTIONS[question], _told(items)) for question, items in found.items()]


def _told(items: Sequence[tuple[list[str], Said]]) -> list[Said]:
    if len({said.place for _, said in items}) == len(items):
        return [said for _, said in items]
    return [replace(said, place=", ".join(full)) for full, said in items]


@dataclass(frozen=True)
class _Known:
    """What pairs are made by, of an arm."""

    arm: Arm
    varying: Varying

    def key(self, rule: _Rule) -> tuple[object, ...]:
        """What the other of a pair has, too: all settings of the `parts`, but for the `owned` keys."""
        settings = self.varying.of(self.arm, rule.owned)
        levels = 0 if "model.levels" in rule.owned else self.levels
        return str(self.arm["backbone"]), levels, *(getattr(settings, part) for part in rule.parts)

    @property
    def levels(self) -> int:
        return int(self.arm["levels"])

    @property
    def moving(self) -> bool:
        """Whether it has motion levels that see motion."""
        return self.levels > 0 and self.arm["motion_input"] != "static"

    @property
    def pretrained(self) -> bool:
        return bool(self.arm.first["pretrain_id"])

    @property
    def scratch(self) -> bool:
        return str(self.arm["pretraining"]) == "none"

    @property
    def temporal(self) -> str:
        return str(self.arm["temporal"])

    def steps(self, phase: str) -> int:
        value = self.arm.first.get(f"{phase}.length.steps")
        return int(value) if isinstance(value, int | float) and value > 0 else 0


@dataclass(frozen=True)
class _Rule:
    """Which arms answer a question: those that are `ours`, each with any `other` that has the same key."""

    question: str
    ours: Callable[[_Known], bool]
    other: Callable[[_Known], bool]
    owned: tuple[str, ...]
    parts: tuple[str, ...]
    tell: Callable[[_Known, _Known], tuple[str, str] | None]
    """What ours has and what the other has; None where the two answer nothing after all."""


def _steps(ours: _Known, other: _Known) -> tuple[str, str]:
    before, after, supervised = ours.steps("pretrain"), ours.steps("finetune"), other.steps("finetune")
    with_it = f"pretrained, {before} + {after} steps" if before and after else "pretrained"
    return with_it, f"unpretrained, {supervised} steps" if supervised else "unpretrained"


def _equal(ours: _Known, other: _Known) -> tuple[str, str] | None:
    before, after = ours.steps("pretrain"), ours.steps("finetune")
    return _steps(ours, other) if before and after and before + after == other.steps("finetune") else None


RULES = (
    _Rule(LEVELS, lambda arm: arm.moving and arm.scratch, lambda arm: arm.levels == 0 and arm.scratch,
          ("model.levels",), ("base",), lambda ours, other: ("motion levels", "the plain backbone")),
    _Rule(ALIKE, lambda arm: arm.moving and arm.pretrained, lambda arm: arm.levels > 0 and arm.scratch,
          (), ("base", "motion"), _steps),
    _Rule(EQUAL, lambda arm: arm.moving and arm.pretrained, lambda arm: arm.levels > 0 and arm.scratch,
          ("length.steps",), ("base", "motion"), _equal),
    _Rule(MOTION, lambda arm: arm.arm["motion_input"] == "video", lambda arm: arm.arm["motion_input"] == "static",
          ("model.motion.input",), ("base", "motion", "pretraining"), lambda ours, other: ("video", "static input")),
    _Rule(TEMPORAL, lambda arm: arm.levels == 0 and arm.temporal != "none",
          lambda arm: arm.levels == 0 and arm.temporal == "none", ("model.temporal",), ("base",),
          lambda ours, other: (f"temporal {ours.temporal}", "the plain backbone")),
)  # fmt: skip


def _pairs(arms: Sequence[Arm]) -> Iterator[Pair]:
    varying = Varying(arms)
    known = [_Known(arm, varying) for arm in arms]
    for rule in RULES:
        others: dict[tuple[object, ...], list[_Known]] = {}
        for one in filter(rule.other, known):
            others.setdefault(one.key(rule), []).append(one)
        for ours in filter(rule.ours, known):
            for other in others.get(ours.key(rule), []):
                if (told := rule.tell(ours, other)) is not None:
                    yield rule.question, *told, ours.arm, other.arm


def _look(pair: Pair) -> tuple[str, ...]:
    """What a row says of itself."""
    question, with_it, against, ours, _ = pair
    first = ours.first
    return question, str(first["benchmark"]), str(ours["backbone"]), str(ours["levels"]), with_it, against


def _order(pair: Pair, told: Told) -> tuple[object, ...]:
    question, benchmark, backbone, _, with_it, against = _look(pair)
    ours, other = pair[3:]
    place = list(QUESTIONS).index(question), benchmark, ours.block, backbone
    # the usual settings first: those are what a reader asks for before any ablation
    unusual = len(told.unusual(ours)) + len(told.unusual(other))
    last = sorted(_settings(ours, told).items()), sorted(_settings(other, told).items())
    return *place, unusual, int(ours["levels"]), with_it, against, *last


def _settings(arm: Arm, told: Told) -> dict[str, str]:
    """What may set an arm apart from another one that looks the same."""
    axes = {name.replace("_", " "): str(arm[name]) for name in ("temporal", "motion_input", "prime", "fusion_init")}
    return axes | {NAMES.get(name, name): value[:40] for name, value in (*told.identity(arm), *told.unusual(arm))}


def _row(pair: Pair, alike: Sequence[Pair], told: Told) -> Row:
    """alike: the pairs that look the same, itself among them; what they differ in is said then."""
    *_, ours, other = pair
    cell = difference_cell(ours, ((pair[2],), other), right_answers)
    top1 = [accuracy(arm, "metric.top1", "videos") for arm in (ours, other)]
    names = list(_look(pair))
    for place, column in ((4, 3), (5, 4)):
        found = [_settings(one[column], told) for one in alike]  # type: ignore[arg-type]
        own = _settings(pair[column], told)  # type: ignore[arg-type]
        keys = [key for key in own if len({one.get(key, "") for one in found}) > 1]
        names[place] = ", ".join([names[place], *(f"{key} {own[key]}" for key in keys)])
    # the block names the code of the runs
    return Row((*map(label, names), cell, label(_shown(cell)), *top1), f"{pair[0]}; {ours.apart_text}".rstrip("; "))


def _shown(cell: Cell) -> str:
    interval = cell.comparison.interval if cell.comparison else None
    if interval is None or interval.kind != "seeds":
        return SINGLE
    return HIGHER if interval.low > 0 else LOWER if interval.high < 0 else NONE
