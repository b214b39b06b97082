"""Several processes of a row as one row: nothing is lost, and what was asked for and did not come is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt.backends.acceptance import Figures
from ganrt.latency.bench import Course, time_row
from ganrt.latency.processes import join, parts
from ganrt.latency.reference import Reference
from ganrt.latency.results import Asked, Checks, EngineCall, Process, Timing

RAN = EngineCall(1, 1, "onnxruntime", "ONNX Runtime 1.32", "CPU", "fp32", "plain", 1)


def part(seed=0, seconds=0.01, load=5.0, **changes):
    """A real row of one process."""
    row = time_row(
        lambda at: np.random.default_rng([seed, at]).random((1, 64)),
        lambda at: at,
        batch=1,
        asked=Asked(),
        ran=[RAN],
        judge=lambda: Figures(80.0, 0.0, 0, 1.0),
        course=Course(seconds, until_known=False),
    )
    row.first_load_ms, row.load_ms = 9.0, load
    row.processes = [Process(one.calls, one.blocks, one.looks, load, one.first_call_ms) for one in row.processes]
    for name, value in changes.items():
        setattr(row, name, value)
    return row


@pytest.fixture(scope="module")
def found():
    return [part(seed, load=load) for seed, load in enumerate((99.0, 2.0, 3.0, 4.0))]


def test_every_call_of_every_process_is_there_in_order(found):
    row = join(found, 4)
    assert row.state == "ok"
    assert row.samples_ms == [one for part in found for one in part.samples_ms]
    for one, before in zip(parts(row), found, strict=True):
        assert one.calls.tolist() == before.samples_ms
        assert [len(block) for block in one.blocks] == before.blocks
        assert one.reference.tolist() == before.noise.reference_ms


def test_load_and_first_call_are_medians_and_the_first_load_is_told_apart(found):
    row = join(found, 4)
    assert (row.first_load_ms, row.load_ms) == (
        9.0,
        3.0,
    )  # of 2, 3, 4: the first process also imported for the first time
    assert row.first_call_ms == pytest.approx(np.median([one.first_call_ms for one in found]))
    assert row.memory.peak == max(one.memory.peak for one in found)


def test_percentiles_are_those_of_all_calls(found):
    row = join(found, 4)
    everything = np.concatenate([one.samples_ms for one in found])
    assert row.percentiles[0].ms >= np.percentile(everything, 50)
    assert row.samples_a_second == pytest.approx(1000 * len(everything) / everything.sum())
    steps = np.concatenate([np.abs(np.diff(one.samples_ms)) for one in found])
    assert row.jitter_ms == pytest.approx(steps.mean())  # none between two processes


def test_a_process_that_never_came_makes_it_a_part(found):
    row = join(found[:3], 4)
    assert (row.state, row.stopped, len(row.processes)) == ("interrupted", "interrupted", 3)


def test_a_process_that_failed_fails_the_row(found):
    row = join([found[0], Timing(1, Asked(), "failed", fault="It repeats itself."), *found[2:]], 4)
    assert (row.state, row.fault) == ("failed", "It repeats itself. (process 2 of 4)")
    assert row.percentiles == []


def test_a_process_that_was_stopped_before_its_first_call_adds_nothing(found):
    row = join([found[0], Timing(1, Asked(), "interrupted")], 4)
    assert row.state == "interrupted"
    assert row.samples_ms == found[0].samples_ms


def test_processes_that_ran_it_differently_are_told_of(found):
    other = part(7, ran=[EngineCall(1, 1, "openvino", "OpenVINO", "CPU", "bf16", "plain", 1)])
    assert "not every process ran it in the same way" in join([found[0], other], 2).checks.note


def test_one_process_that_held_it_to_the_references_is_enough(found):
    judged = part(8)
    found = [part(9, checks=Checks(3, 0, None)), judged]
    assert join(found, 2).checks.psnr_db == 80.0
    assert join(found, 2).checks.rows == 3 + judged.checks.rows


@given(sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=6))
def test_parts_share_out_what_is_there(sizes):
    calls = [size * blocks for size, blocks in sizes]
    row = Timing(
        1,
        Asked(),
        "ok",
        samples_ms=[float(at + 1) for at in range(sum(calls))],
        blocks=[size for size, blocks in sizes for _ in range(blocks)],
        processes=[Process(size * blocks, blocks, 1) for size, blocks in sizes],
    )
    assert [value for one in parts(row) for value in one.calls] == row.samples_ms
    assert [len(one.blocks) for one in parts(row)] == [blocks for _, blocks in sizes]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_reference_kernel_takes_a_moment_and_leaves_no_thread_behind(threads):
    import threading

    before = threading.active_count()
    kernel = Reference(threads)
    times = [kernel() for _ in range(5)]
    assert all(0 < one < 1 for one in times)
    assert threading.active_count() == before + threads - 1
    kernel.close()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(5)
    assert threading.active_count() == before
