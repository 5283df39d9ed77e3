"""Ours beside printed figures: the paper's own, the state of the art of each benchmark, self-supervised methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from results.arm import EXTRA_AXES, Arm, is_control
from results.cells import accuracy, labels, make_table, origin, sampling, texts
from results.compare import Thresholds, differences_of, judge, published_cell, rule, verdict_cell
from results.grouping import NOTE_COLUMN, shown_axes
from results.reference.model import PublishedRow, References
from results.reference.names import MEAN_OF_SPLITS
from results.split_means import SplitMean, compared, split_means, split_of
from results.table import (
    NOT_APPLICABLE,
    Cell,
    Column,
    Comparison,
    Published,
    Row,
    Table,
    label,
    missing,
    not_applicable,
)
from results.told import Told

METRICS = {"top1": "metric.top1", "top5": "metric.top5", **{f"r{k}": f"metric.r{k}" for k in (1, 5, 10, 20, 50)}}
PHASES = {"supervised": "test", "finetune": "test", "linear": "probe", "retrieval": "retrieval"}
"""Setting of a printed figure -> the phase of ours that measures it."""
TITLES = {
    "kinetics400": "Kinetics-400",
    "sthv1": "Something-Something V1",
    "sthv2": "Something-Something V2",
    "ucf101": "UCF-101",
    "hmdb51": "HMDB-51",
}
SHOWN = ("method", "setting", "backbone", "frames", "pretrain", "protocol", "GFLOPs", "parameters (M)")


def paper_table(arms: Sequence[Arm], references: References, thresholds: Thresholds) -> Table:
    """Every cell of the paper that our runs could be compared with, ours beside it, and the verdict."""
    rows = []
    matches = [[arm for arm in arms if _is(arm, cell.ours) and _fits(arm, cell.ours)] for cell in references.paper]
    used = [arm for found in matches for arm in found]
    told = Told(used)
    for cell, found in zip(references.paper, matches, strict=True):
        printed = cell.published()
        where = cell.source or NOT_APPLICABLE
        names = [TITLES.get(cell.benchmark, cell.benchmark), cell.setting]
        names += [str(cell.ours.get(name, NOT_APPLICABLE)) for name in ("backbone", "levels", "pretraining", "metric")]
        candidates: list[Arm | None] = [*found] if found else [None]
        for arm in candidates:
            column = METRICS[str(cell.ours["metric"])]
            asked = arm.command(column) if isinstance(arm, SplitMean) else _command(cell.ours)
            ours = accuracy(arm, column, "videos", asked)
            gaps = [] if arm is None else _gaps(arm, printed, thresholds)
            verdict = verdict_cell(judge(ours.estimate, printed, gaps, thresholds))
            said = [] if arm is None else [*_told(arm, shown_axes(found)), told.note(arm)]
            note = label("; ".join(filter(None, said)))
            verdict = replace(verdict, runs=ours.runs, command=ours.command if verdict.kind == "missing" else "")
            cells = (*texts(names), published_cell(printed), label(where), ours, verdict, note)
            rows.append(Row(cells, _block(arm)))
    columns = labels(["benchmark", "setting", "backbone", "levels", "pretraining", "metric"])
    columns += [Column("printed", unit="%"), Column("where", "label"), Column("ours", unit="%"), Column("verdict")]
    caption = [
        "The paper's own figures, each as printed, beside ours. A slot is no claim that the paper prints such a one.",
        sampling(used, "metric.top1", "the test videos"),
    ]
    columns += labels([NOTE_COLUMN])
    title = "The paper's figures and ours"
    return make_table("paper", title, caption, columns, rows, used, told=told, rule=rule(thresholds))


def benchmark_table(benchmark: str, arms: Sequence[Arm], references: References, thresholds: Thresholds) -> Table:
    """Supervised top-1 on a benchmark, of others and of ours, best first."""
    printed = [row for row in references.published if row.benchmark == benchmark and row.setting == "supervised"]
    printed = [row for row in printed if row.metric == "top1"]
    ours = [arm for arm in arms if _benchmark(arm) == benchmark and arm.first["phase"] == "test"]
    title = f"{TITLES[benchmark]}: top-1 of others and of ours"
    return _others(f"state_of_the_art_{benchmark}", title, "supervised", benchmark, printed, ours, thresholds)


def self_supervised_table(benchmark: str, arms: Sequence[Arm], references: References, thresholds: Thresholds) -> Table:
    """Self-supervised methods on a benchmark: fine-tuned, linear, retrieval; of others and of ours."""
    printed = [row for row in references.published if row.benchmark == benchmark and row.setting != "supervised"]
    printed = [row for row in printed if row.metric in ("top1", "r1")]
    ours = [arm for arm in arms if _benchmark(arm) == benchmark and arm["pretraining"] != "none" and arm["levels"]]
    title = f"{TITLES[benchmark]}: self-supervised methods"
    return _others(f"self_supervised_{benchmark}", title, "", benchmark, printed, ours, thresholds)


def _others(
    name: str,
    title: str,
    setting: str,
    benchmark: str,
    printed: Sequence[PublishedRow],
    ours: Sequence[Arm],
    thresholds: Thresholds,
) -> Table:
    ours = [arm for arm in ours if _worth_a_row(arm, setting or _setting(arm), printed)]
    rows = [(row.setting, -row.value, 1, row.key, _printed_row(row)) for row in printed]
    extra = [name for name in shown_axes(ours) if name not in ("weights", "temporal")]  # which every row says
    told = Told(ours)
    for arm in ours:
        kind = setting or _setting(arm)
        column = METRICS["r1" if kind == "retrieval" else "top1"]
        cell = accuracy(arm, column, "videos", arm.command(column) if isinstance(arm, SplitMean) else "")
        rank = -cell.estimate.mean if cell.estimate is not None else 0.0
        own = _our_row(arm, kind, cell, printed, thresholds, extra, told.note(arm) or "our runs")
        rows.append((kind, rank, 0, arm.first["run_id"], own))
    if not ours:
        wanted = {"benchmark": benchmark, "setting": setting or "finetune"}
        cells = texts(["HCML (ours)", setting or "finetune", "resnet50", *[NOT_APPLICABLE] * 5])
        gap = missing(_command(wanted))
        verdict = replace(gap, comparison=Comparison("the rows of others", None, None, "missing"))
        rows.append(("~", 0.0, 0, "", Row((*cells, gap, verdict, label("")))))
    rows.sort(key=lambda row: row[:4])
    caption = [
        "Figures of others as their sources print them, best first within a setting. Rows differ in frames, "
        "pretraining, protocol and copies of the data: a rank is no comparison. A verdict is given where a row of "
        "others is the same method as ours.",
        sampling(ours, "metric.top1", "the test videos"),
        origin(ours),
    ]
    columns = [*labels(SHOWN), Column("top-1 or R@1", unit="%"), Column("verdict"), *labels(["source"])]
    shown = [row for *_, row in rows]
    # the notes stand where rows of others have their source
    notes = [note for note in told.footnotes if NOTE_COLUMN not in note]
    said = rule(thresholds) if ours else ""
    return make_table(name, title, caption, columns, shown, ours, footnotes=notes, rule=said)


def _printed_row(row: PublishedRow) -> Row:
    stated = [row.method, row.setting, row.backbone, row.frames, row.pretrain, row.protocol, row.gflops, row.params_m]
    source = f"{row.source} ({row.reported_by or 'whose number is not stated'})"
    cells = texts(value or NOT_APPLICABLE for value in stated)
    return Row((*cells, published_cell(row.published()), not_applicable(), label(source)), kind="published")


def _our_row(
    arm: Arm,
    kind: str,
    cell: Cell,
    printed: Sequence[PublishedRow],
    thresholds: Thresholds,
    extra: Sequence[str],
    source: str,
) -> Row:
    """extra: axes without a column in which rows of ours differ. source: what takes the place of a printed one's."""
    run = arm.first
    method = f"HCML, levels={arm['levels']}, {arm['pretraining']} (ours)" if arm["levels"] else "plain (ours)"
    if arm["temporal"] != "none":
        method += f", {arm['temporal']}"
    method = ", ".join([method, *_told(arm, extra)])
    stated = [
        method,
        kind,
        arm["backbone"],
        run.get(f"{run['phase']}.sampling.num_frames"),
        _pretrained(arm),
        run.get("protocol_name"),
    ]
    stated += [_rounded(run.get("cost.gmacs"), 1.0), _rounded(run.get("cost.parameters"), 1e-6)]
    same = _same(arm, kind, printed)
    if same:
        # of several sources the one that differs least: to be incomparable with all is to be with the nearest
        judged = [(_gaps(arm, row.published(), thresholds), row) for row in same]
        gaps, nearest = min(judged, key=lambda pair: (len(pair[0]), pair[1].split != MEAN_OF_SPLITS
                            and isinstance(arm, SplitMean), pair[1].reported_by != "authors", pair[1].key))  # fmt: skip
        verdict = verdict_cell(judge(cell.estimate, nearest.published(), gaps, thresholds))
        verdict = replace(verdict, runs=cell.runs, command=cell.command)
    else:
        verdict = not_applicable()
    names = texts(NOT_APPLICABLE if value in (None, "") else value for value in stated)
    return Row((*names, cell, verdict, label(source)), _block(arm))


