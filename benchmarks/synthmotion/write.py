"""A folder of synthmotion videos: which exist, which are missing, and the annotations of those that exist.

<root>/synthmotion-<version>/
    spec.json           the specification and its hash
    videos/<subset>/<class>/<index>.mp4
    videos.jsonl        one line per video: drawn parameters, size, hash of the decoded frames
    train.csv test.csv  annotations, read by hcml.data.annotations.read_annotations
    summary.json        counts, and one hash over the decoded frames of each subset
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from benchmarks.synthmotion.encode import decoded_hash, relative_path, write_some
from benchmarks.synthmotion.spec import CLASSES, SUBSETS, TIER_OF, VERSIONS, Spec, SpecError, video_id

Progress = Callable[[int, int], None]
"""Called with (videos done, videos to do)."""

CHUNK = 16
"""Videos a rendering process does at a time: an interruption loses at most this many per process."""
HEADER = ("video_id", "path", "class", "num_frames", "fps", "group")


def folder_of(root: Path, version: str) -> Path:
    """The folder of a version."""
    return Path(root) / f"synthmotion-{version}"


def load_spec(root: Path, version: str) -> Spec:
    """The specification of a version: a known one's from the code (its folder must agree), another one's from its
    folder. Raises SpecError if there is none or they differ."""
    path = folder_of(root, version) / "spec.json"
    if not path.exists():
        if version in VERSIONS:
            return VERSIONS[version]
        raise SpecError(
            f"synthmotion has no version {version!r}: it knows {', '.join(VERSIONS)}, and {path} does not exist; "
            f"render one of your own with: python -m benchmarks.synthmotion --root {root} --version {version} ..."
        )
    try:
        spec = Spec.from_dict(json.loads(path.read_text(encoding="utf-8"))["spec"])
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{path}: not a readable specification ({error}); remove {path.parent}, render anew") from error
    if version in VERSIONS and spec != VERSIONS[version]:
        raise SpecError(
            f"{path.parent} holds videos of another specification ({spec.content_hash()[:12]}) than synthmotion-"
            f"{version} of this code ({VERSIONS[version].content_hash()[:12]}); remove that folder, or use another root"
        )
    return spec


def write_benchmark(
    root: Path,
    version: str,
    counts: dict[str, int],
    *,
    spec: Spec | None = None,
    processes: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Makes sure that the first counts[subset] videos of each class exist, rendering only the missing ones.

    `spec` is for versions of one's own. Safe to interrupt and to call from two processes at once (the second one
    waits). Returns the version's folder; raises SpecError.
    """
    folder = folder_of(root, version)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        spec = _settle_spec(root, version, spec)
        rows = _read_rows(folder)
        keys = [(subset, name, i) for subset in SUBSETS for i in range(counts.get(subset, 0)) for name in CLASSES]
        missing = [key for key in keys if not _exists(folder, key, rows)]
        if missing:
            with (folder / "videos.jsonl").open("a", encoding="utf-8") as stream:
                done = 0
                for some in _render(spec, folder, missing, processes):
                    for row in some:
                        rows[row["video_id"]] = row
                        stream.write(json.dumps(row) + "\n")
                    stream.flush()
                    done += len(some)
                    if progress is not None:
                        progress(done, len(missing))
        if missing or not (folder / "summary.json").exists():
            _write_annotations(folder, spec, rows)
    return folder


def damaged_videos(folder: Path) -> list[str]:
    """Ids of the listed videos of a version's folder whose file is missing or decodes to other frames than it did when
    it was written."""
    found = []
    for name, row in _read_rows(folder).items():
        try:
            same = decoded_hash(folder / relative_path(row["subset"], row["class"], row["index"]))[0]
        except (OSError, av.FFmpegError):
            same = None
        if same != row["frames_sha256"]:
            found.append(name)
    return found


def _settle_spec(root: Path, version: str, spec: Spec | None) -> Spec:
    path = folder_of(root, version) / "spec.json"
    if path.exists() or spec is None:
        found = load_spec(root, version)
        if spec is not None and spec != found:
            raise SpecError(f"{path.parent} holds another specification; choose another --version for this one")
    elif version in VERSIONS and spec != VERSIONS[version]:
        raise SpecError(f"the specification of version {version} is fixed; choose another --version for this one")
    else:
        found = spec
    if not path.exists():
        _write(path, json.dumps({"spec": found.to_dict(), "sha256": found.content_hash()}, indent=1) + "\n")
    return found


def _exists(folder: Path, key: tuple[str, str, int], rows: dict[str, dict[str, Any]]) -> bool:
    row = rows.get(video_id(*key))
    path = folder / relative_path(*key)
    return row is not None and path.is_file() and path.stat().st_size == row["bytes"]


def _render(
    spec: Spec, folder: Path, keys: list[tuple[str, str, int]], processes: int
) -> Iterator[list[dict[str, Any]]]:
    chunks = [keys[i : i + CHUNK] for i in range(0, len(keys), CHUNK)]
    if processes <= 1 or len(chunks) == 1:
        yield from (write_some(spec, folder, chunk) for chunk in chunks)
        return
    # spawned, because forking a process that has started torch's threads may hang
    pool = ProcessPoolExecutor(min(processes, len(chunks)), mp_context=multiprocessing.get_context("spawn"))
    with pool:
        futures = [pool.submit(write_some, spec, folder, chunk) for chunk in chunks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _read_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """videos.jsonl by id; a last line torn by an interruption is dropped (its video is rendered again)."""
    path = folder / "videos.jsonl"
    if not path.exists():
        return {}
    rows = {}
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
            rows[row["video_id"]] = row
        except (ValueError, KeyError, TypeError) as error:
            if number <= text.count("\n"):
                raise SpecError(f"{path}:{number}: not a row ({error}); remove {folder} and render anew") from error
    if not text.endswith("\n"):
        _write(path, "".join(json.dumps(row) + "\n" for row in rows.values()))
    return rows


def _write_annotations(folder: Path, spec: Spec, rows: dict[str, dict[str, Any]]) -> None:
    ordered = sorted(
        rows.values(), key=lambda row: (SUBSETS.index(row["subset"]), CLASSES.index(row["class"]), row["index"])
    )
    _write(folder / "videos.jsonl", "".join(json.dumps(row) + "\n" for row in ordered))
    summary: dict[str, Any] = {"spec_sha256": spec.content_hash(), "subsets": {}}
    for subset in SUBSETS:
        text, digest = io.StringIO(), hashlib.sha256()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        chosen = [row for row in ordered if row["subset"] == subset]
        for row in chosen:
            path = relative_path(subset, row["class"], row["index"])
            writer.writerow((row["video_id"], path, row["class"], spec.frames, spec.fps, TIER_OF[row["class"]]))
            digest.update(f"{row['video_id']} {row['frames_sha256']}\n".encode())
        _write(folder / f"{subset}.csv", text.getvalue())
        summary["subsets"][subset] = {"videos": len(chosen), "frames_sha256": digest.hexdigest()}
    _write(folder / "summary.json", json.dumps(summary, indent=1) + "\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _write(path: Path, text: str) -> None:
    """The whole text or nothing."""
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
