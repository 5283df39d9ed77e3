"""``python results/make_tables.py [--runs DIR ...] [--out DIR]``: the tables of all finished runs, printed and written.

Exit code 0; 1 when there is no finished run to make a table of.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # as a script, sys.path begins with this folder, from which `import results` fails and `import tables` would not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from results.collect import collect, problems
from results.reference import load
from results.render import markdown, write_tables
from results.table import Table
from results.tables import all_tables, main_tables


def make_tables(
    roots: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    expected: Iterable[Mapping[str, Any]] = (),
) -> tuple[list[Table], list[str]]:
    """Collects, writes every table as .md and .csv below `out`; returns the tables to print and what gave no row.

    Raises OSError if `out` cannot be written; a table is then written whole or not at all.
    """
    frame, expected = collect(*roots), list(expected)
    printed = main_tables(frame, expected)
    if printed:  # published figures alone are no result
        write_tables(all_tables(frame, load(), expected), out)
    return printed, [str(problem) for problem in problems(frame)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Makes the tables of all finished runs from their records.")
    parser.add_argument("--runs", nargs="+", default=["runs"], metavar="DIR", help="run folders (default: runs)")
    parser.add_argument(
        "--out", default="results/tables", metavar="DIR", help="where to write (default: results/tables)"
    )
    options = parser.parse_args(arguments)
    tables, found = make_tables(options.runs, options.out)
    for table in tables:
        print(markdown(table, runs=False))
    for problem in found:
        print(f"not in the tables: {problem}", file=sys.stderr)
    if not tables:
        print(
            f"no finished run below {', '.join(options.runs)}: make one with "
            "`python sweeps/run.py -m backbone=r50,r101 levels=1,2,3`, or name its folder with --runs DIR",
            file=sys.stderr,
        )
        return 1
    print(f"all tables, with the runs behind each row: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
