"""Batch norm in training, called as a function."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from substitute_case import assert_exported, assert_same, numbers
from torch import Tensor


@given(shape=st.lists(st.integers(2, 5), min_size=2, max_size=5).map(tuple), affine=st.booleans())
def test_the_batchs_statistics_are_pytorchs(shape: tuple[int, ...], affine: bool) -> None:
    weight, bias = (numbers(shape[1], seed=1), numbers(shape[1], seed=2)) if affine else (None, None)
    x = numbers(*shape) + 3
    assert_same(lambda x: F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-3), x)
    assert_same(lambda x: torch.batch_norm(x, weight, bias, None, None, True, 0.1, 1e-3, False), x)


def test_running_statistics_stay_in_inference() -> None:
    mean, var = numbers(4), numbers(4).square() + 1
    assert_same(lambda x: F.batch_norm(x, mean, var, training=False), numbers(2, 4, 3), tolerance=0)


def test_a_graph_normalises_every_channel_of_every_sample() -> None:
    def adaptive(x: Tensor, style: Tensor) -> Tensor:
        b, c = x.shape[:2]
        flat = x.reshape(1, b * c, *x.shape[2:])
        return F.batch_norm(flat, None, None, style.reshape(-1), None, True).reshape(x.shape)

    operations = assert_exported(adaptive, lambda batch: (numbers(batch, 3, 4, 5), numbers(batch, 3, seed=1)))
    assert "BatchNormalization" not in operations
