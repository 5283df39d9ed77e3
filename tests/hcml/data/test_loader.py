from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hcml.config import SamplingConfig, TransformConfig
from hcml.data import stream
from hcml.data.dataset import ClipDataset, ViewDataset
from hcml.data.loader import LoaderError, stream_keys, test_batches, train_batches, view_units
from hcml.data.manifest import Manifest
from hcml.data.video import READERS, DecordReader, VideoError

SAMPLING = SamplingConfig(num_frames=2)
TRANSFORM = TransformConfig(crop_size=24)


def clips(manifest: Manifest, seed: int = 0) -> ClipDataset:
    return ClipDataset(manifest, SAMPLING, TRANSFORM, "decord", seed)


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(one[k], other[k]) if torch.is_tensor(one[k]) else one[k] == other[k] for k in one)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_the_stream_is_one_permutation_after_another() -> None:
    keys = [key for step in range(10) for key in stream_keys(7, 4, seed=3, step=step)]
    for epoch in range(5):
        part = keys[7 * epoch : 7 * epoch + 7]
        assert [e for e, _ in part] == [epoch] * 7 and sorted(i for _, i in part) == list(range(7))
    orders = {tuple(i for e, i in keys if e == epoch) for epoch in range(5)}
    assert len(orders) == 5
    assert stream_keys(7, 4, seed=3, step=2) == keys[8:12]
    assert stream_keys(7, 4, seed=4, step=2) != keys[8:12]


