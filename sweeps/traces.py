"""What runs leave behind on disk, read for a look at them: nothing raises for a file that is missing or damaged."""

from __future__ import annotations

import json
import math
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sweeps.lock import is_alive

LOG_LINES = 20
_TAIL = 16384
"""Bytes read from the end of a log or of metrics.jsonl."""
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Colours and other orders to a terminal: a log must not be able to give any."""


@dataclass
class Traces:
    """A run folder, as far as it can be read."""

    folder: Path
    status: dict[str, Any] = field(default_factory=dict)
    owner: dict[str, Any] = field(default_factory=dict)
    alive: bool = False
    silent: float | None = None
    recorded: bool = False
    damage: str = ""


def read_traces(folder: Path, now: float) -> Traces:
    """`now`: Unix time in seconds, from which the age of the heartbeat is told."""
    status, damage = _read(folder / "status.json")
    found = Traces(folder, status, damage=damage)
    if status.get("state") == "done":
        found.recorded = (folder / "record.json").is_file()
        if found.recorded:
            return found
    found.owner = _read(folder / "lock.json")[0]
    beat = _number(found.owner.get("time")) or unix_time(status.get("time"))
    found.silent = None if beat is None else max(0.0, now - beat)
    if found.owner.get("host") == socket.gethostname():
        found.owner["here"] = True
    try:
        found.alive = bool(found.owner) and is_alive(found.owner)
    except (KeyError, TypeError, ValueError):  # a lock of another version: its heartbeat still tells
        found.alive = False
    return found


def find_folders(root: Path, phases: Iterable[str]) -> dict[tuple[str, str], str]:
    """(phase, first 12 digits of the run_id) -> folder relative to `root`, from one listing of each phase."""
    found = {}
    for phase in phases:
        try:
            names = sorted(entry.name for entry in os.scandir(root / phase))
        except OSError:
            continue
        for name in names:
            found[phase, name.rpartition("-")[2]] = f"{phase}/{name}"
    return found


def last_metrics(folder: Path) -> dict[str, Any]:
    """The last whole line of metrics.jsonl; {} if there is none."""
    for line in reversed(_tail(folder / "metrics.jsonl")):
        try:
            values = json.loads(line)
        except ValueError:
            continue  # being written at this moment, or cut short by a kill
        if isinstance(values, dict):
            return values
    return {}


def last_write(path: Path, now: float) -> float:
    """Seconds since a file was written to; 0 if there is none."""
    try:
        return max(0.0, now - path.stat().st_mtime)
    except OSError:
        return 0.0


def last_lines(path: Path, count: int = LOG_LINES) -> list[str]:
    """The end of a log, fit for a terminal; [] if there is none."""
    return [printable(line) for line in _tail(path) if line.strip()][-count:]


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return _UNPRINTABLE.sub("", text.replace("\n", " ").replace("\t", "    "))


def _tail(path: Path) -> list[str]:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            return file.read(_TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The content of a JSON file, and what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except NotADirectoryError:
        return {}, f"{path.parent} is no folder"
    except OSError as error:
        return {}, f"{path.name} cannot be read ({error.strerror})"
    except ValueError:
        return {}, f"{path.name} is damaged: move {path.parent} away to run anew"
    if not isinstance(content, dict):
        return {}, f"{path.name} is damaged: move {path.parent} away to run anew"
    return content, ""


def number(values: Mapping[str, Any], key: str) -> float | None:
    return _number(values.get(key))


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None


def unix_time(text: Any) -> float | None:
    """Of a time as status.json has it."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
