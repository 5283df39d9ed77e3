"""The invariants that make single frames worthless, on many drawn motions."""

import numpy as np
import pytest

from benchmarks.synthmotion import trajectories
from benchmarks.synthmotion.motion import EXTENT, NUM_STILL, PLACES, draw_motion
from benchmarks.synthmotion.oracle import classify
from benchmarks.synthmotion.spec import CLASSES, TIER_OF, TIERS, Spec, SpecError

SPEC = Spec()
COUNT = 300
REVERSED = {
    "right": "left", "up": "down", "accelerate": "decelerate", "turn_cw": "turn_ccw",
    "right_then_down": "up_then_left", "down_then_right": "left_then_up",
    "approach": "separate", "cross": "cross", "follow": "follow",
}  # fmt: skip
TURNED = ("change", "relation")
"""In these tiers a video played backwards is one of its partner's turned by half a turn: the pairs of classes have
their directions."""
KS_LIMIT = 2.4  # Kolmogorov's statistic at p = 0.001 for all of the about hundred comparisons below together


@pytest.fixture(scope="module")
def motions():
    return {name: [draw_motion(SPEC, "train", name, i) for i in range(COUNT)] for name in CLASSES}


def ks(sample: np.ndarray) -> float:
    """Kolmogorov's statistic of a sample against the uniform distribution on 0..1."""
    steps = np.arange(len(sample) + 1) / len(sample)
    ordered = np.sort(sample)
    return np.sqrt(len(sample)) * max(np.abs(ordered - steps[1:]).max(), np.abs(ordered - steps[:-1]).max())


