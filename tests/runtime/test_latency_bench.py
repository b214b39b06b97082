"""A row of a benchmark: figures, checks and the state of the machine, on calls that are real but small."""

import itertools
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from ganrt import ArgumentError, FidelityError, Generator
from ganrt.backends.acceptance import Figures
from ganrt.latency import bench
from ganrt.latency.bench import Course, time_row
from ganrt.latency.memory import Peak, resident
from ganrt.latency.noise import Watch
from ganrt.latency.outputs import Distinct
from ganrt.latency.results import Asked

GOOD = Figures(80.0, 0.0, 0, 1.0)


def row(call, judge=lambda: GOOD, seconds=0.05):
    course = Course(seconds=seconds)
    return time_row(call, lambda at: at, batch=2, asked=Asked(), ran=[], judge=judge, course=course)


@pytest.fixture
def own_clock(monkeypatch):
    """A clock that stands still until `now` is moved."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(bench, "measure", partial(bench.measure, clock=lambda: clock.now))
    return clock


def fresh(at):
    return np.random.default_rng(at).random((2, 64))


def test_a_good_row_has_every_figure():
    found = row(fresh)
    assert found.state == "ok"
    assert [one.percent for one in found.percentiles] == [50, 90, 95, 99, 99.9]
    assert found.percentiles[0].ms == pytest.approx(np.median(found.samples_ms), rel=0.5)
    assert found.samples_a_second == pytest.approx(2000 * len(found.samples_ms) / sum(found.samples_ms))
    assert found.jitter_ms > 0
    assert found.first_call_ms > 0
    assert found.warm_up.calls == len(found.warm_up.samples_ms) > 0
    assert sum(found.blocks) == len(found.samples_ms)
    assert found.checks.rows == 2 * (found.warm_up.calls + len(found.samples_ms) + len(found.blocks))
    assert found.checks.psnr_db == 80.0
    assert len(found.noise.reference_ms) == found.processes[0].looks >= len(found.blocks)
    assert (found.processes[0].calls, found.processes[0].blocks) == (len(found.samples_ms), len(found.blocks))
    assert str(found).startswith("p50 0.")
    assert "p99.9 not enough samples (6,636 needed)" in str(found)


def test_an_engine_that_repeats_itself_is_failed_and_not_fast():
    found = row(lambda at: fresh(min(at, 3)))
    assert found.state == "failed"
    assert "outputs repeat earlier ones" in found.fault
    assert found.percentiles == []
    assert found.samples_a_second is None
    assert str(found).startswith("FAILED: ")


def test_the_same_sample_in_every_row_of_a_call_is_found():
    assert row(lambda at: np.repeat(fresh(at)[:1], 2, axis=0)).state == "failed"


def test_outputs_that_are_not_finite_are_failed():
    found = row(lambda at: fresh(at) * (np.nan if at == 2 else 1.0))
    assert (found.state, found.fault) == ("failed", "Call 2 gave numbers that are not finite.")


def test_an_engine_beyond_the_bound_of_the_references_is_failed():
    def judge():
        raise FidelityError("12.0 dB from the reference.")

    found = row(fresh, judge)
    assert (found.state, found.fault) == ("failed", "12.0 dB from the reference.")


def test_ctrl_c_leaves_a_labelled_part(own_clock):
    def call(at):
        if at == 120:
            raise KeyboardInterrupt
        own_clock.now += 0.001
        return fresh(at)

    found = row(call, seconds=1.0)
    assert found.state == "interrupted"
    assert 50 < len(found.samples_ms) < 120
    assert str(found).startswith("interrupted after ")
    assert found.checks.psnr_db is None


def test_ctrl_c_before_the_first_sample_leaves_a_row_without_figures():
    def call(at):
        raise KeyboardInterrupt

    assert row(call).state == "interrupted"


def test_outliers_are_shown_and_counted_in(own_clock):
    def call(at):
        own_clock.now += 0.05 if at == 100 else 0.001 + at % 7 * 1e-6
        return fresh(at)

    found = row(call, seconds=1.0)
    assert found.outliers.count == 1
    number, ms = found.outliers.largest[0]
    assert ms == max(found.samples_ms) == found.samples_ms[number] == pytest.approx(50)


def test_the_machine_is_described():
    watch = Watch()
    for _ in range(3):
        watch.look()
    noise = watch.end()
    assert len(noise.reference_ms) == 3
    assert noise.cores >= 1


def test_a_processor_that_slows_down_is_warned_of():
    costs = itertools.chain([1.0], itertools.repeat(0.001, 6), itertools.repeat(0.002))
    watch = Watch(run=lambda: next(costs))
    for _ in range(12):
        watch.look()
    noise = watch.end()
    assert noise.slowed == pytest.approx(1.0)
    assert any("100% slower at the end" in one for one in noise.warnings)
    assert any("speed is not steady" in one for one in noise.warnings)


def test_a_steady_reference_gives_no_warning_of_its_own():
    watch = Watch(run=lambda: 0.001)
    watch.look()
    noise = watch.end()
    assert noise.reference_spread == noise.slowed == 0
    assert not any("arithmetic" in one or "slower at the end" in one for one in noise.warnings)


def test_the_peak_of_memory_sees_what_was_let_go():
    before, peak = resident(), Peak()
    block = np.ones(8 << 20)
    peak.look()
    del block
    assert peak.end() >= before + 60


def test_digests_tell_rows_apart_by_every_byte():
    seen = Distinct()
    rows = np.zeros((3, 4, 4), np.uint8)
    rows[1, 3, 3], rows[2, 0, 0] = 1, 1
    seen.look(rows)
    seen.demand()
    seen.look(rows[1:2])
    assert (seen.rows, seen.repeated) == (4, 1)
    with pytest.raises(FidelityError, match="1 of 4 outputs repeat"):
        seen.demand()


def test_a_generator_tells_its_latency_in_a_line():
    with Generator.load("digits") as digits:
        found = digits.benchmark(batch=3, seconds=0.2)
        assert found.state == "ok", found.fault
        assert str(found).startswith("p50 ")
        assert sum(call.size * call.count for call in found.ran) == 3
        assert found.ran[0].precision in ("fp32", "bf16")
        assert found.checks.psnr_db > 40


@pytest.mark.parametrize("name", ["audio", "table", "psi", "infogan"])
def test_every_kind_of_generator_is_timed(tiny_bundles, name):
    with Generator.load(tiny_bundles[name], backend="onnxruntime") as generator:
        found = generator.benchmark(seconds=0.05)
        assert found.state == "ok", found.fault


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"batch": True}, {"seconds": 0}, {"percentile": 100}, {"seconds": float("nan")}]
)
def test_what_cannot_be_measured_is_one_sentence(tiny_bundle_path, options):
    with (
        Generator.load(tiny_bundle_path, backend="onnxruntime") as generator,
        pytest.raises(ArgumentError, match=f"{next(iter(options))} is .*; give a"),
    ):
        generator.benchmark(**options)
