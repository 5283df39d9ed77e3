"""The report: one HTML file that asks nothing of any network, made of the same tables as every other rendering."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from results.collect import problems
from results.record import write_text
from results.reference.model import References
from results.report.curves import curve_sections
from results.report.data import embedded, read_details
from results.report.pictures import picture_sections
from results.report.plots import forest, heat_map
from results.report.summary import overview
from results.table import Table

__all__ = ["page", "write_report"]
HERE = Path(__file__).parent
_CODE = re.compile("`([a-z ]+)`")


def write_report(path: str | Path, tables: Sequence[Table], frame: pd.DataFrame, references: References) -> None:
    """Writes the page whole or not at all; the same records give the same bytes. Raises OSError.

    frame: of :func:`results.collect.collect`; what lies beside its records (curves, pictures) is read from there.
    """
    write_text(path, page(tables, frame, references))


def page(tables: Sequence[Table], frame: pd.DataFrame, references: References) -> str:
    details = read_details(frame, tables)
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["prose"] = prose
    return environment.get_template("page.html").render(
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        style=style,
        script=script,
        overview=overview(tables, details, references),
        tables=[(table, forest(table), heat_map(table)) for table in tables],
        curves=curve_sections(details),
        pictures=picture_sections(details),
        problems=[str(problem) for problem in _named(frame)],
        data=embedded(tables, details),
    )


def prose(text: str) -> Markup:
    """Words of ours set in backticks as code; everything else as it is."""
    parts = _CODE.split(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _named(frame: pd.DataFrame) -> list[str]:
    """What could not be used, by the last parts of its path: where a folder lay is nobody's business."""
    return [f"{item.kind}: {'/'.join(Path(item.path).parts[-3:])}: {item.reason}" for item in problems(frame)]


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
