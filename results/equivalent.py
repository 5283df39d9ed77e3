"""Code fingerprints that give the same numbers: `equivalent.json`, each entry backed by a check.

Runs of different code are never averaged. Where a change cannot have moved a number (a rename, a faster loop), somebody
has shown it by `python -m sweeps.equivalence A B --what TEXT`, which trains 20 steps with both and writes the entry.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from results.record import write_text

FILE = Path(__file__).with_name("equivalent.json")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class EquivalentError(ValueError):
    """equivalent.json cannot be used; the text lists everything that is wrong with it."""


@dataclass(frozen=True)
class Evidence:
    """What was compared, so that anybody can do it again."""

    command: str
    """Of each of the two trainings."""
    commit: str
    """Of the checkout that compared them; '' outside git."""
    steps: int
    """Of each phase, compared one by one."""
    losses_sha256: str
    """Of all the losses, the same on both sides."""


@dataclass(frozen=True)
class Equivalent:
    """Two fingerprints, and `what` differs between their code."""

    a: str
    b: str
    what: str
    evidence: Evidence


def read(path: str | os.PathLike[str] = FILE) -> list[Equivalent]:
    """All entries. Raises :class:`EquivalentError`."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EquivalentError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, list):
        raise EquivalentError(f"{path} holds no list of entries")
    problems = [f"entry {number}: {what}" for number, entry in enumerate(content, 1) for what in _problems(entry)]
    if not problems:
        pairs = [frozenset((entry["a"], entry["b"])) for entry in content]
        problems = [f"entry {n}: is there twice" for n, pair in enumerate(pairs, 1) if pair in pairs[: n - 1]]
    if problems:
        raise EquivalentError(f"{path}: " + "; ".join(problems))
    return [Equivalent(**{**entry, "evidence": Evidence(**entry["evidence"])}) for entry in content]


def _problems(entry: Any) -> list[str]:
    found = _keys("", entry, {"a": str, "b": str, "what": str, "evidence": dict})
    if found:
        return found
    for name in ("a", "b"):
        if not _FINGERPRINT.fullmatch(entry[name]):
            found.append(f"{name}={entry[name]!r} is no fingerprint of 64 hex digits")
    if entry["a"] == entry["b"]:
        found.append("a and b are the same")
    if not entry["what"].strip():
        found.append("what must say what differs between the two")
    evidence = entry["evidence"]
    wrong = _keys("evidence.", evidence, {"command": str, "commit": str, "steps": int, "losses_sha256": str})
    if wrong:
        return found + wrong
    if not evidence["command"].strip():
        found.append("evidence.command is empty")
    if evidence["steps"] < 20:
        found.append(f"evidence.steps={evidence['steps']}: losses must be the same over 20 steps or more")
    if not _FINGERPRINT.fullmatch(evidence["losses_sha256"]):
        found.append("evidence.losses_sha256 is no sha256 in hex")
    return found


def _keys(where: str, plain: Any, kinds: Mapping[str, type]) -> list[str]:
    if not isinstance(plain, Mapping):
        return [f"{where.rstrip('.') or 'it'} is no object"]
    found = [f"{where}{key} is unknown" for key in sorted(set(plain) - set(kinds))]
    found += [f"{where}{key} is missing" for key in kinds if key not in plain]
    return found + [
        f"{where}{key}={plain[key]!r} is no {kind.__name__}"
        for key, kind in kinds.items()
        if key in plain and (not isinstance(plain[key], kind) or isinstance(plain[key], bool))
    ]


def canonical(fingerprint: str) -> str:
    """The one name of all code that gives the same numbers as `fingerprint`, directly or through others; itself if
    there is none. Raises :class:`EquivalentError`."""
    try:
        changed = FILE.stat().st_mtime_ns
    except FileNotFoundError:
        return fingerprint
    return _canonical(FILE, changed).get(fingerprint, fingerprint)


@functools.lru_cache(maxsize=4)
def _canonical(path: Path, _changed: int) -> Mapping[str, str]:
    return classes(read(path))


def classes(entries: Iterable[Equivalent]) -> dict[str, str]:
    """Fingerprint -> the smallest of those it is equivalent to, for all that any entry names."""
    found: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for entry in entries:
        ends = sorted({found.get(entry.a, entry.a), found.get(entry.b, entry.b)})
        joined = [name for end in ends for name in members.pop(end, [end])]
        members[ends[0]] = joined
        found |= dict.fromkeys(joined, ends[0])
    return found


def add(entry: Equivalent, path: str | os.PathLike[str] = FILE) -> bool:
    """Adds an entry in its place, whole or not at all; False if the pair is there already. Raises
    :class:`EquivalentError` for an entry or a file that is not valid."""
    entries = read(path) if Path(path).exists() else []
    if any({old.a, old.b} == {entry.a, entry.b} for old in entries):
        return False
    problems = _problems(asdict(entry))
    if problems:
        raise EquivalentError("; ".join(problems))
    plain = sorted((asdict(one) for one in [*entries, entry]), key=lambda one: (one["a"], one["b"]))
    write_text(path, json.dumps(plain, indent=2) + "\n")
    return True
