"""Plots of a table: means with intervals, and the tiers as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from markupsafe import Markup

from results.report.svg import dot, figure, line, n, text, ticks
from results.table import Cell, Row, Table

PANEL, STEP, LONGEST = 320.0, 22.0, 55
"""Width of a plot and height of a row in px; letters of a name."""
TOP1, DIFFERENCE = "top-1", "difference"
COMMON = ("benchmark", "profile", "kept apart by")


def forest(table: Table) -> Markup:
    """Every row's top-1 and its difference to the baseline, with intervals, block by block; empty for a table that has
    not both columns or fewer than two figures."""
    if TOP1 not in table.header or DIFFERENCE not in table.header:
        return Markup("")
    place = table.header.index(TOP1)
    rows = [row for row in table.rows if row.kind == ""]
    if sum(row.cells[place].estimate is not None for row in rows) < 2:
        return Markup("")
    left = _margin(table, rows)
    ends = [end for row in rows if (bounds := _difference(table, row)) for end in bounds[1:]]
    panels = [Panel(left, 0.0, 100.0)]
    if ends:  # whole tens, zero among them; one run of few seeds must not squeeze all others
        low, high = max(-100.0, 10.0 * floor(min([*ends, 0]) / 10)), min(100.0, 10.0 * ceil(max([*ends, 0]) / 10))
        panels.append(Panel(left + PANEL + 40, low, high))
    parts, y, last = [], 16.0, None
    for row in rows:
        if row.block != last:
            y += 10 if last is not None else 0
            if apart := _apart(table, row, rows):
                parts.append(text(4, y + 4, apart, "plot-tick"))
                y += STEP
            last = row.block
        name = _name(table, row)
        parts.append(text(left - 10, y + 4, _short(name), "plot-label", "end"))
        parts += _mark(panels[0], y, row.cells[place], _top1(row.cells[place]), name)
        if ends:
            parts += _mark(panels[1], y, row.cells[table.header.index(DIFFERENCE)], _difference(table, row), name)
        y += STEP
    grid = [line(panel.x(tick), 6, panel.x(tick), y - 8, "zero" if k and tick == 0 else "grid")
            for k, panel in enumerate(panels) for tick in ticks(panel.low, panel.high)]  # fmt: skip
    names = ("top-1 (% of test videos)", "difference to the baseline (points)")
    for panel, name in zip(panels, names, strict=False):
        parts += [text(panel.x(tick), y + 8, f"{tick:g}", "plot-tick", "middle")
                  for tick in ticks(panel.low, panel.high)]  # fmt: skip
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


def _apart(table: Table, row: Row, rows: Sequence[Row]) -> str:
    """What the row's block has of its own, where there are several blocks."""
    if len({other.block for other in rows}) < 2 or "kept apart by" not in table.header:
        return ""
    return row.cells[table.header.index("kept apart by")].text


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _margin(table: Table, rows: Sequence[Row]) -> float:
    """Room for the longest name, at 12 px a letter of which is about 6.8 px wide."""
    return 24 + 6.8 * max((len(_short(_name(table, row))) for row in rows), default=0)


def heat_map(table: Table) -> Markup:
    """Top-1 by row and tier, the brighter the better; empty for a table without tiers."""
    header = table.header
    tiers = [i for i, column in enumerate(table.columns) if column.unit == "%" and column.kind == "figure"
             and column.name not in (TOP1, "mean of tiers", "all videos")]  # fmt: skip
    if table.name != "hierarchy_depth" or len(tiers) < 2:
        return Markup("")
    rows = [row for row in table.rows if any(row.cells[i].estimate for i in tiers)]
    left, width, y, last = _margin(table, rows), 96.0, 24.0, None
    parts = [text(left + k * width + width / 2, 14, header[i], "plot-label", "middle") for k, i in enumerate(tiers)]
    for row in rows:
        if row.block != last and (apart := _apart(table, row, rows)):
            parts.append(text(4, y + 14, apart, "plot-tick"))
            y += STEP
        last = row.block
        parts.append(text(left - 10, y + 18, _short(_name(table, row)), "plot-label", "end"))
        parts += [_tile(left + k * width, y, width - 3, row.cells[i], f"{_name(table, row)}, {header[i]}")
                  for k, i in enumerate(tiers)]  # fmt: skip
        y += 30
    title = f"{table.title}: top-1 in per cent by tier"
    return figure(left + width * len(tiers) + 10, y + 6, title, parts, "The deeper the colour, the higher the top-1.")


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


def _name(table: Table, row: Row) -> str:
    parts = []
    for column, cell in zip(table.columns, row.cells, strict=True):
        if column.kind == "label" and column.name not in COMMON and cell.text not in ("", "-"):
            plain = column.name in ("backbone", "pretraining", "objective", "curriculum", "negatives", "method")
            parts.append(cell.text if plain else f"{column.name} {cell.text}")
    return ", ".join(parts)
