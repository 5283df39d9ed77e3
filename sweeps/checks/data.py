"""The data sets of a site: where they should be, what of them is prepared, and what their audits found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import BENCHMARKS, module_of
from benchmarks.commands.layout import Layout, prepare_command
from benchmarks.commands.prepared import check_annotations, load_subset, read_quarantine, with_quarantine
from benchmarks.commands.progress import percent
from benchmarks.official import SUBSETS, AnnotationError, Official
from hcml.data.manifest import ManifestError
from sweeps.checks.finding import Finding, ok, problem, warning
from sweeps.checks.site import Site
from sweeps.checks.storage import existing

GONE = 0.03
"""Share of the listed videos that may be missing or quarantined without a word (`test.coverage` is 0.97)."""


def data_sets(site: Site) -> Iterator[Finding]:
    """A line for each prepared copy and split; what a typed benchmark needs and has not is a problem."""
    needed = {
        (settings["benchmark"]["name"], str(settings["benchmark"]["version"]), str(settings["benchmark"]["split"]))
        for settings in site.all_settings
    }
    absent = []
    for name in BENCHMARKS:
        data, root = module_of(name), site.data.of(name)
        if not isinstance(data, Official):
            yield from rendered(name, root, name in {wanted for wanted, _, _ in needed})
            continue
        lines = list(prepared(data, root))
        yield from lines
        wanted = [(version, split) for of, version, split in sorted(needed) if of == name]
        for version, split in wanted:
            if not Layout(root, version).manifest(split, SUBSETS[0]).is_file():
                text = f"copy {version}, split {split} is not prepared in {root}"
                remedy = (
                    f"{prepare_command(data, root, version)} --split {split}; or say where it is: paths.data.{name}"
                )
                yield problem(name, text, remedy)
        if not lines and not wanted:
            absent.append(f"{name} ({root}{'' if root.is_dir() else ', which is no folder'})")
    if absent:
        yield ok("data sets", f"not prepared, and not asked for: {', '.join(absent)}")


def rendered(name: str, root: Path, needed: bool) -> Iterator[Finding]:
    """An embedded benchmark is made when a run needs it: there must be a place for it."""
    import os

    if needed and not os.access(existing(root), os.W_OK):
        yield problem(name, f"{root} cannot be written, and its videos are rendered there", "set paths.data.root=DIR")
    elif needed:
        yield ok(name, f"is rendered in {root} when a run needs it")


def prepared(data: Official, root: Path) -> Iterator[Finding]:
    """A line for each copy and split that is prepared in `root`."""
    for version in data.copies:
        layout = Layout(root, version)
        for split in data.splits:
            if layout.manifest(split, SUBSETS[0]).is_file():
                try:
                    yield one_split(data, layout, split)
                except (ManifestError, AnnotationError, OSError) as error:
                    if "belongs to" not in str(error):  # several data sets may share a root
                        yield problem(data.name, f"copy {version}, split {split}: {error}", "then type this again")


def one_split(data: Official, layout: Layout, split: str) -> Finding:
    """Raises ManifestError and OSError."""
    bad = {video_id: reason for video_id, (_, reason) in read_quarantine(layout.quarantine).items()}
    parts, gone, first = [], 0.0, None
    for subset in SUBSETS:
        manifest = with_quarantine(load_subset(data, layout, split, subset), bad)
        check_annotations(data, layout, manifest)
        lost = len(manifest.missing) + len(manifest.quarantine)
        gone = max(gone, lost / manifest.listed if manifest.listed else 0.0)
        parts.append(
            f"{subset} {len(manifest.entries)} of {manifest.listed} "
            f"({len(manifest.missing)} missing, {len(manifest.quarantine)} quarantined)"
        )
        first = first or next(iter(manifest.entries), None)
        synthetic = manifest.origin.get("synthetic", False)
    text = f"copy {layout.version}, split {split} in {layout.root}: {', '.join(parts)}"
    text += "; SYNTHETIC videos" if synthetic else ""
    if first is not None and not data.frame_folders and not (layout.root / first.path).is_file():
        return problem(
            data.name,
            f"{text}; but {first.path} is not there",
            "is the disk attached? was scratch emptied? stage or prepare it again",
        )
    if not layout.audited.is_file():
        remedy = f"python -m benchmarks audit {data.name} --root {layout.root} --copy {layout.version}"
        return warning(data.name, f"{text}; not audited", remedy)
    if gone > GONE:
        remedy = f"up to {percent(round(1000 * gone), 1000)} are lost: rows below test.coverage are incomparable"
        return warning(data.name, text, remedy)
    return ok(data.name, f"{text}; audited")
