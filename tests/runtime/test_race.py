"""Who is fastest, told from turns on a machine that others use too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt.backends.race import Race

FAR = 2.5


def run(race: Race, true: dict[str, float], chance: np.random.Generator) -> int:
    """Turns until it is over; some are slowed three times as a whole, and every call by up to a fifth."""
    turns = 0
    while not race.over:
        slow = chance.choice([1.0, 3.0])
        race.turn({name: true[name] * slow * chance.uniform(1.0, 1.2) for name in race.running})
        turns += 1
    return turns


@given(st.integers(0, 1 << 30))
def test_the_fastest_is_found_though_whole_turns_are_slowed_and_the_first_times_mislead(seed: int) -> None:
    chance, true = np.random.default_rng(seed), {"a": 1.3, "b": 1.0, "c": 2.0, "d": 1.5}
    first = {name: took * chance.choice([1.0, 1.4]) for name, took in true.items()}
    race = Race(first, FAR)
    run(race, true, chance)
    times = race.times()
    assert min(times, key=times.__getitem__) == "b"
    assert times["b"] == min(times.values())
    for name, took in true.items():
        assert times[name] / times["b"] == pytest.approx(took, rel=0.5)


def test_it_ends_early_where_one_is_left_and_late_where_two_are_equal() -> None:
    chance = np.random.default_rng(0)
    clear = run(Race({"a": 1.0, "b": 2.0}, FAR), {"a": 1.0, "b": 2.0}, chance)
    equal = run(Race({"a": 1.0, "b": 1.0}, FAR), {"a": 1.0, "b": 1.0}, chance)
    assert clear < equal / 5


def test_of_three_that_are_nearly_equal_none_has_just_the_time_of_another() -> None:
    chance, true = np.random.default_rng(0), {"a": 1.0, "b": 1.01, "c": 1.02}
    race = Race(true, FAR)
    run(race, true, chance)
    assert len(set(race.times().values())) == 3


def test_who_is_far_behind_has_no_turn_and_stays_as_far_behind() -> None:
    race = Race({"a": 1.0, "b": 2.6}, FAR)
    assert race.running == ["a"]
    for _ in range(5):
        race.turn({"a": 1.1})
    assert race.times() == {"a": pytest.approx(1.1), "b": pytest.approx(2.6 * 1.1)}


def test_of_too_few_turns_the_least_time_counts() -> None:
    race = Race({"a": 1.2, "b": 1.0}, FAR)
    race.turn({"a": 1.1, "b": 1.5})
    assert race.times() == {"a": 1.1, "b": 1.0}


def test_a_time_from_a_quiet_moment_does_not_make_who_left_the_fastest() -> None:
    race = Race({"a": 1.0, "b": 0.6}, FAR)
    for _ in range(10):
        race.turn({name: {"a": 1.0, "b": 1.5}[name] for name in race.running})
    times = race.times()
    assert times["a"] < times["b"]
