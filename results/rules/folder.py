"""A run folder as the checks see it: each file is read when it is first asked for, and damage is a text, no error."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from results.record import FILE_NAME, RecordError, read_record

HEADER = ["video_id", "label", "group", "prediction", "correct"]
CLIPS = "clips_correct"
FILES = {
    "record": (FILE_NAME,),
    "config": ("config.json",),
    "status": ("status.json",),
    "journal": ("metrics.jsonl",),
    "predictions": ("predictions.csv", "predictions.csv.gz"),
    "unreadable": ("unreadable.csv",),
}
"""What a rule can need -> the files that hold it, the first that is there."""
DAMAGE = (OSError, EOFError, zlib.error, UnicodeDecodeError)
"""What reading a damaged file raises."""


@dataclass
class Predictions:
    """Of one run, a row a video. `problems` names the rows that could not be understood, and are not in `rows`."""

    rows: list[tuple[str, int, str, int, int]] = field(default_factory=list)
    """video_id, label, group, prediction, correct."""
    clips_correct: list[int] | None = None
    """Beside `rows`, where top-1 is that of clips and the file has all its columns."""
    problems: list[str] = field(default_factory=list)


@dataclass
class Lines:
    """The lines of metrics.jsonl that are whole; `problems` names the others."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class RunFolder:
    """`path` and what lies there. Properties are None where there is no such file or where it is damaged; then
    :meth:`damage` says why."""

    path: Path
    names: frozenset[str]
    _damage: dict[str, str] = field(default_factory=dict)

    def file(self, kind: str) -> Path | None:
        """The file of a kind of :data:`FILES`; None if there is none."""
        return next((self.path / name for name in FILES[kind] if name in self.names), None)

    def damage(self, kind: str) -> str:
        """Why a file that is there cannot be used; '' if it can (or is not there)."""
        getattr(self, kind)
        return self._damage.get(kind, "")

    @cached_property
    def record(self) -> dict[str, Any] | None:
        path = self.file("record")
        if path is None:
            return None
        try:
            return read_record(path)
        except RecordError as error:
            self._damage["record"] = "; ".join(error.problems)
        except DAMAGE as error:
            self._damage["record"] = f"cannot be read: {error}"
        return None

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """What is frozen in config.json: run_id, phase, config, frozen {fingerprint, commit, dirty}, ..."""
        return self._object("config")

    @cached_property
    def status(self) -> dict[str, Any] | None:
        return self._object("status")

    @cached_property
    def journal(self) -> Lines | None:
        return self._parsed("journal", journal_lines)

    @cached_property
    def predictions(self) -> Predictions | None:
        return self._parsed("predictions", predictions)

    @cached_property
    def unreadable(self) -> list[str] | None:
        """The ids in unreadable.csv, in its order."""
        return self._parsed("unreadable", _unreadable_ids)

    @property
    def phase(self) -> str:
        """By the record, else by the frozen configuration, else by the folder above; '' if nothing says it."""
        for known in (self.record, self.config):
            if known is not None and isinstance(known.get("phase"), str):
                return str(known["phase"])
        return self.above

    @property
    def above(self) -> str:
        """Name of the folder that this one lies in."""
        return os.path.basename(os.path.dirname(os.path.abspath(self.path)))

    def _object(self, kind: str) -> dict[str, Any] | None:
        def parse(text: str) -> dict[str, Any]:
            content = json.loads(text)
            if not isinstance(content, dict):
                raise ValueError(f"is a {type(content).__name__}, not a JSON object")
            return content

        return self._parsed(kind, parse)

    def _parsed(self, kind: str, parse: Callable[[str], Any]) -> Any:
        path = self.file(kind)
        if path is None:
            return None
        try:
            return parse(read_text(path))
        except DAMAGE as error:
            self._damage[kind] = f"{path.name} cannot be read: {error}"
        except (ValueError, RecursionError, csv.Error) as error:
            self._damage[kind] = f"{path.name} is damaged: {error}"
        return None


def read_text(path: Path) -> str:
    """A text file (UTF-8), unpacked if its name ends with .gz. Raises what :data:`DAMAGE` lists."""
    if path.suffix != ".gz":
        return path.read_text(encoding="utf-8")
    with gzip.open(path, "rb") as file:
        return file.read().decode("utf-8")


def journal_lines(text: str) -> Lines:
    found = Lines()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            found.rows.append(row)
        else:
            found.problems.append(f"line {number} is no JSON object (half-written?): {line[:60]!r}")
    if text and not text.endswith("\n"):
        found.problems.append("the last line has no end: the file is half-written")
    return found


def predictions(text: str) -> Predictions:
    """Raises ValueError for a file that is none of predictions at all."""
    first, _, body = text.partition("\n")
    header = next(csv_rows(first), [])
    if header[: len(HEADER)] != HEADER:
        raise ValueError(f"its columns are {', '.join(header)[:80] or 'missing'}, not {', '.join(HEADER)}, ...")
    clips = header[len(HEADER) : len(HEADER) + 1] == [CLIPS]
    found = _whole(body, len(header), clips) or _row_by_row(body, len(header), clips)
    if text and not text.endswith("\n"):
        found.problems.append("the last row has no end: the file is half-written")
    return found


def _whole(body: str, width: int, clips: bool) -> Predictions | None:
    """Of a file without quotes in which every row is right, which is nearly every file: three times as fast."""
    lines = body.split("\n")
    if not lines[-1]:
        lines.pop()
    if '"' in body or "\r" in body or any(line.count(",") != width - 1 for line in lines):
        return None
    if not lines:
        return Predictions(clips_correct=[] if clips else None)
    columns = list(zip(*(line.split(",", len(HEADER) + 1)[: len(HEADER) + clips] for line in lines), strict=True))
    ids, labels, groups, guesses, right = columns[: len(HEADER)]
    try:
        rows = list(zip(ids, map(int, labels), groups, map(int, guesses), map(int, right), strict=True))
        return Predictions(rows, [int(value) for value in columns[len(HEADER)]] if clips else None)
    except ValueError:
        return None


def _row_by_row(body: str, width: int, clips: bool) -> Predictions:
    found = Predictions(clips_correct=[] if clips else None)
    for number, row in enumerate(csv_rows(body), start=2):
        try:
            if len(row) != width:
                raise ValueError
            video_id, label, group, prediction, correct = row[: len(HEADER)]
            values = (video_id, int(label), group, int(prediction), int(correct))
            if found.clips_correct is not None:
                found.clips_correct.append(int(row[len(HEADER)]))
        except ValueError:
            found.problems.append(f"row {number} cannot be understood: {','.join(row)[:60]!r}")
        else:
            found.rows.append(values)
    return found


def csv_rows(text: str) -> Iterator[list[str]]:
    """The rows of a CSV text, empty lines left out."""
    if '"' in text:
        yield from (row for row in csv.reader(io.StringIO(text, newline="")) if row)
        return
    for line in text.split("\n"):  # half the time of csv.reader, and most files have no quotes
        if line:
            yield line.rstrip("\r").split(",")


def _unreadable_ids(text: str) -> list[str]:
    rows = csv_rows(text)
    header = next(rows, [])
    if "video_id" not in header:
        raise ValueError(f"its columns are {', '.join(header)[:80] or 'missing'}: there is no video_id")
    place = header.index("video_id")
    # the text of an error may hold line ends of its own: a row that is too short for an id is none
    return [row[place] for row in rows if len(row) > place]
