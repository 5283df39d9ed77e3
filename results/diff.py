"""``python -m results.diff A B [--json] [--tolerance X]``: which cells differ between two sets of records, and why.

A and B are folders with records (or record files); their tables are made and compared cell by cell. Exit code 0 when
no cell differs, 1 when some do, 2 when a side has no finished run or does not exist.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from results.causes import Causes, Difference, Runs, causes, common, distance, merged
from results.collect import collect, problems
from results.command import one_line, run
from results.copies import Behind
from results.equivalent import EquivalentError
from results.matching import Change, Pair, pairs_of, value_of
from results.reference import load
from results.reference.model import ReferenceError
from results.table import Cell, Table
from results.tables import all_tables

TOLD: tuple[Change, ...] = ("moved", "changed", "filled", "emptied", "appeared", "disappeared")
"""In this order of the report's last line."""


@dataclass(frozen=True)
class Moved:
    """A cell that differs, and all that stands behind it."""

    pair: Pair
    change: Change
    causes: tuple[Difference, ...]

    @property
    def within_noise(self) -> bool | None:
        """None where that is not known, or is no question."""
        d, noise = self.pair.difference, self.pair.noise
        return None if self.change != "moved" or d is None or noise is None else abs(d) <= noise


@dataclass(frozen=True)
class Comparison:
    cells: int
    """Figures on both sides."""
    moved: tuple[Moved, ...]
    common: tuple[Difference, ...]
    """Behind every cell of `moved` that it concerns (a pretraining's configuration concerns no cell without one); not
    repeated in them."""

    def count(self, change: Change) -> int:
        return sum(cell.change == change for cell in self.moved)


def compare(
    first: Sequence[Table], second: Sequence[Table], a: pd.DataFrame, b: pd.DataFrame, tolerance: float = 0.0
) -> Comparison:
    """The cells that differ between two sets of tables made from the frames `a` and `b`."""
    sides = Runs(a), Runs(b)
    known: dict[tuple[Behind, Behind], Causes] = {}
    found: list[tuple[Pair, Change, Causes]] = []
    cells = 0
    for pair in pairs_of(first, second, functools.cache(functools.partial(distance, *sides))):
        cells += pair.a is not None and pair.b is not None
        change = pair.change(tolerance)
        if change == "same":
            continue
        if pair.behind not in known:
            known[pair.behind] = causes(*sides, *pair.behind)
        found.append((pair, change, known[pair.behind]))
    shared = common([behind for _, _, behind in found])
    said = set(shared)
    own = {behind: tuple(merged(one for one in why.differences if one not in said)) for behind, why in known.items()}
    moved = tuple(Moved(pair, change, own[pair.behind]) for pair, change, _ in found)
    return Comparison(cells, moved, tuple(merged(shared)))


def lines(found: Comparison) -> Iterator[str]:
    """The comparison to be read: by table and row, each cause once for the cells of a row that share all of theirs."""
    if found.common:
        yield "Behind all that differ, or all of them whose runs have such a phase:"
        yield from (f"  {one_line(str(cause))}" for cause in found.common)
    for table, cells in itertools.groupby(found.moved, key=lambda cell: cell.pair.place.table):
        yield f"table {table}"
        for row, members in itertools.groupby(cells, key=lambda cell: cell.pair.place.row_text):
            yield f"  {one_line(row)}"
            for (behind, change), alike in itertools.groupby(members, key=lambda cell: (cell.causes, cell.change)):
                texts = [one_line(f"{cell.pair.place.column}: {_what(cell)}") for cell in alike]
                if change in ("appeared", "disappeared"):
                    texts = [f"{change}: {', '.join(texts)}"]
                yield from (f"    {text}" for text in texts)
                yield from (f"        {one_line(str(cause))}" for cause in behind)
    noise = [cell.within_noise for cell in found.moved if cell.change == "moved"]
    beyond = f" ({noise.count(False)} beyond noise, {noise.count(True)} within, {noise.count(None)} unknown)"
    counts = [f"{found.count(name)} {name}{beyond if name == 'moved' else ''}" for name in TOLD if found.count(name)]
    yield f"{found.cells} cells on both sides: {', '.join(counts) or 'no difference'}"


def _what(cell: Moved) -> str:
    pair, details = cell.pair, cell.pair.details()
    if pair.a is None or pair.b is None:
        return _shown(pair.a or pair.b)
    text = f"{_shown(pair.a)} -> {_shown(pair.b)}"
    if cell.change == "changed" and details:
        return f"{text}: {', '.join(details)}"
    if cell.change != "moved" or pair.difference is None:
        return f"{text}: {cell.change}"
    noise = "no interval to hold it against"
    if pair.noise is not None:
        noise = f"{'within' if cell.within_noise else 'beyond'} noise (± {pair.noise:.3g} over {pair.noise_over})"
    return ", ".join([f"{text}: {pair.difference:+.3g}", noise, *details])


def _shown(cell: Cell | None) -> str:
    return cell.text if cell is not None and cell.text else "nothing"


def as_json(found: Comparison) -> dict[str, Any]:
    def plain(cell: Moved) -> dict[str, Any]:
        pair = cell.pair
        sides = {
            name: None if side is None else {"text": side.text, "value": value_of(side), "runs": list(side.runs)}
            for name, side in (("a", pair.a), ("b", pair.b))
        }
        return {
            "table": pair.place.table,
            "row": dict(pair.place.row),
            "number": pair.place.number,
            "column": pair.place.column,
            "change": cell.change,
            **sides,
            "difference": pair.difference,
            "noise": pair.noise,
            "within_noise": cell.within_noise,
            "details": pair.details(),
            "causes": [asdict(cause) for cause in cell.causes],
        }

    counts: dict[str, int] = {name: found.count(name) for name in TOLD}
    cells = [plain(cell) for cell in found.moved]
    return {"cells": found.cells, **counts, "common": [asdict(cause) for cause in found.common], "differ": cells}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m results.diff", description="Compares the tables of two sets.", allow_abbrev=False
    )
    parser.add_argument("a", metavar="A", help="folder with records")
    parser.add_argument("b", metavar="B", help="folder with records")
    parser.add_argument("--json", action="store_true", help="everything as one JSON object")
    parser.add_argument(
        "--tolerance", type=_tolerance, default=0.0, metavar="X", help="figures that differ by no more are equal"
    )
    options = parser.parse_args(arguments)
    frames = [collect(folder) for folder in (options.a, options.b)]
    for folder, frame in zip((options.a, options.b), frames, strict=True):
        for problem in problems(frame):
            print(one_line(f"not in the tables: {problem}"), file=sys.stderr)
        if frame.empty:
            print(f"no finished run below {folder}", file=sys.stderr)
    if any(frame.empty for frame in frames):
        return 2
    a, b = frames
    found = compare(tables_of(a), tables_of(b), a, b, options.tolerance)
    if options.json:
        print(json.dumps(as_json(found), indent=1))
    else:
        print("\n".join(lines(found)))
    return 1 if found.moved else 0


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number, 0 or more")
    return value


def tables_of(frame: pd.DataFrame) -> list[Table]:
    """Those that print figures of others too: a published figure that moved is a difference like any other."""
    return all_tables(frame, load())


if __name__ == "__main__":
    sys.exit(run(main, EquivalentError, ReferenceError))
