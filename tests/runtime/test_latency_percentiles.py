"""Percentiles as bounds: against the binomial distribution summed in whole numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt.latency.percentiles import PERCENTILES, Percentile, bound, interval, needed, tail

percents = st.sampled_from(PERCENTILES)
times = st.lists(st.floats(0.001, 1000), min_size=1, max_size=400)


def exact_tail(calls, most, percent):
    """P(binomial(calls, 1 - percent/100) <= most), without rounding."""
    slow = 1 - Fraction(str(percent)) / 100
    return sum(math.comb(calls, k) * slow**k * (1 - slow) ** (calls - k) for k in range(most + 1))


@given(calls=st.integers(1, 300), data=st.data(), percent=percents)
def test_the_tail_is_the_sum_of_the_binomial(calls, data, percent):
    most = data.draw(st.integers(-1, calls))
    assert tail(calls, most, 1 - percent / 100) == pytest.approx(float(exact_tail(calls, most, percent)), rel=1e-9)


@pytest.mark.parametrize(("percent", "calls"), [(90, 64), (99, 662), (99.9, 6636), (50, 11), (95, 130)])
def test_mlperf_asks_for_this_many_calls(percent, calls):
    assert needed(percent) == calls
    assert exact_tail(calls, 1, percent) < Fraction(1, 100) <= exact_tail(calls - 1, 1, percent)
    assert bound(range(calls - 1), percent) is None
    assert bound(range(calls), percent) == calls - 1


@pytest.mark.parametrize("percent", [50, 90, 99])
@pytest.mark.parametrize("calls", [64, 200, 1000, 2345])
def test_the_bound_is_the_order_statistic_of_the_greatest_passing_count(calls, percent):
    passing = [t for t in range(1, calls) if tail(calls, t, 1 - percent / 100) < 0.01]
    if not passing:
        assert bound(range(calls), percent) is None
        return
    slower = max(passing)
    assert exact_tail(calls, slower, percent) < Fraction(1, 100) <= exact_tail(calls, slower + 1, percent)
    assert bound(range(calls), percent) == calls - slower


def test_the_bound_holds_in_99_of_100_runs():
    random = np.random.default_rng(3)
    runs = random.exponential(1.0, (2000, 700))
    for percent in (50, 90, 99):
        true = -math.log(1 - percent / 100)
        misses = sum(bound(run, percent) < true for run in runs)
        assert misses <= 0.01 * len(runs) + 3 * math.sqrt(0.01 * 0.99 * len(runs))


def test_the_interval_holds_in_99_of_100_runs_and_is_not_needlessly_wide():
    random = np.random.default_rng(4)
    missed, widths = 0, []
    for run in random.exponential(1.0, (1000, 900)):
        low, high = interval(run, 90)
        missed += not low <= math.log(10) <= high
        widths.append(high - low)
    assert missed <= 0.01 * 1000 + 3 * math.sqrt(0.01 * 0.99 * 1000)
    assert np.median(widths) < 2 * 2.576 * math.sqrt(0.9 * 0.1 / 900) / 0.1 * 1.15  # the normal approximation


@given(samples=times, percent=percents)
def test_a_bound_is_one_of_the_samples_and_never_below_the_plain_percentile(samples, percent):
    found = bound(samples, percent)
    if found is not None:
        assert found in samples
        assert found >= np.percentile(samples, percent)


@given(samples=times, data=st.data())
def test_higher_percentiles_have_higher_bounds(samples, data):
    found = [bound(samples, percent) for percent in PERCENTILES]
    known = [value for value in found if value is not None]
    assert known == sorted(known)
    assert found == known + [None] * (len(found) - len(known))


@given(samples=times, percent=percents, factor=st.sampled_from([0.5, 2.0, 1024.0]))
def test_the_order_and_the_unit_of_the_samples_do_not_matter(samples, percent, factor):
    found, scaled = bound(samples, percent), bound([factor * one for one in reversed(samples)], percent)
    assert scaled == (None if found is None else factor * found)


def test_too_few_samples_are_said_and_no_figure_is_given():
    assert str(Percentile(99.9, None, 6636)) == "p99.9 not enough samples (6,636 needed)"
    assert str(Percentile(50.0, 0.6123, 11)) == "p50 0.612 ms"
    assert interval([1.0, 2.0], 99) is None


def test_a_million_samples_take_no_time_and_lose_no_digits():
    assert tail(1_000_000, 500_000, 0.5) == pytest.approx(
        0.5 + 0.5 * math.exp(math.lgamma(1_000_001) - 2 * math.lgamma(500_001) - 1_000_000 * math.log(2)), rel=1e-7
    )
