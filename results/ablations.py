"""What is ablated: one :class:`Axis` for each question that a table answers, with the rows it should have.

`expected` names the rows in their order, the first of them the baseline, each with the overrides that make it in the
sweep `experiment` (a file of sweeps/conf/experiment; a test resolves every one of these commands).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from results.settings import Label
from results.table import NOT_APPLICABLE

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    name: str
    title: str
    question: str
    """One sentence of the caption: what the rows compare."""
    columns: tuple[str, ...]
    label: Callable[[Run], Label | None]
    """The row of a run (of the frame), None = not in this table."""
    owned: tuple[str, ...]
    """Settings that the axis varies, without their phase."""
    experiment: str
    expected: tuple[tuple[Label, str], ...]
    says: tuple[str, ...] = ("curriculum.name",)
    """The settings, without their phase, whose values the labels tell."""
    profile: str = ""
    """The only profile for which rows are expected, where their labels depend on it."""
    beside: Callable[[Label], Label] | None = None
    """The label of the row that a row is compared with (its own: it is a baseline); None = the first row of the block.
    Only pairs are shown then."""
    difference: str = "to the first row of the block"
    """What the difference is to."""


def _depth(run: Run) -> Label:
    return str(run["levels"]), str(run["pretraining"])


def _objective(run: Run) -> Label | None:
    if not run["levels"]:
        return None
    if run["pretraining"] == "none":
        return "none", NOT_APPLICABLE
    weights = {name: run.get(f"pretrain.objective.{name}.weight") for name in ("reconstruction", "contrast")}
    if None in weights.values():
        return None
    frozen = ", lower levels frozen" if run.get("pretrain.curriculum.freeze_lower") is True else ""
    return _NAMES[weights["reconstruction"] != 0, weights["contrast"] != 0], f"{run['pretraining']}{frozen}"


_NAMES = {
    (True, True): "both",
    (True, False): "reconstruction",
    (False, True): "contrast",
    (False, False): "no loss",
}


def _curriculum(run: Run) -> Label | None:
    if run["pretraining"] == "none" or not run["levels"]:
        return None
    frozen = "frozen" if run.get("pretrain.curriculum.freeze_lower") is True else "trained"
    return str(run["pretraining"]), frozen


def _prime(run: Run) -> Label | None:
    if not run["levels"] or run["pretraining"] == "none":
        return None
    prime = str(run["prime"])
    return prime, NOT_APPLICABLE if prime == "difference" else str(run.get("test.model.motion.max_displacement"))


def _negatives(run: Run) -> Label | None:
    if run["levels"] < 2 or run["pretraining"] == "none" or run.get("pretrain.objective.contrast.weight") == 0:
        return None
    found = run.get("pretrain.objective.contrast.negatives")
    return None if not isinstance(found, str) else (" + ".join(found.strip("[]").replace('"', "").split(", ")),)


def _temporal(run: Run) -> Label:
    return str(run["temporal"]), str(run["levels"]), str(run["pretraining"])


def _auxiliary(run: Run) -> Label | None:
    weight = run.get("finetune.auxiliary_weight")
    if not run["levels"] or run["pretraining"] == "none" or not isinstance(weight, int | float) or weight != weight:
        return None
    return (f"{weight:g}",)


def _fusion(run: Run) -> Label | None:
    return (str(run["fusion_init"]), str(run["pretraining"])) if run["levels"] else None


def _steps(run: Run, *phases: str) -> int | str:
    found = [run.get(f"{phase}.length.steps") for phase in phases]
    known = [int(count) for count in found if isinstance(count, int | float) and count == count and count > 0]
    return sum(known) if known else NOT_APPLICABLE


def _control(run: Run) -> Label | None:
    """Equal steps are seen: those of pretraining and of fine-tuning together."""
    total = _steps(run, "pretrain", "finetune")
    return tuple(map(str, (run["levels"], run["temporal"], run["motion_input"], run["pretraining"], total)))


def _equal_labels(run: Run) -> Label | None:
    return _depth(run) if run["levels"] else None


def _equal_steps(run: Run) -> Label | None:
    steps = _steps(run, "finetune"), _steps(run, "pretrain", "finetune")
    return (*_depth(run), *map(str, steps)) if run["levels"] and NOT_APPLICABLE not in steps else None


DEPTH = Axis(
    "hierarchy_depth",
    "How many levels, with and without pretraining",
    "Rows differ in the number of motion levels and in whether they were pretrained without labels.",
    ("levels", "pretraining"),
    _depth,
    ("model.levels", "curriculum.steps_per_level"),
    "hierarchy",
    (
        (("0", "none"), "levels=0 init=scratch"),
        *(
            ((str(levels), pretraining), f"levels={levels} init={init}")
            for levels in (1, 2, 3)
            for pretraining, init in (("none", "scratch"), ("progressive", "run"))
        ),
    ),
)
EQUAL_LABELS = Axis(
    "equal_labels",
    "What pretraining adds to the same fine-tuning",
    "Pairs of rows, with and without pretraining, that are fine-tuned alike; the pretraining comes on top.",
    ("levels", "pretraining"),
    _equal_labels,
    ("model.levels", "curriculum.steps_per_level"),
    "hierarchy",
    DEPTH.expected[1:],
    beside=lambda label: (label[0], "none"),
    difference="to the same levels without pretraining, after as many steps with labels",
)
EQUAL_STEPS = Axis(
    "equal_steps",
    "What pretraining adds to as many steps in all",
    "Pairs of rows, with and without pretraining, that take as many steps: while one learns without labels, the other "
    "one learns with them.",
    ("levels", "pretraining", "steps with labels", "steps in all"),
    _equal_steps,
    ("model.levels", "curriculum.steps_per_level", "length"),
    "control_compute",
    tuple(
        ((str(levels), pretraining, steps, "720"), overrides.format(levels))
        for levels in (1, 2, 3)
        for pretraining, steps, overrides in (
            ("none", "720", "levels={} init=scratch finetune.length.steps=720"),
            ("progressive", "320", "experiment=hierarchy levels={} init=run"),
        )
    ),
    profile="full",
    beside=lambda label: (label[0], "none", label[3], label[3]),
    difference="to the same levels without pretraining, after as many steps in all",
    says=("curriculum.name", "length.steps"),
)
OBJECTIVES = Axis(
    "pretraining_objectives",
    "What pretraining learns from",
    "Rows differ in the self-supervised losses of the pretraining. The contrast alone gives the first level no loss of "
    "its own, so all levels learn at once; both losses stand beside it in that order, too.",
    ("objective", "curriculum"),
    _objective,
    ("objective", "curriculum"),
    "objectives",
    (
        (("none", "-"), "init=scratch"),
        (("reconstruction", "progressive"), "init=run objective=reconstruction"),
        (("both", "progressive"), "init=run objective=both"),
        (("contrast", "joint"), "init=run objective=contrastive"),
        (("both", "joint"), "experiment=curriculum pretrain.curriculum.name=joint"),
    ),
    says=("curriculum.name", "curriculum.freeze_lower"),
)
CURRICULUM = Axis(
    "curriculum",
    "One level after the other, or all at once",
    "Rows differ in how the levels' losses join in the pretraining, and in whether lower levels go on learning.",
    ("curriculum", "lower levels"),
    _curriculum,
    ("curriculum",),
    "curriculum",
    (
        (("joint", "trained"), "pretrain.curriculum.name=joint"),
        (("progressive", "trained"), "pretrain.curriculum.name=progressive"),
        (("progressive", "frozen"), "pretrain.curriculum.name=progressive pretrain.curriculum.freeze_lower=true"),
    ),
    says=("curriculum.name", "curriculum.freeze_lower"),
)
PRIME = Axis(
    "prime_motion",
    "What the first level is made from",
    "Rows differ in the prime motion (the cost volume, the difference of features, or both) and in the search radius.",
    ("prime motion", "displacement"),
    _prime,
    ("model.motion.prime", "model.motion.max_displacement"),
    "prime",
    (
        (("difference", "-"), "motion.prime=difference"),
        *((("cost_volume", str(d)), f"motion.prime=cost_volume motion.max_displacement={d}") for d in (1, 3, 5)),
        (("both", "3"), "motion.prime=both motion.max_displacement=3"),
    ),
    says=("model.motion.max_displacement",),
)
NEGATIVES = Axis(
    "negatives",
    "Where the negatives come from",
    "Rows differ in the negatives of the contrast: other places, other times of the clip, other clips.",
    ("negatives",),
    _negatives,
    ("objective.contrast.negatives",),
    "negatives",
    tuple(
        ((" + ".join(names),), f"'objective.contrast.negatives=[{','.join(names)}]'")
        for names in (("space", "time", "clip"), ("space", "time"), ("time", "clip"), ("space", "clip"), ("clip",))
    ),
    says=("objective.contrast.negatives",),
)
TEMPORAL = Axis(
    "temporal_modelling",
    "Motion levels beside temporal modelling in the backbone",
    "Rows differ in the temporal modelling of the backbone and in whether it carries motion levels.",
    ("temporal", "levels", "pretraining"),
    _temporal,
    ("model.temporal", "model.levels", "curriculum.steps_per_level"),
    "temporal",
    tuple(
        ((temporal, levels, pretraining), f"temporal={temporal} levels={levels} init={init}")
        for levels, pretraining, init in (
            ("0", "none", "scratch"),
            ("3", "none", "scratch"),
            ("3", "progressive", "run"),
        )
        for temporal in ("none", "shift")
    ),
)
AUXILIARY = Axis(
    "auxiliary_losses",
    "Self-supervised losses beside the labels",
    "Rows differ in the weight of the self-supervised losses during fine-tuning.",
    ("auxiliary weight",),
    _auxiliary,
    ("auxiliary_weight",),
    "auxiliary",
    tuple(((weight,), f"finetune.auxiliary_weight={weight}") for weight in ("0", "0.1", "0.3")),
    says=("auxiliary_weight",),
)
FUSION = Axis(
    "fusion_init",
    "How the fusion starts",
    "Rows differ in the initialisation of the fusion (zero: a fresh network equals its plain backbone) and in "
    "pretraining.",
    ("fusion init", "pretraining"),
    _fusion,
    ("model.fusion",),
    "fusion",
    tuple(
        ((fusion, pretraining), f"fusion.init={fusion} init={init}")
        for fusion in ("zero", "random")
        for pretraining, init in (("none", "scratch"), ("progressive", "run"))
    ),
)
CONTROLS = Axis(
    "controls",
    "Controls: is it the motion, and is it the pretraining?",
    "Static input compares a frame with itself: the same parameters, no motion. Steps in all: those of pretraining and "
    "fine-tuning together, so that rows of as many steps can be compared. A step of pretraining ends at the "
    "last level, and costs less.",
    ("levels", "temporal", "motion input", "pretraining", "steps in all"),
    _control,
    ("model.levels", "model.temporal", "model.motion.input", "length", "curriculum.steps_per_level"),
    "hierarchy",
    (
        (("0", "none", "-", "none", "320"), "levels=0 init=scratch"),
        (("0", "shift", "-", "none", "320"), "experiment=control_temporal"),
        (("3", "none", "static", "progressive", "720"), "experiment=control_static"),
        (("3", "none", "video", "none", "320"), "levels=3 init=scratch"),
        (("3", "none", "video", "none", "720"), "experiment=control_compute levels=3"),
        (("3", "none", "video", "progressive", "720"), "levels=3 init=run"),
    ),
    profile="full",
)
AXES = (
    DEPTH,
    EQUAL_LABELS,
    EQUAL_STEPS,
    CONTROLS,
    OBJECTIVES,
    CURRICULUM,
    PRIME,
    NEGATIVES,
    TEMPORAL,
    AUXILIARY,
    FUSION,
)
