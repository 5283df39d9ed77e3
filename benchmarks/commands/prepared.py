"""What `prepare` and `audit` left behind, read for training and testing."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from benchmarks.commands.layout import Layout, prepare_command, write_whole
from benchmarks.official import SUBSETS, Official, sha256_of
from hcml.data.manifest import Data, Manifest, ManifestError

QUARANTINE_HEADER = ["video_id", "path", "reason"]


def load_prepared(data: Official, root: Path, version: str, split: str) -> Data:
    """Both manifests of a prepared split, with what `audit` quarantined.

    Raises :class:`ManifestError`, naming the command to type: not prepared, damaged, or prepared from other annotation
    files than are there now; :class:`benchmarks.official.AnnotationError` for an unknown copy or split.
    """
    data.check(split, version)
    layout = Layout(Path(root), version)
    subsets = {subset: load_subset(data, layout, split, subset) for subset in SUBSETS}
    check_annotations(data, layout, subsets["train"])
    bad = read_quarantine(layout.quarantine)
    reasons = {video_id: reason for video_id, (_, reason) in bad.items()}
    return Data(**{subset: with_quarantine(manifest, reasons) for subset, manifest in subsets.items()})


def load_subset(data: Official, layout: Layout, split: str, subset: str) -> Manifest:
    """One manifest as `prepare` wrote it."""
    path = layout.manifest(split, subset)
    command = f"{prepare_command(data, layout.root, layout.version)} --split {split}"
    if not path.is_file():
        raise ManifestError(
            f"{data.name} (copy {layout.version}, split {split}) is not prepared under {layout.root}"
            f"{_what_is(layout)}; type: {command}, or say where it is: paths.data.{data.name}=DIR"
        )
    try:
        manifest = Manifest.load(path, layout.root)
    except ManifestError as error:
        raise ManifestError(f"{error}; type: {command}") from error
    if manifest.benchmark != data.name:
        raise ManifestError(f"{path} belongs to {manifest.benchmark}, not to {data.name}: give that one's own root")
    return manifest


def _what_is(layout: Layout) -> str:
    """The copies and splits that are prepared, in words."""
    found = sorted(
        f"{path.parent.name}, split {path.stem[:-6]}" for path in layout.root.glob("manifests/*/*-train.json")
    )
    return f" (but there are: {'; '.join(found)})" if found else ""


def check_annotations(data: Official, layout: Layout, manifest: Manifest) -> None:
    """Raises :class:`ManifestError` if an annotation file was changed after the manifest was made. One that is not
    there any more changes nothing."""
    for name, digest in manifest.origin.get("annotations", {}).items():
        path = layout.root / name
        if path.is_file() and sha256_of(path) != digest:
            raise ManifestError(
                f"{path} was changed after {data.name} was prepared from it; type: "
                f"{prepare_command(data, layout.root, layout.version)} --split {manifest.split}"
            )


def with_quarantine(manifest: Manifest, reasons: dict[str, str]) -> Manifest:
    """The manifest with further quarantined videos; ids that it does not list are left out."""
    listed = {entry.video_id for entry in manifest.entries}
    found = {video_id: reason for video_id, reason in reasons.items() if video_id in listed}
    return replace(manifest, quarantine={**manifest.quarantine, **found}) if found else manifest


def read_quarantine(path: Path) -> dict[str, tuple[str, str]]:
    """Id -> (path, reason) of a quarantine list; {} if there is none. Raises :class:`ManifestError`."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, None)
            if header != QUARANTINE_HEADER:
                raise ManifestError(f"{path}:1: the header must be {','.join(QUARANTINE_HEADER)}; run audit again")
            found = {}
            for row in reader:
                if len(row) != len(QUARANTINE_HEADER):
                    raise ManifestError(f"{path}:{reader.line_num}: {len(row)} cells in place of 3; correct that line")
                found[row[0]] = (row[1], row[2])
            return found
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} cannot be read ({error}); remove it and run audit again") from error


def write_quarantine(path: Path, bad: dict[str, tuple[str, str]]) -> None:
    """Writes a list that :func:`read_quarantine` reads, sorted by id."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(QUARANTINE_HEADER)
    writer.writerows([video_id, *bad[video_id]] for video_id in sorted(bad))
    write_whole(path, text.getvalue())
