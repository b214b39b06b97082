"""A request's future is one of concurrent.futures: to whoever asks, in whatever order, and from whatever thread."""

import asyncio
import sys
import threading
import time
from concurrent.futures import (
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Future,
    InvalidStateError,
    as_completed,
    wait,
)
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt.serving.promise import Promise

ROWS = object()


def promise():
    return Promise(None)


class Plain(Future):
    """The same by the standard library alone."""

    take = Future.set_running_or_notify_cancel

    def answer(self, result):
        with suppress(InvalidStateError):
            self.set_result(result)

    def fail(self, problem):
        with suppress(InvalidStateError):
            self.set_exception(problem)


@pytest.fixture
def hasty():
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


QUESTIONS = {
    "result": lambda future, _: future.result(0),
    "result, soon": lambda future, _: future.result(1e-4),
    "exception": lambda future, _: future.exception(0),
    "done": lambda future, _: future.done(),
    "running": lambda future, _: future.running(),
    "cancelled": lambda future, _: future.cancelled(),
    "cancel": lambda future, _: future.cancel(),
    "callback": lambda future, told: future.add_done_callback(lambda it: told.append(it is future)),
    "wait": lambda future, _: len(wait([future], 0).done),
    "as completed": lambda future, _: len(list(as_completed([future], 0))),
    "repr": lambda future, _: repr(future).split("state=")[1],
    "somebody's answer": lambda future, _: future.set_result("mine"),
}
PROBLEM = ValueError("broken")


def outcome(ask, future, told):
    try:
        return ask(future, told)
    except (CancelledError, InvalidStateError, TimeoutError, ValueError) as problem:
        return type(problem)


@given(
    before=st.lists(st.sampled_from(sorted(QUESTIONS.keys() - {"somebody's answer"})), max_size=3),
    while_computed=st.lists(st.sampled_from(sorted(QUESTIONS)), max_size=3),
    after=st.lists(st.sampled_from(sorted(QUESTIONS)), max_size=4),
    fails=st.booleans(),
)
def test_whatever_is_asked_whenever_it_says_what_a_plain_future_says(before, while_computed, after, fails):
    said = []
    for future in (promise(), Plain()):
        told, answers = [], []
        answers += [outcome(QUESTIONS[one], future, told) for one in before]
        if wanted := future.take():
            answers += [outcome(QUESTIONS[one], future, told) for one in while_computed]
            future.fail(PROBLEM) if fails else future.answer(ROWS)
        answers += [outcome(QUESTIONS[one], future, told) for one in after]
        said.append((wanted, [answer if answer is not ROWS else "the rows" for answer in answers], told))
    assert said[0] == said[1]


def test_a_future_of_which_only_the_result_is_asked_keeps_nothing_of_a_whole_one():
    future = promise()
    assert not future.done()
    assert future.take()
    future.answer(ROWS)
    assert future.done()
    assert future.result() is ROWS
    assert not vars(future).keys() & vars(Future()).keys()
    assert not future.cancelled()
    assert vars(future).keys() > vars(Future()).keys()


def later(*steps):
    """Does each step, 20 ms after the one before, in another thread."""

    def run():
        for step in steps:
            time.sleep(0.02)
            step()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_thread_waits_for_the_answer_and_wakes_at_once():
    future = promise()
    later(future.take, lambda: future.answer(ROWS))
    began = time.perf_counter()
    assert future.result(9) is ROWS
    assert time.perf_counter() - began < 8


def test_many_threads_may_wait_for_the_same():
    future, found = promise(), []
    waiting = [threading.Thread(target=lambda: found.append(future.result(20))) for _ in range(5)]
    for thread in waiting:
        thread.start()
    later(future.take, lambda: future.answer(ROWS)).join()
    for thread in waiting:
        thread.join(20)
    assert [one is ROWS for one in found] == [True] * 5


def test_who_waits_is_told_that_it_was_cancelled_or_failed():
    began = time.perf_counter()
    future = promise()
    later(future.cancel, future.take)
    with pytest.raises(CancelledError):
        future.result(9)
    future = promise()
    later(future.take, lambda: future.fail(PROBLEM))
    with pytest.raises(ValueError, match="broken"):
        future.result(9)
    assert time.perf_counter() - began < 8


def test_a_timeout_is_kept_and_the_answer_can_be_had_afterwards():
    future = promise()
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        future.result(0.1)
    with pytest.raises(TimeoutError):
        future.result(0.1)
    assert 0.2 <= time.perf_counter() - began < 5
    future.take()
    future.answer(ROWS)
    assert future.result(0) is ROWS
    assert future.exception(0) is None


def test_wait_sees_the_first_answer_the_first_problem_and_all():
    first, second, third = futures = [promise() for _ in range(3)]
    later(first.take, lambda: first.answer(ROWS))
    assert wait(futures, 20, FIRST_COMPLETED).done == {first}
    later(second.take, lambda: second.fail(PROBLEM))
    assert wait([second, third], 20, FIRST_EXCEPTION).done == {second}
    assert wait(futures, 0).not_done == {third}
    later(third.cancel, third.take)
    assert wait(futures, 20).done == set(futures)


def test_as_completed_gives_them_in_the_order_of_their_answers():
    first, second, third = promise(), promise(), Future()
    later(second.take, lambda: second.answer(ROWS), lambda: third.set_result(ROWS), lambda: first.answer(ROWS))
    assert list(as_completed([first, second, third], 20)) == [second, third, first]


