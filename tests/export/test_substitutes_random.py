"""Noise that a module draws inside, frozen."""

from __future__ import annotations

import pytest
import torch

from ganrt_export.substitutes.random import Noise


@pytest.mark.parametrize(
    "drawn",
    [
        lambda n: torch.randn(n, 40),
        lambda n: torch.randn((n, 40)),
        lambda n: torch.randn_like(torch.zeros(n, 40)),
        lambda n: torch.zeros(n, 40).normal_(),
        lambda n: torch.randn(size=(n, 40)),
    ],
)
def test_a_normal_draw_is_the_same_for_each_sample_at_every_batch(drawn) -> None:
    with Noise("freeze"):
        three = drawn(3)
    with Noise("freeze"):
        eight = drawn(8)
    assert torch.equal(three, eight[:3])
    assert torch.equal(three[0], three[2])
    assert 0.6 < float(three[0].std()) < 1.4


def test_a_uniform_draw_keeps_its_range_and_two_draws_differ() -> None:
    with Noise("freeze"):
        first, second = torch.rand(2, 500), torch.zeros(2, 500).uniform_(-3, 5)
    assert 0 <= float(first.min()) < 0.05 < 0.95 < float(first.max()) <= 1
    assert -3 <= float(second.min()) < -2.5 < 4.5 < float(second.max()) <= 5
    assert not torch.allclose(first * 8 - 3, second)


def test_outside_the_block_draws_are_draws() -> None:
    with Noise("freeze"):
        frozen = torch.randn(1, 8)
    assert not torch.equal(torch.randn(1, 8), frozen)
