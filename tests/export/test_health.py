"""What tells a training that has gone wrong from one that has not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from ganrt.errors import TrainingError
from ganrt_export.training.health import Collapse, Gradients, check_finite, memory_told, variety
from ganrt_export.training.recipe import Batch, Terms, Turn


def cloud(seed: int, count: int = 40, spread: float = 1.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(count, 1, 4, 4)) * spread).astype(np.float32)


@given(st.sampled_from([math.nan, math.inf, -math.inf]))
def test_any_loss_that_is_no_number_is_named(value: float) -> None:
    with pytest.raises(TrainingError, match=r"step 7: loss_d 0.5, penalty (nan|-?inf); try a lower learning rate"):
        check_finite(7, {"loss_d": 0.5, "penalty": value})
    check_finite(7, {"loss_d": -1e30})


def test_the_data_have_their_own_variety_and_copies_have_none() -> None:
    assert variety(cloud(0), cloud(0)) == 1
    assert 0.8 < variety(cloud(1), cloud(0)) < 1.2
    assert variety(np.repeat(cloud(1)[:1], 40, axis=0), cloud(0)) == pytest.approx(0, abs=1e-6)


def test_few_samples_again_and_again_have_no_variety_though_they_are_far_apart() -> None:
    assert variety(np.repeat(cloud(1)[:4], 10, axis=0), cloud(0)) == pytest.approx(0, abs=1e-6)


@given(st.floats(0.01, 3))
def test_variety_is_a_share_of_the_datas(spread: float) -> None:
    assert variety(cloud(0, spread=spread), cloud(0)) == pytest.approx(spread, rel=1e-4)


def test_a_collapse_is_told_once_and_again_after_it_has_passed() -> None:
    told: list[str] = []
    collapse = Collapse(told.append)
    alike, varied = cloud(1, spread=0.01), cloud(1)
    for steps, samples in ((100, alike), (600, alike), (700, alike), (800, varied), (900, alike)):
        collapse.look(steps, samples, cloud(0))
    assert [sentence.split()[1] for sentence in told] == ["600", "900"]
    assert "1.0% of the variety of the data" in told[0]


def turn_with(gradient: float) -> Turn:
    network = nn.Linear(2, 1)
    network.weight.grad = torch.full_like(network.weight, gradient)

    def critic_loss(batch: Batch, step: int) -> Terms:
        return {}

    return Turn(network, critic_loss)


def test_a_network_without_a_gradient_for_long_is_dead() -> None:
    gradients, turn = Gradients(), turn_with(1e-12)
    for step in range(150):
        gradients.look(step, turn)
    with pytest.raises(TrainingError, match="The critic is dead: it has had no gradient from step 0 to 150"):
        gradients.look(150, turn)


def test_a_gradient_in_between_starts_the_count_anew() -> None:
    gradients = Gradients()
    for step in range(1_000):
        gradients.look(step, turn_with(0.0 if step % 150 else 1e-3))


def test_a_machine_that_is_too_small_is_told_with_what_to_make_smaller() -> None:
    told = r"The memory is not enough for batches of 64 .*\(--accumulate\).*\(--batch\)"
    with pytest.raises(TrainingError, match=told), memory_told(64):
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(TrainingError, match=told), memory_told(64):
        np.empty(1 << 60, np.uint8)
    with pytest.raises(RuntimeError, match="cannot be multiplied"), memory_told(64):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