def test_a_batch_may_be_larger_than_the_training_set() -> None:
    keys = stream_keys(3, 8, seed=0, step=0)
    assert [epoch for epoch, _ in keys] == [0, 0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_workers_or_on_where_the_run_resumed(seven: Manifest, workers: int) -> None:
    data = clips(seven, seed=1)
    with train_batches(data, 3, 1, 0, 6, workers=0) as batches:
        reference = list(batches)
    assert len(reference) == 6
    for start in (0, 1, 4):
        with train_batches(data, 3, 1, start, 6, workers=workers, timeout=60) as batches:
            found = list(batches)
        assert len(found) == 6 - start
        assert all(equal(a, b) for a, b in zip(found, reference[start:], strict=True))
    keys = stream_keys(7, 3, 1, 2)
    assert reference[2]["video_id"] == [f"v{index}" for _, index in keys]
    assert torch.equal(reference[2]["clip"][1], data[keys[1]]["clip"])
    assert reference[2]["clip"].shape == (3, 2, 3, 24, 24) and reference[2]["label"].dtype == torch.int64
    assert [batch["epoch"] for batch in reference] == [3 * k / 7 for k in range(1, 7)]


@pytest.mark.parametrize("workers", [0, 2])
def test_global_random_numbers_are_left_alone(seven: Manifest, workers: int) -> None:
    before = torch.get_rng_state()
    with train_batches(clips(seven), 3, 0, 0, 3, workers=workers) as batches:
        list(batches)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_all_test_videos_come_once_and_unreadable_ones_are_listed(seven: Manifest, workers: int) -> None:
    entries = [replace(e, path="none.mp4") if e.video_id in ("v1", "v6") else e for e in seven.entries]
    data = ViewDataset(replace(seven, entries=entries), SAMPLING, TRANSFORM, num_clips=2, num_crops=3)
    with test_batches(data, 18, workers=workers, timeout=60) as batches:
        found = list(batches)
    assert [batch["video_id"] for batch in found] == [["v0", "v2"], ["v3", "v4", "v5"], []]
    assert [[name for name, _ in batch["unreadable"]] for batch in found] == [["v1"], [], ["v6"]]
    assert "no such file" in found[0]["unreadable"][0][1]
    assert [tuple(batch["views"].shape) for batch in found] == [(k, 6, 2, 3, 24, 24) for k in (2, 3, 0)]
    assert [tuple(batch["indices"].shape) for batch in found] == [(k, 2, 2) for k in (2, 3, 0)]
    assert [batch["label"].tolist() for batch in found] == [[0, 0], [1, 0, 1], []]
    assert torch.equal(found[1]["views"][2], data[5]["views"])


@pytest.mark.parametrize("num_clips", [1, 4, 10, 30])
@pytest.mark.parametrize("num_crops", [1, 3])
def test_a_batch_of_views_is_bounded_whatever_the_number_of_clips(
    seven: Manifest, num_clips: int, num_crops: int
) -> None:
    sampling = SamplingConfig(num_frames=2, frame_stride=1)
    data = ViewDataset(seven, sampling, TRANSFORM, num_clips=num_clips, num_crops=num_crops)
    found: dict[str, list[torch.Tensor]] = {}
    with test_batches(data, 8) as batches:
        for batch in batches:
            assert batch["views"].shape[0] * batch["views"].shape[1] <= 8
            for video_id, views in zip(batch["video_id"], batch["views"], strict=True):
                found.setdefault(video_id, []).append(views)
    assert list(found) == [f"v{index}" for index in range(7)]
    for index in (0, 6):
        assert torch.equal(torch.cat(found[f"v{index}"]), data[index]["views"])


@given(st.integers(1, 30), st.integers(1, 12), st.sampled_from([1, 3, 5, 10]), st.integers(1, 40), st.integers(1, 5))
def test_every_view_is_seen_once_by_one_process(
    num_videos: int, num_clips: int, num_crops: int, batch_size: int, world_size: int
) -> None:
    units = view_units(num_videos, num_clips, num_crops, batch_size)
    owners: dict[int, set[int]] = {}
    seen = []
    for rank in range(world_size):
        for unit in units[rank::world_size]:
            for keys in unit:
                views = sum(stop - first for _, first, stop in keys) * num_crops
                assert views <= max(batch_size, num_crops)
                assert len({stop - first for _, first, stop in keys}) == 1
                for index, first, stop in keys:
                    owners.setdefault(index, set()).add(rank)
                    seen += [(index, clip) for clip in range(first, stop)]
    assert sorted(seen) == [(i, c) for i in range(num_videos) for c in range(num_clips)]
    assert all(len(ranks) == 1 for ranks in owners.values())


@pytest.mark.parametrize("workers", [0, 1])
def test_replaced_videos_are_reported(seven: Manifest, workers: int) -> None:
    entries = [replace(e, path="none.mp4") if e.video_id == "v1" else e for e in seven.entries]
    with train_batches(clips(replace(seven, entries=entries)), 7, 0, 0, 2, workers=workers) as batches:
        assert [batch["replaced"] for batch in batches] == [["v1"], ["v1"]]


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_the_dataset_keep_their_type(seven: Manifest, tmp_path: Path, workers: int) -> None:
    batches = train_batches(clips(replace(seven, root=tmp_path)), 2, 0, 0, 4, workers=workers)
    with pytest.raises(VideoError, match="no such file"):
        next(batches)
    assert list(batches) == []


def test_bad_numbers(seven: Manifest) -> None:
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        train_batches(clips(seven), 0, 0, 0, 1)
    with pytest.raises(ValueError, match="workers=-1 must be at least 0"):
        train_batches(clips(seven), 1, 0, 0, 1, workers=-1)


def test_no_steps_left_is_an_empty_stream(seven: Manifest) -> None:
    assert list(train_batches(clips(seven), 2, 0, 5, 5, workers=2)) == []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_closing_ends_the_processes_and_they_ignore_the_scheduler(seven: Manifest) -> None:
    handler = signal.getsignal(signal.SIGCHLD)
    with at_most(20):
        batches = train_batches(clips(seven), 2, 0, 0, 10_000, workers=2)
        next(batches)
        assert signal.getsignal(signal.SIGCHLD) == handler
        pids = [process.pid for process in batches._processes]
        assert len(pids) == 2
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            for pid in pids:
                os.kill(pid, number)
        for _ in range(12):  # more than was read ahead
            next(batches)
        assert all(alive(pid) for pid in pids)
        batches.close()
        assert not any(alive(pid) for pid in pids)
        assert list(batches) == []


@dataclass(eq=False)
class Trap(ClipDataset):
    """Hangs or dies, as a decoder would, at video v3."""

    how: str = "hang"

    def __getitem__(self, key: tuple[int, int]) -> Any:
        if key[1] == 3 and self.how == "hang":
            time.sleep(1000)
        if key[1] == 3 and self.how == "die":
            time.sleep(0.5)  # the batch before is on its way out of this process
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("hang", r"no batch for \d s \(runtime.loader_timeout=1\); the videos .*likeliest first, batch \d: "),
        ("die", r"1 of the loader processes died \(killed, as .* memory runs out\); the videos .* batch \d: "),
    ],
)
def test_a_loader_that_hangs_or_dies_is_an_error_that_names_videos(
    seven: Manifest, monkeypatch: pytest.MonkeyPatch, how: str, said: str
) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.2)
    # Step 1 of batches of 2 under this seed; the first batch is still delivered.
    seed = next(s for s in range(100) if 3 in {i for _, i in stream_keys(7, 2, s, 1)})
    data = Trap(seven, SAMPLING, TRANSFORM, "decord", seed, how=how)
    with at_most(20):
        batches = train_batches(data, 2, seed, 0, 50, workers=1, timeout=1 if how == "hang" else 60)
        assert len(next(batches)["video_id"]) == 2
        pids = [process.pid for process in batches._processes]
        with pytest.raises(LoaderError, match=said) as caught:
            next(batches)
        named = str(caught.value).split("batch 1: ")[1].split(";")[0]
        assert named.split(", ") == [f"v{index}" for _, index in stream_keys(7, 2, seed, 1)]
        assert not any(alive(pid) for pid in pids)


