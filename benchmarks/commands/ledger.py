"""A ledger: one JSON line a video, appended as work goes on, so that a run is taken up where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from benchmarks.commands.layout import PrepareError, write_whole, writing

Row = dict[str, Any]


def read_ledger(path: Path) -> dict[str, Row]:
    """Rows by `video_id`, later lines over earlier ones. A last line without its end, torn by an interruption, counts
    for nothing. Raises :class:`PrepareError` for any other line that is no row."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    rows: dict[str, Row] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            row = json.loads(line)
            rows[row["video_id"]] = row
        except (ValueError, KeyError, TypeError) as error:
            raise PrepareError(
                f"{path}:{number}: not a row ({error}); remove that line, and the work on its video is done again"
            ) from error
    return rows


class Ledger:
    """Rows of a file, and an open end of it. To be made by :func:`open_ledger`."""

    def __init__(self, path: Path, rows: dict[str, Row], stream: TextIO) -> None:
        self.rows = rows
        self._path, self._stream = path, stream

    def add(self, row: Row) -> None:
        """Row of row["video_id"]; in the file when this returns. Raises :class:`PrepareError`."""
        with writing(self._path):
            self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._stream.flush()
        self.rows[row["video_id"]] = row


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """The ledger at `path`, which nobody else may have open: hold a lock. A torn last line is cut off."""
    rows = read_ledger(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.values()))
        stream = path.open("a", encoding="utf-8")
    with stream:
        yield Ledger(path, rows, stream)
