"""Plots of a table: means with intervals, and the tiers as a heat map."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from markupsafe import Markup

from results.report.names import Names, apart
from results.report.svg import dot, figure, line, n, text, ticks
from results.table import Cell, Row, Table

PANEL, STEP = 320.0, 22.0
"""Width of a plot and height of a row in px."""
TOP1, DIFFERENCE = "top-1", "difference"


def forest(table: Table, chance: float | None = None, heads: bool = False) -> Markup:
    """Every row's top-1 and its difference to the baseline, with intervals, block by block; empty for a table that has
    not both columns or fewer than two figures.

    chance: top-1 of guessing in per cent, if it is the same for all rows. heads: rows that have the first label in
    common are a block, and it is the block's name.
    """
    if TOP1 not in table.header or DIFFERENCE not in table.header:
        return Markup("")
    place = table.header.index(TOP1)
    rows = [row for row in table.rows if row.kind == ""]
    if sum(row.cells[place].estimate is not None for row in rows) < 2:
        return Markup("")
    names = Names(table, rows)
    ends = [end for row in rows if (bounds := _difference(table, row)) for end in bounds[1:]]
    panels = [Panel(names.width, 0.0, 100.0)]
    if ends:  # whole tens, zero among them; one run of few seeds must not squeeze all others
        low, high = max(-100.0, 10.0 * floor(min([*ends, 0]) / 10)), min(100.0, 10.0 * ceil(max([*ends, 1]) / 10))
        panels.append(Panel(names.width + PANEL + 40, low, high))
    parts, y, last = names.head(20), 20.0 + STEP, None
    for row in rows:
        block = row.cells[0].text if heads else row.block
        if block != last:
            y += 10 if last is not None else 0
            if title := block if heads else apart(table, row, rows):
                parts.append(text(4, y + 4, title, "plot-block"))
                y += STEP
            last = block
        parts += names.row(row, y + 4)
        parts += _mark(panels[0], y, row.cells[place], _top1(row.cells[place]), names.whole(row))
        if ends:
            bounds = _difference(table, row)
            parts += _mark(panels[1], y, row.cells[table.header.index(DIFFERENCE)], bounds, names.whole(row))
        y += STEP
    grid = [line(panel.x(tick), 26, panel.x(tick), y - 8, "zero" if k and tick == 0 else "grid")
            for k, panel in enumerate(panels) for tick in ticks(panel.low, panel.high, 6)]  # fmt: skip
    if chance is not None:
        grid += [line(panels[0].x(chance), 26, panels[0].x(chance), y - 8, "curve chance"),
                 text(panels[0].x(chance), 20, f"chance {chance:g}", "plot-tick", "middle")]  # fmt: skip
    axes = ("top-1 (% of test videos)", "difference (points)" if heads else "difference to the baseline (points)")
    for panel, name in zip(panels, axes, strict=False):
        parts += [text(panel.x(tick), y + 8, f"{tick:g}", "plot-tick", "middle")
                  for tick in ticks(panel.low, panel.high, 6)]  # fmt: skip
        parts.append(text(panel.left + PANEL / 2, y + 26, name, "plot-tick", "middle"))
    title = f"{table.title}: top-1 and difference to the baseline, 95 % intervals"
    about = (
        "Dot: mean over seeds. Bar: 95 % interval; dashed: video sampling only. An arrow: it goes on beyond the plot."
    )
    return figure(panels[-1].left + PANEL + 20, y + 32, title, [*grid, *parts], about)


@dataclass(frozen=True)
class Panel:
    left: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return self.left + (min(max(value, self.low), self.high) - self.low) / (self.high - self.low) * PANEL


Bounds = tuple[float, float, float]
"""(mean, low, high); low = high = mean where there is no interval."""


def _top1(cell: Cell) -> Bounds | None:
    found = cell.estimate
    if found is None:
        return None
    return (found.mean, found.interval.low, found.interval.high) if found.interval else (found.mean,) * 3


def _difference(table: Table, row: Row) -> Bounds | None:
    found = row.cells[table.header.index(DIFFERENCE)].comparison
    if found is None or found.difference is None:
        return None
    interval = found.interval
    return (found.difference, interval.low, interval.high) if interval else (found.difference,) * 3


def _mark(panel: Panel, y: float, cell: Cell, bounds: Bounds | None, name: str) -> list[str]:
    if bounds is None:
        if panel.low < 0 or panel.high < 100:  # beside the zero line, never on it
            left = panel.x(0) > panel.left + PANEL / 2
            return [
                text(panel.x(0) + (-6 if left else 6), y + 4, cell.text, "plot-missing", "end" if left else "start")
            ]
        return [text(panel.left + 4, y + 4, cell.text, "plot-missing")]
    mean, low, high = bounds
    source = cell.estimate.interval if cell.estimate else cell.comparison.interval if cell.comparison else None
    kind = "interval" if source is None or source.kind == "seeds" else "interval videos"
    parts = [line(panel.x(low), y, panel.x(high), y, kind)] if high > low else []
    if low < panel.low:
        parts.append(text(panel.left - 3, y + 4, "◂", "beyond", "middle"))
    if high > panel.high:
        parts.append(text(panel.left + PANEL + 3, y + 4, "▸", "beyond", "middle"))
    return [*parts, dot(panel.x(mean), y, "mean", f"{name}: {cell.text}")]


def heat_map(table: Table) -> Markup:
    """Top-1 by row and tier, the brighter the better; empty for a table without tiers."""
    header = table.header
    tiers = [i for i, column in enumerate(table.columns) if column.unit == "%" and column.kind == "figure"
             and column.name not in (TOP1, "mean of tiers", "all videos")]  # fmt: skip
    if table.name != "hierarchy_depth" or len(tiers) < 2:
        return Markup("")
    rows = [row for row in table.rows if any(row.cells[i].estimate for i in tiers)]
    names = Names(table, rows)
    left, width, y, last = names.width, 96.0, 24.0, None
    parts = names.head(14)
    parts += [text(left + k * width + width / 2, 14, header[i], "plot-label", "middle") for k, i in enumerate(tiers)]
    for row in rows:
        if row.block != last and (title := apart(table, row, rows)):
            parts.append(text(4, y + 14, title, "plot-block"))
            y += STEP
        last = row.block
        parts += names.row(row, y + 18)
        parts += [_tile(left + k * width, y, width - 3, row.cells[i], f"{names.whole(row)}, {header[i]}")
                  for k, i in enumerate(tiers)]  # fmt: skip
        y += 30
    whole = f"{table.title}: top-1 in per cent by tier"
    return figure(left + width * len(tiers) + 10, y + 6, whole, parts, "The deeper the colour, the higher the top-1.")


def _tile(x: float, y: float, width: float, cell: Cell, name: str) -> str:
    if cell.estimate is None:
        return text(x + width / 2, y + 18, cell.text, "plot-missing", "middle")
    step = min(9, max(0, int(cell.estimate.mean / 10)))
    return (
        f'<g><title>{Markup.escape(f"{name}: {cell.text}")}</title><rect x="{n(x)}" y="{n(y)}" width="{n(width)}" '
        f'height="27" rx="3" class="heat-{step}"/>'
        + text(x + width / 2, y + 18, f"{cell.estimate.mean:.1f}", f"heat-text-{int(step >= 6)}", "middle")
        + "</g>"
    )
