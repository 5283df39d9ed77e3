"""Batches, in an order and with contents that depend on nothing but the seed and the step.

Training reads one endless stream: the videos of epoch 0 in a random order, then those of epoch 1, and so on; step s
takes its places s B .. (s + 1) B - 1. Any step can be the first, so a resumed run sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcml.data.dataset import ClipDataset, ViewDataset
from hcml.data.stream import BatchSource, BatchStream, LoaderError

__all__ = ["ClipBatch", "LoaderError", "ViewBatch", "stream_keys", "test_batches", "train_batches", "view_units"]

ViewKey = tuple[int, int, int]
"""(index of a test video, its first clip, behind its last clip)."""


class ClipBatch(TypedDict):
    """B training clips. `replaced`: ids of unreadable videos; `epoch`: epochs done once this batch is."""

    clip: Tensor  # float32 [B, T, 3, h, w] in [0, 1]
    label: Tensor  # int64 [B]
    group: Tensor  # int64 [B], -1 = none
    video_id: list[str]
    replaced: list[str]
    epoch: float


class ViewBatch(TypedDict):
    """The readable ones of a batch of test videos, and (id, error) of the others. The clips are all of a video's or,
    where these are too many for a batch, the next of them: their batches follow one another."""

    views: Tensor  # float32 [B, clips x num_crops, T, 3, h, w] in [0, 1]
    label: Tensor  # int64 [B]
    group: Tensor  # int64 [B], -1 = none
    video_id: list[str]
    indices: Tensor  # int64 [B, clips, T]
    unreadable: list[tuple[str, str]]


def stream_keys(num_videos: int, batch_size: int, seed: int, step: int) -> list[tuple[int, int]]:
    """(epoch, index) of the `batch_size` clips of training step `step`."""
    keys = []
    for place in range(step * batch_size, (step + 1) * batch_size):
        epoch, rank = divmod(place, num_videos)
        keys.append((epoch, int(_epoch_order(num_videos, seed, epoch)[rank])))
    return keys


@lru_cache(maxsize=2)  # a batch reaches from one epoch into the next
def _epoch_order(num_videos: int, seed: int, epoch: int) -> NDArray[np.int64]:
    # A spawn key sets these numbers apart from those of the items, whose generators start from (seed, epoch, index).
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(num_videos)


def train_batches(
    dataset: ClipDataset,
    batch_size: int,
    seed: int,
    start_step: int,
    total_steps: int,
    workers: int = 0,
    timeout: float = 0.0,
    rank: int = 0,
    world_size: int = 1,
) -> BatchStream[ClipBatch]:
    """The batches of steps `start_step` .. `total_steps` - 1, equal for every number of `workers` (0 = read here).

    Of several processes, `rank` gets its share of each batch: consecutive clips, in the order of the ranks.

    Close the stream, or use it in a `with`. Its iteration raises :class:`LoaderError` after `timeout` seconds
    without a batch (0 = wait for ever) or when a loader process dies, and whatever the dataset raises.
    """
    _check_numbers(batch_size=(batch_size, 1), start_step=(start_step, 0), workers=(workers, 0), timeout=(timeout, 0))
    if batch_size % world_size:
        raise ValueError(f"batch_size={batch_size} cannot be shared evenly by world_size={world_size} processes")
    size = batch_size // world_size
    own = slice(rank * size, (rank + 1) * size)
    tasks = ((step, stream_keys(len(dataset), batch_size, seed, step)[own]) for step in range(start_step, total_steps))
    entries = dataset.manifest.entries
    return BatchStream(
        BatchSource(_TrainCollate(dataset, batch_size)),
        tasks,
        name=lambda key: entries[key[1]].video_id,
        workers=min(workers, max(total_steps - start_step, 0)),
        timeout=timeout,
    )


def test_batches(
    dataset: ViewDataset, batch_size: int, workers: int = 0, timeout: float = 0.0, rank: int = 0, world_size: int = 1
) -> BatchStream[ViewBatch]:
    """The test videos of one of `world_size` processes (each video is one's alone), in the manifest's order.

    A batch has at most `batch_size` views, or the crops of one clip where those are more, whatever the number of clips.
    What a batch holds does not depend on the number of processes. Errors as in :func:`train_batches`.
    """
    _check_numbers(batch_size=(batch_size, 1), workers=(workers, 0), timeout=(timeout, 0))
    units = view_units(len(dataset), dataset.num_clips, dataset.num_crops, batch_size)[rank::world_size]
    tasks = [keys for unit in units for keys in unit]
    entries = dataset.manifest.entries
    return BatchStream(
        BatchSource(_TestCollate(dataset)),
        enumerate(tasks),
        name=lambda key: entries[key[0]].video_id,
        workers=min(workers, len(tasks)),
        timeout=timeout,
    )


def view_units(num_videos: int, num_clips: int, num_crops: int, batch_size: int) -> list[list[list[ViewKey]]]:
    """What test batches are made of: units of videos that stay in one process, each a list of batches of keys."""
    together = batch_size // (num_clips * num_crops)
    if together:
        starts = range(0, num_videos, together)
        return [[[(i, 0, num_clips) for i in range(a, min(a + together, num_videos))]] for a in starts]
    clips = max(batch_size // num_crops, 1)
    firsts = range(0, num_clips, clips)
    return [[[(i, first, min(first + clips, num_clips))] for first in firsts] for i in range(num_videos)]


# pytest collects functions named test_*; this one is imported into test modules and is not a test.
test_batches.__test__ = False  # type: ignore[attr-defined]


@dataclass
class _TrainCollate:
    dataset: ClipDataset
    batch_size: int

    def __call__(self, step: int, keys: Sequence[tuple[int, int]]) -> ClipBatch:
        items = [self.dataset[key] for key in keys]
        return {
            "clip": torch.stack([item["clip"] for item in items]),
            "label": torch.tensor([item["label"] for item in items]),
            "group": torch.tensor([item["group"] for item in items]),
            "video_id": [item["video_id"] for item in items],
            "replaced": [video_id for item in items for video_id in item["replaced"]],
            "epoch": (step + 1) * self.batch_size / len(self.dataset),
        }


@dataclass
class _TestCollate:
    dataset: ViewDataset

    def __call__(self, _: int, keys: Sequence[ViewKey]) -> ViewBatch:
        items = [self.dataset.part(*key) for key in keys]
        good = [item for item in items if item["error"] is None]
        data = self.dataset
        frames, side = data.sampling.num_frames, data.transform.crop_size
        # Joined to an empty tensor of the right shape, so that a batch without a readable video has one, too.
        clips = keys[0][2] - keys[0][1]
        empty = torch.zeros(0, clips * data.num_crops, frames, 3, side, side)
        indices = np.array([item["indices"] for item in good], dtype=np.int64).reshape(-1, clips, frames)
        return {
            "views": torch.stack([item["views"] for item in good]) if good else empty,
            "label": torch.tensor([item["label"] for item in good], dtype=torch.int64),
            "group": torch.tensor([item["group"] for item in good], dtype=torch.int64),
            "video_id": [item["video_id"] for item in good],
            "indices": torch.from_numpy(indices),
            "unreadable": [(item["video_id"], item["error"]) for item in items if item["error"] is not None],
        }


def _check_numbers(**numbers: tuple[float, float]) -> None:
    for name, (value, low) in numbers.items():
        if value < low:
            raise ValueError(f"{name}={value} must be at least {low}")
