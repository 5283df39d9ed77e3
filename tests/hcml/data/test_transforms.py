from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hcml.config import ConfigError, TransformConfig
from hcml.data.transforms import (
    PLACES,
    CropGeometry,
    _fixed_box,
    resized_size,
    test_geometry,
    test_transform,
    train_transform,
)

TSM_SCALES = [1.0, 0.875, 0.75, 0.66]


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
        clip, _ = train_transform(frames, spec, np.random.default_rng(seed))
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
    assert all(torch.equal(clip, plain) and not flipped for clip, flipped in clips)
    spec = TransformConfig(crop_size=12, flip="horizontal")
    mirrored = [train_transform(frames, spec, np.random.default_rng(s)) for s in range(40)]
    kinds = [torch.equal(clip, plain) + 2 * torch.equal(clip, plain.flip(-1)) for clip, _ in mirrored]
    assert set(kinds) == {1, 2} and [kind == 2 for kind in kinds] == [flipped for _, flipped in mirrored]
    mapped = replace(spec, flip="mapped")
    for seed in range(40):
        clip, flipped = train_transform(frames, mapped, np.random.default_rng(seed))
        assert torch.equal(clip, mirrored[seed][0]) and flipped == mirrored[seed][1]


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
    clip, _ = train_transform(frames, spec, np.random.default_rng(seed))
    assert clip.shape == (2, 3, 16, 16) and 0 <= clip.min() and clip.max() <= 1
    assert torch.equal(clip, train_transform(frames, spec, np.random.default_rng(seed))[0])
    views = test_transform(frames, spec, 3)
    assert views.shape == (3, 2, 3, 16, 16) and 0 <= views.min() and views.max() <= 1
    assert torch.equal(views[1], test_transform(frames, spec, 1)[0])


@given(st.sampled_from(["place", "area", "multiscale"]), st.booleans(), st.integers(1, 90))
def test_draws_do_not_depend_on_the_configuration(kind: str, mirrored: bool, height: int) -> None:
    spec = TransformConfig(
        crop_size=8,
        scale=[0.5, 1.0] if kind == "area" else [1.0, 1.0],
        multiscale=TSM_SCALES if kind == "multiscale" else [],
        flip="horizontal" if mirrored else "none",
    )
    rng, other = np.random.default_rng(1), np.random.default_rng(1)
    train_transform(noise(1, height, 20), spec, rng)
    other.random(5)
    assert rng.random() == other.random()


def test_random_resized_crops_keep_to_their_area() -> None:
    spec = TransformConfig(crop_size=32, scale=[0.25, 0.25])
    for seed in range(50):
        clip = train_transform(places(64, 64), spec, np.random.default_rng(seed))[0] * 255
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


def test_five_crops_are_corners_and_centre_and_ten_are_these_and_their_mirrors() -> None:
    spec = TransformConfig(resize=256, crop_size=224)
    corners = [(0, 0), (0, 117), (32, 0), (32, 117), (16, 58)]
    five = [CropGeometry(1.0, top, left, 224) for top, left in corners]
    assert test_geometry(256, 341, spec, 5) == five
    assert test_geometry(256, 341, spec, 10) == five + [replace(crop, mirrored=True) for crop in five]
    small = TransformConfig(crop_size=12)
    views = test_transform(noise(), small, 10)
    assert views.shape == (10, 3, 3, 12, 12)
    assert torch.equal(views[:5], test_transform(noise(), small, 5))
    assert torch.equal(views[5:], views[:5].flip(-1))
    assert torch.equal(views[4], test_transform(noise(), small, 1)[0])


def test_three_crops_of_256_show_the_whole_longer_side() -> None:
    """The full-resolution crops of TSM's "accurate" test: short side 256, crops of 256."""
    spec = TransformConfig(resize=256, crop_size=256)
    assert test_geometry(240, 320, spec, 3) == [CropGeometry(256 / 240, 0, left, 256) for left in (0, 42, 85)]
    assert resized_size(240, 320, spec) == (256, 341)
    assert test_transform(noise(1, 240, 320), spec, 3).shape == (3, 1, 3, 256, 256)


def test_multi_scale_crops_are_the_boxes_of_tsm() -> None:
    """64 x 96: sides 64, 56, 48, 42, at most one step apart; 13 places on a grid of quarters of what is left over."""
    spec = TransformConfig(crop_size=32, multiscale=TSM_SCALES)
    sides = [64, 56, 48, 42]
    boxes = {(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1}
    assert len(boxes) == 10 and len(PLACES) == len(set(PLACES)) == 13
    drawn = {_fixed_box(64, 96, TSM_SCALES, a / 10 + 0.01, p / 13 + 0.01) for a in range(10) for p in range(13)}
    assert {box[2:] for box in drawn} == boxes
    for top, left, high, wide in drawn:
        assert 0 <= top <= 64 - high and 0 <= left <= 96 - wide
    square = sorted((top, left) for top, left, high, wide in drawn if (high, wide) == (42, 42))
    # (64 - 42) // 4 = 5, (96 - 42) // 4 = 13
    grid = [(5 * row, 13 * column) for row, column in PLACES]
    assert square == sorted(grid) and (10, 26) in square and (5, 39) in square and (20, 52) in square
    clip, _ = train_transform(places(64, 96), spec, np.random.default_rng(0))
    assert clip.shape == (1, 3, 32, 32)
    for bad, said in (({"multiscale": [1.2]}, "shares of the short side"), ({"multiscale": [1.0], "scale": [0.5, 1]}, "two kinds")):
        with pytest.raises(ConfigError, match=said):
            TransformConfig(**bad)


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
