"""The few statistics that the tables show.

Runs are independent where their seeds are; runs that share one pretraining are not, and count as one value (the mean
of them). With two values or more an interval is Student's t, because a percentile bootstrap of three values covers far
less than it says (tests/results/test_coverage.py measures both). With one run only its test videos can be resampled.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from results.table import Estimate, Interval

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Summary:
    """Of n runs that differ in nothing but the seed. ``mean`` is None for n = 0, ``sd`` (ddof = 1) for n < 2."""

    n: int
    mean: float | None
    sd: float | None


def summarise(values: Iterable[float | None]) -> Summary:
    """Mean, sample standard deviation and count of the values that are there (None and NaN are not).

    The order of the values does not matter, not even to the last bit.
    """
    numbers = sorted(float(value) for value in values if value is not None and not math.isnan(value))
    return Summary(
        n=len(numbers),
        mean=statistics.fmean(numbers) if numbers else None,
        sd=statistics.stdev(numbers) if len(numbers) > 1 else None,
    )


def estimate(values: Sequence[float], shared: Sequence[Hashable] | None = None) -> Estimate | None:
    """Of the `values` of runs with different seeds; None for none.

    shared: for each run what it shares with others (the id of its pretraining); '' or None = nothing. The values of
    runs that share something are averaged first; mean, sd (ddof = 1) and the interval are over those means.

    Raises ValueError if the two have different lengths or a value is not finite.
    """
    if not values:
        return None
    if not all(math.isfinite(value) for value in values):
        raise ValueError("an estimate needs finite values")
    means = _means(values, shared)
    return _estimate(tuple(means), len(values))


@functools.lru_cache(maxsize=100_000)  # the figures of an arm stand in many tables
def _estimate(means: tuple[float, ...], runs: int) -> Estimate:
    mean = statistics.fmean(means)
    if len(means) == 1:
        return Estimate(mean, None, runs, 1)
    sd = _sd(means)
    return Estimate(mean, sd, runs, len(means), _t_interval(mean, sd, len(means), CONFIDENCE))


def _sd(values: Sequence[float]) -> float:
    """That of statistics.stdev to the last bit (ddof = 1, correctly rounded), which reckons in fractions of its own and
    takes ten times as long: here in whole numbers over one common denominator, a power of two."""
    ratios = [value.as_integer_ratio() for value in values]
    unit, count = max(ratio[1] for ratio in ratios), len(values)
    whole = [numerator * (unit // denominator) for numerator, denominator in ratios]
    squares = count * sum(value * value for value in whole) - sum(whole) ** 2
    return _root(squares, count * (count - 1) * unit * unit)


def _root(numerator: int, denominator: int) -> float:
    """The float nearest to the square root of a ratio: 54 bits or more of it, the last one set if more follow."""
    shift = (numerator.bit_length() - denominator.bit_length() - 109) // 2
    if shift >= 0:
        denominator <<= 2 * shift
    else:
        numerator <<= -2 * shift
    root = math.isqrt(numerator // denominator)
    root |= root * root * denominator != numerator
    return float(root << shift) if shift >= 0 else root / (1 << -shift)


def _means(values: Sequence[float], shared: Sequence[Hashable] | None) -> list[float]:
    """One value for each independent pretraining, sorted, so that the order of runs does not matter to the last bit."""
    alone = shared is None or len(keys := set(shared)) == len(shared) or keys <= {"", None}
    if alone and (shared is None or len(shared) == len(values)):  # as most are
        return sorted(values)
    found: dict[Hashable, list[float]] = {}
    for index, (value, key) in enumerate(zip(values, shared or [None] * len(values), strict=True)):
        found.setdefault(("alone", index) if key in ("", None) else ("shared", key), []).append(value)
    return sorted(statistics.fmean(sorted(group)) for group in found.values())


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval of the mean of independent values (Student, Biometrika 6, 1908).

    Raises ValueError for fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs two values or more, there are {len(values)}")
    return _t_interval(statistics.fmean(values), statistics.stdev(values), len(values), confidence)


def _t_interval(mean: float, sd: float, count: int, confidence: float) -> Interval:
    half = t_quantile(count - 1, confidence) * sd / math.sqrt(count)
    return Interval(mean - half, mean + half, "seeds", confidence)


@functools.cache
def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """t with P(|T| <= t) = `confidence` for `degrees` of freedom: T² / (T² + degrees) ~ Beta(1/2, degrees / 2).

    Raises ValueError if not degrees >= 1 and 0 < confidence < 1.
    """
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"degrees={degrees}, confidence={confidence}: no quantile")
    # the upper tail, because a share near 1 leaves no digits for 1 - share
    tail = _beta_quantile(1 - confidence, degrees / 2, 0.5)
    return math.sqrt(degrees * (1 - tail) / tail)


def difference(
    ours: Mapping[Hashable, float],
    other: Mapping[Hashable, float],
    shared: Mapping[Hashable, Hashable] | None = None,
) -> Estimate | None:
    """ours - other over the seeds that both have, each seed paired with itself; None without a common seed.

    shared: seed -> what its run shares with the runs of other seeds, as in :func:`estimate`.
    """
    seeds = [seed for seed in ours if seed in other]
    return estimate([ours[seed] - other[seed] for seed in seeds], [(shared or {}).get(seed) for seed in seeds])


def bootstrap_difference(
    ours: Sequence[bool], other: Sequence[bool], confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Percentile bootstrap of the difference of two accuracies, in points of per cent, over the videos both tested.

    `ours[i]` and `other[i]`: whether video i was right. It says what other videos would do to these two runs, nothing
    about other seeds. Only three outcomes exist for a video (-1, 0, 1), so a resample is a draw of their counts.

    Raises ValueError for no video or sequences of different lengths.
    """
    if not ours:
        raise ValueError("a bootstrap needs a video at least")
    gained = sum(a and not b for a, b in zip(ours, other, strict=True))
    lost = sum(b and not a for a, b in zip(ours, other, strict=True))
    videos = len(ours)
    shares = [gained / videos, lost / videos, (videos - gained - lost) / videos]
    counts = np.random.default_rng(seed).multinomial(videos, shares, RESAMPLES)
    low, high = np.quantile(100 * (counts[:, 0] - counts[:, 1]) / videos, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), "videos", confidence)


