"""``python -m results.keep RUNS_DIR RECORDS_DIR [--experiment NAME...] [--only ID...] [--replace]``: what is committed.

Of every finished run (or those of some experiments, or some runs) and of its ancestors, into
RECORDS_DIR/<phase>/<slug>-<id12>/: record.json (to the byte), metrics.jsonl, predictions.csv.gz (the five columns that
figures are counted from; no time in it, so that the same predictions are the same bytes), unreadable.csv unless it is
empty, and pictures/. A record that is there and differs is left as it is, and named, unless ``--replace`` is given.
Exit code 0; 1 when something was refused or is missing; 2 when there is nothing to keep, or RECORDS_DIR cannot be
written.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.command import one_line
from results.command import run as run_command
from results.flatten import flat
from results.record import FILE_NAME
from results.rules.folder import DAMAGE, HEADER, RunFolder, csv_rows, read_text
from results.rules.runs import find_runs

PICTURES = "pictures"
_PICTURE_FILES = (".png", ".json")
_PACKED = "predictions.csv.gz"
_SHORT_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Kept:
    """What happened to one run. `state`: new, unchanged, completed (files were added), replaced or refused."""

    name: str
    """<phase>/<slug>-<id12>."""
    state: str
    size: int
    """Bytes of what is kept of it."""
    why: str = ""


class Refused(ValueError):
    """A run that cannot be kept as it is; the text says why."""


@dataclass(frozen=True)
class Candidate:
    """A finished run, without all that its files hold."""

    path: Path
    names: frozenset[str]
    lineage: tuple[str, ...]
    experiments: frozenset[str]
    finished: str = ""


def select(
    root: Path, experiments: Sequence[str] = (), only: Sequence[str] = ()
) -> tuple[list[RunFolder], list[str], int]:
    """The finished runs below `root` to keep, ancestors included, in the order of their folders; what is wrong with
    the choice or with records there; how many runs have not finished.

    experiments: names that were given as `experiment=NAME`; only: ids of runs or first digits of them, at least 6. With
    neither, all.
    """
    finished, problems, unfinished = _finished(root)
    chosen = set(finished)
    if experiments or only:
        chosen = {run_id for run_id in finished if any(_is_named(run_id, short) for short in only)}
        problems += [
            f"--only {short}: no finished run has this id (give 6 of its digits or more)"
            for short in only
            if not any(_is_named(run_id, short) for run_id in finished)
        ]
        of_experiments = _of_experiments(root, finished, experiments)
        problems += [f"--experiment {name}: no finished run of it" for name, ids in of_experiments.items() if not ids]
        chosen = chosen.union(*of_experiments.values())
    for run_id in sorted(chosen):
        for ancestor in finished[run_id].lineage:
            if ancestor not in finished:
                problems.append(f"{finished[run_id].path}: its ancestor {ancestor[:12]} is not below {root}")
            else:
                chosen.add(ancestor)
    # read anew one by one: all of them at once need not fit into memory
    return (
        [RunFolder(run.path, run.names) for run_id, run in finished.items() if run_id in chosen],
        problems,
        unfinished,
    )


def _finished(root: Path) -> tuple[dict[str, Candidate], list[str], int]:
    """Id -> run, what is wrong, and how many have not finished."""
    runs = find_runs([root])
    problems = [f"{path}: {why}" for path, why in runs.foreign]
    finished: dict[str, Candidate] = {}
    unfinished = 0
    while runs.folders:
        run = runs.folders.pop(0)
        record = run.record
        if run.file("record") is None or (run.status or {"state": "done"}).get("state") != "done":
            unfinished += 1
        elif record is None:
            problems.append(f"{run.path}: damaged, not kept: {run.damage('record')}")
        elif not run.path.name.endswith(f"-{record['run_id'][:12]}"):
            problems.append(f"{run.path}: not kept: it holds the record of another run, {record['run_id'][:12]}")
        else:
            named = {str((run.config or {}).get("experiment"))} | _experiments(record["command"])
            lineage = tuple(record["lineage"])
            this = Candidate(run.path, run.names, lineage, frozenset(named), record["finished"])
            kept = other = finished.get(record["run_id"], this)
            if other is not this:  # of two copies the one that tables take: the last to finish, then the last by path
                kept, left = sorted((other, this), key=lambda one: (one.finished, str(one.path)), reverse=True)
                problems.append(f"{left.path}: not kept: the same run as {kept.path}")
            finished[record["run_id"]] = kept
    return dict(sorted(finished.items(), key=lambda item: str(item[1].path))), problems, unfinished


def _is_named(run_id: str, short: str) -> bool:
    return len(short) >= 6 and run_id.startswith(short.lower())


def _of_experiments(root: Path, finished: Mapping[str, Candidate], names: Sequence[str]) -> dict[str, set[str]]:
    """Experiment -> its finished runs: those whose command names it, and those that a sweep of it used again."""
    found = {name: {run_id for run_id, run in finished.items() if name in run.experiments} for name in names}
    for sweep in _sweeps(root):
        ids = {str(run.get("run_id")) for run in sweep["runs"] if isinstance(run, dict)}
        for name in _experiments(str(sweep.get("command", "")).split()) & set(names):
            found[name] |= ids & set(finished)
    return found


def _experiments(words: Iterable[str]) -> set[str]:
    given = [word.strip("'\"").partition("=")[2] for word in words if word.strip("'\"").startswith("experiment=")]
    return {name for value in given for name in value.split(",")}


def _sweeps(root: Path) -> Iterator[dict[str, Any]]:
    """The sweeps of a store; a damaged one says nothing."""
    for path in sorted(root.glob("_sweeps/*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and isinstance(content.get("runs"), list):
            yield content


def contents(run: RunFolder) -> dict[str, bytes]:
    """Name below the run's folder -> bytes of all that is kept of it, the record last. Raises :class:`Refused`."""
    for kind in ("journal", "predictions", "unreadable"):
        if damage := run.damage(kind):
            raise Refused(damage)
    found: dict[str, bytes] = {}
    try:
        if path := run.file("journal"):
            found["metrics.jsonl"] = path.read_bytes()
        if path := run.file("predictions"):
            found[_PACKED] = packed(read_text(path))
        if (path := run.file("unreadable")) and run.unreadable:
            found["unreadable.csv"] = path.read_bytes()
        pictures = run.path / PICTURES
        for path in sorted(pictures.iterdir()) if pictures.is_dir() else []:
            if path.suffix in _PICTURE_FILES and path.is_file() and not path.name.startswith("."):
                found[f"{PICTURES}/{path.name}"] = path.read_bytes()
        found[FILE_NAME] = (run.path / FILE_NAME).read_bytes()
    except DAMAGE as error:
        raise Refused(f"cannot be read: {error}") from error
    return found


