"""What is timed, for how long, and what is left out: on a clock that the test moves."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt.latency.measure import BLOCKS, Plan, measure


class Machine:
    """Calls that take what `costs` says, one after the other; `clock` moves by that and nothing else."""

    def __init__(self, costs, pause=0.0):
        self.now, self.costs, self.pause = 0.0, iter(costs), pause
        self.called, self.checked, self.looks = [], [], 0

    def clock(self):
        return self.now

    def call(self, given):
        self.called.append(given)
        cost = next(self.costs)
        if isinstance(cost, BaseException):
            raise cost
        self.now += cost
        return given

    def look(self):
        self.looks += 1
        self.now += self.pause

    def measure(self, seconds, **plan):
        return measure(
            self.call,
            Plan(seconds, **plan),
            prepare=lambda at: at,
            check=self.checked.append,
            between=self.look,
            clock=self.clock,
        )


def test_warm_up_ends_when_calls_are_steady():
    machine = Machine(itertools.chain([9, 8, 7, 6, 5, 4, 3, 2], itertools.repeat(1)))
    found = machine.measure(60)
    assert found.steady
    assert found.first_call == 9
    assert found.warm_up == [9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1]
    assert set(found.samples) == {1}


def test_calls_that_never_settle_are_timed_and_said_to_be_unsteady():
    found = Machine(itertools.cycle([1, 2, 3])).measure(20)
    assert not found.steady
    assert sum(found.samples) >= 20


def test_it_stops_at_the_time():
    found = Machine(itertools.repeat(0.001)).measure(1)
    assert found.stopped == "time"
    assert 0.94 <= sum(found.samples) <= 1.02
    assert len(found.blocks) == pytest.approx(BLOCKS, abs=2)


def test_it_stops_when_enough_is_known_but_not_before_half_of_the_blocks():
    asked = []
    found = Machine(itertools.repeat(0.001)).measure(1, enough=lambda samples: bool(asked.append(len(samples)) or True))
    assert found.stopped == "enough"
    assert len(found.blocks) == BLOCKS // 2
    assert asked == [len(found.samples)]


def test_a_call_longer_than_the_time_is_still_timed_three_times():
    assert len(Machine(itertools.repeat(5.0)).measure(1).samples) == 3


def test_one_untimed_call_follows_each_look_at_the_machine():
    machine = Machine(itertools.repeat(0.001), pause=0.5)
    found = machine.measure(30)
    assert 0.5 not in found.samples
    assert machine.looks == len(found.blocks) + 1
    assert len(machine.called) == len(found.warm_up) + len(found.samples) + len(found.blocks)


def test_slow_calls_are_all_timed():
    machine = Machine(itertools.repeat(1.0))
    found = machine.measure(10)
    assert len(machine.called) == len(found.warm_up) + len(found.samples)


@given(costs=st.lists(st.floats(0.01, 2.0), min_size=3, max_size=40), seconds=st.floats(0.5, 20))
def test_no_call_is_repeated_none_unchecked_and_no_sample_dropped(costs, seconds):
    machine = Machine(itertools.cycle(costs))
    found = machine.measure(seconds)
    assert machine.called == list(range(len(machine.called))) == machine.checked
    assert sum(found.blocks) == len(found.samples)
    assert all(found.blocks)


@given(at=st.integers(1, 200))
def test_ctrl_c_keeps_what_was_measured(at):
    machine = Machine([*itertools.repeat(0.01, at), KeyboardInterrupt()])
    found = machine.measure(10)
    assert found.stopped == "interrupted"
    assert sum(found.blocks) == len(found.samples)
    assert len(found.warm_up) + len(found.samples) + len(found.blocks) >= at - 1


def test_an_outlier_is_a_sample():
    found = Machine(itertools.chain(itertools.repeat(0.01, 100), [3.0], itertools.repeat(0.01))).measure(5)
    assert max(found.samples) == 3.0


def test_what_a_check_raises_ends_the_measurement():
    def refuse(result):
        raise ValueError(f"call {result} is wrong")

    with pytest.raises(ValueError, match="call 0 is wrong"):
        measure(lambda at: at, Plan(1), prepare=int, check=refuse)


def test_preparing_and_checking_are_outside_of_the_time():
    machine = Machine(itertools.repeat(0.25))

    def slow(given):
        machine.now += 100.0
        return given

    found = measure(machine.call, Plan(10), prepare=slow, check=slow, clock=machine.clock)
    assert set(found.samples) == {0.25}
