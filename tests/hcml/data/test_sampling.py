from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcml.config import ConfigError, SamplingConfig
from hcml.data.sampling import frames_needed, test_indices, train_indices

# What T = 8 gives, written out by hand: {num_frames: clips}.
DENSE_CENTRE = {  # stride 2, a window of 15 frames
    1: [0, 0, 0, 0, 0, 0, 0, 0],
    7: [0, 2, 4, 6, 6, 6, 6, 6],
    8: [0, 2, 4, 6, 7, 7, 7, 7],
    24: [4, 6, 8, 10, 12, 14, 16, 18],
    160: [72, 74, 76, 78, 80, 82, 84, 86],
    300: [142, 144, 146, 148, 150, 152, 154, 156],
}
DENSE_LOOP = {
    1: [0, 0, 0, 0, 0, 0, 0, 0],
    7: [0, 2, 4, 6, 1, 3, 5, 0],
    8: [0, 2, 4, 6, 0, 2, 4, 6],
    24: [4, 6, 8, 10, 12, 14, 16, 18],
    160: [72, 74, 76, 78, 80, 82, 84, 86],
    300: [142, 144, 146, 148, 150, 152, 154, 156],
}
DENSE_THREE_STARTS = {
    1: [0, 0, 0],
    7: [0, 0, 0],
    8: [0, 0, 0],
    24: [0, 4, 9],
    160: [0, 72, 145],
    300: [0, 142, 285],
}
UNIFORM_CENTRE = {
    1: [0, 0, 0, 0, 0, 0, 0, 0],
    7: [0, 1, 2, 3, 4, 5, 6, 6],
    8: [0, 1, 2, 3, 4, 5, 6, 7],
    24: [1, 4, 7, 10, 13, 16, 19, 22],
    160: [10, 30, 50, 70, 90, 110, 130, 150],
    300: [18, 56, 93, 131, 168, 206, 243, 281],
}
UNIFORM_TWO = {
    1: [[0] * 8] * 2,
    7: [[0, 1, 2, 3, 4, 5, 6, 6]] * 2,
    8: [[0, 1, 2, 3, 4, 5, 6, 7]] * 2,
    24: [[0, 3, 6, 9, 12, 15, 18, 21], [2, 5, 8, 11, 14, 17, 20, 23]],
    160: [[5, 25, 45, 65, 85, 105, 125, 145], [15, 35, 55, 75, 95, 115, 135, 155]],
    300: [[9, 46, 84, 121, 159, 196, 234, 271], [27, 65, 102, 140, 177, 215, 252, 290]],
}

specs = st.builds(
    SamplingConfig,
    mode=st.sampled_from(["dense", "uniform"]),
    num_frames=st.integers(1, 16),
    frame_stride=st.integers(1, 5),
    short_video=st.sampled_from(["pad_last", "loop"]),
)


@pytest.mark.parametrize("num_frames", DENSE_CENTRE)
def test_golden_tables(num_frames: int) -> None:
    dense = SamplingConfig(mode="dense")
    uniform = SamplingConfig(mode="uniform")
    assert test_indices(num_frames, dense, 1).tolist() == [DENSE_CENTRE[num_frames]]
    assert test_indices(num_frames, SamplingConfig(short_video="loop"), 1).tolist() == [DENSE_LOOP[num_frames]]
    assert test_indices(num_frames, dense, 3)[:, 0].tolist() == DENSE_THREE_STARTS[num_frames]
    assert test_indices(num_frames, uniform, 1).tolist() == [UNIFORM_CENTRE[num_frames]]
    assert test_indices(num_frames, uniform, 2).tolist() == UNIFORM_TWO[num_frames]


def test_golden_training_clips() -> None:
    class Fixed:
        """A generator that always draws `value`."""

        def __init__(self, value: float) -> None:
            self.value = value

        def random(self, size: int | None = None) -> float | np.ndarray:
            return self.value if size is None else np.full(size, self.value)

    for spec, low, high in (
        (SamplingConfig(), [0, 2, 4, 6, 8, 10, 12, 14], [9, 11, 13, 15, 17, 19, 21, 23]),
        (SamplingConfig(mode="uniform"), [0, 3, 6, 9, 12, 15, 18, 21], [2, 5, 8, 11, 14, 17, 20, 23]),
    ):
        assert train_indices(24, spec, Fixed(0.0)).tolist() == low
        assert train_indices(24, spec, Fixed(1 - 1e-12)).tolist() == high


