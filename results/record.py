"""The record of a finished run: its schema, and how it is written and read.

A record is one JSON object, ``record.json`` in the run's folder. It is written once, when the run has finished, and
holds all that a table needs, so a table can be made from records alone. :func:`problems_of` is the schema; it names
every problem at once, because a record is written after hours of computing and must not be mended one error at a time.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from results.checks import Check, dig, is_plain

SCHEMA_VERSION = 1
PHASES = ("pretrain", "finetune", "probe", "retrieval", "test")
FILE_NAME = "record.json"
MOST_LEVELS = 64
"""Tables have a row for each level of a pretraining: more is damage."""


class RecordError(ValueError):
    """A record that cannot be used; ``problems`` lists all that is wrong with it, one string each."""

    def __init__(self, path: str | os.PathLike[str], problems: list[str]) -> None:
        self.path = str(path)
        self.problems = list(problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"{path}: {count}: " + "; ".join(problems))


@dataclass
class Record:
    """One finished run. Keys of the JSON object = names of these fields; those without a default must be there."""

    run_id: str
    phase: str
    slug: str
    config: dict[str, Any]
    """The resolved configuration of this run, its ``phase`` included."""
    seed: int
    """For a test run: the seed of the fine-tuning run it tests."""
    metrics: dict[str, float | None]
    """Flat; None = could not be measured. A test run and a probe have at least ``top1`` (per cent, over the readable
    videos), a retrieval ``r1``."""
    code: dict[str, Any]
    """fingerprint (str), commit (str or None), dirty (bool or None)."""
    environment: dict[str, Any]
    """Versions and hardware; at least python and torch. The decoder's version under the decoder's name."""
    data: dict[str, Any]
    """benchmark, version, manifest_sha256 {train, test}, videos {train, test}; optional: expected {train, test} (videos
    that the lists name, missing ones included), quarantined {train, test}, origin (synthetic, official_lists, how a
    copy was encoded, hashes of the annotation files)."""
    unreadable: dict[str, Any]
    """train and test (counts), ids (list of video ids)."""
    cost: dict[str, float | None]
    """seconds, clips, clips_per_second, peak_memory_mb, parameters, gmacs, ..."""
    started: str
    """ISO 8601, UTC."""
    finished: str
    command: list[str]
    profile: str
    parent: str | None = None
    weights_sha256: str = ""
    """Of the file that was given (`checkpoint=FILE`) in place of the first run of the chain; '' = none."""
    lineage: list[str] = field(default_factory=list)
    """Ids of the ancestors, nearest first."""
    lineage_configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Ancestor's id -> its resolved configuration."""
    groups: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """Group (on synthmotion: tier) -> metric -> number. A test run gives top1, and videos or readable (the videos that
    top1 counts, where some could not be read)."""
    chance: float | None = None
    """Top-1 of guessing, per cent; test, probe and retrieval must give it."""
    group_chance: dict[str, float | None] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    """What the run itself found suspicious, such as a collapsed level."""
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_NAMES = {item.name for item in fields(Record)}
_DEFAULTS = {"parent", "weights_sha256", "lineage", "lineage_configs", "groups", "chance", "group_chance", "alarms"}
_CONFIG_KEYS = ("model.backbone.name", "model.levels", "benchmark.name")


