"""The tables of all finished runs, printed and written; or a check that committed ones are still what the records give.

python results/make_tables.py [--runs DIR ...] [--out DIR]    print the short ones, write all
python results/make_tables.py --report [FILE]                 also the web page, one file that opens from disk
python results/make_tables.py --missing                       only the commands that fill missing cells, table by table
python results/make_tables.py --check                         write nothing, fail if the files in --out would change

Exit code 0; 1 when there is no finished run to make a table of, or --check finds a difference; 2 for options,
thresholds or published figures that cannot be used, and for a folder that cannot be written.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # as a script, sys.path begins with this folder, from which `import results` fails and `import tables` would not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import pandas as pd

from results.collect import collect, problems
from results.command import one_line, run
from results.compare import FILE, ThresholdError, read_thresholds
from results.equivalent import EquivalentError, canonical
from results.record import write_text
from results.reference import References, load
from results.reference.model import ReferenceError
from results.render import markdown, rendered, write_tables
from results.table import Table
from results.tables import all_tables, main_tables

HERE = Path(__file__).resolve().parent
COMMITTED = {"runs": [str(HERE / "records")], "out": str(HERE / "tables")}
"""What --check looks at unless told otherwise."""
REPORT = "report.html"
SHOWN_LINES, SHOWN_COLUMNS = 40, 300


def make_tables(
    roots: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    expected: Iterable[Mapping[str, Any]] = (),
) -> tuple[list[Table], list[str]]:
    """Collects, writes every table below `out`; returns the tables to print and what gave no row.

    Raises OSError if `out` cannot be written; a file is then written whole or not at all.
    """
    frame = collect(*roots)
    tables = all_tables(frame, load(), list(expected))
    printed = main_tables(tables)
    if printed:  # published figures alone are no result
        write_tables(tables, out)
    return printed, [str(problem) for problem in problems(frame)]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        references, thresholds = load(), read_thresholds(options.thresholds)
        canonical("")
    except (ReferenceError, ThresholdError, EquivalentError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    committed = COMMITTED if options.check else {"runs": ["runs"], "out": "results/tables"}
    roots, out = options.runs or committed["runs"], Path(options.out or str(committed["out"]))
    frame = collect(*roots)
    for problem in problems(frame):
        # without options there need be no runs yet: everything is missing then
        if not options.missing or (problem.kind == "no root" and options.runs):
            print(one_line(f"not in the tables: {problem}"), file=sys.stderr)
    if options.missing:
        return _print_missing(all_tables(frame, references, thresholds=thresholds, unfilled=True))
    tables = all_tables(frame, references, thresholds=thresholds)
    printed = main_tables(tables)
    if not printed:
        print(
            f"no finished run below {', '.join(map(str, roots))}: make one with "
            "`python sweeps/run.py -m backbone=r50,r101 levels=1,2,3`, or name its folder with --runs DIR "
            "(the committed records: --runs results/records)",
            file=sys.stderr,
        )
        return 1
    if options.check:
        wanted = rendered(tables)
        if (out / REPORT).exists():
            wanted[REPORT] = _report(tables, frame, references)
        return _check(wanted, out, _command(options))
    for table in printed:
        print(markdown(table, runs=False))
    try:
        write_tables(tables, out)
        print(f"all tables, with the runs behind each row: {out}")
        if options.report is not None:
            path = Path(options.report or out / REPORT)
            write_text(path, _report(tables, frame, references))
            print(f"report: {path}")
        if _replaces_committed(roots, out):
            print(
                f"note: {out} held the tables of results/records, which `--check` expects there: "
                "--runs results/records --report makes them again, --out DIR puts yours elsewhere",
                file=sys.stderr,
            )
    except BrokenPipeError:
        raise
    except OSError as error:
        name = error.filename2 or error.filename or out
        print(
            one_line(f"error: cannot write {name}: {error.strerror}; name another place with --out or --report FILE"),
            file=sys.stderr,
        )
        return 2
    return 0


def _replaces_committed(roots: Sequence[str], out: Path) -> bool:
    """Whether tables of other runs were written over those that are committed."""
    records = {Path(root).resolve() for root in COMMITTED["runs"]}
    return out.resolve() == Path(str(COMMITTED["out"])) and {Path(root).resolve() for root in roots} != records


def _command(options: argparse.Namespace) -> str:
    """What writes the files that --check compared."""
    words = ["--runs", *(options.runs or ["results/records"]), *(["--out", options.out] if options.out else [])]
    words += ["--thresholds", options.thresholds] if options.thresholds != str(FILE) else []
    return shlex.join(["python", "results/make_tables.py", *words])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--runs", nargs="+", metavar="DIR", help="run folders (default: runs)")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: results/tables)")
    parser.add_argument(
        "--thresholds", default=str(FILE), metavar="FILE", help="of the verdicts (default: results/thresholds.yaml)"
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--missing", action="store_true", help="print the commands that fill missing cells, nothing else"
    )
    kinds.add_argument(
        "--check",
        action="store_true",
        help="compare with --out, write nothing (default: results/records, results/tables)",
    )
    kinds.add_argument(
        "--report", nargs="?", const="", metavar="FILE", help="write the web page, too (default: report.html in --out)"
    )
    return parser


def _print_missing(tables: Sequence[Table]) -> int:
    told: set[str] = set()
    for table in tables:
        commands = [command for command in table.missing if command not in told]
        told |= set(commands)
        if commands:
            print("\n".join([f"# {table.title}", *map(one_line, commands), ""]))
    if not told:
        print("# nothing is missing")
    return 0


def _check(wanted: Mapping[str, str], out: Path, command: str) -> int:
    """1 and the first differing lines if the files in `out` are not the wanted ones, which `command` writes; others are
    left alone."""
    if not out.is_dir():
        print(f"{out}: there is no such folder; its files are written by `{command}`")
        return 1
    differing = []
    for name, text in wanted.items():
        try:
            found = (out / name).read_bytes().decode("utf-8")
        except FileNotFoundError:
            print(f"{out / name}: is not there")
            differing.append(name)
            continue
        except (OSError, UnicodeDecodeError) as error:
            print(f"{out / name}: cannot be read: {error}")
            differing.append(name)
            continue
        if found != text:
            old_new = (found.splitlines(), text.splitlines())
            lines = difflib.unified_diff(*old_new, f"{name} (committed)", f"{name} (records)", lineterm="", n=1)
            print("\n".join(line[:SHOWN_COLUMNS] for line in list(lines)[:SHOWN_LINES]))
            differing.append(name)
    old = sorted(path.name for path in out.glob("*") if path.suffix in _SUFFIXES and path.name not in wanted)
    for name in old:
        print(f"{out / name}: no table of the records gives this file")
    if differing:
        report = " --report" if REPORT in wanted else ""
        print(f"differing files: {len(differing)}; type `{command}{report}`")
    if old:
        print(f"left-over files: {len(old)}; remove them")
    if differing or old:
        return 1
    print(f"{len(wanted)} files are what the records give")
    return 0


_SUFFIXES = (".md", ".csv", ".tex", ".html", ".json")


def _report(tables: Sequence[Table], frame: pd.DataFrame, references: References) -> str:
    from results.report import page  # only here, because templates cost time that tables alone need not

    return page(tables, frame, references)


if __name__ == "__main__":
    sys.exit(run(main, EquivalentError))