@given(specs, st.integers(1, 400), st.integers(0, 2**32))
def test_training_clips_lie_in_the_video(spec: SamplingConfig, num_frames: int, seed: int) -> None:
    indices = train_indices(num_frames, spec, np.random.default_rng(seed))
    assert indices.dtype == np.int64 and indices.shape == (spec.num_frames,)
    assert 0 <= indices.min() and indices.max() < num_frames
    assert np.array_equal(indices, train_indices(num_frames, spec, np.random.default_rng(seed)))
    steps = np.diff(indices)
    if num_frames >= frames_needed(spec):
        assert (steps == spec.frame_stride).all() if spec.mode == "dense" else (steps >= 1).all()


@given(specs, st.integers(1, 400), st.integers(1, 10))
def test_test_clips_lie_in_the_video(spec: SamplingConfig, num_frames: int, num_clips: int) -> None:
    clips = test_indices(num_frames, spec, num_clips)
    assert clips.dtype == np.int64 and clips.shape == (num_clips, spec.num_frames)
    assert 0 <= clips.min() and clips.max() < num_frames
    if spec.mode == "dense" and num_frames >= frames_needed(spec) and num_clips > 1:
        assert clips[0, 0] == 0 and clips[-1, -1] == num_frames - 1


@pytest.mark.parametrize("mode", ["dense", "uniform"])
def test_every_start_is_drawn(mode: str) -> None:
    rng = np.random.default_rng(0)
    spec = SamplingConfig(mode=mode, num_frames=4)
    firsts = [int(train_indices(20, spec, rng)[0]) for _ in range(2000)]
    counts = np.bincount(firsts)
    expected = 2000 / len(counts)
    assert len(counts) == (14 if mode == "dense" else 5)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("mode", ["dense", "uniform"])
@pytest.mark.parametrize("num_frames", [1, 30, 500])
def test_draws_do_not_depend_on_the_length(mode: str, num_frames: int) -> None:
    """What is drawn after the clip (the crop) must not depend on how long the video is."""
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    train_indices(num_frames, SamplingConfig(mode=mode), rng)
    other.random(1 if mode == "dense" else 8)
    assert rng.random() == other.random()


def test_short_videos_can_be_an_error_with_the_numbers() -> None:
    spec = SamplingConfig(short_video="error")
    with pytest.raises(ValueError, match=r"8 frames with frame_stride=2 needs a video of 15 frames.*has 14.*pad_last"):
        train_indices(14, spec, np.random.default_rng(0))
    with pytest.raises(ValueError, match="needs a video of 15"):
        test_indices(14, spec, 1)
    assert test_indices(15, spec, 1).tolist() == [[0, 2, 4, 6, 8, 10, 12, 14]]
    with pytest.raises(ValueError, match="uniform clip of 8 frames needs a video of 8 frames"):
        test_indices(7, SamplingConfig(mode="uniform", short_video="error"), 1)


def test_an_empty_video_or_no_clip_is_an_error() -> None:
    with pytest.raises(ValueError, match="num_frames=0"):
        train_indices(0, SamplingConfig(), np.random.default_rng(0))
    with pytest.raises(ValueError, match="num_clips=0"):
        test_indices(10, SamplingConfig(), 0)


def test_a_fixed_first_frame_holds_in_training_and_in_testing():
    spec = SamplingConfig(num_frames=3, frame_stride=2, first_frame=5)
    expected = [5, 7, 9]
    assert train_indices(24, spec, np.random.default_rng(0)).tolist() == expected
    assert test_indices(24, spec).tolist() == [expected]
    assert test_indices(8, spec).tolist() == [[5, 7, 7]]  # behind the end: the last frame again
    with pytest.raises(ConfigError, match="needs sampling.mode=dense"):
        SamplingConfig(mode="uniform", first_frame=0)
