"""Reading official annotation files: finding them, their lines, and errors that name file, line, problem and remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.official import AnnotationError, ListedVideo, Listing, classes_hash, sha256_of
from hcml.data.manifest import listing_of


class Lists:
    """The annotation files of one split, as they are read: where they are, and what is wrong with them."""

    def __init__(self, root: Path, title: str) -> None:
        self.root = Path(root)
        self._title = title
        self._hashes: dict[str, str] = {}
        if not self.root.is_dir():
            raise AnnotationError(f"{self.root}: there is no such folder; name the one that holds {title}")

    @property
    def annotations(self) -> dict[str, str]:
        """File relative to the root -> sha256 (hex), of every file that was read so far."""
        return dict(self._hashes)

    def find(self, folders: Sequence[str], names: Sequence[str]) -> Path:
        """The file that has one of the `names` in one of the `folders` (relative, '' = the root itself).

        Raises :class:`AnnotationError` if there is none, or if there are two that differ.
        """
        places = [self.root / folder / name for folder in folders for name in names]
        found = [path for path in places if path.is_file()]
        if not found:
            where = ", ".join(folder or "." for folder in folders)
            raise AnnotationError(
                f"{self.root}: no annotation file {' or '.join(names)} (looked in: {where}); "
                f"put the official file of {self._title} there"
            )
        for other in found[1:]:
            if sha256_of(other) != sha256_of(found[0]):
                raise AnnotationError(f"{found[0]} and {other} differ; keep the one that is meant, remove the other")
        return found[0]

    def text(self, path: Path) -> str:
        """The text of a file (UTF-8, with or without a byte order mark), which is noted as read."""
        try:
            content = path.read_bytes()
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{path}: not readable as UTF-8 ({error}); fetch the official file again") from error
        self._hashes[path.relative_to(self.root).as_posix()] = hashlib.sha256(content).hexdigest()
        return text

    def lines(self, path: Path) -> list[tuple[int, str]]:
        """(number from 1, text without white space at the ends) of the lines that are not empty."""
        # not splitlines: names may hold what only Unicode takes for a line end
        stripped = (line.strip() for line in self.text(path).split("\n"))
        return [(number, line) for number, line in enumerate(stripped, 1) if line]

    def listing(self, classes: list[str], videos: list[ListedVideo]) -> Listing:
        """The listing of a split; files that list nothing at all are refused."""
        for subset in ("train", "test"):
            if not any(video.subset == subset for video in videos):
                raise AnnotationError(
                    f"{self.root}: the annotation files list no {subset} videos; fetch the official files again"
                )
        return Listing(classes, videos, self.annotations)


class Once:
    """Refuses what is listed twice, wherever the first time was."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}

    def check(self, video_id: str, place: str) -> None:
        """Raises ValueError if `video_id` came before; `place` (file:line) is for the message about the next time."""
        first = self._places.setdefault(video_id, place)
        if first != place:
            raise ValueError(
                f"video {video_id!r} is listed twice, first at {first}; no official list does that, so fetch them again"
            )


def refuse(path: Path, problems: list[str]) -> None:
    """Raises :class:`AnnotationError` with the first 20 `problems` of a file; nothing if there are none."""
    if problems:
        raise AnnotationError(listing_of(str(path), problems))


def agree_on_classes(path: Path, found: Sequence[str], expected: Sequence[str]) -> None:
    """Raises :class:`AnnotationError` that names the first difference, unless a file's classes are the known ones in
    the known order: results of another order cannot be compared label by label."""
    if classes_hash(found) == classes_hash(expected):
        return
    remedy = "use the official file"
    if len(found) != len(expected):
        missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        what = f"; missing: {_some(missing)}; unknown: {_some(extra)}"
        raise AnnotationError(f"{path}: {len(found)} classes in place of {len(expected)}{what}; {remedy}")
    label = next(i for i, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
    same = " (the same classes in another order)" if sorted(found) == sorted(expected) else ""
    raise AnnotationError(
        f"{path}: class {label} (counted from 0) is {found[label]!r}, not {expected[label]!r}{same}; {remedy}"
    )


def folders_in(root: Path, named: Sequence[str]) -> list[str]:
    """Where to look for videos: those of the `named` folders that are there (packed ones too); if none is, the first
    of them and '', the root itself."""
    return [name for name in named if _exists(root / name)] or [named[0], ""]


def _exists(folder: Path) -> bool:
    return folder.is_dir() or folder.with_name(f"{folder.name}.shards").is_dir()


def joined(*parts: str) -> str:
    """A POSIX path from parts, of which some may be empty."""
    return "/".join(part for part in parts if part)


def _some(names: list[str], count: int = 3) -> str:
    return (", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")) or "none"
