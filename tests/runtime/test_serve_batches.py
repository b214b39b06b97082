"""Requests of many threads in common engine calls: what each gets, and what becomes of it when something goes wrong."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait

import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganrt import ArgumentError, BackendError, BatchServer, BusyError, ClosedError, Generator
from ganrt.batching import plan, sized_to_serve, two_at_a_time
from ganrt.latents import Draws, together


@pytest.fixture(scope="module")
def generators(tiny_bundles, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANRT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        made = {
            name: Generator.load(path, backend="onnxruntime", precision="fp32", threads=1)
            for name, path in tiny_bundles.items()
        }
    yield made
    for generator in made.values():
        generator.close()


@pytest.fixture(scope="module")
def generator(generators):
    return generators["conditional"]


class Gated:
    """The real engine behind a gate: calls wait until it is opened, and `calls` says what they were for."""

    def __init__(self, generator):
        self.generator, self.open, self.entered, self.calls = generator, threading.Event(), threading.Event(), []
        self.problems = []  # of the next calls, in turn

    def __call__(self, feeds, n):
        problem = self.problems.pop(0) if self.problems else None
        self.calls.append(n)
        self.entered.set()
        assert self.open.wait(20)
        if problem is not None:
            raise problem
        return self.generator.run(feeds)[self.generator.spec.output.name]


@pytest.fixture
def gate(generator):
    gate = Gated(generator)
    yield gate
    gate.open.set()


def gated(gate, *, max_batch=4, max_delay=0.0, max_queue=64):
    return BatchServer(gate.generator.spec, gate, max_batch=max_batch, max_delay=max_delay, max_queue=max_queue)


def requests(spec):
    """What `sample` may be asked for: n, seed, start, and what the spec takes."""
    fields = {
        "n": st.integers(1, 4),
        "seed": st.integers(0, 2**64 - 1),
        "start": st.integers(0, 2**40),
    }
    if spec.label is not None:
        fields["label"] = st.none() | st.integers(0, spec.label.classes - 1)
    if spec.truncation is not None:
        fields["truncation"] = st.none() | st.sampled_from([spec.truncation.minimum, 1.0, spec.truncation.maximum])
    if spec.codes:
        fields["code"] = st.none() | st.just({"category": 2}) | st.just({"style": [0.5, -1.0]})
    return st.fixed_dictionaries(fields)


def drawn(spec, asked):
    words = dict(asked)
    return Draws(spec, words.pop("seed"), words.pop("start"), words.pop("n"), **words)


def assert_alike(found, expected):
    """Pixels of batches of different sizes may differ by one step."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=0, atol=1 if found.dtype == np.uint8 else 1e-5)


@pytest.mark.parametrize("name", list(tiny.SPECS))
@given(data=st.data())
def test_a_mixed_batch_is_drawn_to_the_bit_as_each_request_alone(name, data):
    spec = tiny.SPECS[name]
    calls = [drawn(spec, one) for one in data.draw(st.lists(requests(spec), min_size=1, max_size=8))]
    mixed = together(calls)
    alone = [call.feeds(0, call.count) for call in calls]
    assert list(mixed) == list(alone[0])
    for part, array in mixed.items():
        expected = np.concatenate([feeds[part] for feeds in alone])
        assert array.dtype == expected.dtype
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("name", list(tiny.SPECS))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_request_gets_what_sample_gives_whoever_shares_its_batch(generators, name, data):
    generator = generators[name]
    asked = data.draw(st.lists(requests(generator.spec), min_size=1, max_size=20))
    with generator.serve_batches(max_batch=data.draw(st.integers(4, 16))) as server:
        futures = [server.submit(**one) for one in asked]
    for one, future in zip(asked, futures, strict=True):
        assert_alike(future.result(0), generator.sample(**one))


def test_thirty_two_threads_share_few_calls_and_none_gets_anothers_picture(generator):
    expected = {seed: generator.sample(1, seed=seed) for seed in range(32)}
    with generator.serve_batches(max_batch=16, max_delay=0.02) as server, ThreadPoolExecutor(32) as threads:

        def ask(seed):
            return [assert_alike(server.sample(seed=seed), expected[seed]) for _ in range(20)]

        assert len(list(threads.map(ask, range(32)))) == 32
        assert server.served.requests == server.served.samples == 640
        assert server.served.calls < 160


