"""The same tables as Markdown, CSV, LaTeX, HTML and JSON. The same tables give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from results.record import write_text
from results.render.comma import csv_text
from results.render.data import results_json
from results.render.html import html
from results.render.latex import document, latex
from results.render.markdown import markdown
from results.table import Table

__all__ = ["csv_text", "html", "latex", "markdown", "rendered", "results_json", "write_tables"]


def rendered(tables: Sequence[Table]) -> dict[str, str]:
    """File name -> text: NAME.md, .csv, .tex and .html of each table; tables.tex (a document), results.json of all."""
    found = {}
    for table in tables:
        found[f"{table.name}.md"] = markdown(table)
        found[f"{table.name}.csv"] = csv_text(table)
        found[f"{table.name}.tex"] = latex(table)
        found[f"{table.name}.html"] = html(table)
    found["tables.tex"] = document(tables)
    found["results.json"] = results_json(tables)
    return found


def write_tables(tables: Sequence[Table], folder: str | os.PathLike[str]) -> list[Path]:
    """Writes every file of :func:`rendered`, each atomically; returns the paths. Raises OSError."""
    written = []
    for name, text in rendered(tables).items():
        path = Path(folder, name)
        write_text(path, text)
        written.append(path)
    return written
