"""What keeps a row of published.csv or a cell of hcml.yaml from being used: every problem, not only the first."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from results.checks import Check
from results.reference import names

COLUMNS = (
    "key",
    "method",
    "paper_title",
    "paper_year",
    "backbone",
    "temporal",
    "frames",
    "pretrain",
    "protocol",
    "protocol_name",
    "benchmark",
    "split",
    "setting",
    "metric",
    "value",
    "text",
    "gflops",
    "params_m",
    "source_repo",
    "source_path",
    "source_commit",
    "source_line",
    "reported_by",
    "data",
    "decoder",
    "note",
    "ours",
)
"""Of published.csv, in its order."""
REQUIRED = ("key", "method", "benchmark", "setting", "metric", "value", "text", "reported_by")
SOURCE = ("source_repo", "source_path", "source_commit", "source_line")
CELL_KEYS = ("key", "ours", "conditions", "arxiv", "table", "row", "column", "text", "value")
"""Of a cell of hcml.yaml, in the order in which they are written."""
PLACE = ("arxiv", "table", "row", "column")
CONDITIONS = ("frames", "pretrain", "protocol", "protocol_name", "data", "decoder", "note")
"""What a cell may say of how the paper measured it, in its words (`protocol_name`: as in published.csv)."""
NEEDED_AXES = ("benchmark", "backbone", "levels", "metric")

KEY = re.compile(r"[a-z0-9][a-z0-9.+-]{0,119}")
FIGURE = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
YEAR = re.compile(r"(19|20)[0-9]{2}")
REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
LINE = re.compile(r"[1-9][0-9]*")
ARXIV = re.compile(rf"{re.escape(names.PAPER)}v[1-9][0-9]*")


def problems_of_row(row: Mapping[str, str]) -> list[str]:
    """All that is wrong with one row of published.csv, given as column -> text."""
    check = Check()
    for name in COLUMNS:
        _plain(check, name, row[name])
    for name in (*REQUIRED, *SOURCE):
        if not row[name]:
            check.say(name, "is empty" + (": a figure without a complete source is not used" if name in SOURCE else ""))
    _pattern(check, "key", row["key"], KEY, "lower-case letters, digits and . + -, at most 120 of them")
    _pattern(check, "paper_year", row["paper_year"], YEAR, "a year")
    for name in ("text", "gflops", "params_m"):
        _pattern(check, name, row[name], FIGURE, "a figure as printed, without unit or sign")
    _figure(check, row["text"], row["value"])
    _known(check, "benchmark", row["benchmark"], names.BENCHMARKS)
    _known(check, "protocol_name", row["protocol_name"], names.PROTOCOLS)
    _known(check, "reported_by", row["reported_by"], names.REPORTED_BY)
    _measure(check, row["benchmark"], row["split"], row["setting"], row["metric"])
    _pattern(check, "source_repo", row["source_repo"], REPOSITORY, "owner/name")
    _pattern(check, "source_commit", row["source_commit"], COMMIT, "40 hexadecimal digits: a tag or branch can move")
    _pattern(check, "source_line", row["source_line"], LINE, "a line number")
    path = row["source_path"]
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in path.split("/") if path):
        check.say("source_path", f"is {path!r}, not a path from the top of the repository")
    try:
        ours = axes_from(row["ours"])
    except ValueError as error:
        check.say("ours", str(error))
    else:
        _axes(check, ours)
    return check.problems


def problems_of_cell(cell: Any) -> list[str]:
    """All that is wrong with one cell of hcml.yaml, as YAML gives it."""
    if not isinstance(cell, Mapping):
        return [f"is a {type(cell).__name__}, not a cell with {', '.join(CELL_KEYS)}"]
    check = Check()
    for name in CELL_KEYS:
        if name not in cell:
            check.say(name, "is missing")
    for name in cell:
        if name not in CELL_KEYS:
            check.say(str(name), "is not a key of a cell")
    texts = [name for name in ("key", *PLACE, "text") if name in cell and _is_text(check, name, cell[name])]
    if "key" in texts:
        _pattern(check, "key", cell["key"] or "?", KEY, "lower-case letters, digits and . + -, at most 120 of them")
    if "arxiv" in texts:
        pattern = f"{names.PAPER} with a version, such as {names.PAPER}v3: another version may print another figure"
        _pattern(check, "arxiv", cell["arxiv"], ARXIV, pattern)
    if "ours" in cell and check.mapping(cell, "ours"):
        _axes(check, cell["ours"])
        for name in NEEDED_AXES:
            if name not in cell["ours"]:
                check.say(f"ours.{name}", "is missing")
        if cell["ours"].get("setting") == "supervised":
            check.say("ours.setting", "is supervised, which is written by leaving it out")
        split, setting = cell["ours"].get("split", ""), cell["ours"].get("setting", "supervised")
        _measure(check, cell["ours"].get("benchmark"), split, setting, cell["ours"].get("metric"))
    if "conditions" in cell and check.mapping(cell, "conditions"):
        _conditions(check, cell["conditions"])
    if "text" in texts and "value" in cell:
        _transcription(check, cell, texts)
    return check.problems


def _transcription(check: Check, cell: Mapping[str, Any], texts: list[str]) -> None:
    """A cell has the figure with its whole source, or nothing at all."""
    text, value = cell["text"], cell["value"]
    place = {name: cell[name] for name in PLACE if name in texts}
    _pattern(check, "text", text, FIGURE, "a figure as printed, without unit or sign")
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        check.say("value", f"is {value!r}, not a number or null")
    elif text and value is not None:
        _figure(check, text, str(value))
    elif FIGURE.fullmatch(text):
        check.say("value", f"is null, but text is {text!r}")
    if text:
        for name, given in place.items():
            if not given:
                check.say(name, "is empty: a figure without a complete source is not used")
    else:
        if value is not None:
            check.say("text", f"is empty, but value is {value}: text is the figure exactly as printed")
        for name, given in place.items():
            if given and value is None:
                check.say(name, f"is {given!r}, but there is no figure: a cell is transcribed whole or not at all")
        if cell.get("conditions") and value is None:
            check.say("conditions", "are given, but there is no figure")


def _conditions(check: Check, conditions: Mapping[Any, Any]) -> None:
    for name, value in conditions.items():
        if name not in CONDITIONS:
            check.say(f"conditions.{name}", f"is unknown; there are: {', '.join(CONDITIONS)}")
        elif _is_text(check, f"conditions.{name}", value) and not value:
            check.say(f"conditions.{name}", "is empty: leave it out")
    if isinstance(name := conditions.get("protocol_name", ""), str):
        _known(check, "conditions.protocol_name", name, names.PROTOCOLS)


def _is_text(check: Check, name: str, value: Any) -> bool:
    if not isinstance(value, str):
        hint = "; put it in quotes, so that it stays as printed" if isinstance(value, int | float) else ""
        check.say(name, f"is {value!r}, not a text{hint}")
        return False
    _plain(check, name, value)
    return True


def _plain(check: Check, name: str, text: str) -> None:
    """One line of characters that can be seen: what a table shows must be what was typed."""
    if text != text.strip():
        check.say(name, f"is {text!r}, with white space around it")
    for place, character in enumerate(text, 1):
        if not character.isprintable():
            called = unicodedata.name(character, "a control character")
            check.say(name, f"has U+{ord(character):04X} ({called}) at position {place}: type it as it is seen")
            return


def _pattern(check: Check, name: str, text: str, pattern: re.Pattern[str], wanted: str) -> None:
    if text and not pattern.fullmatch(text):
        check.say(name, f"is {text!r}, not {wanted}")


def _known(check: Check, name: str, value: str, known: tuple[str, ...]) -> None:
    if value and value not in known:
        check.say(name, f"is {value!r}, not one of {', '.join(known)}")


def _figure(check: Check, text: str, value: str) -> None:
    """`value` is the number that `text` prints, and a share in per cent."""
    try:
        number = float(value)
    except ValueError:
        if value:
            check.say("value", f"is {value!r}, not a number")
        return
    if FIGURE.fullmatch(text) and float(text) != number:
        check.say("value", f"is {value}, but text is {text!r}: text is the figure exactly as printed")
    if not 0 <= number <= 100:  # nan and infinity, too
        check.say("value", f"is {value}, not per cent")


def _measure(check: Check, benchmark: Any, split: Any, setting: Any, metric: Any) -> None:
    """Setting, metric and split, and that they go together."""
    if isinstance(split, str) and split and split not in names.SPLITS.get(str(benchmark), (split,)):
        check.say("split", f"is {split!r}; {benchmark} has {', '.join(names.SPLITS[benchmark])}")
    for name, value, known in (("setting", setting, names.SETTINGS), ("metric", metric, names.METRICS)):
        if isinstance(value, str):
            _known(check, name, value, known)
    if setting in names.SETTINGS and metric in names.METRICS:
        fitting = names.RETRIEVAL_METRICS if setting == "retrieval" else names.CLASSIFICATION_METRICS
        if metric not in fitting:
            check.say("metric", f"is {metric!r}; setting {setting} is measured by {', '.join(fitting)}")


def _axes(check: Check, ours: Mapping[Any, Any]) -> None:
    for name, value in ours.items():
        place = f"ours.{name}"
        if not names.is_axis(name):
            check.say(place, f"is no axis of our tables; there are: {', '.join(names.AXES)}")
        elif name == "levels":
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 4:
                check.say(place, f"is {value!r}, not 0, 1, 2, 3 or 4")
        elif not _is_text(check, place, value):
            continue
        elif not value or ";" in value:
            check.say(place, "is empty" if not value else f"is {value!r}: a ; parts axes")
        elif name == "benchmark":
            _known(check, place, value, names.BENCHMARKS)


def axes_from(text: str) -> dict[str, Any]:
    """``backbone=resnet50; levels=0`` as a mapping; raises ValueError saying which part is none."""
    axes: dict[str, Any] = {}
    for part in text.split(";") if text else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not name or not equals or not value:
            raise ValueError(f"has the part {part.strip()!r}, which is not axis=value; parts are parted by ;")
        if name in axes:
            raise ValueError(f"has {name} twice")
        axes[name] = int(value) if name == "levels" and re.fullmatch("[0-9]{1,2}", value) else value
    return axes


def axes_text(axes: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}={value}" for name, value in axes.items())