def finite(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """The same numbers, with None in place of those that are not finite (JSON has no NaN, and None says it plainly)."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()}


def problems_of(record: Any) -> list[str]:
    """All that keeps `record` from being a valid record of this schema version; [] if it is one."""
    if not isinstance(record, Mapping):
        return [f"is a {type(record).__name__}, not a JSON object"]
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        found = "no schema_version" if version is None else f"schema_version {version!r}"
        return [f"has {found}, this code reads version {SCHEMA_VERSION}: not a run record of this suite's version"]
    check = Check()
    for name in sorted(_NAMES - _DEFAULTS - set(record)):
        check.say(name, "is missing")
    for name in sorted(str(key) for key in set(record) - _NAMES):
        check.say(name, "is not a field of a record")
    if not is_plain(record):
        check.plain("", record)
    for name in ("run_id", "slug", "profile"):
        check.text(record, name)
    check.number(record, "seed", whole=True, low=-math.inf)
    _check_phase(check, record)
    _check_lineage(check, record)
    _check_numbers(check, record)
    _check_origin(check, record)
    _check_times(check, record)
    for name in ("command", "alarms"):
        check.texts(record, name)
    return check.problems


def _check_phase(check: Check, record: Mapping[str, Any]) -> None:
    phase = record.get("phase")
    if "phase" in record and phase not in PHASES:
        check.say("phase", f"is {phase!r}, not one of {', '.join(PHASES)}")
    if not check.mapping(record, "config"):
        return
    if dig(record, "config.phase") != phase:
        check.say("config.phase", f"is {dig(record, 'config.phase')!r} in the record of a {phase} run")
    for key in _CONFIG_KEYS:
        if dig(record["config"], key) is None:
            check.say(f"config.{key}", "is missing")
    for key in ("model.backbone.name", "benchmark.name"):
        check.text(record, f"config.{key}", optional=True)
    check.number(record, "config.model.levels", whole=True, high=MOST_LEVELS)


def _check_lineage(check: Check, record: Mapping[str, Any]) -> None:
    check.text(record, "parent", optional=True)
    check.texts(record, "lineage")
    lineage, parent = record.get("lineage", []), record.get("parent")
    if isinstance(lineage, list) and (lineage[0] if lineage else None) != parent:
        check.say("lineage", f"must begin with the parent {parent!r} (nearest first), it is {lineage!r}")
    if check.mapping(record, "lineage_configs"):
        for run_id, config in record["lineage_configs"].items():
            if isinstance(lineage, list) and run_id not in lineage:
                check.say(f"lineage_configs.{run_id}", "is not in the lineage")
            if dig(config, "phase") not in PHASES:
                check.say(f"lineage_configs.{run_id}", "has no phase: it is not a run's configuration")


def _check_numbers(check: Check, record: Mapping[str, Any]) -> None:
    wanted = {"test": "top1", "probe": "top1", "retrieval": "r1"}.get(str(record.get("phase")))
    for name in ("metrics", "group_chance", "cost"):
        if check.mapping(record, name):
            check.figures(name, record[name])
    if check.mapping(record, "groups"):
        for group, values in record["groups"].items():
            if isinstance(values, Mapping):
                check.figures(f"groups.{group}", values)
            else:
                check.say(f"groups.{group}", "is not an object of numbers")
    if wanted:
        check.mapping(record, "metrics", (wanted,))
        if "chance" not in record:
            check.say("chance", f"is missing: a {record['phase']} run must say what guessing gives")
        check.number(record, f"metrics.{wanted}", high=100.0)
    check.number(record, "chance", optional=not wanted, high=100.0)
    check.mapping(record, "cost", ("seconds",))
    check.number(record, "cost.seconds")


def _check_origin(check: Check, record: Mapping[str, Any]) -> None:
    check.mapping(record, "code", ("fingerprint", "commit", "dirty"))
    check.text(record, "code.fingerprint")
    check.text(record, "code.commit", optional=True)
    if dig(record, "code.dirty") not in (None, True, False):
        check.say("code.dirty", "is not true, false or null")
    check.mapping(record, "environment", ("python", "torch"))
    check.mapping(record, "data", ("benchmark", "version", "manifest_sha256", "videos"))
    for name in ("data.benchmark", "data.version"):
        check.text(record, name)
    check.mapping(record, "data.manifest_sha256", ("train", "test"))
    check.mapping(record, "data.videos", ("train", "test"))
    check.mapping(record, "unreadable", ("train", "test", "ids"))
    for part in ("train", "test"):
        check.text(record, f"data.manifest_sha256.{part}")
        check.number(record, f"data.videos.{part}", whole=True)
        check.number(record, f"data.expected.{part}", whole=True, optional=True)
        check.number(record, f"unreadable.{part}", whole=True)
    check.texts(record, "unreadable.ids")


def _check_times(check: Check, record: Mapping[str, Any]) -> None:
    times = []
    for name in ("started", "finished"):
        if name not in record:
            continue
        try:
            time = datetime.fromisoformat(record[name])
        except (TypeError, ValueError):
            check.say(name, f"is {record[name]!r}, not an ISO 8601 time")
            continue
        if time.utcoffset() != timedelta(0):
            check.say(name, f"is {record[name]!r}, which does not say UTC (end it with +00:00)")
        else:
            times.append(time)
    if len(times) == 2 and times[1] < times[0]:
        check.say("finished", f"({record['finished']}) is before started ({record['started']})")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` (UTF-8, newlines as given) so that `path` holds either its old content or all of the new one.

    Raises OSError (full disk, no permission); `path` is then as it was and nothing is left beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_record(path: str | os.PathLike[str], record: Mapping[str, Any] | Record) -> None:
    """Validates and writes atomically. Raises :class:`RecordError` naming every problem (and then writes nothing)."""
    plain = record.to_dict() if isinstance(record, Record) else dict(record)
    problems = problems_of(plain)
    if problems:
        raise RecordError(path, problems)
    write_text(path, json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The record, optional fields filled in. Raises :class:`RecordError` if it is missing, damaged or foreign."""
    try:
        # text, not bytes: of bytes, json would guess the encoding
        record = json.loads(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise RecordError(path, [f"cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        raise RecordError(path, [f"is not JSON (half-written or damaged): {error}"]) from error
    problems = problems_of(record)
    if problems:
        raise RecordError(path, problems)
    missing = _NAMES - record.keys()
    return record | _defaults(missing) if missing else record


def _defaults(names: Iterable[str]) -> dict[str, Any]:
    """Fresh ones, of optional fields."""
    empty: dict[str, Any] = {}
    for item in fields(Record):
        if item.name in names:
            empty[item.name] = item.default_factory() if callable(item.default_factory) else item.default
    return empty