def test_asyncio_waits_cancels_and_is_told_of_problems():
    good, bad, unwanted = promise(), promise(), promise()

    async def ask():
        assert await asyncio.wrap_future(good) is ROWS
        with pytest.raises(ValueError, match="broken"):
            await asyncio.wrap_future(bad)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(unwanted), 0.05)

    later(good.take, lambda: good.answer(ROWS), bad.take, lambda: bad.fail(PROBLEM))
    asyncio.run(ask())
    assert unwanted.cancelled()
    assert not unwanted.take()


class Stepwise(Promise):
    """Lets another thread ask `second` of it before the step `at` of this one: a step reads or writes an attribute."""

    stopping = False

    def __init__(self, at, second):
        super().__init__(None)
        self.left, self.here = at, threading.get_ident()
        self.waits = False  # this thread: it had no such step before
        self.other = threading.Thread(target=second, args=(self,))
        self.last = threading.Timer(0.6, self.let_go)

    def let_go(self):
        self.waits = True
        self.other.start()

    def __getattribute__(self, name):
        object.__getattribute__(self, "step")()
        return super().__getattribute__(name)

    def __setattr__(self, name, value):
        object.__getattribute__(self, "step")()
        super().__setattr__(name, value)

    def step(self):
        known = object.__getattribute__(self, "__dict__")
        if Stepwise.stopping and known["here"] == threading.get_ident() and not known["waits"]:
            known["left"] -= 1
            if known["left"] == -1:
                known["last"].cancel()
                known["other"].start()
                known["other"].join(0.02)  # it may have to wait for what this thread holds, or does next


def interleaved(first, second):
    """Futures of which another thread asked `second` before the first, the second, ... step of `first` in this, until
    `first` has no further step, or waits."""
    for at in count():
        future, began = Stepwise(at, second), time.perf_counter()
        future.last.start()
        Stepwise.stopping = True
        try:
            first(future)
        finally:
            Stepwise.stopping = False
            future.last.cancel()
        if future.left >= 0 and not future.waits:
            return
        future.other.join(20)
        assert time.perf_counter() - began < 4, "none was woken: it found the answer when its patience ended"
        if future.waits:
            return
        yield future


ASKED = {
    "result": lambda future: future.result(5),
    "exception": lambda future: future.exception(5),
    "callback": lambda future: Result(future).rows(5),
    "wait": lambda future: [one.result(0) for one in wait([future], 5).done],
    "as completed": lambda future: [one.result(0) for one in as_completed([future], 5)],
}


class Result:
    """Of a future, as a callback is told of it: once."""

    def __init__(self, future):
        self.told, self.event = [], threading.Event()
        future.add_done_callback(self)

    def __call__(self, future):
        self.told.append(future.result(0))
        self.event.set()

    def rows(self, timeout):
        self.event.wait(timeout)
        return self.told


@pytest.mark.parametrize("question", list(ASKED))
def test_an_answer_is_never_missed_wherever_it_comes_between_the_steps_of_who_asks(question):
    found = []

    def serve(future):
        assert future.take()
        future.answer(ROWS)

    futures = list(interleaved(lambda future: found.append(ASKED[question](future)), serve))
    expected = {"result": ROWS, "exception": None}.get(question, [ROWS])
    assert len(futures) > 3
    assert found[: len(futures)] == [expected] * len(futures)
    assert all(future.result(0) is ROWS for future in futures)


@pytest.mark.parametrize("question", list(ASKED))
def test_an_answer_is_never_missed_wherever_the_question_comes_between_the_steps_of_who_answers(question):
    found = []

    def serve(future):
        assert future.take()
        future.answer(ROWS)

    futures = list(interleaved(serve, lambda future: found.append(ASKED[question](future))))
    expected = {"result": ROWS, "exception": None}.get(question, [ROWS])
    assert found == [expected] * len(futures)
    assert all(future.result(0) is ROWS for future in futures)


def test_it_is_either_cancelled_or_computed_wherever_the_two_meet():
    wanted = []
    for future in interleaved(lambda future: wanted.append(future.take()), Promise.cancel):
        assert future.cancelled() is not wanted[-1]
        assert future.running() is wanted[-1]
    assert {True, False} == set(wanted)
    wanted.clear()
    for future in interleaved(Promise.cancel, lambda future: wanted.append(future.take())):
        assert future.cancelled() is not wanted[-1]
        assert future.running() is wanted[-1]
    assert {True, False} == set(wanted)


def test_who_was_answered_by_somebody_else_is_not_computed():
    future = promise()
    future.set_result("mine")
    assert not future.take()
    assert future.result(0) == "mine"


def test_one_that_is_cancelled_while_it_is_taken_is_either_computed_or_cancelled(hasty):
    futures = [promise() for _ in range(1000)]
    computed = []

    def serve():
        for future in futures:
            if future.take():
                computed.append(future)
                future.answer(ROWS)

    server = threading.Thread(target=serve)
    server.start()
    cancelled = [future for future in futures if future.cancel()]
    server.join(20)
    assert not wait(futures, 20).not_done
    assert sorted(map(id, (*cancelled, *computed))) == sorted(map(id, futures))
    assert all(future.result(0) is ROWS for future in computed)
    assert all(future.cancelled() for future in cancelled)
