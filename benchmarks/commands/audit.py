"""Reads prepared videos as training will, and writes down which must not be used: DIR/quarantine/VERSION.csv.

Each video is decoded from its first frame on (PyAV, the oracle) and read by index with the decoder that runs use (see
examine.py). Decoders work in processes of their own: a crash or a hang is that video's failure alone.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.commands.examine import PATTERNS, UNGUARDED, Case, Finding, examine, reader_of
from benchmarks.commands.frames import INDEX, SHARDS
from benchmarks.commands.isolate import Lost, run_isolated
from benchmarks.commands.layout import (
    ORIGINAL,
    Layout,
    PrepareError,
    check_root,
    check_version,
    locked,
    prepare_command,
)
from benchmarks.commands.ledger import Ledger, Row, open_ledger, read_ledger
from benchmarks.commands.prepare import cut_short
from benchmarks.commands.prepared import check_annotations, load_subset, read_quarantine, write_quarantine
from benchmarks.commands.progress import Lines, Say, quiet
from benchmarks.official import SUBSETS, Official
from hcml.data.manifest import VideoEntry

TIME_LIMIT = 120.0
"""Seconds for one video, after which the decoder is taken to hang."""


@dataclass
class Report:
    """What an audit found."""

    decoder: str
    listed: int
    """Videos of the manifests."""
    checked: int = 0
    skipped: int = 0
    """Healthy when they were checked before, and unchanged since."""
    found: dict[str, Finding] = field(default_factory=dict)
    """Id -> what is wrong, of the videos checked now."""
    quarantined: int = 0
    """Videos on the list now, those of earlier audits included."""
    list_file: Path | None = None
    """Where they are written down; None = nowhere."""

    def by_kind(self) -> list[tuple[str, list[str]]]:
        """(kind, ids), the most frequent kind first."""
        counts = Counter(finding.kind for finding in self.found.values())
        return [
            (kind, [video_id for video_id, finding in self.found.items() if finding.kind == kind])
            for kind, _ in counts.most_common()
        ]


def audit(
    data: Official,
    root: Path,
    version: str = "",
    splits: Sequence[str] = (),
    *,
    sample: int = 0,
    processes: int = 2,
    decoder: str = "",
    seed: int = 0,
    limit: float = TIME_LIMIT,
    again: bool = False,
    say: Say = quiet,
) -> Report:
    """Examines `sample` videos drawn by `seed` (0 = all) of the prepared splits (none given = all that are prepared).

    The quarantine list keeps what it says of videos that are not examined now; what is examined and healthy is taken
    off it. Videos that this decoder was found to read right, and that did not change since, are skipped unless `again`.
    `decoder` '' = the usual one of the data set; with decord-unguarded nothing is written down, because no run uses
    it. Raises :class:`PrepareError`, ManifestError and AnnotationError.
    """
    layout = Layout(check_root(root), check_version(data, version))
    if not decoder and data.avi and layout.version == ORIGINAL:
        # decord refuses such files, and a list of all of them would keep them from PyAV too
        say("decord cannot read this copy: it is audited with pyav, which runs need too (benchmark.decoder=pyav)")
        decoder = "pyav"
    decoder = decoder or ("frames" if data.frame_folders else "decord")
    try:
        reader_of(decoder)
    except ValueError as error:
        raise PrepareError(str(error)) from error
    entries = _entries(data, layout, splits)
    chosen = _drawn(list(entries.values()), sample, seed)
    report = Report(decoder, len(entries))
    work = functools.partial(examine, root=layout.root, decoder=decoder, seed=seed, frame_folders=data.frame_folders)
    if decoder == UNGUARDED:
        report.checked = len(chosen)
        for case, finding in _findings(work, _cases(layout, chosen), processes, limit, say):
            if finding.kind:
                report.found[case.video_id] = finding
        return report
    with locked(layout.audited.with_suffix(".lock"), say), open_ledger(layout.audited) as ledger:
        identities = {entry.video_id: _identity(layout, entry, decoder) for entry in chosen}
        todo = [entry for entry in chosen if again or not _was_healthy(ledger, identities[entry.video_id])]
        report.skipped = len(chosen) - len(todo)
        if report.skipped:
            say(f"{report.skipped} of {len(chosen)} videos were found healthy before (--again checks them anew)")
        bad = read_quarantine(layout.quarantine)
        try:
            for case, finding in _findings(work, _cases(layout, todo), processes, limit, say):
                report.checked += 1
                ledger.add({**identities[case.video_id], "kind": finding.kind, "reason": finding.reason})
                bad.pop(case.video_id, None)
                if finding.kind:
                    report.found[case.video_id] = finding
                    bad[case.video_id] = (case.path, f"{finding.kind}: {finding.reason}")
        finally:
            # what was found before an interruption counts too
            report.quarantined, report.list_file = len(bad), layout.quarantine
            write_quarantine(layout.quarantine, bad)
    return report


def _findings(
    work: Callable[[Case], Finding], cases: list[Case], processes: int, limit: float, say: Say
) -> Iterator[tuple[Case, Finding]]:
    lines = Lines(say, "audited", len(cases))
    for case, finding in run_isolated(work, cases, processes=processes, limit=limit):
        yield case, Finding("crash or hang", finding.reason) if isinstance(finding, Lost) else finding
        lines.step()


def _entries(data: Official, layout: Layout, splits: Sequence[str]) -> dict[str, VideoEntry]:
    """Entries of the splits' manifests by id; of all prepared splits if none is named."""
    for split in splits:
        data.check_split(split)
    asked = list(splits) or [split for split in data.splits if layout.manifest(split, SUBSETS[0]).is_file()]
    if not asked:
        raise PrepareError(
            f"{data.name} (copy {layout.version}) is not prepared under {layout.root}; type: "
            f"{prepare_command(data, layout.root, layout.version)}"
        )
    entries: dict[str, VideoEntry] = {}
    for split in asked:
        for subset in SUBSETS:
            manifest = load_subset(data, layout, split, subset)
            check_annotations(data, layout, manifest)
            entries.update({entry.video_id: entry for entry in manifest.entries})
    return entries


