"""Training curves: a chart for each metric, a line for each run, a colour for each kind of run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from results.report.data import Details, RunDetails
from results.report.svg import SERIES, figure, line, path, text, ticks

WIDTH, HEIGHT, LEFT, BOTTOM = 560.0, 280.0, 56.0, 40.0
CHARTS = (
    ("pretrain", "loss", "Pretraining: loss", ""),
    ("pretrain", "reconstruction_ratio", "Pretraining: reconstruction ratio (1 = zero motion)", ""),
    ("pretrain", "top1_time_2", "Pretraining: level 2, top-1 over time", "chance_time_2"),
    ("pretrain", "top1_time_3", "Pretraining: level 3, top-1 over time", "chance_time_3"),
    ("finetune", "loss", "Fine-tuning: loss", ""),
    ("finetune", "train_top1", "Fine-tuning: top-1 on training clips", ""),
)


@dataclass(frozen=True)
class Chart:
    title: str
    picture: Markup
    legend: list[tuple[int, str]]
    """(colour, name)."""


def curve_sections(details: Details) -> list[Chart]:
    """The charts for which any run has points, in a fixed order."""
    found = []
    for phase, metric, title, chance in CHARTS:
        everybody = [run for run in details.runs.values() if run.record["phase"] == phase]
        runs = [run for run in everybody if run.curves.get(metric)]
        if runs:
            kinds = sorted({_kind(run.record) for run in everybody})  # one kind has one colour in all charts
            found.append(_chart(title, metric, chance, runs, kinds))
    return found


def _chart(title: str, metric: str, chance: str, runs: Sequence[RunDetails], kinds: Sequence[str]) -> Chart:
    points = [point for run in runs for point in run.curves[metric]]
    last = max(step for step, _ in points)
    values = sorted(value for _, value in points)
    low, high = min(0.0, values[0]), values[min(len(values) - 1, int(0.995 * len(values)))]
    high = high if high > low else low + 1

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + point[0] / max(last, 1) * (WIDTH - LEFT - 10)
        y = 8 + (1 - (min(point[1], high) - low) / (high - low)) * (HEIGHT - BOTTOM - 8)
        return x, y

    parts = []
    for tick in ticks(low, high):
        parts += [line(LEFT, at((0, tick))[1], WIDTH - 10, at((0, tick))[1], "grid")]
        parts += [text(LEFT - 6, at((0, tick))[1] + 4, f"{tick:g}", "plot-tick", "end")]
    for tick in ticks(0, last):
        parts.append(text(at((tick, low))[0], HEIGHT - BOTTOM + 18, f"{tick:g}", "plot-tick", "middle"))
    parts.append(text((LEFT + WIDTH) / 2, HEIGHT - 6, "optimiser steps", "plot-tick", "middle"))
    for run in runs:
        colour = kinds.index(_kind(run.record)) % SERIES
        parts.append(path([at(point) for point in run.curves[metric]], f"curve series-{colour}", run.name))
        if chance and run.curves.get(chance):
            parts.append(path([at(point) for point in run.curves[chance]], "curve chance", f"chance, {run.name}"))
    shown = {_kind(run.record) for run in runs}
    legend = [(index % SERIES, kind) for index, kind in enumerate(kinds) if kind in shown]
    return Chart(title, figure(WIDTH, HEIGHT, title, parts), legend)


def _kind(record: Mapping[str, Any]) -> str:
    """What runs of different seeds have in common, in a few words."""
    model = record["config"]["model"]
    words = [str(model["backbone"]["name"]), f"levels {model['levels']}"]
    if record["phase"] == "finetune":
        words.append("pretrained" if record["lineage"] else "from scratch")
    motion = model.get("motion") or {}
    if model["levels"] and motion.get("input") == "static":
        words.append("static input")
    temporal = (model.get("temporal") or {}).get("mode", "none")
    if temporal != "none":
        words.append(str(temporal))
    steps = (record["config"].get("length") or {}).get("steps")
    return ", ".join([*words, *([f"{steps} steps"] if steps else [])])