def _same(arm: Arm, kind: str, printed: Sequence[PublishedRow]) -> list[PublishedRow]:
    """The rows of others that are the method of the arm, measured in the setting `kind`."""
    return [row for row in printed if row.ours and row.setting == kind and _is(arm, {**row.ours, "setting": kind})]


def _worth_a_row(arm: Arm, kind: str, printed: Sequence[PublishedRow]) -> bool:
    """All but a mean over splits of which most are not there, unless somebody has published such a mean."""
    if not isinstance(arm, SplitMean) or sum(member is not None for _, member in arm.members) > 1:
        return True
    return any(row.split == MEAN_OF_SPLITS for row in _same(arm, kind, printed))


def _fits(arm: Arm, ours: Mapping[str, Any]) -> bool:
    """A mean that is not whole is missing where it is asked for, and nowhere else."""
    return not isinstance(arm, SplitMean) or arm.complete or "split" in ours


def _pretrained(arm: Arm) -> str:
    """Weights, and the data that a pretraining saw without labels, in the words of published.csv."""
    name = str(arm.first.get("pretrain.benchmark.name") or "")
    seen = [f"{TITLES.get(name, name)} SSL"] if name else []
    return " + ".join([*([arm["weights"]] if arm["weights"] != "scratch" or not seen else []), *seen])