def test_the_output_is_chosen_for_the_server(generator):
    with generator.serve_batches(output="float") as server:
        assert_alike(server.sample(2, seed=7), generator.sample(2, seed=7, output="float"))


def test_a_lone_request_waits_for_the_delay_and_a_full_batch_does_not(generator):
    with generator.serve_batches(max_batch=3, max_delay=0.3) as server:
        began = time.perf_counter()
        server.sample(seed=1)
        assert time.perf_counter() - began >= 0.3
    with generator.serve_batches(max_batch=3, max_delay=60.0) as server:
        assert not wait([server.submit(seed=seed) for seed in range(3)], 30).not_done
        assert server.served == (3, 3, 1)


def test_without_a_delay_a_batch_forms_while_the_engine_is_busy(gate):
    with gated(gate, max_batch=8) as server:
        server.submit(seed=0)
        assert gate.entered.wait(10)
        rest = [server.submit(seed=seed) for seed in range(1, 6)]
        gate.open.set()
        wait(rest, 10)
    assert gate.calls == [1, 5]


def test_a_request_that_does_not_fit_into_a_batch_comes_first_in_the_next(gate):
    with gated(gate, max_batch=4, max_queue=32) as server:
        server.submit(1)
        assert gate.entered.wait(10)
        for n in (3, 2, 2, 4, 1):
            server.submit(n)
        gate.open.set()
    assert gate.calls[:2] == [1, 3]
    assert sorted(gate.calls[2:]) == [1, 4, 4]


def test_a_full_batch_enters_the_engine_beside_another_and_one_that_may_still_grow_does_not(gate):
    with gated(gate, max_batch=3) as server:
        first = server.submit()
        assert gate.entered.wait(10)
        gate.entered.clear()
        server.submit(2)
        assert not gate.entered.wait(0.2)
        second = server.submit(1)
        assert gate.entered.wait(10)
        server.submit(3)  # a third waits outside
        time.sleep(0.1)
        assert gate.calls == [1, 3]
        assert not first.done()
        gate.open.set()
        assert_alike(second.result(10), gate.generator.sample())
    assert gate.calls == [1, 3, 3]


def test_results_of_one_batch_do_not_share_memory(generator):
    with generator.serve_batches(max_batch=4, max_delay=0.05) as server:
        first, second = (future.result() for future in [server.submit(2, seed=1), server.submit(2, seed=1)])
    first[:] = 0
    assert_alike(second, generator.sample(2, seed=1))


def test_a_full_queue_refuses_and_takes_again_when_there_is_room(gate):
    with gated(gate, max_batch=2, max_queue=3) as server:
        server.submit(2)
        assert gate.entered.wait(10)
        waiting = [server.submit(2), server.submit(1)]
        time.sleep(0.2)  # the first of them may already have been made ready
        refused = 0
        for _ in range(5):
            try:
                waiting.append(server.submit(2))
            except BusyError as problem:
                refused, sentence = refused + 1, str(problem)
        assert refused >= 3
        assert "samples wait already, and max_queue is 3" in sentence
        gate.open.set()
        wait(waiting, 10)
        assert server.sample(2, seed=9).shape[0] == 2
        assert all(future.result(0) is not None for future in waiting)


def test_closing_answers_everything_that_was_accepted(gate):
    server = gated(gate)
    futures = [server.submit(seed=seed) for seed in range(21)]
    threading.Timer(0.1, gate.open.set).start()
    server.close()
    for seed, future in enumerate(futures):
        assert_alike(future.result(0), gate.generator.sample(seed=seed))
    with pytest.raises(ClosedError, match=r"The server is closed; open another with generator\.serve_batches\(\)"):
        server.submit()
    server.close()


def test_closing_without_draining_fails_what_still_waits_and_answers_what_is_computed(gate):
    server = gated(gate, max_batch=2)
    computed = server.submit(2)
    assert gate.entered.wait(10)
    futures = [server.submit() for _ in range(9)]
    threading.Timer(0.1, gate.open.set).start()
    server.close(drain=False)
    assert computed.result(0).shape[0] == 2
    problems = [problem for future in futures if (problem := future.exception(0)) is not None]
    assert 7 <= len(problems) <= 9  # one batch was ready when it closed
    assert {str(problem) for problem in problems} == {"The server was closed before it came to this request."}


