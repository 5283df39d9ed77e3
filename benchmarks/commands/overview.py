"""`python -m benchmarks list`: which benchmarks there are, and what of them is prepared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import BENCHMARKS, module_of
from benchmarks.commands.layout import Layout
from benchmarks.commands.prepared import check_annotations, load_subset, read_quarantine, with_quarantine
from benchmarks.commands.progress import percent
from benchmarks.official import SUBSETS, Official
from hcml.data.manifest import ManifestError


def overview(root: Path | None) -> Iterator[str]:
    """Lines about all benchmarks and, with a root, what is prepared in it or in its folders called like them."""
    for name in BENCHMARKS:
        data = module_of(name)
        if not isinstance(data, Official):
            yield f"{name}: made by this repository, rendered when a run needs it (python -m benchmarks.{name} --help)"
            continue
        yield f"{name}: {data.title}"
        yield f"  splits {', '.join(data.splits)}; copies {', '.join(data.copies)} (the first is the default)"
        if root is not None:
            folders = [folder for folder in (root, root / name) if (folder / "manifests").is_dir()]
            lines = [line for folder in folders for line in prepared_lines(data, folder)]
            yield from lines or [f"  nothing of it is prepared in {root}"]


def prepared_lines(data: Official, root: Path) -> Iterator[str]:
    """A line for each prepared copy and split of a data set; a damaged or outdated one says so."""
    for version in data.copies:
        layout = Layout(root, version)
        for split in data.splits:
            if layout.manifest(split, SUBSETS[0]).is_file():
                try:
                    line = _line(data, layout, split)
                except ManifestError as error:
                    if "belongs to" in str(error):
                        continue
                    line = str(error)
                yield f"  {root}: {version}, split {split}: {line}"


def _line(data: Official, layout: Layout, split: str) -> str:
    parts = []
    bad = {video_id: reason for video_id, (_, reason) in read_quarantine(layout.quarantine).items()}
    for subset in SUBSETS:
        manifest = with_quarantine(load_subset(data, layout, split, subset), bad)
        check_annotations(data, layout, manifest)
        missing = len(manifest.missing)
        parts.append(
            f"{subset} {len(manifest.entries)} of {manifest.listed} videos "
            f"({missing} missing, {percent(missing, manifest.listed)}; {len(manifest.quarantine)} quarantined)"
        )
        synthetic = manifest.origin.get("synthetic", False)
    audited = "" if layout.audited.is_file() else "; not audited"
    return "; ".join(parts) + audited + ("; SYNTHETIC videos" if synthetic else "")
