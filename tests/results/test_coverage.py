"""How often the intervals contain the truth, simulated: what an interval promises must be what it does."""

from __future__ import annotations

import numpy as np
import pytest

from results.stats import bootstrap_difference, difference, estimate, t_interval

DRAWS = 4000


def covered(low: float, high: float, truth: float) -> bool:
    return low <= truth <= high


@pytest.mark.parametrize("spread", [0.3, 5.0])
def test_three_seeds_cover_between_93_and_97_per_cent(spread: float) -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for values in draw.normal(70.0, spread, (DRAWS, 3)):
        interval = t_interval(values.tolist())
        hits += covered(interval.low, interval.high, 70.0)
    assert 0.93 < hits / DRAWS < 0.97


def test_paired_differences_of_three_seeds_cover_and_are_narrower_than_unpaired() -> None:
    """The seed moves both arms: pairing takes that out."""
    draw = np.random.default_rng(1)
    hits, widths, apart = 0, [], []
    for _ in range(DRAWS):
        common = draw.normal(0, 3, 3)
        a = dict(enumerate(70 + common + draw.normal(0, 0.5, 3)))
        b = dict(enumerate(68 + common + draw.normal(0, 0.5, 3)))
        found = difference(a, b)
        assert found is not None and found.interval is not None
        hits += covered(found.interval.low, found.interval.high, 2.0)
        widths.append(found.interval.high - found.interval.low)
        apart.append(np.std(list(a.values()), ddof=1))
    assert 0.93 < hits / DRAWS < 0.97
    assert np.median(widths) / 2 < 4.303 * np.median(apart) / np.sqrt(3) / 2


def test_a_percentile_bootstrap_of_three_covers_far_less() -> None:
    """Why it is not what the tables use."""
    draw = np.random.default_rng(2)
    hits = 0
    for values in draw.normal(70.0, 1.0, (1000, 3)):
        means = draw.choice(values, (1000, 3)).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        hits += covered(low, high, 70.0)
    assert hits / 1000 < 0.85


def test_shared_pretrainings_are_not_counted_as_more_than_they_are() -> None:
    """Two runs on each of three pretrainings: over six values the interval would be far too narrow."""
    draw = np.random.default_rng(3)
    right = naive = 0
    for _ in range(DRAWS):
        parents = draw.normal(70, 2, 3)
        values = [float(parent + draw.normal(0, 0.3)) for parent in parents for _ in range(2)]
        found = estimate(values, ["a", "a", "b", "b", "c", "c"])
        assert found is not None and found.interval is not None and (found.runs, found.independent) == (6, 3)
        right += covered(found.interval.low, found.interval.high, 70.0)
        interval = t_interval(values)
        naive += covered(interval.low, interval.high, 70.0)
    assert 0.93 < right / DRAWS < 0.97 and naive / DRAWS < 0.9


def test_the_bootstrap_over_videos_covers_what_it_says() -> None:
    draw = np.random.default_rng(4)
    hits = 0
    for number in range(400):
        easy = draw.random(600)
        a, b = easy < 0.7, np.where(draw.random(600) < 0.8, easy < 0.7, draw.random(600) < 0.5)
        interval = bootstrap_difference(a.tolist(), b.tolist(), seed=number)
        hits += covered(interval.low, interval.high, 100 * 0.2 * (0.7 - 0.5))
    assert 0.92 < hits / 400 < 0.98