def test_an_exception_in_the_block_closes_without_draining(gate):
    gate.open.set()
    futures = []

    def fail():
        with gated(gate, max_delay=30.0) as server:
            futures.append(server.submit())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    (future,) = futures
    assert isinstance(future.exception(0), ClosedError)


def test_an_engine_error_goes_to_the_requests_of_its_batch_alone(gate):
    gate.problems = [BackendError("The engine broke.")]
    with gated(gate, max_batch=2, max_delay=5.0) as server:
        broken = [server.submit(seed=1), server.submit(seed=2)]
        assert gate.entered.wait(10)
        good = [server.submit(seed=3), server.submit(seed=4)]
        gate.open.set()
        problems = [future.exception(10) for future in broken]
        assert [str(problem) for problem in problems] == ["The engine broke."] * 2
        assert problems[0] is not problems[1]
        for seed, future in zip((3, 4), good, strict=True):
            assert_alike(future.result(10), gate.generator.sample(seed=seed))
        assert server.served == (2, 2, 1)


def test_a_cancelled_request_is_not_computed(gate):
    with gated(gate, max_batch=8) as server:
        server.submit(seed=0)
        assert gate.entered.wait(10)
        kept, dropped = server.submit(2, seed=1), server.submit(3, seed=2)
        assert dropped.cancel()
        gate.open.set()
        assert_alike(kept.result(10), gate.generator.sample(2, seed=1))
    assert gate.calls == [1, 2]
    with pytest.raises(CancelledError):
        dropped.result(0)


def test_ctrl_c_ends_the_waiting_and_the_request_is_not_computed(gate):
    with gated(gate, max_batch=4) as server:
        server.submit()
        assert gate.entered.wait(10)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012, wherever in here it comes
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            server.sample(2)
        gate.open.set()
        assert_alike(server.sample(3, seed=4), gate.generator.sample(3, seed=4))
    assert gate.calls == [1, 3]


def test_who_waits_gets_the_error_of_its_batch(gate):
    gate.problems = [BackendError("The engine broke.")]
    gate.open.set()
    with gated(gate) as server:
        with pytest.raises(BackendError, match="The engine broke"):
            server.sample()
        assert_alike(server.sample(seed=2), gate.generator.sample(seed=2))


def test_a_batch_of_cancelled_requests_is_no_call(gate):
    with gated(gate, max_batch=4) as server:
        server.submit()
        assert gate.entered.wait(10)
        futures = [server.submit() for _ in range(3)]
        assert all(future.cancel() for future in futures)
        gate.open.set()
        assert server.sample(seed=5).shape[0] == 1
    assert gate.calls == [1, 1]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_none_is_lost_and_none_is_answered_twice(generator, data):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=40), label="sizes")
    cancelled = data.draw(st.sets(st.integers(0, len(sizes) - 1)), label="cancelled")
    closes_at = data.draw(st.integers(0, len(sizes)), label="closes at")
    drain = data.draw(st.booleans(), label="drain")
    server = generator.serve_batches(
        max_batch=4,
        max_delay=data.draw(st.sampled_from([0.0, 0.001])),
        max_queue=data.draw(st.sampled_from([4, 200])),
    )
    answers, refused, accepted = [], 0, {}
    for at, n in enumerate(sizes):
        if at == closes_at:
            threading.Thread(target=server.close, kwargs={"drain": drain}).start()
        try:
            accepted[at] = server.submit(n, seed=at)
        except (BusyError, ClosedError):
            refused += 1
            continue
        accepted[at].add_done_callback(lambda _, at=at: answers.append(at))
        if at in cancelled:
            accepted[at].cancel()
    server.close(drain=drain)
    assert refused + len(accepted) == len(sizes)
    assert sorted(answers) == sorted(accepted)
    for at, future in accepted.items():
        if future.cancelled():
            assert at in cancelled
        elif isinstance(future.exception(0), ClosedError):
            assert not drain
        else:
            assert_alike(future.result(0), generator.sample(sizes[at], seed=at))


def test_a_callback_may_close_its_server(generator):
    server, closed = generator.serve_batches(), threading.Event()

    def close(_):
        server.close()
        closed.set()

    server.submit().add_done_callback(close)
    assert closed.wait(10)
    with pytest.raises(ClosedError):
        server.submit()


