"""The search for what must stay higher: what it may return for any errors, and how little it asks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ganrt_export.precision.search import fewest_high, fewest_that_hold

POWERS = st.lists(st.floats(0, 3, allow_subnormal=False), min_size=1, max_size=40)


def adding(powers: list[float], asked: list[frozenset[int]] | None = None):
    """The error of a graph whose operations add their powers while they are low."""

    def error(high: frozenset[int]) -> float:
        if asked is not None:
            asked.append(high)
        return math.fsum(power for item, power in enumerate(powers) if item not in high)

    return error


@given(POWERS)
def test_what_is_kept_high_passes_and_none_of_it_can_be_given_up(powers: list[float]) -> None:
    error = adding(powers)
    high = fewest_high(range(len(powers)), error)
    assert high is not None
    assert error(high) <= 1
    assert all(error(high - {one}) > 1 for one in high)


@given(st.sets(st.integers(0, 199), min_size=1, max_size=5))
def test_exactly_the_operations_that_break_everything_are_found(culprits: set[int]) -> None:
    found = fewest_high(range(200), lambda high: 0.0 if culprits <= high else math.inf)
    assert found == culprits


def test_one_culprit_of_a_thousand_takes_a_few_dozen_attempts() -> None:
    asked: list[frozenset[int]] = []
    powers = [0.0] * 1000
    powers[617] = 50.0
    assert fewest_high(range(1000), adding(powers, asked)) == {617}
    assert len(asked) < 40


def test_nothing_is_kept_where_everything_low_passes_at_the_first_attempt() -> None:
    asked: list[frozenset[int]] = []
    assert fewest_high(range(9), adding([0.1] * 9, asked)) == frozenset()
    assert len(asked) == 1


def test_there_is_no_answer_where_even_everything_high_fails() -> None:
    assert fewest_high(range(5), lambda _: 2.0) is None
    assert fewest_that_hold(range(5), lambda _: 0.0, lambda _: 2.0, patience_s=1.0) is None


@given(POWERS)
def test_without_time_the_answer_is_coarse_and_still_passes(powers: list[float]) -> None:
    error = adding(powers)
    high = fewest_high(range(len(powers)), error, patience=lambda: False)
    assert high is not None
    assert error(high) <= 1


def test_an_error_that_is_no_number_does_not_pass() -> None:
    assert fewest_high(range(6), lambda high: 0.5 if 3 in high else math.nan) == {3}


def test_what_is_cheap_is_kept_before_anything_else() -> None:
    powers = [3.0, 0.6, 0.6, 0.6]
    assert fewest_high(range(4), adding([0.0, *powers[1:]]), cheap=[2, 3]) <= {2, 3}
    assert fewest_high(range(4), adding(powers), cheap=[1, 2]) >= {0}


def test_a_search_asks_a_few_questions_however_long_each_takes() -> None:
    powers = [0.0] * 64
    powers[40] = 5.0
    found = fewest_that_hold(range(64), adding(powers), adding(powers), patience_s=0.0)
    assert found == {40}


@given(st.floats(1.1, 8))
def test_no_more_is_kept_than_the_whole_needs_about(times: float) -> None:
    """`times`: how much worse the whole is than the quick error says."""
    powers = [0.05] * 60
    quick, whole = adding(powers), adding([times * power for power in powers])
    found = fewest_that_hold(range(60), quick, whole, patience_s=5.0)
    assert found is not None
    assert 0.6 <= whole(found) <= 1


def test_a_quick_error_is_tightened_until_the_whole_passes() -> None:
    quick, whole = adding([0.3, 0.3, 0.3]), adding([0.9, 0.9, 0.9])
    found = fewest_that_hold(range(3), quick, whole, patience_s=5.0)
    assert found is not None
    assert whole(found) <= 1
    assert len(found) == 2
