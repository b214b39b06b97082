"""The moving average of the weights, and the batch norm of what is made of it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from training_case import Recipe, Settings, pictures

from ganrt_export.training.average import average, settled


@given(st.floats(0.0, 0.9999), st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_the_average_is_the_recursion_of_its_definition(decay: float, values: list[float]) -> None:
    network = nn.Linear(1, 1, bias=False).double()
    mean = nn.Linear(1, 1, bias=False).double().requires_grad_(False)
    nn.init.zeros_(mean.weight)
    expected = 0.0
    for step, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        average(mean, network, decay, step)
        own = min(decay, (1 + step) / (10 + step))
        expected = own * expected + (1 - own) * value
    assert float(mean.weight) == pytest.approx(expected, abs=1e-9)


def test_buffers_are_copied_and_not_averaged() -> None:
    network, mean = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    network(torch.randn(8, 2))
    average(mean, network, 0.999, 10_000)
    assert torch.equal(mean.running_var, network.running_var)  # type: ignore[arg-type]
    assert int(mean.num_batches_tracked) == 1  # type: ignore[arg-type]


def test_settling_estimates_batch_norm_anew_and_leaves_the_network_as_it_was() -> None:
    recipe = Recipe(dataclasses.replace(Settings(), seed=4), pictures())
    before = {name: tensor.clone() for name, tensor in recipe.generator.state_dict().items()}
    one, same = settled(recipe.generator, recipe, 40), settled(recipe.generator, recipe, 40)
    assert torch.equal(one.norm.running_mean, same.norm.running_mean)  # type: ignore[union-attr,arg-type]
    with torch.no_grad():
        flat = one.linear(torch.cat([torch.randn(9_000, 2), one.embedding(torch.arange(9_000) % 3)], dim=1))  # type: ignore[operator]
    torch.testing.assert_close(one.norm.running_mean, flat.mean()[None], atol=0.03, rtol=0)  # type: ignore[union-attr]
    assert not any(module.training for module in one.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in recipe.generator.state_dict().items())


def test_a_generator_without_batch_norm_is_left_alone() -> None:
    recipe = Recipe(Settings(), pictures())
    recipe.generator = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    one = settled(recipe.generator, recipe, 40)  # its inputs would not even fit
    assert torch.equal(one(torch.ones(1, 2)), one(torch.ones(1, 2)))
