"""Annotation files and a tree of videos -> manifests: videos found, counted and, where the copy asks for it, encoded
anew. What was done is in the ledger, so a run that was interrupted goes on where it stopped."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.commands.frames import SHARDS, frame_files, frames_hash, packed_frames
from benchmarks.commands.isolate import Lost, run_isolated
from benchmarks.commands.layout import (
    ORIGINAL,
    Layout,
    PrepareError,
    check_root,
    check_version,
    locked,
    writing,
)
from benchmarks.commands.ledger import Row, open_ledger, read_ledger
from benchmarks.commands.locate import Located, locate
from benchmarks.commands.manifests import write_manifests
from benchmarks.commands.progress import Lines, Say, percent, quiet
from benchmarks.commands.reencode import (
    Counted,
    Settings,
    count_decoded,
    count_packets,
    libraries,
    lost_frames,
    reencode,
)
from benchmarks.official import SUBSETS, AnnotationError, ListedVideo, Listing, Official, sha256_of
from hcml.data.container import VideoError

TIME_LIMIT = 1800.0
"""Seconds after which a video that is still being encoded is given up as one that a decoder hangs on."""
COUNTS = ("packets", "decode")
FRAMES_UNKNOWN_RATE = 0.0
"""Frames per second of frame folders: nothing in them says."""


@dataclass
class Outcome:
    """What a run of `prepare` found; `unreadable` maps ids of files that are there to why they cannot be used."""

    version: str
    listings: dict[str, Listing]
    located: Located
    unreadable: dict[str, str] = field(default_factory=dict)
    cut_short: list[str] = field(default_factory=list)
    """Ids of videos that hold clearly fewer frames than their header says; `audit` will quarantine them."""
    manifests: list[Path] = field(default_factory=list)
    done_now: int = 0


@dataclass(frozen=True)
class _Task:
    video_id: str
    path: str


def prepare(
    data: Official,
    root: Path,
    version: str = "",
    splits: Sequence[str] = (),
    *,
    processes: int = 2,
    count: str = "packets",
    say: Say = quiet,
) -> Outcome:
    """Prepares the copy `version` ('' = the default one) of the `splits` (none = all) of a data set under `root`.

    Writes the manifests even if videos are unreadable: those are in `Manifest.quarantine`, with their reasons. Safe to
    interrupt, and to start twice (the second run waits). Raises :class:`PrepareError` and
    :class:`benchmarks.official.AnnotationError`.
    """
    if count not in COUNTS:
        raise PrepareError(f"--count {count} is not one of {', '.join(COUNTS)}")
    layout = Layout(check_root(root), check_version(data, version))
    for split in splits:
        data.check_split(split)
    listings = listings_of(data, layout.root, splits, say)
    videos = _union(listings.values())
    with locked(layout.ledger.with_suffix(".lock"), say):
        located = _with_copies(layout, locate(data, layout.root, videos), say)
        _say_located(say, layout.root, data, located, len(videos))
        _check_subsets(layout.root, listings, located, bool(splits), say)
        if data.frame_folders and layout.version != ORIGINAL:
            raise PrepareError(f"{data.name} consists of frame folders; its only copy is {ORIGINAL}")
        outcome = Outcome(layout.version, listings, located)
        rows = _work(layout, data, located, processes, count, say, outcome)
        outcome.cut_short = [video_id for video_id, row in rows.items() if "error" not in row and cut_short(row)]
        if avi := [row["source"] for row in rows.values() if _decord_refuses(layout, row)]:
            say(
                f"warning: decord will refuse {len(avi)} of these files (such as {avi[0]}), because it reads wrong "
                f"frames from MPEG-4 AVI without saying so: use benchmark.decoder=pyav, or prepare another copy "
                f"({', '.join(copy for copy in data.copies if copy != ORIGINAL)})"
            )
        outcome.unreadable = {video_id: row["error"] for video_id, row in rows.items() if "error" in row}
        outcome.manifests = write_manifests(layout, data, listings, located, rows, Settings())
    return outcome


def listings_of(data: Official, root: Path, splits: Sequence[str], say: Say) -> dict[str, Listing]:
    """Listings of the splits. Where none is named, those behind the first may lack their annotation files."""
    listings: dict[str, Listing] = {}
    for split in splits or data.splits:
        try:
            listings[split] = data.listing(root, split)
        except AnnotationError as error:
            if splits or split == data.splits[0]:
                raise
            say(f"warning: split {split} is left out: {error}")
    return listings


def cut_short(row: Row) -> str:
    """Why the file of a ledger's row must be taken for truncated ('' = it need not)."""
    promised, frames = row.get("promised", 0), row["frames"]
    if lost_frames(promised, frames):
        return f"holds {frames} frames, but its header says {promised}: it was cut short; fetch it again"
    return ""


