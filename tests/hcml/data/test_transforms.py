from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hcml.config import TransformConfig
from hcml.data.transforms import CropGeometry, resized_size, test_geometry, test_transform, train_transform


def noise(frames: int = 3, height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def places(height: int, width: int) -> np.ndarray:
    """A frame whose red is its row and whose green is its column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)[None]


def test_plain_crop_is_an_exact_window_for_all_frames() -> None:
    spec = TransformConfig(crop_size=12)
    frames = np.concatenate([places(20, 30)] * 4)
    seen = set()
    for seed in range(200):
        clip = train_transform(frames, spec, np.random.default_rng(seed))
        assert clip.shape == (4, 3, 12, 12) and clip.dtype == torch.float32 and clip.is_contiguous()
        assert all(torch.equal(clip[0], frame) for frame in clip)
        top, left = (round(float(clip[0, channel, 0, 0]) * 255) for channel in (0, 1))
        window = torch.from_numpy(frames[0, top : top + 12, left : left + 12]).permute(2, 0, 1).float() / 255
        assert torch.equal(clip[0], window)
        seen.add((top, left))
    assert {top for top, _ in seen} == set(range(9)) and {left for _, left in seen} == set(range(19))


def test_the_frames_are_not_changed() -> None:
    frames = noise(height=24, width=24)
    before = frames.copy()
    for spec in (TransformConfig(crop_size=24), TransformConfig(resize=32, crop_size=24)):
        train_transform(frames, spec, np.random.default_rng(0))
        test_transform(frames, spec, 1)
    assert np.array_equal(frames, before)


def test_mirroring_is_one_draw_for_the_clip_and_off_by_default() -> None:
    frames = noise(height=12, width=12)
    plain = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    clips = [train_transform(frames, TransformConfig(crop_size=12), np.random.default_rng(s)) for s in range(40)]
    assert all(torch.equal(clip, plain) for clip in clips)
    spec = TransformConfig(crop_size=12, flip="horizontal")
    mirrored = [train_transform(frames, spec, np.random.default_rng(s)) for s in range(40)]
    kinds = [torch.equal(clip, plain) + 2 * torch.equal(clip, plain.flip(-1)) for clip in mirrored]
    assert set(kinds) == {1, 2}


@given(
    st.integers(8, 70),
    st.integers(8, 70),
    st.sampled_from([0, 16, 33]),
    st.sampled_from([[1.0, 1.0], [0.2, 0.9]]),
    st.integers(0, 1000),
)
def test_any_video_size_gives_the_crop(height: int, width: int, resize: int, scale: list[float], seed: int) -> None:
    spec = TransformConfig(resize=resize, crop_size=16, scale=scale, flip="horizontal")
    frames = noise(2, height, width, seed)
    clip = train_transform(frames, spec, np.random.default_rng(seed))
    assert clip.shape == (2, 3, 16, 16) and 0 <= clip.min() and clip.max() <= 1
    assert torch.equal(clip, train_transform(frames, spec, np.random.default_rng(seed)))
    views = test_transform(frames, spec, 3)
    assert views.shape == (3, 2, 3, 16, 16) and 0 <= views.min() and views.max() <= 1
    assert torch.equal(views[1], test_transform(frames, spec, 1)[0])


@given(st.booleans(), st.booleans(), st.integers(1, 90))
def test_draws_do_not_depend_on_the_configuration(resized: bool, mirrored: bool, height: int) -> None:
    spec = TransformConfig(
        crop_size=8, scale=[0.5, 1.0] if resized else [1.0, 1.0], flip="horizontal" if mirrored else "none"
    )
    rng, other = np.random.default_rng(1), np.random.default_rng(1)
    train_transform(noise(1, height, 20), spec, rng)
    other.random(5)
    assert rng.random() == other.random()


def test_random_resized_crops_keep_to_their_area() -> None:
    spec = TransformConfig(crop_size=32, scale=[0.25, 0.25])
    for seed in range(50):
        clip = train_transform(places(64, 64), spec, np.random.default_rng(seed)) * 255
        # Slopes of the ramps = cut-out pixels for each output pixel; their product is the area's.
        inner = clip[0, :, 4:-4, 4:-4]
        down = float(inner[0].diff(dim=0).mean()) * 32
        right = float(inner[1].diff(dim=1).mean()) * 32
        assert down * right == pytest.approx(0.25 * 64 * 64, rel=0.08)
        assert 0.7 < right / down < 1.42


def test_geometry_of_three_crops_along_the_longer_side() -> None:
    spec = TransformConfig(resize=16, crop_size=16)
    assert test_geometry(20, 40, spec, 3) == [CropGeometry(0.8, 0, left, 16) for left in (0, 8, 16)]
    assert test_geometry(40, 20, spec, 3) == [CropGeometry(0.8, top, 0, 16) for top in (0, 8, 16)]
    assert test_geometry(40, 20, spec, 1) == [CropGeometry(0.8, 8, 0, 16)]
    assert test_geometry(56, 56, TransformConfig(crop_size=48), 1) == [CropGeometry(1.0, 4, 4, 48)]
    with pytest.raises(ValueError, match="num_crops=2"):
        test_geometry(40, 20, spec, 2)


def test_geometry_says_where_the_pixels_of_a_view_come_from() -> None:
    spec = TransformConfig(resize=32, crop_size=24)
    views = test_transform(places(64, 96), spec, 3) * 255
    for view, crop in zip(views, test_geometry(64, 96, spec, 3), strict=True):
        row, column = 10, 13
        # Pixel centres: (x + 1/2) / scale - 1/2 in the original.
        assert float(view[0, 0, row, column]) == pytest.approx((crop.top + row + 0.5) / crop.scale - 0.5, abs=0.02)
        assert float(view[0, 1, row, column]) == pytest.approx((crop.left + column + 0.5) / crop.scale - 0.5, abs=0.02)


def test_a_video_smaller_than_the_crop_is_enlarged() -> None:
    spec = TransformConfig(crop_size=48)
    assert resized_size(24, 36, spec) == (48, 72)
    assert resized_size(100, 60, spec) == (100, 60)
    assert test_transform(noise(2, 24, 36), spec, 1).shape == (1, 2, 3, 48, 48)
    assert test_geometry(24, 36, spec, 1) == [CropGeometry(2.0, 0, 12, 48)]


def test_wrong_frames_are_refused_with_their_shape() -> None:
    with pytest.raises(ValueError, match=r"float64 \(2, 3, 8, 8\)"):
        test_transform(np.zeros((2, 3, 8, 8)), TransformConfig(crop_size=8), 1)
