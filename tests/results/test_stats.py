import math
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.stats import (
    binomial_interval,
    bootstrap_difference,
    chance,
    clopper_pearson,
    difference,
    estimate,
    successes,
    summarise,
    t_quantile,
)


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


@pytest.mark.parametrize(
    ("degrees", "confidence", "quantile"),
    # scipy 1.17.1, scipy.stats.t.ppf((1 + confidence) / 2, degrees)
    [(1, 0.95, 12.706), (2, 0.95, 4.303), (4, 0.95, 2.776), (9, 0.95, 2.262), (2, 0.99, 9.925), (30, 0.9, 1.697)],
)
def test_quantiles_of_t(degrees: int, confidence: float, quantile: float) -> None:
    assert t_quantile(degrees, confidence) == pytest.approx(quantile, abs=6e-4)


def test_estimates_of_one_of_several_and_of_runs_that_share() -> None:
    assert estimate([]) is None
    one = estimate([3.0])
    assert one is not None and (one.mean, one.sd, one.interval) == (3.0, None, None)
    found = estimate([1.0, 3.0, 5.0, 7.0], ["p", "p", "q", ""])
    assert found is not None and (found.mean, found.runs, found.independent) == (pytest.approx(14 / 3), 4, 3)
    same = estimate([1.0, 3.0], ["p", "p"])
    assert same is not None and (same.mean, same.sd, same.interval, same.independent) == (2.0, None, None, 1)
    with pytest.raises(ValueError, match="finite"):
        estimate([math.nan])
    with pytest.raises(ValueError):
        estimate([1.0, 2.0], ["p"])


@given(values=st.lists(st.floats(0, 100), min_size=2, max_size=6), seed=st.integers(0, 5))
def test_an_estimate_does_not_depend_on_the_order(values: list[float], seed: int) -> None:
    order = sorted(range(len(values)), key=lambda index: hash((index, seed)))
    keys = [str(index % 2) for index in range(len(values))]
    assert estimate(values, keys) == estimate([values[i] for i in order], [keys[i] for i in order])


def test_differences_pair_seeds_and_need_a_common_one() -> None:
    found = difference({0: 3.0, 1: 5.0, 2: 9.0}, {1: 1.0, 0: 1.0, 7: 100.0})
    assert found is not None and (found.mean, found.runs) == (3.0, 2)
    assert difference({0: 1.0}, {1: 1.0}) is None
    shared = difference({0: 3.0, 1: 5.0}, {0: 1.0, 1: 1.0}, {0: "p", 1: "p"})
    assert shared is not None and shared.independent == 1 and shared.interval is None


def test_the_bootstrap_is_repeatable_and_refuses_what_it_cannot_do() -> None:
    a, b = [True] * 30 + [False] * 10, [True] * 20 + [False] * 20
    assert bootstrap_difference(a, b) == bootstrap_difference(a, b)
    same = bootstrap_difference(a, a)
    assert (same.low, same.high, same.kind) == (0.0, 0.0, "videos")
    with pytest.raises(ValueError):
        bootstrap_difference([], [])
    with pytest.raises(ValueError):
        bootstrap_difference([True], [True, False])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e150, max_value=1e150), min_size=2))
def test_the_spread_is_that_of_the_standard_library_to_the_last_bit(values: list[float]) -> None:
    found = estimate(values)
    assert found is not None and found.sd == statistics.stdev(sorted(values))
    same = estimate([values[0]] * len(values))
    assert same is not None and same.sd == 0