def _union(listings: Iterable[Listing]) -> list[ListedVideo]:
    return list({video.video_id: video for listing in listings for video in listing.videos}.values())


def _with_copies(layout: Layout, located: Located, say: Say) -> Located:
    """Counts as found what is missing but was encoded before: originals may be deleted then."""
    if layout.version == ORIGINAL or not located.missing:
        return located
    rows, settings = read_ledger(layout.ledger), Settings().to_dict()
    kept = {
        video_id: row["source"]
        for video_id in located.missing
        if (row := rows.get(video_id))
        and "error" not in row
        and row["encoder"] == settings
        and _copy_is_whole(layout, row)
    }
    if kept:
        say(f"{len(kept)} videos are there as copies alone: their originals are gone")
    missing = [video_id for video_id in located.missing if video_id not in kept]
    return Located({**located.paths, **kept}, missing, located.ambiguous)


def _check_subsets(root: Path, listings: dict[str, Listing], located: Located, asked: bool, say: Say) -> None:
    """Leaves out splits of which a whole subset is not there; an error for the first, and for those asked for."""
    first = next(iter(listings))
    for split, listing in list(listings.items()):
        for subset in SUBSETS:
            listed = listing.subset(subset)
            if not listed or any(video.video_id in located.paths for video in listed):
                continue
            text = (
                f"none of the {len(listed)} {subset} videos of split {split} is under {root} (such as "
                f"{listed[0].places[0]})"
            )
            if asked or split == first:
                raise PrepareError(f"{text}; put them there, or give the folder that holds all videos as --root")
            say(f"warning: split {split} is left out: {text}")
            listings.pop(split, None)


def _say_located(say: Say, root: Path, data: Official, located: Located, listed: int) -> None:
    found = len(located.paths)
    say(
        f"{data.name}: {listed} videos are listed, {found} found ({percent(found, listed)}), "
        f"{len(located.missing)} missing ({percent(len(located.missing), listed)})"
    )
    if located.ambiguous:
        video_id, places = next(iter(located.ambiguous.items()))
        say(
            f"warning: {len(located.ambiguous)} videos have several files; the first was taken, such as "
            f"{places[0]} for {video_id} (also {', '.join(places[1:4])})"
        )
    if not found:
        example = located.missing[:3]
        raise PrepareError(
            f"{root}: none of the {listed} videos of {data.name} is there (looked for {', '.join(example)}, ... at the "
            "usual places, then anywhere); give the folder that holds the videos as --root"
        )


def _work(
    layout: Layout, data: Official, located: Located, processes: int, count: str, say: Say, outcome: Outcome
) -> dict[str, Row]:
    """Rows of all found videos, after doing what is not done yet."""
    settings = {} if layout.version == ORIGINAL else Settings().to_dict()
    with open_ledger(layout.ledger) as ledger:
        if data.frame_folders:
            todo = [_Task(video_id, path) for video_id, path in located.paths.items()]
            answers: Any = zip(todo, _frame_rows(layout.root, todo, ledger.rows), strict=True)
        else:
            todo = [
                _Task(video_id, path)
                for video_id, path in located.paths.items()
                if not _is_done(layout, ledger.rows.get(video_id), path, settings, count)
            ]
            _empty(layout.scratch)
            work = functools.partial(_do, layout=layout, count=count, settings=settings)
            answers = run_isolated(work, todo, processes=processes, limit=TIME_LIMIT)
        what = "counted" if layout.version == ORIGINAL else "encoded"
        if len(todo) < len(located.paths):
            say(f"{len(located.paths) - len(todo)} of {len(located.paths)} are {what} already")
        lines = Lines(say, what, len(todo))
        for task, row in answers:
            if isinstance(row, Lost):
                row = {"video_id": task.video_id, "source": task.path, "error": f"{task.path}: {row.reason}"}
            if ledger.rows.get(task.video_id) != row:
                ledger.add(row)
            outcome.done_now += 1
            lines.step()
        _empty(layout.scratch)
        return {video_id: ledger.rows[video_id] for video_id in located.paths}


