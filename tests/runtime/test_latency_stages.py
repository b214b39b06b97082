"""The stages of a call add up to the call, and each is the one it says."""

import time

import pytest

from ganrt import ArgumentError, Generator
from ganrt.latency.stages import ALLOCATE, AROUND, DRAW, ENGINE, stages


def test_what_no_stage_accounts_for_is_around_them():
    def whole(at):
        time.sleep(0.006)

    def parts(at):
        return {DRAW: 0.001, ENGINE: 0.003}

    found = stages(whole, parts, 0.0)
    took = {stage.name: stage.ms for stage in found.stages}
    assert took[DRAW] == 1.0
    assert took[ENGINE] == 3.0
    assert took[AROUND] >= 2.0
    assert sum(took.values()) == pytest.approx(found.call_ms, abs=1e-5)


def test_stages_that_take_longer_than_the_call_leave_nothing_around():
    found = stages(lambda at: None, lambda at: {ENGINE: 0.5}, 0.0)
    assert {stage.name: stage.ms for stage in found.stages} == {ENGINE: 500.0, AROUND: 0.0}


def test_no_call_is_made_twice():
    made = []

    def parts(at):
        made.append(at)
        return {ENGINE: 0.0}

    stages(made.append, parts, 0.01)
    assert len(set(made)) == len(made) > 10


@pytest.mark.parametrize("batch", [1, 5])
def test_a_generator_tells_its_stages(tiny_bundle_path, batch):
    with Generator.load(tiny_bundle_path, backend="onnxruntime") as generator:
        found = generator.profile(batch, seconds=0.05)
    took = {stage.name: stage.ms for stage in found.stages.stages}
    assert set(took) == {DRAW, ALLOCATE, ENGINE, AROUND}
    assert took[ENGINE] > 0
    assert took[DRAW] > 0
    assert sum(took.values()) == pytest.approx(found.stages.call_ms, abs=1e-5)
    assert found.energy_samples == batch * 2 * (found.stages.calls + 1)


@pytest.mark.parametrize("name", ["audio", "table", "psi", "infogan", "one_hot"])
def test_every_kind_of_generator_is_profiled(tiny_bundles, name):
    with Generator.load(tiny_bundles[name], backend="onnxruntime") as generator:
        found = generator.profile(3, seconds=0.02)
    assert found.operations.inside_ms > 0
    assert found.work.multiply_adds > 0


@pytest.mark.parametrize("options", [{"batch": 0}, {"seconds": -1}])
def test_what_cannot_be_profiled_is_one_sentence(tiny_bundle_path, options):
    with (
        Generator.load(tiny_bundle_path, backend="onnxruntime") as generator,
        pytest.raises(ArgumentError, match=f"{next(iter(options))} is .*; give a"),
    ):
        generator.profile(**options)
