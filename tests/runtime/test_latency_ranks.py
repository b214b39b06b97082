"""How far two sets of processes differ: against the tests that the bounds invert, counted out, and on many runs."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt.latency.ranks import pairs_needed, shift, shift_of_pairs

levels = st.lists(st.integers(-1000, 1000).map(float), min_size=5, max_size=12)


def p_value(old, new):
    """Mann and Whitney's test: the share of all ways to deal the ranks that are as extreme; no ties."""
    values = sorted([*old, *new])
    rank = {value: at for at, value in enumerate(values)}
    least, most = 0, len(old) * len(new)

    def wrong(ranks):
        return sum(ranks) - len(ranks) * (len(ranks) - 1) // 2

    seen = wrong([rank[value] for value in new])
    counts = [wrong(dealt) for dealt in combinations(range(len(values)), len(new))]
    extreme = sum(min(count - least, most - count) <= min(seen - least, most - seen) for count in counts)
    return extreme / len(counts)


@given(data=st.data())
def test_the_bounds_leave_out_0_just_when_the_exact_test_says_so(data):
    drawn = data.draw(st.lists(st.integers(-(10**6), 10**6), min_size=11, max_size=11, unique=True))
    old, new = drawn[:5], drawn[5:]
    found = shift(old, new, 0.95)
    assert (found.low > 0 or found.high < 0) == (p_value(old, new) <= 0.05)


@given(
    sizes=st.lists(st.integers(1, 10**6), min_size=8, max_size=8, unique=True),
    signs=st.lists(st.sampled_from([-1, 1]), min_size=8, max_size=8),
)
def test_the_bounds_of_pairs_leave_out_0_just_when_the_exact_test_says_so(sizes, signs):
    """Wilcoxon's test: the share of all ways to give the ranks signs that are as extreme."""
    ranks = np.argsort(np.argsort(sizes)) + 1
    found = shift_of_pairs([size * sign for size, sign in zip(sizes, signs, strict=True)], 0.95)
    sums = np.asarray([np.dot(ranks, chosen) for chosen in product([-1, 1], repeat=8)])
    p_value = np.mean(np.abs(sums) >= abs(np.dot(ranks, signs)))
    assert (found.low > 0 or found.high < 0) == (p_value <= 0.05)


@given(old=levels, new=levels, by=st.integers(-100, 100))
def test_what_is_added_to_every_new_level_is_added_to_the_bounds(old, new, by):
    before, after = shift(old, new), shift(old, [one + by for one in new])
    assert after == pytest.approx([value + by for value in before])


@given(old=levels, new=levels)
def test_the_other_way_round_the_signs_change(old, new):
    one, other = shift(old, new), shift(new, old)
    assert (one.low, one.estimate, one.high) == pytest.approx((-other.high, -other.estimate, -other.low))


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=12))
def test_pairs_are_bounded_around_their_centre(values):
    found = shift_of_pairs(values)
    assert min(values) <= found.low <= found.estimate <= found.high <= max(values)


def test_signs_alone_decide_the_smallest_number_of_pairs():
    assert pairs_needed(0.95) == 6
    assert shift_of_pairs([1.0] * 5).low == -np.inf
    assert shift_of_pairs([1.0] * 6).low == 1.0


def test_too_few_processes_have_no_bounds():
    assert shift([1, 2, 3], [4, 5, 6]).low == -np.inf


@pytest.mark.parametrize("count", [6, 10, 20])
def test_the_bounds_hold_in_95_of_100_runs_and_are_not_needlessly_wide(count):
    random = np.random.default_rng(5)
    tries, missed, widths = 600, 0, []
    for _ in range(tries):
        old, new = random.standard_t(3, count), 2.0 + random.standard_t(3, count)  # heavy tails: disturbed processes
        found = shift(old, new)
        missed += not found.low <= 2.0 <= found.high
        widths.append(found.high - found.low)
    assert missed <= 0.05 * tries + 3 * np.sqrt(0.05 * 0.95 * tries)
    assert np.median(widths) < 2 * 1.96 * np.sqrt(2 * 3 / count) * 1.3  # a mean's with this variance


def test_a_disturbed_process_or_two_change_little():
    random = np.random.default_rng(6)
    old, new = random.normal(0, 0.01, 10), random.normal(0.05, 0.01, 10)
    before = shift(old, new).estimate
    new[:2] += 3.0
    assert shift(old, new).estimate == pytest.approx(before, abs=0.01)
