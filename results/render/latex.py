"""Tables as LaTeX: booktabs, the best of each column in bold, notes below. Needs the packages booktabs, graphicx and,
for wide tables, rotating."""

from __future__ import annotations

import re
from collections.abc import Sequence

from results.render.layout import layout
from results.render.words import notes_of
from results.table import Cell, Row, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "λ": r"$\lambda$",
    "²": r"$^2$",
    "§": r"\S{}",
    "–": r"\textendash{}",
}
_DASHES = re.compile("--+")
"""Two hyphens in a row would be set as a dash."""
_FOREIGN = re.compile(r"[^\x20-\x7e]")


def escape(text: str) -> str:
    """`text` so that LaTeX prints it as it is, on one line; what usual fonts do not have prints as its code point."""
    escaped = "".join(_SPECIAL.get(char) or _FOREIGN.sub(_code_point, char) for char in " ".join(text.split()))
    return _DASHES.sub(lambda found: "-" + "{}-" * (len(found[0]) - 1), escaped)


def _code_point(found: re.Match[str]) -> str:
    return rf"\texttt{{U+{ord(found[0]):04X}}}"


def latex(table: Table) -> str:
    """A `table` environment (a `sidewaystable` where it is wide), no wider than the text; blocks of rows that are not
    comparable are set apart by a rule."""
    notes = notes_of(table)
    plan = layout(table, len(notes))
    grid, place = plan.table, "sidewaystable" if plan.turned else "table"
    columns = "".join("l" if column.kind == "label" else "r" for column in grid.columns)
    stop = "" if table.title.endswith((".", "?", "!")) else "."
    caption = " ".join(filter(None, (f"{table.title}{stop}", table.caption, plan.shared)))
    below = [_NOTES, *(rf"{escape(note)}\par" for note in (*notes, *plan.sources))] if notes or plan.sources else []
    end = [rf"\end{{{place}}}", ""]
    lines = [
        rf"\begin{{{place}}}[htbp]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{table.name}}}",
        _HEIGHT if plan.high else _WIDTH,
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(escape(column.name) for column in grid.columns) + r" \\",
        r"\midrule",
        *_body(grid.rows),
        r"\bottomrule",
        r"\end{tabular}}",
    ]
    if plan.notes_behind and below:  # in a group of their own: what follows keeps its font
        return "\n".join([*lines, *end[:1], "{" + below[0], *below[1:], "}", ""])
    return "\n".join([*lines, *below, *end])


_WIDTH = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
_HEIGHT = r"\resizebox*{!}{0.75\textheight}{%"
_NOTES = r"\par\smallskip\raggedright\footnotesize"


def _body(rows: Sequence[Row]) -> list[str]:
    lines: list[str] = []
    last: str | None = None
    for row in rows:
        if last is not None and row.block != last and row.kind == "":
            lines.append(r"\midrule")
        if row.kind == "":
            last = row.block
        lines.append(" & ".join(_cell(cell) for cell in row.cells) + r" \\")
    return lines


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.best:
        return rf"\textbf{{{text}}}"
    # a line that begins with a bracket would be taken for the option of the line break before it
    return rf"{{{text}}}" if text.startswith(("[", "*")) else text


def document(tables: Sequence[Table]) -> str:
    """A whole document with all tables: to look at, and to see that they compile."""
    head = [
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[margin=2cm]{geometry}",
        r"\usepackage{booktabs}",
        r"\usepackage{graphicx}",
        r"\usepackage{rotating}",
        r"\usepackage{textcomp}",
        r"\begin{document}",
    ]
    bodies = [rf"\input{{{table.name}.tex}}" + "\n" + r"\clearpage" for table in tables]
    return "\n".join([*head, *bodies, r"\end{document}", ""])
