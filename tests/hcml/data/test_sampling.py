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

DENSE_TEN_STARTS = {
    1: [0] * 10,
    7: [0] * 10,
    8: [0] * 10,
    24: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    160: [0, 16, 32, 48, 64, 80, 96, 112, 128, 145],
    300: [0, 31, 63, 95, 126, 158, 190, 221, 253, 285],
}
DENSE_TRAIN = {  # the first and the last clip that can be drawn
    1: ([0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]),
    7: ([0, 2, 4, 6, 6, 6, 6, 6], [0, 2, 4, 6, 6, 6, 6, 6]),
    8: ([0, 2, 4, 6, 7, 7, 7, 7], [0, 2, 4, 6, 7, 7, 7, 7]),
    24: ([0, 2, 4, 6, 8, 10, 12, 14], [9, 11, 13, 15, 17, 19, 21, 23]),
    160: ([0, 2, 4, 6, 8, 10, 12, 14], [145, 147, 149, 151, 153, 155, 157, 159]),
    300: ([0, 2, 4, 6, 8, 10, 12, 14], [285, 287, 289, 291, 293, 295, 297, 299]),
}
WINDOW_CENTRE = {  # TSM --dense_sample: 8 frames at stride 8 in a window of 64, loop
    1: [0, 0, 0, 0, 0, 0, 0, 0],
    7: [0, 1, 2, 3, 4, 5, 6, 0],
    8: [0, 0, 0, 0, 0, 0, 0, 0],
    24: [0, 8, 16, 0, 8, 16, 0, 8],
    160: [48, 56, 64, 72, 80, 88, 96, 104],
    300: [118, 126, 134, 142, 150, 158, 166, 174],
}
WINDOW_TEN_STARTS = {
    1: [0] * 10,
    7: [0] * 10,
    8: [0] * 10,
    24: [0] * 10,
    160: [0, 10, 21, 32, 42, 53, 64, 74, 85, 96],
    300: [0, 26, 52, 78, 104, 131, 157, 183, 209, 236],
}
WINDOW_LAST_TRAIN_START = {1: 0, 7: 0, 8: 0, 24: 0, 160: 96, 300: 236}
UNIFORM_TRAIN = {
    1: ([0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]),
    7: ([0, 1, 2, 3, 4, 5, 6, 6], [0, 1, 2, 3, 4, 5, 6, 6]),
    8: ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]),
    24: ([0, 3, 6, 9, 12, 15, 18, 21], [2, 5, 8, 11, 14, 17, 20, 23]),
    160: ([0, 20, 40, 60, 80, 100, 120, 140], [19, 39, 59, 79, 99, 119, 139, 159]),
    300: ([0, 37, 75, 112, 150, 187, 225, 262], [36, 74, 111, 149, 186, 224, 261, 299]),
}
TSM_TRAIN = {
    1: ([0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]),
    7: ([0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]),
    8: ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]),
    24: ([0, 3, 6, 9, 12, 15, 18, 21], [2, 5, 8, 11, 14, 17, 20, 23]),
    160: ([0, 20, 40, 60, 80, 100, 120, 140], [19, 39, 59, 79, 99, 119, 139, 159]),
    300: ([0, 37, 74, 111, 148, 185, 222, 259], [36, 73, 110, 147, 184, 221, 258, 295]),
}
TSM_TWICE = {  # the middles of the parts, then their starts
    1: [[0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]],
    7: [[0, 1, 2, 3, 3, 4, 5, 6], [0, 0, 1, 2, 3, 4, 5, 6]],
    8: [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]],
    24: [[1, 4, 7, 10, 13, 16, 19, 22], [0, 3, 6, 9, 12, 15, 18, 21]],
    160: [[10, 30, 50, 70, 90, 110, 130, 150], [0, 20, 40, 60, 80, 100, 120, 140]],
    300: [[18, 56, 93, 131, 168, 206, 243, 281], [0, 37, 75, 112, 150, 187, 225, 262]],
}
WINDOW = SamplingConfig(frame_stride=8, window=64, short_video="loop")
TSM = SamplingConfig(mode="uniform", rule="tsm")

