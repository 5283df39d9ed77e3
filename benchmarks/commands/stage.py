"""Copies what a prepared copy needs to another folder, such as a compute node's own disk; the result is a `--root`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands.frames import INDEX, SHARDS, frame_files, packed_frames
from benchmarks.commands.layout import (
    Layout,
    PrepareError,
    cannot_write,
    check_room,
    check_root,
    check_version,
    locked,
    prepare_command,
    writing,
)
from benchmarks.commands.prepared import check_annotations, load_subset
from benchmarks.commands.progress import Lines, Say, amount, quiet
from benchmarks.official import SUBSETS, Official
from hcml.data.container import VideoError
from hcml.data.manifest import Manifest


@dataclass
class Staged:
    """What a run of `stage` did."""

    files: int = 0
    """That the copy consists of."""
    copied: int = 0
    bytes: int = 0
    """Of the copied ones."""
    absent: int = 0
    """Videos of the manifests that are not there to be copied (quarantined ones)."""


@dataclass(frozen=True)
class _File:
    path: str
    """Relative to both roots."""
    size: int
    small: bool = False
    """Text that may change without changing its size, so it is always copied."""


def stage(
    data: Official,
    root: Path,
    to: Path,
    version: str = "",
    splits: Sequence[str] = (),
    *,
    processes: int = 4,
    say: Say = quiet,
) -> Staged:
    """Copies manifests, annotations, quarantine and the videos (or shards) of the `splits` (none = all prepared ones)
    from `root` to the folder `to`: what is missing there or of another size. The manifests come last, so that a
    half-filled folder does not look prepared. Raises :class:`PrepareError`, ManifestError."""
    source = Layout(check_root(root), check_version(data, version))
    to = Path(to).expanduser()
    if to.resolve() == source.root.resolve():
        raise PrepareError(f"--to {to} is the --root itself; give another folder")
    for split in splits:
        data.check_split(split)
    asked = list(splits) or [split for split in data.splits if source.manifest(split, SUBSETS[0]).is_file()]
    if not asked:
        raise PrepareError(
            f"{data.name} (copy {source.version}) is not prepared under {source.root}; type: "
            f"{prepare_command(data, source.root, source.version)}"
        )
    manifests = [load_subset(data, source, split, subset) for split in asked for subset in SUBSETS]
    for manifest in manifests:
        check_annotations(data, source, manifest)
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
    staged = Staged()
    with locked(to / f".stage-{source.version}.lock", say):
        videos = _videos(source.root, manifests, data.frame_folders, staged)
        texts = _texts(source, manifests)
        last = [_sized(source.root, source.manifest(m.split, m.subset), small=True) for m in manifests]
        files = [*videos, *texts, *last]
        todo = [file for file in files if file.small or _size(to / file.path) != file.size]
        check_room(to, sum(file.size for file in todo))
        staged.files, staged.copied, staged.bytes = len(files), len(todo), sum(file.size for file in todo)
        say(f"{len(files) - len(todo)} of {len(files)} files are there; {amount(staged.bytes)} to copy")
        lines = Lines(say, "copied", len(todo))
        late = {file.path for file in last}
        for part in ([f for f in todo if f.path not in late], [f for f in todo if f.path in late]):
            for _ in _copied(source.root, to, part, processes):
                lines.step()
    return staged


def _videos(root: Path, manifests: list[Manifest], frame_folders: bool, staged: Staged) -> list[_File]:
    paths = dict.fromkeys(entry.path for manifest in manifests for entry in manifest.entries)
    if frame_folders:
        return list(_frames(root, list(paths), staged))
    files = []
    for path in paths:
        size = _size(root / path)
        if size is None:
            staged.absent += 1
        else:
            files.append(_File(path, size))
    return files


def _frames(root: Path, paths: list[str], staged: Staged) -> Iterator[_File]:
    """Shards where all videos of a folder are packed, else the frames one by one."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    for folder, members in folders.items():
        shards = root / f"{folder}{SHARDS}"
        packed = packed_frames(shards) if folder else {}
        loose = [path for path in members if path.rpartition("/")[2] not in packed]
        if packed:
            for place in sorted(shards.iterdir()):
                if place.suffix == ".tar" or place.name == INDEX:
                    yield _sized(root, place, small=place.name == INDEX)
        for path in loose:
            try:
                names = frame_files(root / path)
            except VideoError:
                staged.absent += 1
                continue
            for name in names:
                yield _sized(root, root / path / name)


def _texts(layout: Layout, manifests: list[Manifest]) -> list[_File]:
    annotations = sorted({name for manifest in manifests for name in manifest.origin.get("annotations", {})})
    paths = [layout.root / name for name in annotations]
    paths += [layout.ledger, layout.quarantine, layout.audited, layout.root / "SYNTHETIC"]
    return [_sized(layout.root, path, small=True) for path in paths if path.is_file()]


def _sized(root: Path, path: Path, small: bool = False) -> _File:
    try:
        return _File(path.relative_to(root).as_posix(), path.stat().st_size, small)
    except OSError as error:
        raise PrepareError(f"{path} cannot be read ({error.strerror})") from error


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _copied(root: Path, to: Path, files: list[_File], processes: int) -> Iterator[None]:
    pool = ThreadPoolExecutor(max(1, processes))
    with closing(_Shutdown(pool)):
        for future in [pool.submit(_copy, root / file.path, to / file.path) for file in files]:
            future.result()
            yield


class _Shutdown:
    """Ends a pool without doing what still waits in it."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all, with the original's times. Raises :class:`PrepareError`."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, temporary)
            shutil.copystat(source, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.filename == str(source):
            raise PrepareError(f"{source} cannot be read ({error.strerror})") from error
        raise cannot_write(target, error) from error
