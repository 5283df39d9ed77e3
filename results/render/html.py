"""Tables as HTML fragments: a figure element each, for any page; ids come from the table's name alone."""

from __future__ import annotations

from html import escape

from results.render.words import notes_of
from results.table import Cell, Column, Table


def html(table: Table) -> str:
    """`<figure id="table-NAME">` with caption, grid and notes. Cells carry `data-value` to sort by."""
    lines = [
        f'<figure class="table" id="table-{escape(table.name)}">',
        f"<figcaption><strong>{escape(table.title)}</strong> {escape(table.caption)}</figcaption>",
        "<table>",
        "<thead><tr>",
        *(f'<th scope="col">{escape(column.name)}</th>' for column in table.columns),
        "</tr></thead>",
        "<tbody>",
    ]
    for row in table.rows:
        cells = "".join(_cell(cell, column) for cell, column in zip(row.cells, table.columns, strict=True))
        kind = f' class="{escape(row.kind)}"' if row.kind else ""
        lines.append(f'<tr{kind} data-block="{escape(row.block)}">{cells}</tr>')
    lines += ["</tbody>", "</table>"]
    notes = notes_of(table)
    if notes:
        lines += ["<ul>", *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"]
    return "\n".join([*lines, "</figure>", ""])


def _cell(cell: Cell, column: Column) -> str:
    value = cell.estimate.mean if cell.estimate else cell.published.value if cell.published else None
    attributes = f' class="{cell.kind.replace(" ", "-")}"' if column.kind == "figure" else ""
    if value is not None:
        attributes += f' data-value="{value!r}"'
    if cell.runs:
        attributes += f' data-runs="{escape(" ".join(cell.runs))}"'
    if cell.comparison and cell.comparison.verdict:
        attributes += f' data-verdict="{escape(cell.comparison.verdict)}"'
    text = escape(" ".join(cell.text.split()))
    return f"<td{attributes}>{f'<b>{text}</b>' if cell.best else text}</td>"
