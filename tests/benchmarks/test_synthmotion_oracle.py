import numpy as np
import pytest

from benchmarks.synthmotion.motion import draw_motion
from benchmarks.synthmotion.oracle import accuracy, classify
from benchmarks.synthmotion.spec import TIERS, VERSIONS


def test_true_trajectories_tell_the_classes_apart():
    for subset in ("train", "test"):
        assert min(accuracy(subset, 60, VERSIONS["calibration"]).values()) >= 95


def test_the_frames_a_network_sees_are_enough():
    found = accuracy("test", 60, VERSIONS["calibration"], np.arange(1, 16, 2))
    assert min(found.values()) >= 95


def test_a_still_scene_is_named_at_chance():
    paths = np.stack([draw_motion(VERSIONS["calibration"], "test", "right", i).paths for i in range(4)])
    still = np.repeat(paths[:, :, :1], 8, axis=2)
    for tier in TIERS:
        assert len({classify(p, tier) for p in still}) == 1


@pytest.mark.parametrize("shape", [(4, 3, 2), (2, 8, 2), (4, 8, 3)])
def test_bad_paths_are_refused(shape):
    with pytest.raises(ValueError, match="paths must be"):
        classify(np.zeros(shape), "direction")


def test_an_unknown_tier_is_refused():
    with pytest.raises(ValueError, match="'speed' is not one of"):
        classify(np.zeros((4, 8, 2)), "speed")
