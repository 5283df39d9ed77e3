"""What every rendering says of a table besides its grid, in the same words."""

from __future__ import annotations

from results.table import Table, cells_of


def sources_of(table: Table) -> list[str]:
    """For each row the names of the runs behind it, in the order of its cells."""
    names = dict(table.names)
    return [", ".join(dict.fromkeys(names[run] for cell in row.cells for run in cell.runs)) for row in table.rows]


def notes_of(table: Table) -> list[str]:
    """Footnotes, why cells are incomparable, the rule of the verdicts, and how to get what is missing."""
    notes = [*table.footnotes, *_reasons(table)]
    if table.rule:
        notes.append(table.rule)
    if table.missing:
        count = len(table.missing)
        more = "" if count == 1 else f" (the first of {count}; all: `make_tables.py --missing`)"
        notes.append(f"What is missing is made by: {table.missing[0]}{more}")
    elif table.experiment:
        notes.append(f"Filled by the sweep: python sweeps/run.py -m experiment={table.experiment}")
    return notes


def _reasons(table: Table) -> list[str]:
    found = [
        cell.comparison for cell in cells_of(table) if cell.comparison and cell.comparison.verdict == "incomparable"
    ]
    return list(dict.fromkeys(f"Incomparable with {item.other}: {item.reason}." for item in found))