specs = st.builds(
    SamplingConfig,
    mode=st.sampled_from(["dense", "uniform"]),
    num_frames=st.integers(1, 16),
    frame_stride=st.integers(1, 5),
    short_video=st.sampled_from(["pad_last", "loop"]),
) | st.one_of(
    st.builds(SamplingConfig, num_frames=st.integers(1, 16), frame_stride=st.integers(1, 4), window=st.just(64)),
    st.builds(SamplingConfig, mode=st.just("uniform"), num_frames=st.integers(1, 16), rule=st.just("tsm")),
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


@pytest.mark.parametrize("num_frames", DENSE_CENTRE)
def test_golden_tables_of_published_protocols(num_frames: int) -> None:
    assert test_indices(num_frames, SamplingConfig(), 10)[:, 0].tolist() == DENSE_TEN_STARTS[num_frames]
    assert test_indices(num_frames, WINDOW, 1).tolist() == [WINDOW_CENTRE[num_frames]]
    ten = test_indices(num_frames, WINDOW, 10)
    assert ten[:, 0].tolist() == WINDOW_TEN_STARTS[num_frames]
    steps = 8 * np.arange(8)
    assert ten.tolist() == [((start + steps) % num_frames).tolist() for start in WINDOW_TEN_STARTS[num_frames]]
    assert test_indices(num_frames, TSM, 1).tolist() == TSM_TWICE[num_frames][:1]
    assert test_indices(num_frames, TSM, 2).tolist() == TSM_TWICE[num_frames]


class Fixed:
    """A generator that always draws `value`."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, size: int | None = None) -> float | np.ndarray:
        return self.value if size is None else np.full(size, self.value)


@pytest.mark.parametrize("num_frames", DENSE_CENTRE)
def test_golden_training_clips(num_frames: int) -> None:
    first, last = Fixed(0.0), Fixed(1 - 1e-12)
    for spec, table in (
        (SamplingConfig(), DENSE_TRAIN),
        (SamplingConfig(mode="uniform"), UNIFORM_TRAIN),
        (TSM, TSM_TRAIN),
    ):
        low, high = table[num_frames]
        assert train_indices(num_frames, spec, first).tolist() == low
        assert train_indices(num_frames, spec, last).tolist() == high
    for draw, start in ((first, 0), (last, WINDOW_LAST_TRAIN_START[num_frames])):
        expected = ((start + 8 * np.arange(8)) % num_frames).tolist()
        assert train_indices(num_frames, WINDOW, draw).tolist() == expected


def test_our_middles_of_parts_are_not_always_those_of_tsm() -> None:
    """TSM takes floor((2 t + 1) n / 2 T), we the middle of the frames floor(t n / T) .. floor((t + 1) n / T) - 1."""
    ours = SamplingConfig(mode="uniform")
    assert test_indices(300, ours).tolist() == test_indices(300, TSM).tolist()
    assert test_indices(11, ours).tolist() == [[0, 1, 3, 4, 5, 7, 8, 10]]
    assert test_indices(11, TSM).tolist() == [[0, 2, 3, 4, 6, 7, 8, 10]]
    lengths = range(8, 400)
    apart = [np.abs(test_indices(n, ours) - test_indices(n, TSM)).max() for n in lengths]
    assert max(apart) == 1 and min(apart) == 0


@pytest.mark.parametrize("count", [8, 16])
def test_the_formulas_of_tsm_in_whole_numbers_are_those_in_floating_point(count: int) -> None:
    spec = SamplingConfig(mode="uniform", num_frames=count, rule="tsm")
    for n in range(1, 400):
        tick = n / count
        expected = [[int(tick / 2 + tick * t) for t in range(count)], [int(tick * t) for t in range(count)]]
        assert test_indices(n, spec, 2).tolist() == expected
        dense = SamplingConfig(num_frames=count, frame_stride=64 // count, window=64, short_video="loop")
        starts = np.linspace(0, max(1, 1 + n - 64) - 1, num=10, dtype=int)
        assert np.array_equal(test_indices(n, dense, 10)[:, 0], starts)


def test_sampling_that_contradicts_itself_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"window=64 is shorter than the 121 frames .*frame_stride=4 or"):
        SamplingConfig(num_frames=16, frame_stride=8, window=64)
    with pytest.raises(ConfigError, match="window=64 needs sampling.mode=dense"):
        SamplingConfig(mode="uniform", window=64)
    with pytest.raises(ConfigError, match="rule=tsm needs sampling.mode=uniform"):
        SamplingConfig(rule="tsm")
    with pytest.raises(ValueError, match="num_clips=3: sampling.rule=tsm has 1 or 2 clips"):
        test_indices(100, TSM, 3)
    assert frames_needed(WINDOW) == 64 and frames_needed(TSM) == 8


@given(specs, st.integers(1, 400), st.integers(0, 2**32))
def test_training_clips_lie_in_the_video(spec: SamplingConfig, num_frames: int, seed: int) -> None:
    indices = train_indices(num_frames, spec, np.random.default_rng(seed))
    assert indices.dtype == np.int64 and indices.shape == (spec.num_frames,)
    assert 0 <= indices.min() and indices.max() < num_frames
    assert np.array_equal(indices, train_indices(num_frames, spec, np.random.default_rng(seed)))
    steps = np.diff(indices)
    if spec.rule == "tsm" or spec.short_video == "pad_last" or num_frames >= frames_needed(spec):
        assert (steps >= 0).all()
    if num_frames >= frames_needed(spec):
        assert (steps == spec.frame_stride).all() if spec.mode == "dense" else (steps >= 1).all()


@given(specs, st.integers(1, 400), st.integers(1, 10))
def test_test_clips_lie_in_the_video(spec: SamplingConfig, num_frames: int, num_clips: int) -> None:
    num_clips = min(num_clips, 2) if spec.rule == "tsm" else num_clips
    clips = test_indices(num_frames, spec, num_clips)
    assert np.array_equal(clips, test_indices(num_frames, spec, num_clips))
    assert clips.dtype == np.int64 and clips.shape == (num_clips, spec.num_frames)
    assert 0 <= clips.min() and clips.max() < num_frames
    if spec.rule == "tsm" or spec.short_video == "pad_last" or num_frames >= frames_needed(spec):
        assert (np.diff(clips) >= 0).all()
    if spec.mode == "dense" and num_frames >= frames_needed(spec) and num_clips > 1:
        assert clips[0, 0] == 0 and clips[-1, 0] == num_frames - frames_needed(spec)


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
