import math
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.stats import binomial_interval, chance, clopper_pearson, successes, summarise


def test_summary_of_three_values() -> None:
    found = summarise([1.0, 2.0, 4.0])
    assert (found.n, found.mean) == (3, pytest.approx(7 / 3))
    assert found.sd == pytest.approx(math.sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2))


def test_summary_of_one_and_of_none() -> None:
    assert (summarise([3.5]).n, summarise([3.5]).mean, summarise([3.5]).sd) == (1, 3.5, None)
    assert (summarise([None, math.nan]).n, summarise([]).mean, summarise([]).sd) == (0, None, None)


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8), rotate=st.integers(0, 8))
def test_summary_does_not_depend_on_the_order(values: list[float], rotate: int) -> None:
    turned = values[rotate % len(values) :] + values[: rotate % len(values)]
    assert summarise(values) == summarise(turned[::-1])
    assert summarise(values).mean == pytest.approx(statistics.fmean(values))


def _at_most(hits: int, trials: int, share: Fraction) -> Fraction:
    return sum(
        (math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(hits + 1)), start=Fraction(0)
    )


@settings(max_examples=40, deadline=None)
@given(trials=st.integers(1, 60), data=st.data(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_leaves_exactly_its_tails(trials: int, data: st.DataObject, confidence: float) -> None:
    """Against its definition in exact arithmetic: at each bound the binomial tail has (1 - confidence) / 2."""
    hits = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(hits, trials, confidence)
    tail = (1 - confidence) / 2
    assert 0 <= low <= hits / trials <= high <= 1
    assert low == 0 if hits == 0 else float(1 - _at_most(hits - 1, trials, Fraction(low))) == pytest.approx(tail, 1e-9)
    assert high == 1 if hits == trials else float(_at_most(hits, trials, Fraction(high))) == pytest.approx(tail, 1e-9)


def test_clopper_pearson_of_large_counts() -> None:
    """The textbook value of 0 of n, 1 - (tail)^(1/n), and symmetry."""
    assert clopper_pearson(0, 19_404)[1] == pytest.approx(1 - 0.025 ** (1 / 19_404), rel=1e-9)
    low, high = clopper_pearson(15_000, 19_404)
    mirrored = clopper_pearson(4_404, 19_404)
    assert (1 - high, 1 - low) == (pytest.approx(mirrored[0], abs=1e-12), pytest.approx(mirrored[1], abs=1e-12))


@pytest.mark.parametrize(("hits", "trials", "confidence"), [(1, 0, 0.95), (-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0)])
def test_clopper_pearson_refuses(hits: int, trials: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="hits=|confidence="):
        clopper_pearson(hits, trials, confidence)


@given(trials=st.integers(1, 50_000), data=st.data())
def test_successes_undoes_the_per_cent(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    assert successes(100 * hits / trials, trials) == hits


@pytest.mark.parametrize(("per_cent", "trials"), [(50.0, 3), (101.0, 100), (-1.0, 100), (10.0, 0)])
def test_successes_refuses_what_is_no_share_of_the_videos(per_cent: float, trials: int) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        successes(per_cent, trials)


def test_chance() -> None:
    assert chance(12) == pytest.approx(8.3333, abs=1e-4)
    with pytest.raises(ValueError, match="num_classes=0"):
        chance(0)


@pytest.mark.parametrize(("trials", "share"), [(200, 0.25), (800, 0.25), (10, 0.5), (1, 0.9)])
def test_binomial_interval_holds_what_it_says(trials: int, share: float) -> None:
    low, high = binomial_interval(trials, share, 0.99)
    mass = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)]
    assert sum(mass[:low]) <= 0.005 and sum(mass[high + 1 :]) <= 0.005
    assert sum(mass[: low + 1]) > 0.005 and sum(mass[high:]) > 0.005
