"""Several processes of a row as one row: nothing is lost, and what was asked for and did not come is said."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ganrt.backends.acceptance import Figures
from ganrt.latency import compare
from ganrt.latency.bench import Course, time_row
from ganrt.latency.noise import Noise, together
from ganrt.latency.percentiles import interval
from ganrt.latency.processes import LEAST, enough, join, parts
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


def test_the_fault_of_the_only_process_is_the_rows(found):
    assert join([Timing(1, Asked(), "failed", fault="It repeats itself.")], 1).fault == "It repeats itself."


def test_what_the_machine_did_is_told_of_all_processes_together():
    quiet = Noise([1.0, 1.0], 0.0, 0.0, 2, others=0.0, steal=0.0, clock_mhz=(2000.0, 3000.0), throttled_ms=5.0)
    busy = Noise([2.0, 2.0], 0.0, 0.0, 2, others=1.0, steal=0.1, clock_mhz=(1500.0, 2500.0), throttled_ms=7.0)
    both = together([quiet, busy, Noise([1.0], 0.0, 0.0, 2)])  # the third machine tells nothing
    assert both.reference_ms == [1.0, 1.0, 2.0, 2.0, 1.0]
    assert (both.others, both.steal, both.throttled_ms) == (0.5, 0.05, 12.0)
    assert both.clock_mhz == (1500.0, 3000.0)
    assert both.throttles is None
    assert any("kept 0.5 of 2 cores busy" in one for one in both.warnings)
    assert any("held this program back for 12 ms" in one for one in both.warnings)


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


def steady(levels, percentile=50.0, spread=0.01, calls=400):
    """Processes whose calls lie evenly within `spread` of their levels."""
    shape = 1 + np.linspace(-spread, spread, calls)
    return [Timing(1, Asked(), "ok", asked_percentile=percentile, samples_ms=(one * shape).tolist()) for one in levels]


@pytest.mark.parametrize("percentile", [50.0, 99.0])
def test_processes_that_agree_are_enough_as_soon_as_they_have_a_median(percentile):
    found = steady([1.0, 1.01, 0.99, 1.0, 1.02, 0.99], percentile)
    assert len(found) == LEAST
    assert enough(found)
    assert not any(enough(found[:count]) for count in range(LEAST))


def test_the_least_number_of_processes_is_what_a_median_and_a_comparison_of_two_results_take():
    assert interval(range(LEAST), 50.0, 0.95) == (0, LEAST - 1)
    assert interval(range(LEAST - 1), 50.0, 0.95) is None
    assert compare.LEAST[compare.TWO_RESULTS] <= LEAST


def test_one_disturbed_process_keeps_the_row_going():
    assert not enough(steady([1.0, 1.0, 1.0, 1.0, 1.0, 1.05]))
    assert enough(steady([1.0] * 8 + [1.05]))  # of nine it is told apart


def test_processes_that_differ_are_not_enough_however_well_each_is_known():
    found = steady([1.0, 1.1] * 3, calls=5000)
    assert all(interval(one.samples_ms, 50.0)[1] < 1.01 * interval(one.samples_ms, 50.0)[0] for one in found)
    assert not enough(found)


def test_medians_that_agree_are_not_enough_where_the_asked_percentile_differs():
    found = steady([1.0] * 6, 99.0, spread=0.0)
    for at, one in enumerate(found):
        one.samples_ms[:20] = [1.5 + at / 10] * 20
    assert not enough(found)
    for one in found:
        one.asked_percentile = 50.0
    assert enough(found)


def test_processes_that_agree_are_not_enough_while_the_percentile_is_not_known():
    assert not enough(steady([1.0] * 6, 99.0, calls=50))  # 300 calls, of which nobody knows the 99th percentile
    assert not enough(steady([1.0] * 6, 50.0, spread=0.9, calls=50))


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_process_that_did_not_come_to_its_end_is_no_sample(state):
    found = steady([1.0] * 7)
    found[3].state = state
    assert not enough(found)


@given(levels=st.lists(st.floats(0.9, 1.1), min_size=6, max_size=8), more=st.floats(0.5, 2.0))
def test_a_further_process_never_turns_disagreement_into_agreement(levels, more):
    assume(not enough(steady(levels)))
    assert not enough(steady([*levels, more])[:8])


@pytest.mark.parametrize("scatter", [0.01, 0.02, 0.03, 0.05])
def test_few_rows_end_by_themselves_where_many_processes_would_find_something_else(scatter):
    """Levels of known centre and scatter. Rows of steady processes do end; of all rows, fewer than 5 % end wrongly."""
    random, ended, wrong = np.random.default_rng(0), 0, 0
    for _ in range(200):
        levels = np.exp(random.normal(0.0, scatter, 9)).tolist()
        stop = next((count for count in range(LEAST, 10) if enough(steady(levels[:count], calls=60))), None)
        ended += stop is not None
        wrong += stop is not None and abs(np.median(levels[:stop]) - 1) > 0.02
    assert wrong < 10
    assert ended > 180 or scatter > 0.01


def test_a_row_that_ended_early_is_whole_and_says_why(found):
    row = join(found[:3], 4, early=True)
    assert (row.state, row.stopped, len(row.processes)) == ("ok", "enough", 3)
    assert (join(found, 4).state, join(found, 4).stopped) == ("ok", "time")