def packed(text: str) -> bytes:
    """The first five columns of a predictions.csv, compressed; the same text gives the same bytes."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(row[: len(HEADER)] for row in csv_rows(text))
    return gzip.compress(buffer.getvalue().encode(), compresslevel=9, mtime=0)


def keep(run: RunFolder, records: Path, replace: bool = False) -> Kept:
    """Copies one run. Raises OSError if `records` cannot be written; each file is then whole or as it was."""
    record = run.record or {}
    name = f"{record['phase']}/{record['slug']}-{record['run_id'][:12]}"
    target = records / name
    try:
        _check_name(record)
        wanted = contents(run)
    except Refused as error:
        return Kept(name, "refused", 0, str(error))
    size = sum(map(len, wanted.values()))
    others = [path for path in (records / record["phase"]).glob(f"*-{record['run_id'][:12]}") if path != target]
    if others:
        return Kept(name, "refused", 0, f"the run is kept as {others[0].name} already: move that folder away")
    there = {path: _read(target / path) for path in wanted}
    differing = [path for path, data in wanted.items() if there[path] is not None and not _same(data, there[path])]
    stale = [path for path in ("metrics.jsonl", _PACKED, "unreadable.csv") if path not in wanted]
    stale = [path for path in stale if (target / path).exists()]
    old = there[FILE_NAME]
    if (differing or (stale and old is not None)) and not replace:
        why = [_what_differs(path, wanted[path], there[path] or b"") for path in differing]
        why += [f"{path} is kept, the run has none" for path in stale]
        return Kept(name, "refused", 0, f"differs from what is kept: {'; '.join(why)} (--replace takes it)")
    for path, data in wanted.items():
        if there[path] is None or path in differing:
            _write(target / path, data)
    for path in stale:
        (target / path).unlink()
    added = [path for path in wanted if there[path] is None]
    state = "new" if old is None else "replaced" if differing or stale else "completed" if added else "unchanged"
    return Kept(name, state, size, ", ".join(added) if state == "completed" else "")


def _check_name(record: Mapping[str, Any]) -> None:
    """Records come from anywhere: none may be written anywhere. Raises :class:`Refused`."""
    slug, short = record["slug"], record["run_id"][:12]
    if not slug.isprintable() or "/" in slug or "\\" in slug or slug.startswith((".", "_")):
        raise Refused(f"slug={slug!r} makes no name of a folder below {record['phase']}/")
    if not _SHORT_ID.fullmatch(short):
        raise Refused(f"run_id begins with {short!r}, not with 12 hexadecimal digits")


def _same(data: bytes, there: bytes | None) -> bool:
    if data == there:
        return True
    try:  # another zlib packs the same predictions into other bytes
        return gzip.decompress(data) == gzip.decompress(there or b"")
    except DAMAGE:
        return False


def _what_differs(path: str, new: bytes, old: bytes) -> str:
    if path != FILE_NAME:
        return path
    try:
        mine, theirs = flat(json.loads(new)), flat(json.loads(old))
    except (ValueError, AttributeError):
        return f"{path} (the one that is kept is damaged)"
    keys = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
    shown = [f"{key} {theirs.get(key)!r} -> {mine.get(key)!r}"[:160] for key in keys[:4]]
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return f"{path} ({', '.join(shown) or 'only in its layout'}{more})"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m results.keep", description="Copies what is committed of runs.", allow_abbrev=False
    )
    parser.add_argument("runs", type=Path, metavar="RUNS_DIR", help="where the run folders are")
    parser.add_argument("records", type=Path, metavar="RECORDS_DIR", help="where to keep them: results/records")
    parser.add_argument("--experiment", nargs="+", default=[], metavar="NAME", help="only runs of these experiments")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these runs (6 digits or more)")
    parser.add_argument("--replace", action="store_true", help="overwrite what is kept and differs")
    options = parser.parse_args(arguments)
    if options.runs.resolve().is_relative_to(options.records.resolve()):
        parser.error(f"{options.runs} lies in {options.records}: kept records would mix with runs; name another folder")
    if options.records.resolve().is_relative_to(options.runs.resolve()):
        parser.error(f"{options.records} lies in {options.runs}: records would be taken for runs")
    runs, problems, unfinished = select(options.runs, options.experiment, options.only)
    for problem in problems:
        print(one_line(problem), file=sys.stderr)
    if not runs:
        print(f"nothing to keep: no finished run below {options.runs} that was asked for", file=sys.stderr)
        return 2
    done = []
    for run in runs:
        try:
            done.append(keep(run, options.records, options.replace))
        except OSError as error:
            what = f"cannot write {error.filename or options.records}: {error.strerror}"
            print(one_line(f"error: {what}; after {len(done)} of {len(runs)} runs"), file=sys.stderr)
            return 2
        last = done[-1]
        print(one_line(f"{last.state} {last.name} {_bytes(last.size)} {last.why}"))
    states = [item.state for item in done]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    print(
        f"{len(done)} run{'' if len(done) == 1 else 's'}: {counts}; "
        f"{_bytes(sum(item.size for item in done))} in {options.records}"
        + (f"; {unfinished} runs have not finished" if unfinished else "")
    )
    return 1 if problems or "refused" in states else 0


def _bytes(count: int) -> str:
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


if __name__ == "__main__":
    sys.exit(run_command(main))