def _is_done(layout: Layout, row: Row | None, path: str, settings: dict[str, Any], count: str) -> bool:
    """Whether the row still says what is on disk. Videos that could not be read are tried again each time."""
    if row is None or "error" in row or "sha256" not in row or row["source"] != path or row["encoder"] != settings:
        return False
    if layout.version == ORIGINAL and count == "decode" and row["counted"] != "decode":
        return False
    try:
        if (layout.root / path).stat().st_size != row["source_bytes"]:
            return False
    except FileNotFoundError:
        pass  # deleted after it was encoded: see _with_copies
    except OSError:
        return False
    return _copy_is_whole(layout, row)


def _copy_is_whole(layout: Layout, row: Row) -> bool:
    try:
        size: int = (layout.root / layout.copy_of(row["source"])).stat().st_size
    except OSError:
        return False
    return size == row["bytes"]


def _do(task: _Task, *, layout: Layout, count: str, settings: dict[str, Any]) -> Row:
    """Counts or encodes one video; runs in a process of its own."""
    source = layout.root / task.path
    row: Row = {"video_id": task.video_id, "source": task.path}
    try:
        size = source.stat().st_size
        if layout.version == ORIGINAL:
            target, counted = source, _count(source, count)
        else:
            target = layout.root / layout.copy_of(task.path)
            counted = reencode(source, target, layout.scratch, layout.version)
        sha256 = sha256_of(target)
    except VideoError as error:
        return {**row, "error": f"{task.path}: {error.reason}"}
    except OSError as error:
        return {**row, "error": f"{task.path}: cannot be opened ({error.strerror})"}
    header = counted.header
    return {
        **row,
        "source_bytes": size,
        "bytes": target.stat().st_size,
        "sha256": sha256,
        "frames": counted.frames,
        "counted": count if layout.version == ORIGINAL else "encode",
        "fps": header.fps,
        "header_frames": header.frames,
        "header_seconds": round(header.seconds, 3),
        "promised": header.promised,
        "codec": header.codec,
        "width": header.width,
        "height": header.height,
        "encoder": settings,
        "libraries": libraries() if settings else {},
    }


def _count(source: Path, count: str) -> Counted:
    return count_decoded(source) if count == "decode" else count_packets(source)


def _frame_rows(root: Path, tasks: Sequence[_Task], known: Mapping[str, Row]) -> Iterator[Row]:
    """Rows of frame folders, packed or not: counted by their names each time, which is cheaper than to ask whether
    they changed; read once, for their hash."""
    packed: dict[str, dict[str, int]] = {}
    for task in tasks:
        parent = task.path.rpartition("/")[0]
        if parent not in packed:
            packed[parent] = packed_frames(root / f"{parent}{SHARDS}")

    def row_of(task: _Task) -> Row:
        row: Row = {"video_id": task.video_id, "source": task.path, "fps": FRAMES_UNKNOWN_RATE, "encoder": {}}
        parent, _, name = task.path.rpartition("/")
        try:
            if name in packed[parent] and not (root / task.path).is_dir():
                frames = packed[parent][name]
            else:
                frames = len(frame_files(root / task.path))
            before = known.get(task.video_id, {})
            same = before.get("source") == task.path and before.get("frames") == frames and "sha256" in before
            return {**row, "frames": frames, "sha256": before["sha256"] if same else frames_hash(root / task.path)}
        except VideoError as error:
            return {"video_id": task.video_id, "source": task.path, "error": f"{task.path}: {error.reason}"}

    # threads, because all the time goes by waiting for the file system
    with ThreadPoolExecutor(16) as pool:
        yield from pool.map(row_of, tasks)


def _decord_refuses(layout: Layout, row: Row) -> bool:
    if layout.version != ORIGINAL or "codec" not in row:
        return False
    return row["codec"] == "mpeg4" or row["source"].lower().endswith(".avi")


def _empty(scratch: Path) -> None:
    """Removes what an interrupted run left half-written."""
    if scratch.is_dir():
        with writing(scratch):
            shutil.rmtree(scratch)
