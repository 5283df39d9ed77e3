"""Tables as Markdown: padded to be read as they are, nothing in them taken for markup."""

from __future__ import annotations

import itertools
import re

from results.render.words import notes_of, sources_of
from results.table import Table

_SPECIAL = re.compile(r"[\\|`*<>&$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|~(?=~)|(?<=\])\(")


def escape(text: str) -> str:
    """`text` so that Markdown shows it as it is: on one line, and with nothing in it taken for markup."""
    return _SPECIAL.sub(lambda found: "\\" + found[0], " ".join(text.split()))


def markdown(table: Table, runs: bool = True) -> str:
    """The table with title, caption, footnotes and, with `runs`, the runs behind each row; columns padded to read."""
    lines = [f"# {escape(table.title)}", ""]
    if table.caption:
        lines += [_prose(table.caption), ""]
    lines += [grid(table), ""]
    notes = notes_of(table)
    if notes:
        lines += [*(f"- {_prose(note)}" for note in notes), ""]
    if runs and table.names:
        lines += ["Runs behind the rows:", "", *_sources(sources_of(table)), ""]
    return "\n".join(lines)


def _sources(sources: list[str]) -> list[str]:
    """One line for each stretch of rows with the same runs."""
    lines, start = [], 1
    for names, stretch in itertools.groupby(sources):
        end = start + len(list(stretch)) - 1
        if names:
            lines.append(f"- {f'row {start}' if start == end else f'rows {start} to {end}'}: {escape(names)}")
        start = end + 1
    return lines


def grid(table: Table) -> str:
    """The Markdown grid alone."""
    rows = [[escape(cell) for cell in row] for row in (table.header, *table.texts())]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(table.columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Like :func:`escape`, but words of ours set in backticks stay so."""
    parts = re.split(r"(`[a-z ]+`)", text)
    return "".join(part if index % 2 else _keep_ends(part) for index, part in enumerate(parts))


def _keep_ends(part: str) -> str:
    lead, trail = " " * part.startswith(" "), " " * (part.endswith(" ") and bool(part.strip()))
    return lead + escape(part) + trail
