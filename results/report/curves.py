"""Training curves: a chart for each metric, a line for each run, a colour for each kind of run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from markupsafe import Markup

from results.report.data import Details, RunDetails
from results.report.kinds import kinds
from results.report.svg import SERIES, figure, line, path, text, ticks

WIDTH, HEIGHT, LEFT, BOTTOM = 560.0, 280.0, 56.0, 40.0
CHARTS = (
    ("pretrain", "loss", "Pretraining: loss, the sum of the levels that have joined", "", 1.0),
    ("pretrain", "reconstruction_ratio", "Pretraining: reconstruction ratio (1 = zero motion)", "", 1.0),
    ("pretrain", "top1_time_2", "Pretraining: level 2 names the right time (top-1, %)", "chance_time_2", 100.0),
    ("pretrain", "top1_time_3", "Pretraining: level 3 names the right time (top-1, %)", "chance_time_3", 100.0),
    ("pretrain", "top1_time_4", "Pretraining: level 4 names the right time (top-1, %)", "chance_time_4", 100.0),
    ("finetune", "loss", "Fine-tuning: loss", "", 1.0),
    ("finetune", "top1", "Fine-tuning: top-1 on training clips (%)", "", 1.0),
)
"""(phase, key of the journal, title, key of its chance level, factor)."""
DASHES = 3
"""Kinds of lines of style.css, dash-0 to dash-2: with the colours, so many kinds of runs look different."""


@dataclass(frozen=True)
class Chart:
    title: str
    picture: Markup
    legend: list[tuple[str, str]]
    """(classes of the line, name)."""


def curve_sections(details: Details) -> list[Chart]:
    """The charts for which any run has points, in a fixed order."""
    found = []
    for phase, metric, title, chance, factor in CHARTS:
        everybody = {key: run for key, run in details.runs.items() if run.record["phase"] == phase}
        runs = {key: run for key, run in everybody.items() if run.curves.get(metric)}
        if runs:
            # one kind looks the same in all charts of its phase
            names = kinds({key: run.record for key, run in everybody.items()})
            looks = {name: _look(place) for place, name in enumerate(sorted(set(names.values())))}
            lines = [Line(run, names[key], _scaled(run.curves[metric], factor)) for key, run in runs.items()]
            levels = {
                run.name: points for run in runs.values() if (points := _scaled(run.curves.get(chance, []), factor))
            }
            found.append(_chart(title, lines, levels, looks))
    return found


@dataclass(frozen=True)
class Line:
    run: RunDetails
    kind: str
    points: list[tuple[float, float]]


def _look(place: int) -> str:
    return f"series-{place % SERIES} dash-{place // SERIES % DASHES}"


def _scaled(points: Sequence[tuple[float, float]], factor: float) -> list[tuple[float, float]]:
    return [(step, factor * value) for step, value in points]


def _chart(
    title: str, lines: Sequence[Line], chance: Mapping[str, list[tuple[float, float]]], looks: Mapping[str, str]
) -> Chart:
    points = [point for one in lines for point in one.points]
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
    for name, level in sorted(chance.items()):
        parts.append(path([at(point) for point in level], "curve chance", f"chance, {name}"))
    shown = [name for name in looks if any(one.kind == name for one in lines)]
    for name in shown:
        alike = [one for one in lines if one.kind == name]
        inside = [path([at(point) for point in one.points], "curve", one.run.name) for one in alike]
        if len(alike) > 1 and (mean := _mean([one.points for one in alike])):
            inside.append(path([at(point) for point in mean], "curve middle", f"mean of {len(alike)}: {name}"))
        parts.append(f'<g class="kind {looks[name]}" data-kind="{escape(name)}">{"".join(inside)}</g>')
    return Chart(title, figure(WIDTH, HEIGHT, title, parts), [(looks[name], name) for name in shown])


def _mean(curves: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """At the steps that all of them have."""
    values: dict[float, list[float]] = {}
    for curve in curves:
        for step, value in curve:
            values.setdefault(step, []).append(value)
    return [(step, fmean(found)) for step, found in sorted(values.items()) if len(found) == len(curves)]