def _told(arm: Arm, axes: Sequence[str]) -> list[str]:
    return [f"{EXTRA_AXES[name]} {arm[name]}" for name in axes if arm[name] != NOT_APPLICABLE]


def _setting(arm: Arm) -> str:
    return {"probe": "linear", "retrieval": "retrieval"}.get(str(arm.first["phase"]), "finetune")


def _gaps(arm: Arm, printed: Published | None, thresholds: Thresholds) -> list[str]:
    """The differences of any run of the arm: one with fewer videos than the others makes the mean incomparable."""
    if printed is None:
        return []
    conditions = dict(printed.conditions)
    found = [gap for run in compared(arm) for gap in differences_of(run, conditions, thresholds)]
    return list(dict.fromkeys(found))


def _is(arm: Arm, ours: Mapping[str, Any]) -> bool:
    """Whether the arm is the one that `ours` (axes of results/reference) names."""
    run = arm.first
    for name, wanted in ours.items():
        if name == "benchmark":
            agrees = _benchmark(arm) == wanted
        elif name == "setting":
            agrees = run["phase"] == PHASES[str(wanted)] and (wanted != "finetune" or arm["pretraining"] != "none")
        elif name == "metric":
            agrees = True
        elif name == "split":
            agrees = split_of(arm) == str(wanted)
        else:
            agrees = str(run.get(name)) == str(wanted)
        if not agrees:
            return False
    if is_control(run, but=ours):
        return False
    return "setting" in ours or run["phase"] == "test"


def _benchmark(arm: Arm) -> str:
    return str(arm.first["benchmark"]).partition(" ")[0]


def _block(arm: Arm | None) -> str:
    return "" if arm is None else arm.apart_text


def _command(ours: Mapping[str, Any]) -> str:
    setting = str(ours.get("setting") or "supervised")
    words = [f"benchmark={ours['benchmark']}", "profile=cluster", f"backbone.name={ours.get('backbone', 'resnet50')}"]
    words += [f"levels={ours.get('levels', 3)}"]
    words += ["init=scratch" if ours.get("pretraining") == "none" else "init=run"]
    if setting in ("linear", "retrieval"):
        words.append(f"phase={PHASES[setting]}")
    if "split" in ours:
        # a mean over splits is made of runs on each
        words.append(f"benchmark.split={str(ours['split']).removeprefix('mean(').removesuffix(')')}")
    return " ".join(["python sweeps/run.py -m", *words, "seed=0,1,2"])


def _rounded(value: Any, factor: float) -> str:
    return "" if value is None or value != value else f"{factor * float(value):.1f}"


def published_tables(arms: Sequence[Arm], references: References, thresholds: Thresholds) -> Iterable[Table]:
    """All of them, in the order of the benchmarks, the means over official splits among our rows."""
    arms = [*arms, *split_means(arms)]
    yield paper_table(arms, references, thresholds)
    for benchmark in TITLES:
        yield benchmark_table(benchmark, arms, references, thresholds)
    for benchmark in ("ucf101", "hmdb51"):
        yield self_supervised_table(benchmark, arms, references, thresholds)
