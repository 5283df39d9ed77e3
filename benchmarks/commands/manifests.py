"""Listings and ledger rows -> the manifests of a copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.commands.layout import ORIGINAL, Layout, PrepareError, writing
from benchmarks.commands.ledger import Row
from benchmarks.commands.locate import Located
from benchmarks.commands.reencode import Settings
from benchmarks.official import SUBSETS, Listing, Official
from hcml.data.manifest import Manifest, VideoEntry


def write_manifests(
    layout: Layout,
    data: Official,
    listings: dict[str, Listing],
    located: Located,
    rows: dict[str, Row],
    settings: Settings,
) -> list[Path]:
    """Writes a manifest for each split and subset; returns their paths. `rows` has a row for each found video."""
    written = []
    for split, listing in listings.items():
        for subset in SUBSETS:
            path = layout.manifest(split, subset)
            _check_owner(path, data)
            with writing(path):
                make_manifest(layout, data, split, subset, listing, located, rows, settings).save(path)
            written.append(path)
    return written


def make_manifest(
    layout: Layout,
    data: Official,
    split: str,
    subset: str,
    listing: Listing,
    located: Located,
    rows: dict[str, Row],
    settings: Settings,
) -> Manifest:
    """The videos of one subset, in the order of the list. An unreadable one has no frames and its reason in
    `quarantine`."""
    entries, missing, quarantine = [], [], {}
    for video in listing.subset(subset):
        path = located.paths.get(video.video_id)
        if path is None:
            missing.append(video.video_id)
            continue
        row = rows[video.video_id]
        if "error" in row:
            quarantine[video.video_id] = row["error"]
        frames, fps = row.get("frames", 0), row.get("fps", 0.0)
        entries.append(VideoEntry(video.video_id, layout.copy_of(path), video.label, frames, fps))
    labels = {name: label for label, name in enumerate(listing.classes)}
    return Manifest(
        benchmark=data.name,
        version=layout.version,
        split=split,
        subset=subset,
        root=layout.root,
        classes=list(listing.classes),
        entries=entries,
        missing=missing,
        quarantine=quarantine,
        mirror=[[labels[name] for name in pair] for pair in data.mirrored],
        origin=_origin(layout, data, split, listing, rows, settings),
    )


def _check_owner(path: Path, data: Official) -> None:
    """Two data sets under one root would overwrite each other's manifests. Raises :class:`PrepareError`."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8")).get("benchmark")
    except (OSError, ValueError, AttributeError):
        return  # none there, or a damaged one to be replaced
    if owner != data.name:
        raise PrepareError(f"{path} belongs to {owner}: give each data set a --root of its own")


def has_official_size(data: Official, split: str, listing: Listing) -> bool | None:
    """Whether the lists name as many videos as the owners' do; where there are many lists, True for the sizes of
    published copies and None for others, of which nothing can be said."""
    counts = {subset: len(listing.subset(subset)) for subset in SUBSETS}
    if split in data.sizes:
        return counts == data.sizes[split]
    known = bool(data.known_sizes) and all(counts[subset] in sizes for subset, sizes in data.known_sizes.items())
    return True if known else None


def _origin(
    layout: Layout, data: Official, split: str, listing: Listing, rows: dict[str, Row], settings: Settings
) -> dict[str, Any]:
    origin: dict[str, Any] = {
        "annotations": dict(sorted(listing.annotations.items())),
    }
    if (official := has_official_size(data, split, listing)) is not None:
        origin["official_lists"] = official
    if layout.version != ORIGINAL:
        used = {
            ", ".join(f"{name} {version}" for name, version in row["libraries"].items())
            for row in rows.values()
            if "libraries" in row
        }
        origin["encoder"] = {**settings.to_dict(), "libraries": sorted(used)}
    if layout.synthetic:
        origin["synthetic"] = True
    return origin
