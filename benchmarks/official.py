"""What the official data sets have in common: annotation files that say which videos there are, and a tree of files.

A data set is an :class:`Official` with a reader of its annotation files. `prepare` (benchmarks/commands/) finds the
listed videos, re-encodes them where the copy asks for it, and writes manifests; training and testing read those alone.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from hcml.config import BenchmarkConfig
    from hcml.data.manifest import Data, Manifest

SUBSETS = ("train", "test")


class AnnotationError(ValueError):
    """An official annotation file that is missing or not what its owners hand out: where, what, and what to do."""


@dataclass(frozen=True)
class ListedVideo:
    """A video that the annotation files of one split name."""

    video_id: str
    """Unique within the data set: the file's stem as the owners name it."""
    label: int
    """Index into the listing's classes."""
    subset: str
    """train | test: what the split uses it for."""
    places: tuple[str, ...]
    """Where the known layouts put it, relative to the data set's root, POSIX, likeliest first. A folder for frames."""


@dataclass(frozen=True)
class Listing:
    """What the annotation files say about one split."""

    classes: list[str]
    """In the order of the labels."""
    videos: list[ListedVideo]
    annotations: dict[str, str]
    """Each file that was read, relative to the root (POSIX) -> sha256 of its bytes."""

    def subset(self, name: str) -> list[ListedVideo]:
        return [video for video in self.videos if video.subset == name]


@dataclass(frozen=True)
class Official(ABC):
    """One data set as its owners hand it out."""

    name: str
    """What `benchmark.name` calls it."""
    title: str
    splits: tuple[str, ...]
    """The first is the one that is used when nobody says which."""
    copies: tuple[str, ...]
    """Values of `benchmark.version`: original (the files as handed out), h264 (re-encoded, same size), short256
    (short side 256), 340x256. Rows of different copies are different rows. The first is the default."""
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Split -> subset -> videos that the official lists name; {} where copies of the lists differ."""
    known_sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Subset -> sizes that published copies have (docs/data.md has their sources), where no list is the list."""
    mirrored: tuple[tuple[str, str], ...] = ()
    """Pairs of classes that a mirror swaps; () = mirroring changes no class, unless `directed`."""
    directed: bool = False
    """Classes depend on left and right, so a plain flip is refused."""
    frame_folders: bool = False
    """Videos are folders of JPEG files."""
    avi: bool = False
    """Handed out as MPEG-4 in AVI, of which decoders that seek give wrong frames."""

    CLASSES: ClassVar[Path] = Path(__file__).parent / "classes"

    def classes(self) -> list[str]:
        """Class names in the order of the labels, from benchmarks/classes/NAME.txt (lines with # are comments)."""
        text = (self.CLASSES / f"{self.name}.txt").read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    @abstractmethod
    def listing(self, root: Path, split: str) -> Listing:
        """Reads the annotation files under `root`. Raises :class:`AnnotationError`: a missing or damaged file, an
        unknown class, classes in another order, a video listed twice."""

    def source_of(self, video_id: str) -> str:
        """The recording that a video was cut from: videos of one source must not be trained and tested on."""
        return video_id

    def num_classes(self, config: BenchmarkConfig) -> int:
        """Classes of the split. Raises :class:`AnnotationError` for an unknown split or copy."""
        self.check(config.split, config.version)
        self.check_decoder(config)
        return len(self.classes())

    def class_names(self, config: BenchmarkConfig) -> list[str]:
        """The same for every split and copy."""
        self.check(config.split, config.version)
        return self.classes()

    def prepare(self, root: Path, config: BenchmarkConfig) -> Path:
        """Checks that `python -m benchmarks prepare` was run: it takes hours, so no sweep does it on its own."""
        self.load(root, config)
        return Path(root)

    def load(self, root: Path, config: BenchmarkConfig) -> Data:
        """Both prepared manifests, quarantine included. Raises AnnotationError or ManifestError with the command to
        type where something is missing."""
        from benchmarks.commands.prepared import load_prepared

        self.check(config.split, config.version)
        data = load_prepared(self, Path(root), config.version, config.split)
        data.train = _part(data.train, config.train_per_class)
        data.test = _part(data.test, config.test_per_class)
        return data

    def check(self, split: str, version: str) -> None:
        """Raises :class:`AnnotationError` for a split or a copy that there is none of."""
        self.check_split(split)
        if version not in self.copies:
            raise AnnotationError(
                f"benchmark.version={version!r} is not a copy of {self.name}: {', '.join(self.copies)}"
            )

    def check_decoder(self, config: BenchmarkConfig) -> None:
        """Raises :class:`AnnotationError` for a decoder that cannot read this copy, before anything is started."""
        if self.frame_folders != (config.decoder == "frames"):
            kind = "folders of frames" if self.frame_folders else "video files"
            right = "frames" if self.frame_folders else "decord"
            raise AnnotationError(
                f"benchmark.decoder={config.decoder} does not fit {self.name}, which consists of {kind}: leave it out "
                f"({right} is set for it)"
            )
        if self.avi and config.version == "original" and config.decoder != "pyav":
            raise AnnotationError(
                f"benchmark.version=original of {self.name} is MPEG-4 in AVI, of which {config.decoder} gives wrong "
                f"frames: set benchmark.decoder=pyav, or benchmark.version={self.copies[0]}"
            )

    def check_split(self, split: str) -> None:
        if split not in self.splits:
            raise AnnotationError(f"benchmark.split={split!r} is not a split of {self.name}: {', '.join(self.splits)}")


def _part(manifest: Manifest, per_class: int) -> Manifest:
    """The first `per_class` videos of each class (0 = all). A part is marked: it is not the official subset."""
    part = manifest.subset_per_class(per_class)
    if len(part.entries) == len(manifest.entries):
        return manifest
    return replace(part, origin=manifest.origin | {"part": True})


def classes_hash(classes: Sequence[str]) -> str:
    """sha256 (hex) of the names in the order of the labels, a line each."""
    return hashlib.sha256("".join(f"{name}\n" for name in classes).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