class Stuck(DecordReader):
    """A decoder that waits for ever inside v3, as on a lock that a fork inherited."""

    def get(self, indices: Any) -> Any:
        if Path(self._path).stem == "v3":
            time.sleep(1000)
        return super().get(indices)


def test_a_decoder_that_hangs_is_an_error_that_names_the_video(
    seven: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.2)
    monkeypatch.setitem(READERS, "decord", Stuck)
    data = ViewDataset(seven, SAMPLING, TRANSFORM)
    with at_most(20), pytest.raises(LoaderError, match=r"runtime.loader_timeout=1\).* batch 3: v3") as caught:
        list(test_batches(data, 1, workers=1, timeout=1))
    assert "batch 2" not in str(caught.value)  # v0..v2 had been delivered


PROGRAM = """
import sys
from pathlib import Path
from hcml.config import SamplingConfig, TransformConfig
from hcml.data.dataset import ClipDataset
from hcml.data.loader import train_batches
from hcml.data.manifest import Manifest
manifest = Manifest.load(Path(sys.argv[1]), Path(sys.argv[2]))
data = ClipDataset(manifest, SamplingConfig(num_frames=2), TransformConfig(crop_size=24))
batches = train_batches(data, 2, 0, 0, 10_000, workers=2)
next(batches)
print(*[process.pid for process in batches._processes], flush=True)
if sys.argv[3] == "forget":
    sys.exit(3)
if sys.argv[3] == "raise":
    raise KeyError("x")
import time
time.sleep(1000)
"""


@pytest.mark.parametrize("ending", ["forget", "raise", "kill"])
def test_no_loader_process_outlives_the_run(seven: Manifest, tmp_path: Path, ending: str) -> None:
    seven.save(tmp_path / "m.json")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "m.json"), str(seven.root), ending]
    root = Path(stream.__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root, text=True) as run:
        assert run.stdout is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        assert len(pids) == 2
        if ending == "kill":
            run.kill()
        code = run.wait(timeout=30)
    assert code == {"forget": 3, "raise": 1, "kill": -9}[ending]
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in pids)


def test_reading_here_first_does_not_hang_the_loader(seven: Manifest, make_manifest: Callable[..., Manifest]) -> None:
    """A decord reader that is open across a fork hangs its children; ours are closed by then."""
    data = clips(seven)
    here = [data[0, index] for index in range(7)]
    with at_most(30), train_batches(data, 7, 0, 0, 1, workers=2, timeout=20) as batches:
        batch = next(batches)
    assert sorted(batch["video_id"]) == [item["video_id"] for item in here]
