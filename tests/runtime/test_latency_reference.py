"""The reference kernel: one number for several kinds of work, made on the cores it is told to use and on no other."""

import threading
import time

import pytest

from ganrt.latency import reference
from ganrt.latency.reference import Reference

CALLS = 20


@pytest.fixture
def opened():
    """Makes kernels; their threads have ended before the next test."""
    before, kernels = set(threading.enumerate()), []

    def make(threads=1):
        kernels.append(Reference(threads))
        return kernels[-1]

    yield make
    for kernel in kernels:
        kernel.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)


def cpu_of(kernel):
    """Processor seconds of some calls: of the thread that makes them, and of all others of this process."""
    mine, everybody = time.thread_time(), time.process_time()
    for _ in range(CALLS):
        kernel()
    mine, everybody = time.thread_time() - mine, time.process_time() - everybody
    return mine, everybody - mine


def test_it_is_the_geometric_mean_of_its_parts(opened, monkeypatch):
    kernel, times = opened(), iter([1.0, 2.0, 4.0])
    monkeypatch.setattr(reference, "_timed", lambda run: next(times))
    assert kernel() == pytest.approx(2.0)


def test_its_part_on_several_cores_counts_like_the_others(opened, monkeypatch):
    kernel = opened(3)
    monkeypatch.setattr(reference, "_timed", lambda run: 2.0)
    assert kernel() == pytest.approx(2.0)
    monkeypatch.setattr(kernel, "_together", lambda: 32.0)
    assert kernel() == pytest.approx(4.0)  # the fourth root of 2 x 2 x 2 x 32


def test_on_one_thread_it_leaves_the_other_cores_alone(opened):
    """No BLAS may share its products out: the engine's threads would wait for their cores."""
    mine, others = cpu_of(opened(1))
    assert others < 0.05 * mine


def test_on_two_threads_the_second_computes_as_well(opened):
    mine, others = cpu_of(opened(2))
    assert 0.05 * mine < others < mine


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_it_takes_a_moment_and_leaves_no_thread_behind(threads):
    before = set(threading.enumerate())
    kernel = Reference(threads)
    times = [kernel() for _ in range(5)]
    assert all(0 < one < 1 for one in times)
    mine = set(threading.enumerate()) - before
    assert len(mine) == threads - 1
    kernel.close()
    for thread in mine:
        thread.join(10)
    assert not any(thread.is_alive() for thread in mine)
