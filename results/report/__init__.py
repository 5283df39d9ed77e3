"""The report: one HTML file that asks nothing of any network, made of the same tables as every other rendering."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from results.collect import problems
from results.record import write_text
from results.reference.model import References
from results.report.curves import curve_sections
from results.report.data import Details, embedded, read_details
from results.report.findings import NAME as FINDINGS
from results.report.findings import findings_table, sentences
from results.report.names import same_columns
from results.report.pictures import picture_sections
from results.report.plots import forest, heat_map
from results.report.summary import overview
from results.runs import Runs
from results.table import Table, cells_of

__all__ = ["page", "write_report"]
HERE = Path(__file__).parent
FIRST = ("hierarchy_depth", "equal_labels", "equal_steps", "controls", "top1_per_tier", "pretraining")
_CODE = re.compile("`([a-z ]+)`")


def write_report(path: str | Path, tables: Sequence[Table], frame: pd.DataFrame, references: References) -> None:
    """Writes the page whole or not at all; the same records give the same bytes. Raises OSError.

    frame: of :func:`results.collect.collect`; what lies beside its records (curves, pictures) is read from there.
    """
    write_text(path, page(tables, frame, references))


def page(tables: Sequence[Table], frame: pd.DataFrame, references: References) -> str:
    findings = findings_table(Runs(frame))
    shown = [*([findings] if findings else []), *sorted(tables, key=_place)]
    details = read_details(frame, shown)
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
        findings=sentences(findings),
        tables=[_shown(table, details) for table in shown],
        curves=curve_sections(details),
        pictures=picture_sections(details),
        problems=[str(problem) for problem in _named(frame)],
        data=embedded(shown, details),
    )


@dataclass(frozen=True)
class Shown:
    table: Table
    forest: Markup
    heat: Markup
    same: list[int]
    """Columns that are folded away, because all rows say the same there."""
    said: str
    """What they say."""


def _shown(table: Table, details: Details) -> Shown:
    same = same_columns(table)
    said = "; ".join(
        f"{table.header[i]} {text}" for i in same if (text := table.rows[0].cells[i].text) not in ("", "-")
    )
    chances = {run.record["chance"] for run in details.behind(table) if run.record["phase"] == "test"}
    chance = chances.pop() if len(chances) == 1 else None
    return Shown(table, forest(table, chance, heads=table.name == FINDINGS), heat_map(table), same, said)


def _place(table: Table) -> int:
    """The main ablation and its controls come first, then what else was measured, then the figures of others."""
    if table.name in FIRST:
        return FIRST.index(table.name)
    measured = any(cell.kind == "measured" for cell in cells_of(table))
    published = any(cell.kind in ("published", "not transcribed") for cell in cells_of(table))
    return len(FIRST) + (0 if measured and not published else 1 if not published else 2)


def prose(text: str) -> Markup:
    """Words of ours set in backticks as code; everything else as it is."""
    parts = _CODE.split(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _named(frame: pd.DataFrame) -> list[str]:
    """What could not be used, by the last parts of its path: where a folder lay is nobody's business."""
    return [f"{item.kind}: {'/'.join(Path(item.path).parts[-3:])}: {item.reason}" for item in problems(frame)]


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