def chance(num_classes: int) -> float:
    """Top-1 in per cent of guessing among `num_classes` equally frequent classes. Raises ValueError below 1."""
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes} must be at least 1")
    return 100.0 / num_classes


def successes(per_cent: float, trials: int) -> int:
    """How many of `trials` videos an accuracy of `per_cent` is.

    Raises ValueError if it is no share of that many videos (then one of the two numbers belongs to another count).
    """
    count = per_cent / 100 * trials
    if trials < 1 or not 0 <= round(count) <= trials or abs(count - round(count)) > 0.01:
        raise ValueError(f"{per_cent} % is not a whole number of {trials} videos")
    return round(count)


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval of a share, each tail at most (1 - confidence) / 2.

    C. J. Clopper and E. S. Pearson, Biometrika 26 (1934): the bounds are quantiles of beta distributions,
    Beta(hits, trials - hits + 1) and Beta(hits + 1, trials - hits).

    Raises:
        ValueError: if not 0 <= hits <= trials, trials >= 1 and 0 < confidence < 1.
    """
    if not (trials >= 1 and 0 <= hits <= trials):
        raise ValueError(f"hits={hits} of trials={trials}: 0 <= hits <= trials and trials >= 1 are needed")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must be between 0 and 1")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _beta_quantile(tail, hits, trials - hits + 1)
    high = 1.0 if hits == trials else _beta_quantile(1 - tail, hits + 1, trials - hits)
    return low, high


def _beta_quantile(share: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    # 60 halvings reach 1e-18, below the spacing of doubles near any quantile shown
    for _ in range(60):
        middle = (low + high) / 2
        if _beta_cdf(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b) by its continued fraction (NIST DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        # the fraction converges fast only below the mean: I_x(a, b) = 1 - I_(1-x)(b, a)
        return 1 - _beta_cdf(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    fraction = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            c = 1 + term / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return math.exp(log_front) * fraction / a


def binomial_interval(trials: int, share: float, confidence: float = 0.99) -> tuple[int, int]:
    """(low, high): the counts between which a binomial variable lies, with each tail beyond them at most
    (1 - confidence) / 2.

    Raises:
        ValueError: if not trials >= 1, 0 < share < 1 and 0 < confidence < 1.
    """
    if trials < 1 or not 0 < share < 1 or not 0 < confidence < 1:
        raise ValueError(f"trials={trials}, share={share}, confidence={confidence}: no binomial interval")
    tail = (1 - confidence) / 2
    whole = math.lgamma(trials + 1)
    mass = [
        math.exp(
            whole
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + k * math.log(share)
            + (trials - k) * math.log1p(-share)
        )
        for k in range(trials + 1)
    ]
    below, low = mass[0], 0
    while below <= tail:
        low += 1
        below += mass[low]
    above, high = mass[trials], trials
    while above <= tail:
        high -= 1
        above += mass[high]
    return low, high
