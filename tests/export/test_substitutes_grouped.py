"""Convolutions with one group a sample, as batched products."""

from __future__ import annotations

from typing import Any

import pytest
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from substitute_case import assert_exported, assert_near, numbers
from torch import Tensor

from ganrt_export.substitutes.grouped import convolve, convolve_transposed

few = st.integers(1, 3)


def sizes(data: Any, count: int, low: int, high: int) -> list[int]:
    return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))


@given(data=st.data(), axes=few, batch=few, groups=few, channels=few, out=few, biased=st.booleans(), same=st.booleans())
def test_it_is_pytorchs_convolution(
    data, axes: int, batch: int, groups: int, channels: int, out: int, biased: bool, same: bool
) -> None:
    kernel, dilation = sizes(data, axes, 1, 4), sizes(data, axes, 1, 3)
    stride = [1] * axes if same else sizes(data, axes, 1, 3)
    padding = "same" if same else sizes(data, axes, 0, 2)
    x = numbers(batch, groups * channels, *sizes(data, axes, 1, 9))
    weight = numbers(groups * out, channels, *kernel, seed=1)
    bias = numbers(groups * out, seed=2) if biased else None
    arguments = (x, weight, bias, stride, padding, dilation, groups)
    try:
        expected = getattr(F, f"conv{axes}d")(*arguments)
    except (RuntimeError, UserWarning):
        assume(False)  # a kernel larger than the input; a padding that PyTorch warns of
    assert_near(convolve(*arguments), expected)


@given(
    data=st.data(), axes=st.integers(1, 2), batch=few, groups=few, channels=few, out=few, biased=st.booleans()
)  # fmt: skip
def test_it_is_pytorchs_transposed_convolution(
    data, axes: int, batch: int, groups: int, channels: int, out: int, biased: bool
) -> None:
    kernel, stride, dilation = sizes(data, axes, 1, 4), sizes(data, axes, 1, 3), sizes(data, axes, 1, 3)
    padding, extra = sizes(data, axes, 0, 2), sizes(data, axes, 0, 2)
    x = numbers(batch, groups * channels, *sizes(data, axes, 1, 7))
    weight = numbers(groups * channels, out, *kernel, seed=1)
    bias = numbers(groups * out, seed=2) if biased else None
    arguments = (x, weight, bias, stride, padding, extra, groups, dilation)
    try:
        expected = getattr(F, f"conv_transpose{axes}d")(*arguments)
    except RuntimeError:
        assume(False)
    assert_near(convolve_transposed(*arguments), expected)


def modulated(x: Tensor, weight: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    folded, weights = x.reshape(1, batch * channels, height, width), weight.reshape(batch * 4, channels, 3, 3)
    return F.conv2d(folded, weights, padding=1, groups=batch).reshape(batch, 4, height, width)


def modulated_up(x: Tensor, weight: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    weights = weight.transpose(1, 2).reshape(batch * channels, 4, 3, 3)
    y = F.conv_transpose2d(x.reshape(1, -1, height, width), weights, stride=2, output_padding=1, groups=batch)
    return y.view(batch, -1, *y.shape[2:])


def modulated_signal(x: Tensor, weight: Tensor) -> Tensor:
    batch, channels, length = x.shape
    weights = weight[..., 0].reshape(batch * 4, channels, 3)
    return F.conv1d(x.reshape(1, batch * channels, length), weights, padding=2, dilation=2, groups=batch).view(
        batch, 4, length
    )


def filtered(x: Tensor, weight: Tensor) -> Tensor:
    """A depthwise kernel for every sample and channel."""
    batch, channels, height, width = x.shape
    weights = weight[:, :3, :1].reshape(batch * channels, 1, 3, 3)
    y = F.conv2d(x.reshape(1, batch * channels, height, width), weights, stride=2, padding=1, groups=batch * channels)
    return y.reshape(batch, channels, (height + 1) // 2, (width + 1) // 2)


@pytest.mark.parametrize("function", [modulated, modulated_up, modulated_signal, filtered])
def test_a_graph_has_it_for_every_batch(function) -> None:
    shape = (6,) if function is modulated_signal else (6, 5)
    operations = assert_exported(
        function,
        lambda batch: (numbers(batch, 3, *shape, seed=batch), numbers(batch, 4, 3, 3, 3, seed=batch + 9)),
        opset=18 if function is modulated else 20,
    )
    assert not {"Conv", "ConvTranspose"} & set(operations)


@pytest.mark.parametrize("function", [modulated, modulated_up])
def test_a_graph_has_it_for_every_size(function) -> None:
    kernels = numbers(1, 4, 3, 3, 3)

    def styled(x: Tensor) -> Tensor:
        return function(x, kernels * x.mean((2, 3))[:, None, :, None, None])

    assert_exported(styled, lambda batch: (numbers(batch, 3, 5 + batch, 4 + batch),), axes=(0, 2, 3))
