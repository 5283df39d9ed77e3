"""Tables as CSV: the grid as it is shown, and the runs behind each row. The numbers are in results.json.

Each cell is one line. A name that a spreadsheet would compute (it begins with = + - or @) gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io

from results.render.words import sources_of
from results.table import NOT_APPLICABLE, Table


def csv_text(table: Table) -> str:
    """Columns, rows and, as the last column, the runs behind each row."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*map(_name, table.header), "runs"])
    names = [column.kind == "label" for column in table.columns]
    for row, runs in zip(table.texts(), sources_of(table), strict=True):
        cells = [_name(text) if is_name else _line(text) for text, is_name in zip(row, names, strict=True)]
        writer.writerow([*cells, _name(runs)])
    return buffer.getvalue()


def _line(text: str) -> str:
    return " ".join(text.split())


def _name(text: str) -> str:
    """A text from a record. Figures are our own: +0.4 [-3.3, +4.1] is no formula."""
    text = _line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) and text != NOT_APPLICABLE else text
