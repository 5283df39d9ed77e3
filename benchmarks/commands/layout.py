"""Where everything lies under a data set's root, and how it is written: whole or not at all, one process at a time.

DIR/                          annotation files and videos, wherever the common layouts put them
DIR/prepared/VERSION/         re-encoded videos, at their originals' relative paths
DIR/prepared/VERSION.jsonl    what `prepare` knows of each video (benchmarks/commands/ledger.py)
DIR/manifests/VERSION/        SPLIT-SUBSET.json, all that training and testing read
DIR/quarantine/VERSION.csv    what `audit` found unusable
DIR/SYNTHETIC                 a text, in trees that `synthesize` wrote
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from benchmarks.commands.progress import amount
from benchmarks.official import Official
from hcml.data.manifest import write_atomically

OURS = ("prepared", "manifests", "quarantine")
"""Folders of ours under the root; no video of the data set lies there."""
ORIGINAL = "original"
"""The copy that is the files as handed out."""


class PrepareError(RuntimeError):
    """What stops a whole command, and not one video alone: what is wrong and what to do, in one message."""


@dataclass(frozen=True)
class Layout:
    """Paths of one copy of a data set."""

    root: Path
    version: str

    @property
    def videos(self) -> Path:
        return self.root / "prepared" / self.version

    @property
    def scratch(self) -> Path:
        """Half-written videos; emptied by the next run."""
        return self.root / "prepared" / f".{self.version}.partial"

    @property
    def ledger(self) -> Path:
        return self.root / "prepared" / f"{self.version}.jsonl"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine" / f"{self.version}.csv"

    @property
    def audited(self) -> Path:
        """What `audit` checked already."""
        return self.root / "quarantine" / f"{self.version}.audit.jsonl"

    def manifest(self, split: str, subset: str) -> Path:
        return self.root / "manifests" / self.version / f"{split}-{subset}.json"

    @property
    def synthetic(self) -> bool:
        return (self.root / "SYNTHETIC").is_file()

    def copy_of(self, path: str) -> str:
        """Path of the copy of the video at `path`, both relative to the root."""
        if self.version == ORIGINAL:
            return path
        return f"prepared/{self.version}/{path.rpartition('.')[0] or path}.mp4"


def check_root(root: Path) -> Path:
    """The root as a path; raises :class:`PrepareError` if it is no folder."""
    root = Path(root).expanduser()
    if not root.is_dir():
        raise PrepareError(f"--root {root}: there is no such folder; give the one that holds the data set")
    return root


def check_version(data: Official, version: str) -> str:
    """`version`, or the default copy for ''; raises :class:`PrepareError` for a copy that the data set has not."""
    if version and version not in data.copies:
        raise PrepareError(f"{data.name} has no copy {version!r}; it has: {', '.join(data.copies)}")
    return version or data.copies[0]


def prepare_command(data: Official, root: Path, version: str) -> str:
    """What to type to prepare that copy."""
    return f"python -m benchmarks prepare {data.name} --root {quote(str(root))} --copy {version}"


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """Turns the system's refusals to write into a :class:`PrepareError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise cannot_write(what, error) from error


def cannot_write(what: Path, error: OSError) -> PrepareError:
    if isinstance(error, PermissionError) or error.errno == 30:  # EROFS
        advice = (
            "give yourself permission to write there, or make a folder of your own that holds links to the data's "
            "files and folders and give that as --root"
        )
    else:
        advice = "make room there (disk, quota), then start the same command again: it goes on where it stopped"
    return PrepareError(f"{what} cannot be written ({error.strerror or error}): {advice}")


def check_room(folder: Path, needed: int) -> None:
    """Raises :class:`PrepareError` if the disk of `folder` has not `needed` bytes left."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise cannot_write(folder, error) from error
    if needed > free:
        raise PrepareError(
            f"{folder} has {amount(free)} left, and {amount(needed)} are needed: make room there, or choose another "
            "folder"
        )


@contextmanager
def locked(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock file `path`; tells `waiting` once if another process holds it, and waits for that one."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(f"another process is at work here ({path}); waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, text: str) -> None:
    """The whole text or nothing; raises :class:`PrepareError`."""
    with writing(path):
        write_atomically(path, text)
