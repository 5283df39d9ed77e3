"""Plots of a table: means with intervals, and the tiers as a heat map."""

from __future__ import annotations

from markupsafe import Markup

from results.report.svg import dot, figure, line, n, text, ticks
from results.table import Cell, Row, Table

LEFT, WIDTH, STEP = 330.0, 860.0, 22.0
TOP1 = "top-1"
COMMON = ("benchmark", "profile", "kept apart by")


def forest(table: Table) -> Markup:
    """Top-1 of every row with its interval, block by block; empty for a table without such a column or interval."""
    if TOP1 not in table.header or "difference" not in table.header:
        return Markup("")
    place = table.header.index(TOP1)
    rows = [row for row in table.rows if row.kind == ""]
    known = [row.cells[place].estimate for row in rows]
    if sum(found is not None for found in known) < 2:
        return Markup("")
    low, high = 0.0, 100.0

    def x(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LEFT - 20)

    parts, y, last = [], 16.0, rows[0].block
    for row, found in zip(rows, known, strict=True):
        if row.block != last:
            y += 10
            last = row.block
        name = _name(table, row)
        parts.append(text(LEFT - 10, y + 4, name if len(name) < 56 else name[:55] + "…", "plot-label", "end"))
        if found is None:
            parts.append(text(x(low) + 4, y + 4, row.cells[place].text, "plot-missing"))
        else:
            if found.interval is not None:
                kind = "interval" if found.interval.kind == "seeds" else "interval videos"
                parts.append(line(x(found.interval.low), y, x(found.interval.high), y, kind))
            parts.append(dot(x(found.mean), y, "mean", f"{name}: {row.cells[place].text}"))
        y += STEP
    for tick in ticks(low, high):
        parts.insert(0, line(x(tick), 6, x(tick), y - 8, "grid"))
        parts.append(text(x(tick), y + 8, f"{tick:g}", "plot-tick", "middle"))
    parts.append(text((LEFT + WIDTH) / 2, y + 26, "top-1 (% of test videos), 95 % interval", "plot-tick", "middle"))
    return figure(WIDTH, y + 32, f"{table.title}: top-1 with 95 % intervals", parts)


def heat_map(table: Table) -> Markup:
    """Top-1 by row and tier, the brighter the better; empty for a table without tiers."""
    header = table.header
    tiers = [i for i, column in enumerate(table.columns) if column.unit == "%" and column.kind == "figure"
             and column.name not in (TOP1, "mean of tiers", "all videos")]  # fmt: skip
    if table.name != "hierarchy_depth" or len(tiers) < 2:
        return Markup("")
    rows = [row for row in table.rows if any(row.cells[i].estimate for i in tiers)]
    left, width = 330.0, 96.0
    parts = [text(left + k * width + width / 2, 14, header[i], "plot-label", "middle") for k, i in enumerate(tiers)]
    for r, row in enumerate(rows):
        y = 24.0 + 30 * r
        parts.append(text(left - 10, y + 18, _name(table, row), "plot-label", "end"))
        parts += [_tile(left + k * width, y, width - 3, row.cells[i], f"{_name(table, row)}, {header[i]}")
                  for k, i in enumerate(tiers)]  # fmt: skip
    title = f"{table.title}: top-1 in per cent by tier"
    return figure(left + width * len(tiers) + 10, 30 + 30 * len(rows), title, parts)


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
