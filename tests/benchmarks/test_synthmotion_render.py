import numpy as np
import pytest

from benchmarks.synthmotion.fields import displacement
from benchmarks.synthmotion.render import EXTENT, LUMA, SHAPES, Spec, coverage, draw_scene, render
from benchmarks.synthmotion.render import _outline as outline
from benchmarks.synthmotion.spec import CLASSES, FAMILIES
from benchmarks.synthmotion.textures import draw_texture

SPEC = Spec()


def warp(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Bilinear samples of frame [H, W, 3] at p + flow [2, H, W]; an independent, plain implementation."""
    height, width = frame.shape[:2]
    y, x = np.mgrid[:height, :width]
    x, y = np.clip(x + flow[0], 0, width - 1.001), np.clip(y + flow[1], 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = frame[top, left] * (1 - fx) + frame[top, left + 1] * fx
    lower = frame[top + 1, left] * (1 - fx) + frame[top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


@pytest.mark.parametrize("subset", ["train", "test"])
@pytest.mark.parametrize("name", CLASSES)
def test_the_true_field_warps_a_frame_onto_the_next(subset, name):
    indices = np.arange(1, 16, 2)
    scene = draw_scene(SPEC, subset, name, 2)
    frames = render(scene)[indices].astype(np.float64)
    flow, valid = displacement(scene, indices)
    assert flow.shape == (7, 2, 56, 56) and valid.shape == (7, 56, 56) and flow.dtype == np.float32
    assert valid.mean() > 0.6
    covered = coverage(scene, indices[1:]).max(axis=0) > 0.99
    moving = covered & (np.abs(flow - np.median(flow, axis=(2, 3), keepdims=True)).max(axis=1) > 0.5)
    for t in range(7):
        error = np.abs(warp(frames[t], flow[t]) - frames[t + 1]).mean(axis=-1)
        still = np.abs(frames[t] - frames[t + 1]).mean(axis=-1)
        assert error[valid[t]].mean() < 3
        here = valid[t] & moving[t]
        if here.sum() >= 20:
            assert error[here].mean() < 0.5 * still[here].mean()


def test_fields_of_one_frame_against_itself_are_zero_and_backward_ones_undo_forward_ones():
    scene = draw_scene(SPEC, "test", "right", 0)
    flow, valid = displacement(scene, np.array([7, 7, 9, 7]))
    assert not flow[0].any()
    sprite = np.abs(flow[1]).max(axis=0) > 1
    assert sprite.any() and (flow[1][0][sprite] < -1).all()  # came from the left
    assert (flow[2][0][np.abs(flow[2]).max(axis=0) > 1] > 1).all()
    assert valid[0].any()


@pytest.mark.parametrize("indices", [[3], [0, SPEC.frames], [-1, 0], []])
def test_impossible_indices_are_refused(indices):
    with pytest.raises(ValueError, match=rf"within 0\.\.{SPEC.frames - 1}"):
        displacement(draw_scene(SPEC, "test", "right", 0), np.array(indices, np.int64))


def test_rendering_is_a_pure_function():
    frames = render(draw_scene(SPEC, "train", "cross", 4))
    assert frames.shape == (SPEC.frames, SPEC.size, SPEC.size, 3) and frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, render(draw_scene(SPEC, "train", "cross", 4)))
    assert not np.array_equal(frames, render(draw_scene(Spec(stream="calibration"), "train", "cross", 4)))


def test_sprites_stand_out_from_the_background():
    for index in range(10):
        scene = draw_scene(SPEC, "test", CLASSES[index], index)
        bright = (scene.background @ LUMA).mean()
        for sprite in scene.sprites:
            assert abs((sprite.texture @ LUMA).mean() - bright) > SPEC.contrast / 2


def test_textures_come_from_the_subset():
    used = {subset: set() for subset in FAMILIES}
    for subset, seen in used.items():
        for index in range(20):
            seen.update(draw_scene(SPEC, subset, "up", index).parameters["families"])
    assert used == {subset: set(names) for subset, names in FAMILIES.items()}


@pytest.mark.parametrize("family", [name for names in FAMILIES.values() for name in names])
def test_textures_are_standardised_and_vary(family):
    first, second = (draw_texture(np.random.default_rng(seed), 64, family) for seed in range(2))
    for grey in (first, second):
        assert grey.shape == (64, 64)
        assert abs(grey.mean()) < 1e-9 and grey.std() == pytest.approx(1)
        assert np.abs(np.diff(grey, axis=0)).mean() < 0.8  # smooth enough for sub-pixel sampling
    assert abs((first * second).mean()) < 0.5


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_stay_within_their_reach(shape):
    reach = outline(shape, np.linspace(-np.pi, 3 * np.pi, 999))
    assert 0 < reach.min() and reach.max() <= EXTENT + 1e-9
