"""Manifest + sampling + transform -> items.

Datasets hold plain values and no open video, so that they can be sent to any process.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hcml.config import SamplingConfig, TransformConfig
from hcml.data.manifest import Manifest, VideoEntry
from hcml.data.sampling import frames_needed, test_indices, train_indices
from hcml.data.transforms import test_transform, train_transform
from hcml.data.video import READERS, Reader, VideoError, open_reader

MAX_REPLACEMENTS = 10
LENGTH_TOLERANCE = 0.02
"""Share of a video's frames by which file and manifest may differ: containers of real benchmarks miscount a little."""


class ClipItem(TypedDict):
    """A training clip. `replaced`: ids of unreadable videos in whose place this one stands; `label`: of the clip as it
    is shown, so of the mirrored class where `transform.flip=mapped` has mirrored it."""

    clip: Tensor  # float32 [T, 3, h, w] in [0, 1]
    label: int
    group: int  # index into the manifest's group_names, -1 = none
    video_id: str
    replaced: list[str]


class ViewItem(TypedDict):
    """Views of a test video, of all its clips or of some; an unreadable one has no views and its reason in `error`."""

    views: Tensor  # float32 [V, T, 3, h, w] in [0, 1], clip-major; [0] if unreadable
    label: int
    group: int
    video_id: str
    indices: NDArray[np.int64]  # [clips, T]
    error: str | None


@dataclass(eq=False)
class _VideoDataset:
    manifest: Manifest
    sampling: SamplingConfig
    transform: TransformConfig
    decoder: str = "decord"

    def __post_init__(self) -> None:
        what = f"{self.manifest.benchmark} ({self.manifest.subset})"
        if self.decoder not in READERS:
            raise ValueError(f"benchmark.decoder={self.decoder!r} is not one of {', '.join(READERS)}")
        if not self.manifest.entries:
            raise ValueError(f"{what} has no videos; prepare the benchmark again")
        needed = frames_needed(self.sampling)
        short = [entry for entry in self.manifest.entries if entry.num_frames < needed]
        # Known from the manifest, so said before the first step and not in the middle of an epoch.
        if short and self.sampling.short_video == "error":
            raise ValueError(
                f"{len(short)} of {len(self.manifest.entries)} videos of {what} are shorter than the {needed} frames "
                f"that a clip spans (the first: {short[0].video_id}, {short[0].num_frames} frames): "
                "set sampling.short_video=pad_last or loop, or sample fewer frames or with a smaller stride"
            )
        self._groups = {name: number for number, name in enumerate(self.manifest.group_names)}

    def __len__(self) -> int:
        return len(self.manifest.entries)

    def _group(self, entry: VideoEntry) -> int:
        return self._groups.get(entry.group, -1)

    def _open(self, entry: VideoEntry) -> Reader:
        if entry.video_id in self.manifest.quarantine:
            raise VideoError(
                self.manifest.video_path(entry), f"quarantined: {self.manifest.quarantine[entry.video_id]}"
            )
        return open_reader(self.manifest.video_path(entry), self.decoder)

    def _length(self, entry: VideoEntry, reader: Reader) -> int:
        """Frames to sample from. A file that holds clearly fewer or more frames than the manifest says was cut short
        or exchanged after `prepare`, and clips from it would not be the ones that the record names."""
        found, promised = len(reader), entry.num_frames
        length = min(found, promised)
        too_short = self.sampling.short_video == "error" and length < frames_needed(self.sampling)
        if too_short or abs(found - promised) > LENGTH_TOLERANCE * promised:
            raise VideoError(
                self.manifest.video_path(entry),
                f"has {found} frames, but the manifest says {promised}: the file is truncated or was exchanged; "
                "fetch it again, or prepare the benchmark again",
            )
        return length


