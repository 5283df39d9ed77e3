"""Reads published.csv and hcml.yaml: everything in them, and everything that is wrong with them, with its line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from results.reference.model import PaperCell, PublishedRow, ReferenceError, References
from results.reference.schema import CELL_KEYS, COLUMNS, PLACE, axes_from, problems_of_cell, problems_of_row

HERE = Path(__file__).parent
PUBLISHED = "published.csv"
PAPER = "hcml.yaml"
IDENTITY = (
    "method",
    "backbone",
    "frames",
    "pretrain",
    "protocol",
    "benchmark",
    "split",
    "setting",
    "metric",
    "source_repo",
    "source_path",
    "source_commit",
    "source_line",
)
"""Columns that tell one published figure from another."""

Row = dict[str, str]


def load(folder: str | os.PathLike[str] = HERE) -> References:
    """Everything below `folder`; raises :class:`ReferenceError` listing every problem."""
    texts, problems = read_texts(folder)
    references, found = parse(texts)
    if problems or found:
        raise ReferenceError(problems + found)
    return references


def read_texts(folder: str | os.PathLike[str]) -> tuple[dict[str, str], list[str]]:
    """The texts of the two files, by name, line ends as they are; and what could not be read."""
    texts, problems = {}, []
    for name in (PUBLISHED, PAPER):
        try:
            texts[name] = (Path(folder) / name).read_bytes().decode("utf-8")
        except OSError as error:
            problems.append(f"{name}: cannot be read: {error.strerror}; is {os.fspath(folder)!r} the right folder?")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            problems.append(f"{name}:{line}: is not UTF-8: {error.reason}; save it as UTF-8 text")
    return texts, problems


def parse(texts: Mapping[str, str]) -> tuple[References, list[str]]:
    """What the texts hold that is right, and every problem of them. A text that is not given is not looked at."""
    rows, problems = rows_of(texts[PUBLISHED]) if PUBLISHED in texts else ([], [])
    cells, more = cells_of(texts[PAPER]) if PAPER in texts else ([], [])
    problems += more
    published, paper = [], []
    for line, row in rows:
        if found := problems_of_row(row):
            problems += _placed(PUBLISHED, line, row["key"], found)
        else:
            published.append((line, published_row(row)))
    for line, cell in cells:
        if found := problems_of_cell(cell):
            problems += _placed(PAPER, line, cell.get("key") if isinstance(cell, Mapping) else None, found)
        else:
            paper.append((line, paper_cell(cell)))
    problems += _twice(PUBLISHED, rows, lambda row: row["key"], "has the key of")
    problems += _twice(PUBLISHED, rows, lambda row: tuple(row[name] for name in IDENTITY), "is the same figure as")
    problems += _twice(PAPER, paper, lambda cell: cell.key, "has the key of")
    problems += _twice(PAPER, paper, lambda cell: tuple(sorted(cell.ours.items())), "is for the same cell of ours as")
    problems += _contradictions([cell for _, cell in paper])
    return References([row for _, row in published], [cell for _, cell in paper]), problems


def rows_of(text: str) -> tuple[list[tuple[int, Row]], list[str]]:
    """(line, column -> text) of every row that has all columns; problems of those that do not."""
    if text.startswith("\ufeff"):
        return [], [f"{PUBLISHED}:1: begins with a byte order mark: save it as plain UTF-8"]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, problems, line = [], [], 1
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            wrong = [f"has no column {name}" for name in COLUMNS if name not in header]
            wrong += [f"has the column {name!r}, which is unknown" for name in header if name not in COLUMNS]
            return [], [f"{PUBLISHED}:1: {'; '.join(wrong or ['has its columns in another order'])}"]
        line = reader.line_num + 1
        for values in reader:
            if len(values) == len(COLUMNS):
                rows.append((line, dict(zip(COLUMNS, values, strict=True))))
            else:
                problems.append(f"{PUBLISHED}:{line}: has {len(values)} columns, not {len(COLUMNS)}")
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(f"{PUBLISHED}:{line}: cannot be read as CSV from here on: {error}")
    return rows, problems


def text_of(rows: Iterable[Mapping[str, str]]) -> str:
    """published.csv with these rows."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def cells_of(text: str) -> tuple[list[tuple[int, Any]], list[str]]:
    """(line, cell) of every entry below `cells`, and what keeps the file from being read."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{PAPER}:{mark.line + 1}" if mark else PAPER
        return [], [f"{place}: is not YAML: {getattr(error, 'problem', None) or error or type(error).__name__}"]
    if not isinstance(data, Mapping) or list(data) != ["cells"] or not isinstance(data["cells"], list):
        return [], [f"{PAPER}: must hold one key, cells, with a list of cells below it"]
    assert root is not None  # there are cells
    problems = [f"{PAPER}:{line}: has the key {key!r} twice" for line, key in repeated_keys(root)]
    nodes = root.value[0][1].value
    return [(node.start_mark.line + 1, cell) for node, cell in zip(nodes, data["cells"], strict=True)], problems


def repeated_keys(root: yaml.Node) -> list[tuple[int, str]]:
    """(line, key) of what YAML would silently overwrite."""
    found, open_nodes, done = [], [root], set()
    while open_nodes:
        node = open_nodes.pop()
        if id(node) in done:  # an alias
            continue
        done.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = [str(key.value) for key, _ in node.value]
            found += [
                (key.start_mark.line + 1, name)
                for i, (key, _) in enumerate(node.value)
                if (name := keys[i]) in keys[:i]
            ]
            open_nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            open_nodes += node.value
    return sorted(found)


def published_row(row: Row) -> PublishedRow:
    """Of a row without problems."""
    texts: dict[str, Any] = {name: row[name] for name in COLUMNS}
    texts |= {"paper_year": int(row["paper_year"]) if row["paper_year"] else None, "value": float(row["value"])}
    return PublishedRow(**texts | {"source_line": int(row["source_line"]), "ours": axes_from(row["ours"])})


def paper_cell(cell: Mapping[str, Any]) -> PaperCell:
    """Of a cell without problems."""
    values = {name: cell[name] for name in CELL_KEYS}
    return PaperCell(**values | {"value": None if cell["value"] is None else float(cell["value"])})


def _placed(file: str, line: int, key: object, problems: list[str]) -> list[str]:
    return [f"{file}:{line} ({key or 'no key'}): {problem}" for problem in problems]


def _twice(file: str, items: list[tuple[int, Any]], identity: Callable[[Any], Hashable], what: str) -> list[str]:
    first: dict[Hashable, int] = {}
    problems = []
    for line, item in items:
        found = first.setdefault(identity(item), line)
        if found != line:
            problems.append(f"{file}:{line}: {what} line {found}")
    return problems


def _contradictions(cells: list[PaperCell]) -> list[str]:
    """One place in the paper prints one figure."""
    printed: dict[tuple[str, ...], PaperCell] = {}
    problems = []
    for cell in cells:
        if cell.text:
            first = printed.setdefault(tuple(getattr(cell, name) for name in PLACE), cell)
            if first.text != cell.text:
                problems.append(
                    f"{PAPER} ({cell.key}): {cell.source} prints {cell.text}, but {first.key} says {first.text}"
                )
    return problems
