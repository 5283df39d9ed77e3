"""``python -m results.reference check`` and ``add``: docs/reference.md is the page about them.

Exit code 0; 1 when something is wrong with the data or an addition is refused; 2 for options that do not fit together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from results.command import run
from results.record import write_text
from results.reference.add import Added, Refused, add_cell, add_row
from results.reference.files import HERE, parse, read_texts
from results.reference.model import ReferenceError, without_default
from results.reference.names import METRICS, PAPER, PROTOCOLS, REPORTED_BY, SETTINGS
from results.reference.schema import COLUMNS, CONDITIONS, PLACE, axes_from
from results.table import NOT_TRANSCRIBED

PUBLISHED_OPTIONS = {
    "method": "its name, such as TSM",
    "paper-title": "",
    "paper-year": "",
    "gflops": "as printed in the same row of the source",
    "params-m": "millions of parameters, as printed in the same row of the source",
    "repo": "owner/name of the repository that prints it",
    "path": "of the file, from the top of the repository",
    "commit": "40 hexadecimal digits",
    "line": "of the file",
    "reported-by": ", ".join(REPORTED_BY),
    "ours": "axes of our row that is the same method: 'backbone=resnet50; levels=0; temporal=none'",
}
PAPER_OPTIONS = {
    "levels": "0 = the plain backbone",
    "pretraining": "none or progressive; none is the default of levels 0",
    "arxiv": f"{PAPER} with the version that was read, such as {PAPER}v3",
    "table": "such as 'Table 2'",
    "row": "its words in the PDF (write --row=-x if they begin with a dash)",
    "column": "its words in the PDF",
}
COMMON_OPTIONS = {
    "benchmark": "kinetics400, sthv1, sthv2, ucf101 or hmdb51",
    "split": "val or test; 1, 2, 3 or mean(1,2,3); only if the source says so",
    "setting": ", ".join(SETTINGS) + " (default: supervised)",
    "metric": ", ".join(METRICS) + " (default: top1; r1 of a retrieval)",
    "backbone": "of the paper: ours, in timm's name, such as resnet50; of --published: as in the source",
    "temporal": "of the paper: as in our tables; of --published: 2D, shift, 3D, ...",
    "value": "the figure exactly as printed, without unit",
    "frames": "as the source says it",
    "pretrain": "as the source says it",
    "protocol": "as the source says it",
    "protocol-name": "only if the source says exactly that protocol: " + ", ".join(PROTOCOLS),
    "data": "the copy of the data set, where the source says that it is not the original one",
    "decoder": "what turned videos into frames, as the source says it, such as decord or PyAV",
    "note": "what else a reader must know",
    "key": "of the slot or row, in place of what describes it (default: made from it)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            return check(Path(options.folder), options.empty)
        return add(Path(options.folder), options, parser)
    except ReferenceError as error:
        say(str(error), sys.stderr)
    except Refused as error:
        say(f"refused: {error}", sys.stderr)
    except BrokenPipeError:
        raise
    except OSError as error:
        say(f"cannot write: {error}", sys.stderr)
    return 1


def check(folder: Path, empty: bool) -> int:
    texts, problems = read_texts(folder)
    references, found = parse(texts)
    if problems or found:
        raise ReferenceError(problems + found)
    if empty:
        for cell in references.paper:
            if cell.value is None:
                say(cell.key)
        return 0
    say(f"{len(references.published)} published figures, each with its source")
    say(f"{references.transcribed} of {len(references.paper)} cells of the paper transcribed, each with its source")
    return 0


def add(folder: Path, options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    given = {name: value for name, value in vars(options).items() if isinstance(value, str)}
    foreign = PAPER_OPTIONS if options.published else PUBLISHED_OPTIONS
    if wrong := [f"--{name}" for name in foreign if _name(name) in given]:
        parser.error(
            f"{', '.join(wrong)} {'does' if len(wrong) == 1 else 'do'} not go with "
            + ("--published" if options.published else "a figure of the paper; is --published missing?")
        )
    texts, problems = read_texts(folder)
    if problems:
        raise ReferenceError(problems)
    if options.published:
        added = add_row(texts, _row(given), options.replace)
    else:
        added = add_cell(texts, _cell(given, parser), options.replace)
    if added.text != texts[added.file]:
        if read_texts(folder)[0] != texts:
            raise Refused(f"{added.file} was changed by somebody else meanwhile: try again")
        write_text(folder / added.file, added.text)
    _report(added, written=added.text != texts[added.file])
    return 0


def _row(given: dict[str, str]) -> dict[str, str]:
    row = dict.fromkeys(COLUMNS, "") | {"setting": "supervised"}
    names = {"repo": "source_repo", "path": "source_path", "commit": "source_commit", "line": "source_line"}
    row |= {column: text for name, text in given.items() if (column := names.get(name, name)) in COLUMNS}
    row["metric"] = row["metric"] or _metric(row["setting"])
    row["text"] = given.get("value", "")
    try:
        row["value"] = repr(float(row["text"]))
    except ValueError:
        row["value"] = row["text"]  # which the schema names
    return row


def _cell(given: dict[str, str], parser: argparse.ArgumentParser) -> dict[str, Any]:
    cell: dict[str, Any] = {"key": given.get("key", ""), "ours": {}, "text": given.get("value", "")}
    cell |= {name: given.get(name, "") for name in PLACE}
    cell["conditions"] = {name: given[name] for name in CONDITIONS if given.get(name)}
    try:
        cell["value"] = float(cell["text"])
    except ValueError:
        cell["value"] = None
    if not cell["text"]:
        parser.error("--value is missing: the figure exactly as printed")
    if not cell["key"] or "benchmark" in given:
        cell["ours"] = _ours(given, parser)
    elif spare := [f"--{name}" for name in _AXES_OPTIONS if name in given]:
        parser.error(f"{', '.join(spare)}: --key says which cell it is; leave out either")
    return cell


_AXES_OPTIONS = ("benchmark", "backbone", "levels", "temporal", "pretraining", "split", "setting", "metric")


def _ours(given: dict[str, str], parser: argparse.ArgumentParser) -> dict[str, Any]:
    if missing := [f"--{name}" for name in ("benchmark", "backbone", "levels") if not given.get(name)]:
        parser.error(f"{', '.join(missing)} missing: they say which cell of ours it is; or name it with --key")
    ours: dict[str, Any] = {name: given[name] for name in _AXES_OPTIONS if given.get(name)}
    ours |= axes_from(f"levels={given['levels']}") if ";" not in given["levels"] else {}
    if ours["levels"] == 0:
        ours.setdefault("pretraining", "none")
    if "pretraining" not in ours:
        parser.error("--pretraining is missing: none or progressive")
    ours.setdefault("metric", _metric(ours.get("setting", "")))
    order = ("benchmark", "backbone", "levels", "temporal", "pretraining", "split", "setting", "metric")
    return without_default({name: ours[name] for name in order if name in ours})


def _metric(setting: str) -> str:
    return "r1" if setting == "retrieval" else "top1"


def _report(added: Added, written: bool) -> None:
    say(f"{added.file}: {added.key}" + ("" if written else " (nothing to do: it is there already)"))
    if written and added.before is not None:
        say(f"  was     {added.before.text or NOT_TRANSCRIBED}")
        if added.before.text and added.before.source != added.after.source:
            say(f"          {added.before.source}")
    say(f"  now     {added.after.text}" if written else f"  holds   {added.after.text}")
    say(f"  source  {added.after.source}")


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints; what the terminal cannot show is escaped, because a figure is written by then."""
    stream = stream or sys.stdout
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _name(option: str) -> str:
    return option.replace("-", "_")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m results.reference", description="Published figures, each with the place where it was read."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="name everything that is wrong with the data", allow_abbrev=False)
    checking.add_argument("--empty", action="store_true", help="list the cells of the paper that wait for a figure")
    adding = commands.add_parser("add", help="enter one figure that was read in its source", allow_abbrev=False)
    adding.add_argument("--published", action="store_true", help="of another method, from a public repository")
    adding.add_argument("--replace", action="store_true", help="overwrite a figure that is there already")
    for title, options in (
        ("the figure", COMMON_OPTIONS),
        ("a cell of the paper's own tables", PAPER_OPTIONS),
        ("with --published", PUBLISHED_OPTIONS),
    ):
        group = adding.add_argument_group(title)
        for name, text in options.items():
            group.add_argument(f"--{name}", metavar="TEXT", help=text.replace("%", "%%") or None)
    for command in (checking, adding):
        command.add_argument(
            "--folder", default=str(HERE), metavar="DIR", help="of published.csv and hcml.yaml (default: the project's)"
        )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