@dataclass(eq=False)
class ClipDataset(_VideoDataset, Dataset[ClipItem]):
    """Training clips, by (epoch, index), of the videos that are not quarantined.

    What an item holds is a pure function of (seed, epoch, index): its random numbers come from a generator of its
    own, so neither the number of loader processes nor a resume changes anything. ValueError at construction for an
    empty manifest, an unknown decoder, or videos too short under `short_video=error`.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        self.manifest = self.manifest.healthy()
        super().__post_init__()
        flip, name = self.transform.flip, self.manifest.benchmark
        if flip == "horizontal" and self.manifest.mirror:
            raise ValueError(
                f"transform.flip=horizontal would give mirrored videos of {name} the label of another class (its "
                "classes depend on left and right): set transform.flip=mapped or none"
            )
        if flip == "mapped" and not self.manifest.mirror:
            raise ValueError(
                f"transform.flip=mapped needs to know which classes of {name} a mirror swaps, and its manifest names "
                "none: set transform.flip=none, or horizontal where no class depends on left and right"
            )

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        """Raises :class:`VideoError` when the video and the 10 that follow it are all unreadable."""
        epoch, index = key
        replaced: list[str] = []
        entries = self.manifest.entries
        for attempt in range(min(MAX_REPLACEMENTS + 1, len(entries))):
            entry = entries[(index + attempt) % len(entries)]
            # The generator starts anew, so a replacement is drawn as if it had been asked for in the first place.
            rng = np.random.default_rng((self.seed, epoch, index))
            try:
                with contextlib.closing(self._open(entry)) as reader:
                    length = self._length(entry, reader)
                    frames = reader.get(train_indices(length, self.sampling, rng))
            except VideoError as error:
                replaced.append(entry.video_id)
                last = error
                continue
            clip, mirrored = train_transform(frames, self.transform, rng)
            swap = mirrored and self.transform.flip == "mapped"
            return {
                "clip": clip,
                "label": self.manifest.mirrored_label(entry.label) if swap else entry.label,
                "group": self._group(entry),
                "video_id": entry.video_id,
                "replaced": replaced,
            }
        raise VideoError(
            last.path,
            f"{last.reason} (nor could any of the {len(replaced)} videos tried in turn be read: "
            f"{', '.join(replaced)}); check the data root",
        ) from last


@dataclass(eq=False)
class ViewDataset(_VideoDataset, Dataset[ViewItem]):
    """Test videos by index, each with V = `num_clips` x `num_crops` views. Never another video in place of one.

    ValueError at construction as for :class:`ClipDataset`, and for mirrored crops (`num_crops=10`) where classes depend
    on left and right.
    """

    num_clips: int = 1
    num_crops: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_crops == 10 and self.manifest.mirror:
            raise ValueError(
                f"num_crops=10 mirrors its crops, but classes of {self.manifest.benchmark} depend on left and right: "
                "use num_crops=5 or 3"
            )

    def __getitem__(self, index: int) -> ViewItem:
        """All views of a video."""
        return self.part(index, 0, self.num_clips)

    def part(self, index: int, first: int, stop: int) -> ViewItem:
        """The views of clips `first` .. `stop` - 1 of a video: so many views need not be in memory at once."""
        entry = self.manifest.entries[index]
        shape = (stop - first, self.sampling.num_frames)
        views, error = torch.zeros(0), None
        indices = np.zeros(shape, dtype=np.int64)
        try:
            with contextlib.closing(self._open(entry)) as reader:
                indices = test_indices(self._length(entry, reader), self.sampling, self.num_clips)[first:stop]
                # One call for all these clips: what they share is decoded once.
                unique, inverse = np.unique(indices, return_inverse=True)
                frames = reader.get(unique)
        except VideoError as failure:
            error = str(failure)
        else:
            crops = test_transform(frames, self.transform, self.num_crops)
            # [num_crops, frames, ...] -> [clips, num_crops, T, ...] -> [V, T, ...]
            views = crops[:, torch.from_numpy(inverse.reshape(shape))].transpose(0, 1).flatten(0, 1)
        return {
            "views": views,
            "label": entry.label,
            "group": self._group(entry),
            "video_id": entry.video_id,
            "indices": indices,
            "error": error,
        }
