"""Puts one figure into the text of published.csv or hcml.yaml, and leaves every other character as it was.

Pure functions from text to text; the new text is parsed again before it is returned, so that nothing is ever written
that :func:`results.reference.load` would not read back as it was given.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from results.reference.files import IDENTITY, PAPER, PUBLISHED, Row, cells_of, paper_cell, parse, rows_of, text_of
from results.reference.model import PaperCell, PublishedRow, ReferenceError, References
from results.reference.schema import CELL_KEYS, problems_of_cell, problems_of_row

WRITTEN = ("conditions", "arxiv", "table", "row", "column", "text", "value")
"""The part of a cell that a transcription fills."""


@dataclass(frozen=True)
class Added:
    """What an addition did."""

    file: str
    text: str
    """Of the whole file; as it was, if the figure was there already."""
    key: str
    before: PublishedRow | PaperCell | None
    """None = a new row or cell."""
    after: PublishedRow | PaperCell


class Refused(ValueError):
    """An addition that would lose something; the message says how to get it through."""


def add_cell(texts: Mapping[str, str], cell: Mapping[str, Any], replace: bool = False) -> Added:
    """`cell` (keys of CELL_KEYS) goes into the slot with its key, else into that with its `ours`, else to the end.

    An empty key or `ours` takes that of the slot; without a slot a new key is made. Raises :class:`ReferenceError`
    naming all that is wrong with it or with the files, :class:`Refused` if the slot holds another figure or source and
    not `replace`.
    """
    texts, cell = _sound(texts), dict(cell)
    text = texts[PAPER]
    cells = [found for _, found in cells_of(text)[0]]
    slot = next((i for i, old in enumerate(cells) if _is_slot(old, cell)), None)
    if cell["key"] and not cell["ours"]:
        if slot is None:
            raise Refused(f"there is no cell {cell['key']}; `check --empty` lists the keys of those that wait")
        cell["ours"] = cells[slot]["ours"]
    if problems := problems_of_cell(cell | {"key": cell["key"] or "new"}):
        raise ReferenceError(problems, "what was given")
    if slot is None:
        cell["key"] = cell["key"] or key_of_cell(cell["ours"], {old["key"] for old in cells})
        text, before = _append(text, cell), None
    else:
        before = paper_cell(cells[slot])
        if cell["key"] and before.ours != cell["ours"]:
            raise Refused(f"{before.key} is the cell of {dict(before.ours)}, not of {cell['ours']}; give either alone")
        cell["key"] = before.key
        wanted = paper_cell(cell)
        if before == wanted:
            return Added(PAPER, text, before.key, before, wanted)
        if before.text and not replace:
            raise Refused(
                f"{before.key} holds {before.text} ({before.source}) already, not {wanted.text} ({wanted.source}); "
                "--replace overwrites it"
            )
        text = _overwrite(text, slot, {name: cell[name] for name in WRITTEN})
    after = paper_cell(cell)
    written, broken = cells_of(text)
    others = [old for i, old in enumerate(cells) if i != slot]
    if broken or [new for _, new in written if new["key"] != after.key] != others:
        raise Refused(f"{PAPER}: {after.key} cannot be written in place: write it into the file by hand, then check it")
    if after not in _reread(texts | {PAPER: text}).paper:
        raise Refused(f"{PAPER}: {after.key} would not be read back as it was given")
    return Added(PAPER, text, after.key, before, after)


def _is_slot(old: Mapping[str, Any], cell: Mapping[str, Any]) -> bool:
    return bool(old["key"] == cell["key"] if cell["key"] else old["ours"] == cell["ours"])


def add_row(texts: Mapping[str, str], row: Row, replace: bool = False) -> Added:
    """`row` (all COLUMNS) takes the place of the row with its key, or of that which is the same figure, else goes to
    the end. Raises as :func:`add_cell`."""
    texts, row = _sound(texts), dict(row)
    if problems := problems_of_row(row | {"key": row["key"] or "new"}):
        raise ReferenceError(problems, "what was given")
    rows = [found for _, found in rows_of(texts[PUBLISHED])[0]]
    same = [i for i, old in enumerate(rows) if all(old[name] == row[name] for name in IDENTITY)]
    keyed = [i for i, old in enumerate(rows) if old["key"] == row["key"]]
    before = None
    if found := (keyed or same):
        row["key"] = row["key"] or rows[found[0]]["key"]
        old, before = rows[found[0]], _published(texts, rows[found[0]]["key"])
        if old == row:
            return Added(PUBLISHED, texts[PUBLISHED], row["key"], before, before)
        if not replace:
            changes = "; ".join(f"{name} {old[name]!r}, not {row[name]!r}" for name in row if old[name] != row[name])
            raise Refused(f"{old['key']} is there already, with {changes}; --replace overwrites the row")
        rows[found[0]] = row
    else:
        row["key"] = row["key"] or key_of_row(row, {old["key"] for old in rows})
        rows.append(row)
    text = text_of(rows)
    after = texts | {PUBLISHED: text}
    _reread(after)
    return Added(PUBLISHED, text, row["key"], before, _published(after, row["key"]))


def _published(texts: Mapping[str, str], key: str) -> PublishedRow:
    return next(row for row in parse(texts)[0].published if row.key == key)


def key_of_cell(ours: Mapping[str, Any], taken: Container[str]) -> str:
    """A key that says which cell of ours it is."""
    first = [str(ours["benchmark"]), str(ours["backbone"]), f"levels{ours['levels']}", str(ours.get("pretraining", ""))]
    rest = [
        str(ours[name]) for name in ours if name not in ("benchmark", "backbone", "levels", "pretraining", "metric")
    ]
    return _key([*first, *rest, str(ours["metric"])], taken)


def key_of_row(row: Row, taken: Container[str]) -> str:
    """A key that says what is measured of which method, and where that was read; never the figure itself."""
    setting = "" if row["setting"] == "supervised" else row["setting"]
    parts = [row["benchmark"], setting, row["method"], row["backbone"], row["frames"]]
    return _key([*parts, row["source_repo"].rpartition("/")[2], row["source_line"]], taken)


def _key(parts: list[str], taken: Container[str]) -> str:
    plain = (re.sub(r"[^a-z0-9.+]+", "-", part.lower()).strip("-.+") for part in parts)
    base = "-".join(filter(None, plain))[:110].rstrip("-")
    return next(key for i in range(1, 10**6) if (key := base if i == 1 else f"{base}-{i}") not in taken)


def _sound(texts: Mapping[str, str]) -> dict[str, str]:
    """The same; raises ReferenceError if they have problems already: an addition must not build on those."""
    _reread(texts)
    return dict(texts)


def _reread(texts: Mapping[str, str]) -> References:
    references, problems = parse(texts)
    if problems:
        raise ReferenceError(problems)
    return references


def _overwrite(text: str, slot: int, values: Mapping[str, Any]) -> str:
    """hcml.yaml with these values in cell number `slot`; comments, order and all other cells stay."""
    cells = _cells_node(text)
    nodes = {key.value: node for key, node in cells.value[slot].value}
    spans = {name: (nodes[name].start_mark.index, nodes[name].end_mark.index) for name in values}
    for name in sorted(values, key=lambda name: spans[name], reverse=True):  # from the end: earlier places stay right
        start, end = spans[name]
        text = text[:start] + _yaml(values[name]) + text[end:]
    return text


def _append(text: str, cell: Mapping[str, Any]) -> str:
    lines = [f"{name}: {cell[name] if name == 'key' else _yaml(cell[name])}" for name in CELL_KEYS]
    block = "\n".join(["- " + lines[0], *("  " + line for line in lines[1:])]) + "\n"
    cells = _cells_node(text)
    if not cells.value:  # cells: []
        return text[: cells.start_mark.index].rstrip(" ") + "\n" + block + text[cells.end_mark.index :].lstrip("\n")
    indent = " " * (cells.start_mark.column if not cells.flow_style else 0)
    block = "".join(indent + line for line in block.splitlines(keepends=True))
    return text + ("\n" if text.endswith("\n") else "\n\n") + block


def _cells_node(text: str) -> yaml.SequenceNode:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None and isinstance(root.value[0][1], yaml.SequenceNode)  # it has been parsed before
    return root.value[0][1]


def _yaml(value: Any) -> str:
    """On one line; texts in quotes, so that nobody takes figures and versions for numbers."""
    if isinstance(value, Mapping):
        dumped: str = yaml.safe_dump(
            dict(value), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
        )
    else:
        style = '"' if isinstance(value, str) else None
        dumped = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=10**9)
    return dumped.split("\n")[0]  # behind a number stands the mark of a document's end
