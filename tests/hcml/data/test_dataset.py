from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hcml.config import SamplingConfig, TransformConfig
from hcml.data.dataset import ClipDataset, ViewDataset
from hcml.data.manifest import Manifest
from hcml.data.sampling import test_indices
from hcml.data.transforms import test_transform
from hcml.data.video import VideoError, read_frames

MakeManifest = Callable[..., Manifest]
SAMPLING = SamplingConfig(num_frames=4)
TRANSFORM = TransformConfig(crop_size=48)
WHOLE = TransformConfig(crop_size=56)


@pytest.fixture
def broken(seven: Manifest, tmp_path: Path) -> Manifest:
    """Of seven videos the 3rd is empty, the 4th is missing, and the 7th was cut to 12 frames after `prepare`."""
    shutil.copytree(seven.root, tmp_path / "data")
    clips = tmp_path / "data" / "clips"
    (clips / "v2.mp4").write_bytes(b"")
    (clips / "v3.mp4").unlink()
    entries = [replace(e, num_frames=48) if e.video_id == "v6" else e for e in seven.entries]
    return replace(seven, root=tmp_path / "data", entries=entries)


def test_a_clip_shows_the_video_its_key_names(seven: Manifest, read_index: Callable[[np.ndarray], int]) -> None:
    data = ClipDataset(seven, SAMPLING, WHOLE, "decord", seed=5)
    assert len(data) == 7
    for index in range(7):
        item = data[0, index]
        assert item["clip"].shape == (4, 3, 56, 56) and item["clip"].dtype == torch.float32
        shown = [read_index(frame.permute(1, 2, 0).numpy() * 255) for frame in item["clip"]]
        assert [k // 100 for k in shown] == [index] * 4 and np.diff(shown).tolist() == [2, 2, 2]
        # Groups are counted in sorted order: left, right.
        assert (item["label"], item["group"], item["video_id"]) == (index % 2, index % 2, f"v{index}")
        assert item["replaced"] == []


def test_an_item_depends_on_seed_epoch_and_index_alone(seven: Manifest) -> None:
    def clip(seed: int, epoch: int, index: int) -> torch.Tensor:
        return ClipDataset(seven, SAMPLING, TRANSFORM, "decord", seed)[epoch, index]["clip"]

    assert torch.equal(clip(1, 2, 3), clip(1, 2, 3))
    assert not torch.equal(clip(1, 2, 3), clip(1, 3, 3))
    assert not torch.equal(clip(1, 2, 3), clip(2, 2, 3))
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state()
    first = clip(1, 2, 3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(9)
    np.random.seed(9)
    assert torch.equal(first, clip(1, 2, 3))


def test_both_decoders_give_the_same_items(seven: Manifest) -> None:
    items = [ClipDataset(seven, SAMPLING, TRANSFORM, decoder, 3)[1, 4]["clip"] for decoder in ("decord", "pyav")]
    assert torch.equal(*items)


def test_in_training_an_unreadable_video_is_replaced_and_reported(broken: Manifest) -> None:
    data = ClipDataset(broken, SAMPLING, TRANSFORM, "decord", 0)
    item = data[0, 2]
    assert (item["video_id"], item["label"], item["replaced"]) == ("v4", 0, ["v2", "v3"])
    assert torch.equal(item["clip"], data[0, 2]["clip"])
    # Around the end of the list; and a file of another length than the manifest's counts as unreadable.
    assert data[0, 6]["video_id"] == "v0" and data[0, 6]["replaced"] == ["v6"]


def test_nothing_readable_is_an_error_that_names_the_videos(seven: Manifest, tmp_path: Path) -> None:
    data = ClipDataset(replace(seven, root=tmp_path), SAMPLING, TRANSFORM, "decord", 0)
    with pytest.raises(VideoError, match=r"no such file.*v5, v6, v0, v1, v2, v3, v4.*data root"):
        data[0, 5]


def test_views_are_clip_major(seven: Manifest) -> None:
    spec = TransformConfig(resize=64, crop_size=48)
    data = ViewDataset(seven, SAMPLING, spec, "decord", num_clips=3, num_crops=3)
    item = data[4]
    path = seven.video_path(seven.entries[4])
    indices = test_indices(24, SAMPLING, 3)
    assert np.array_equal(item["indices"], indices)
    expected = torch.cat([test_transform(read_frames(path, clip), spec, 3) for clip in indices])
    assert item["views"].shape == (9, 4, 3, 48, 48) and torch.equal(item["views"], expected)
    assert (item["label"], item["group"], item["video_id"], item["error"]) == (0, 0, "v4", None)


def test_in_testing_an_unreadable_video_is_never_replaced(broken: Manifest) -> None:
    data = ViewDataset(broken, SAMPLING, TRANSFORM, "decord", num_clips=2)
    for index, said in ((2, "is empty"), (3, "there is no such file"), (6, "has 24 frames, but the manifest says 48")):
        item = data[index]
        assert item["video_id"] == f"v{index}" and item["views"].numel() == 0
        assert item["error"] is not None and said in item["error"] and f"v{index}.mp4" in item["error"]
    assert data[4]["error"] is None


def test_a_miscount_of_two_per_cent_is_tolerated(make_manifest: MakeManifest) -> None:
    toy = make_manifest(1, num_frames=100)
    for promised, readable in ((99, True), (102, True), (98, False), (103, False)):
        entries = [replace(toy.entries[0], num_frames=promised)]
        item = ViewDataset(replace(toy, entries=entries), SAMPLING, TRANSFORM)[0]
        assert (item["error"] is None) == readable, promised
        if readable:
            assert np.array_equal(item["indices"], test_indices(min(100, promised), SAMPLING, 1))


def test_short_videos_are_refused_before_the_first_step(seven: Manifest) -> None:
    spec = SamplingConfig(num_frames=16, short_video="error")
    said = r"7 of 7 videos of toy \(train\) are shorter than the 31 frames .*v0, 24 frames.*pad_last"
    for make in (ClipDataset, ViewDataset):
        with pytest.raises(ValueError, match=said):
            make(seven, spec, TRANSFORM)
    padded = ViewDataset(seven, SamplingConfig(num_frames=16), TRANSFORM)[0]
    assert padded["indices"][0].tolist() == [*range(0, 24, 2), 23, 23, 23, 23]


def test_bad_arguments(seven: Manifest) -> None:
    with pytest.raises(ValueError, match="decoder='opencv' is not one of decord, pyav"):
        ClipDataset(seven, SAMPLING, TRANSFORM, "opencv")
    with pytest.raises(ValueError, match="has no videos"):
        ViewDataset(replace(seven, entries=[]), SAMPLING, TRANSFORM)


def test_datasets_can_be_sent_to_another_process(seven: Manifest) -> None:
    for data, key in ((ClipDataset(seven, SAMPLING, TRANSFORM), (0, 1)), (ViewDataset(seven, SAMPLING, TRANSFORM), 1)):
        before = data[key]
        size = len(pickle.dumps(data))
        again = pickle.loads(pickle.dumps(data))[key]
        name = "clip" if "clip" in before else "views"
        assert torch.equal(before[name], again[name])
        # No video, open or decoded, stays with the dataset.
        assert size < 20_000 and len(pickle.dumps(data)) == size


def test_a_quarantined_video_is_never_trained_on_and_is_unreadable_in_tests(seven: Manifest) -> None:
    held = replace(seven, quarantine={"v2": "wrong frames"})
    clips = ClipDataset(held, SAMPLING, WHOLE)
    assert len(clips) == 6
    assert {clips[0, index]["video_id"] for index in range(6)} == {f"v{k}" for k in range(7)} - {"v2"}
    views = ViewDataset(held, SAMPLING, WHOLE)
    assert len(views) == 7
    assert [views[index]["error"] is None for index in range(7)] == [True, True, False, True, True, True, True]
    assert "quarantined: wrong frames" in str(views[2]["error"])


def labelled(manifest: Manifest, classes: list[str], mirror: list[list[int]]) -> Manifest:
    """The same videos with labels 0, 1, 2, ... of other classes."""
    entries = [replace(e, label=k % len(classes), group="") for k, e in enumerate(manifest.entries)]
    return replace(manifest, classes=classes, groups={}, entries=entries, mirror=mirror)


DIRECTED = ["pulling left", "pulling right", "pushing", "turning left", "turning right", "lifting", "tilting"]
MIRROR = [[0, 1], [4, 3]]


def test_a_mirrored_video_has_the_label_of_the_mirrored_class(seven: Manifest) -> None:
    """Every class once, in both states, and the map is an involution."""
    manifest = labelled(seven, DIRECTED, MIRROR)
    swapped = [manifest.mirrored_label(label) for label in range(7)]
    assert swapped == [1, 0, 2, 4, 3, 5, 6] and [swapped[label] for label in swapped] == list(range(7))
    plain = ClipDataset(manifest, SAMPLING, WHOLE, seed=3)
    mapped = ClipDataset(manifest, SAMPLING, replace(WHOLE, flip="mapped"), seed=3)
    seen = set()
    for epoch in range(12):
        for index in range(7):
            one, other = plain[epoch, index], mapped[epoch, index]
            flipped = not torch.equal(one["clip"], other["clip"])
            assert torch.equal(other["clip"], one["clip"].flip(-1) if flipped else one["clip"])
            assert one["label"] == index and other["label"] == (swapped[index] if flipped else index)
            seen.add((index, flipped))
    assert len(seen) == 14


def test_a_flip_that_would_give_wrong_labels_is_refused(seven: Manifest) -> None:
    directed = labelled(seven, DIRECTED, MIRROR)
    with pytest.raises(ValueError, match=r"flip=horizontal would give .*set transform.flip=mapped or none"):
        ClipDataset(directed, SAMPLING, replace(WHOLE, flip="horizontal"))
    with pytest.raises(ValueError, match=r"flip=mapped needs .*or horizontal where no class depends"):
        ClipDataset(seven, SAMPLING, replace(WHOLE, flip="mapped"))
    with pytest.raises(ValueError, match="num_crops=10 mirrors its crops.*use num_crops=5 or 3"):
        ViewDataset(directed, SAMPLING, TRANSFORM, num_crops=10)
    assert ViewDataset(seven, SAMPLING, TRANSFORM, num_crops=10)[0]["views"].shape[0] == 10
    ClipDataset(seven, SAMPLING, replace(WHOLE, flip="horizontal"))


def test_parts_of_the_clips_are_the_views_of_the_whole(seven: Manifest) -> None:
    data = ViewDataset(seven, SAMPLING, TRANSFORM, num_clips=4, num_crops=3)
    whole, parts = data[2], [data.part(2, 0, 1), data.part(2, 1, 4)]
    assert torch.equal(torch.cat([part["views"] for part in parts]), whole["views"])
    assert np.array_equal(np.concatenate([part["indices"] for part in parts]), whole["indices"])