def ks_two(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov and Smirnov's statistic of two samples."""
    where = np.concatenate([first, second])
    ranks = [np.searchsorted(np.sort(x), where, side="right") / len(x) for x in (first, second)]
    return np.sqrt(len(first) * len(second) / len(where)) * np.abs(ranks[0] - ranks[1]).max()


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("frame", [0, SPEC.frames // 2, SPEC.frames - 1])
def test_positions_are_uniform_on_the_torus_at_every_frame_of_every_class(motions, name, frame):
    for sprite in (0, len(PLACES) - 1, -1):
        for axis in range(2):
            shares = [
                (m.positions[sprite, frame, axis] - (SPEC.size - 1 - m.torus) / 2) / m.torus for m in motions[name]
            ]
            assert ks(np.array(shares)) < KS_LIMIT


@pytest.mark.parametrize("frame", [0, SPEC.frames // 2, SPEC.frames - 1])
def test_a_pair_looks_alike_at_every_frame_in_all_classes(motions, frame):
    seen = {}
    for name in TIERS["relation"]:
        pair = np.stack([m.paths[:2, frame] for m in motions[name]])
        offset = pair[:, 0] - pair[:, 1]
        distance = np.hypot(*offset.T)
        assert ks(distance / SPEC.relation_distance) < KS_LIMIT
        angle = (np.arctan2(*offset.T[::-1]) + np.pi / 2) % np.pi
        seen[name] = np.stack([distance, angle])
    for name in TIERS["relation"][1:]:
        for first, second in zip(seen["approach"], seen[name], strict=True):
            assert ks_two(first, second) < KS_LIMIT


@pytest.mark.parametrize("tier", ["change", "order", "relation"])
def test_the_mean_direction_tells_half_of_a_tier_from_the_other(motions, tier):
    """Knowing it alone is worth 50 % in these tiers, not less and not more."""
    means = {
        name: np.array([(m.paths[:-NUM_STILL, -1] - m.paths[:-NUM_STILL, 0]).mean(axis=0) for m in motions[name]])
        for name in TIERS[tier]
    }
    halves = [TIERS[tier][:2], TIERS[tier][2:]] if tier != "order" else [TIERS[tier][::2], TIERS[tier][1::2]]
    assert all((means[name][:, 0] > 0).all() for name in halves[0])
    assert all((means[name][:, 0] < 0).all() for name in halves[1])
    for first, second in halves:
        for axis in range(2):
            assert ks_two(means[first][:, axis], means[second][:, axis]) < KS_LIMIT


@pytest.mark.parametrize(("name", "partner"), REVERSED.items())
def test_a_class_played_backwards_is_its_partner(motions, name, partner):
    tier = TIER_OF[name]
    backward = [m.paths[:, ::-1] * (-1 if tier in TURNED else 1) for m in motions[name]]
    forward = [m.paths for m in motions[partner]]
    assert np.mean([classify(paths, tier) == partner for paths in backward]) > 0.99
    for step in (0, SPEC.frames // 2 - 1, SPEC.frames - 2):
        for statistic in (
            lambda paths, k: np.hypot(*(paths[0, k + 1] - paths[0, k] - paths[-1, k + 1] + paths[-1, k])),
            lambda paths, k: paths[:2, k + 1, 0].mean() - paths[:2, k, 0].mean(),
            lambda paths, k: paths[:2, k + 1, 1].mean() - paths[:2, k, 1].mean(),
            lambda paths, k: (paths[0, k] - paths[1, k])[0] if tier == "relation" else 0.0,
        ):
            samples = [np.array([statistic(paths, step) for paths in side]) for side in (backward, forward)]
            assert ks_two(*samples) < KS_LIMIT


def test_the_path_length_of_a_speed_change_is_that_of_a_constant_speed(motions):
    for name in ("accelerate", "decelerate"):
        for m in motions[name]:
            steps = np.hypot(*np.diff(m.paths[0] - m.camera, axis=0).T)
            assert steps.sum() == pytest.approx(m.parameters["speed"] * (SPEC.frames - 1))


@pytest.mark.parametrize("name", CLASSES)
def test_a_sprite_is_never_seen_on_both_sides_of_the_torus_in_two_frames_running(motions, name):
    jumps = 0
    for m in motions[name]:
        for sprite in range(len(m.positions)):
            moved = np.abs(np.diff(m.positions[sprite], axis=0) - np.diff(m.paths[sprite], axis=0))
            for frame in np.flatnonzero(moved.max(axis=1) > 1e-6):
                jumps += 1
                reach = EXTENT * m.radii[sprite] + 1  # half of the widest soft edge
                places = m.positions[sprite, frame : frame + 2]
                seen = ((places > -reach) & (places < SPEC.size - 1 + reach)).all(axis=1)
                assert not seen.all()
    assert jumps > 0


def test_some_actor_is_in_view_at_any_time(motions):
    for name in CLASSES:
        for m in motions[name]:
            places = m.positions[:-NUM_STILL]
            reach = m.radii[: len(places), None, None] / 2  # a good part of it, not just an edge
            inside = ((places > -reach) & (places < SPEC.size - 1 + reach)).all(axis=2)
            assert inside.any(axis=0).all()


def test_only_actors_move_in_the_scene(motions):
    for name in CLASSES:
        for m in motions[name][:20]:
            actors = len(m.paths) - NUM_STILL
            scene = m.paths - m.camera
            moved = np.ptp(scene, axis=1).max(axis=1)
            assert (moved[actors:] < 1e-9).all()
            assert (moved[:actors].reshape(-1, 2).max(axis=1) > 1).all()  # of a pair, one may stand nearly still
            assert np.hypot(*np.diff(m.camera, axis=0).T).max() <= SPEC.drift + 1e-9


def test_sizes_and_speeds_stay_in_the_subset(motions):
    tests = [draw_motion(SPEC, "test", name, i) for name in CLASSES for i in range(20)]
    assert {radius for m in tests for radius in m.radii} == set(SPEC.radii_test)
    ((low, high),) = SPEC.speeds_test
    assert all(low <= m.parameters["speed"] <= high for m in tests)
    trained = np.array([m.parameters["speed"] for group in motions.values() for m in group])
    assert ((trained <= low) | (trained >= high)).all() and (trained < low).any() and (trained > high).any()


def test_a_motion_is_a_pure_function_of_its_name():
    for name in CLASSES:
        first, again = (draw_motion(SPEC, "test", name, 5) for _ in range(2))
        np.testing.assert_array_equal(first.positions, again.positions)
        others = [
            ("test", 6, SPEC),
            ("train", 5, SPEC),
            ("test", 5, Spec(stream="calibration")),
            ("test", 5, Spec(seed=1)),
        ]
        for subset, index, spec in others:
            assert not np.array_equal(draw_motion(spec, subset, name, index).positions, first.positions)


@pytest.mark.parametrize("key", [("val", "right", 0), ("test", "sideways", 0), ("test", "right", -1)])
def test_what_does_not_exist_is_refused(key):
    with pytest.raises(SpecError, match="no synthmotion video"):
        draw_motion(SPEC, *key)


def test_trajectories_name_the_class():
    paths, label = trajectories("test", "turn_cw", 3)
    assert paths.shape == (len(PLACES) + NUM_STILL, SPEC.frames, 2)
    assert CLASSES[label] == "turn_cw"