def test_a_future_that_somebody_else_answered_disturbs_no_other(gate):
    with gated(gate, max_batch=2, max_delay=5.0) as server:
        first, second = server.submit(seed=1), server.submit(seed=2)
        assert gate.entered.wait(10)
        first.set_result("mine")
        gate.open.set()
        assert_alike(second.result(10), gate.generator.sample(seed=2))
        assert first.result(0) == "mine"


def test_asyncio_can_wait_for_it(generator):
    async def ask(server):
        return await asyncio.gather(*(asyncio.wrap_future(server.submit(seed=seed)) for seed in range(5)))

    with generator.serve_batches() as server:
        found = asyncio.run(ask(server))
    assert [len(one) for one in found] == [1] * 5


def test_a_closed_generator_fails_its_servers_requests_in_one_sentence(tiny_bundle_path):
    generator = Generator.load(tiny_bundle_path, backend="onnxruntime")
    with generator.serve_batches() as server:
        generator.close()
        with pytest.raises(BackendError, match="is closed; load it again"):
            server.sample()


def test_a_forgotten_server_ends_its_threads(generator):
    before = {thread for thread in threading.enumerate() if thread.name == "ganrt-batch"}
    server = generator.serve_batches()
    mine = {thread for thread in threading.enumerate() if thread.name == "ganrt-batch"} - before
    assert len(mine) == 2
    server.sample()
    del server
    gc.collect()
    for thread in mine:
        thread.join(10)
    assert not any(thread.is_alive() for thread in mine)


def test_a_process_ends_although_nobody_closed_the_server(tiny_bundle_path):
    code = (
        "import sys; from ganrt import Generator; server = Generator.load(sys.argv[1]).serve_batches(max_delay=30.0);"
        "future = server.submit(); print(server.submit(seed=1).done())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tiny_bundle_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_batch": 0}, r"max_batch is 0; give a whole number from 1 to 65,536"),
        ({"max_batch": True}, "max_batch is True; give a whole number"),
        ({"max_batch": 2.0}, r"max_batch is 2\.0; give a whole number"),
        ({"max_delay": -0.001}, r"max_delay is -0\.001; give seconds from 0 to 60"),
        ({"max_delay": float("nan")}, "max_delay is nan; give seconds"),
        ({"max_delay": "2ms"}, "max_delay is '2ms'; give seconds"),
        ({"max_queue": 0}, "max_queue is 0; give a whole number"),
        ({"max_batch": 8, "max_queue": 7}, "max_queue is 7; it must have room for one batch of 8 samples"),
        ({"output": "bytes"}, "output is 'bytes'; this generator gives"),
    ],
)
def test_a_server_that_cannot_be_is_one_sentence(generator, options, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        generator.serve_batches(**options)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"n": 0}, "n is 0; a request is for 1 to 4 samples"),
        ({"n": 5}, r"n is 5; a request is for 1 to 4 samples; generator\.sample makes more than max_batch = 4 at once"),
        ({"label": 10}, "There is no label 10"),
        ({"seed": -1}, "seed is -1; it must be from 0"),
        ({"truncation": 9.0}, r"truncation is 9\.0; this generator takes 0\.5 to 3"),
        ({"code": 1}, "takes no code"),
    ],
)
def test_a_request_that_cannot_be_says_so_at_once(generator, request_, sentence):
    with generator.serve_batches(max_batch=4) as server, pytest.raises(ArgumentError, match=sentence):
        server.submit(**request_)


@given(
    ms=st.lists(st.floats(0.01, 1000), min_size=7, max_size=7),
)
def test_a_batch_is_as_long_as_five_milliseconds_and_no_longer_than_it_must_be(ms):
    table = dict(zip((1, 2, 4, 8, 16, 32, 64), ms, strict=True))
    size = sized_to_serve({"a": table}, "a")
    assert 1 <= size <= 64
    if max(ms) == min(ms):
        assert size == 64  # a call costs the same whatever its size


@given(
    one=st.floats(1, 100),
    side_by_side=st.floats(1, 100),
)
def test_a_server_takes_streams_where_they_are_about_as_fast_as_one(one, side_by_side):
    costs = {"one": {1: 10.0, 64: one}, "streams": {1: 20.0, 64: side_by_side}}
    ((way, size),) = plan(64, two_at_a_time(costs, ["streams"]), "one")
    assert size == 64
    if side_by_side < one:
        assert way == "streams"
    if side_by_side > 1.12 * one:
        assert way == "one"
    assert two_at_a_time(costs, []) == costs
