"""Tables as CSV: the grid as it is shown, and the runs behind each row. The numbers are in results.json."""

from __future__ import annotations

import csv
import io

from results.render.words import sources_of
from results.table import Table


def csv_text(table: Table) -> str:
    """Columns, rows and, as the last column, the runs behind each row."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*table.header, "runs"])
    writer.writerows([*row, runs] for row, runs in zip(table.texts(), sources_of(table), strict=True))
    return buffer.getvalue()