def _drawn(entries: list[VideoEntry], sample: int, seed: int) -> list[VideoEntry]:
    if sample < 0:
        raise PrepareError(f"--sample {sample} must be at least 1 (--full takes all)")
    if sample == 0 or sample >= len(entries):
        return entries
    numbers = np.random.default_rng(seed).choice(len(entries), sample, replace=False)
    return [entries[number] for number in sorted(numbers.tolist())]


def _cases(layout: Layout, entries: list[VideoEntry]) -> list[Case]:
    rows = read_ledger(layout.ledger)
    return [
        Case(
            entry.video_id,
            entry.path,
            entry.num_frames,
            rows.get(entry.video_id, {}).get("sha256", ""),
            _known(layout, rows.get(entry.video_id)),
        )
        for entry in entries
    ]


def _known(layout: Layout, row: Row | None) -> Finding | None:
    """What the ledger knows of an original: its copy is not there, or is whole in itself though the original is not."""
    if row is None:
        return None
    if "error" in row:
        return None if layout.version == ORIGINAL else Finding("unreadable", row["error"])
    reason = cut_short(row)
    return Finding("truncated", reason) if reason else None


def _identity(layout: Layout, entry: VideoEntry, decoder: str) -> Row:
    """What a finding depends on."""
    path = layout.root / entry.path
    if not path.exists():
        packed = path.parent.with_name(path.parent.name + SHARDS) / INDEX
        path = packed if packed.exists() else path
    try:
        status = path.stat()
        size, changed = status.st_size, status.st_mtime_ns
    except OSError:
        size, changed = -1, 0
    return {
        "video_id": entry.video_id,
        "decoder": decoder,
        "bytes": size,
        "changed": changed,
        "frames": entry.num_frames,
        "patterns": PATTERNS,
    }


def _was_healthy(ledger: Ledger, identity: Row) -> bool:
    return ledger.rows.get(identity["video_id"]) == {**identity, "kind": "", "reason": ""}
