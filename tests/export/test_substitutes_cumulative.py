"""Running products and extremes, searching, ranking and distances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from substitute_case import assert_exported, assert_same, numbers
from torch import Tensor

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)


@given(shape=shapes, data=st.data(), whole=st.booleans())
def test_running_products_and_extremes_are_pytorchs(shape: tuple[int, ...], data, whole: bool) -> None:
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = (3 * numbers(*shape)).round()  # with equal elements, whose last index counts
    x = x.long() if whole else x
    assert_same(lambda x: x.cumprod(dim), x)
    assert_same(lambda x: torch.cummax(x, dim), x, tolerance=0)
    assert_same(lambda x: x.cummin(dim), x, tolerance=0)


def test_a_product_in_another_type_and_a_single_number() -> None:
    assert_same(lambda x: torch.cumprod(x, 0, dtype=torch.float64), numbers(5))
    assert_same(lambda x: torch.cummax(x, 0), torch.tensor(2.0))
    assert_same(lambda x: x.cumprod(0), torch.tensor(2))


@given(rows=st.integers(1, 4), length=st.integers(1, 9), wanted=st.integers(1, 5), right=st.booleans())
def test_searching_is_pytorchs(rows: int, length: int, wanted: int, right: bool) -> None:
    row = numbers(rows, length).round().sort(-1).values
    values = numbers(rows, wanted, seed=1).round()
    assert_same(lambda row, values: torch.searchsorted(row, values, right=right), row, values)
    assert_same(lambda row, values: torch.searchsorted(row[0], values, side="right"), row.contiguous(), values)
    assert_same(lambda row: torch.searchsorted(row[0], 0.5, out_int32=True), row)


@given(shape=shapes, data=st.data(), keepdim=st.booleans())
def test_ranks_are_pytorchs(shape: tuple[int, ...], data, keepdim: bool) -> None:
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    k = data.draw(st.integers(1, shape[dim]))
    x = numbers(*shape)
    assert_same(lambda x: x.median(dim, keepdim), x, tolerance=0)
    assert_same(lambda x: torch.median(x), x, tolerance=0)
    assert_same(lambda x: torch.kthvalue(x, k, dim, keepdim), x, tolerance=0)


@given(
    first=st.integers(1, 30), second=st.integers(1, 30), size=st.integers(1, 5),
    p=st.sampled_from([0.0, 1.0, 2.0, 3.5, float("inf")]),
)  # fmt: skip
def test_distances_are_pytorchs(first: int, second: int, size: int, p: float) -> None:
    x, y = numbers(2, first, size), numbers(2, second, size, seed=1)
    assert_same(lambda x, y: torch.cdist(x, y, p), x, y, tolerance=2e-4)  # where |a|^2 + |b|^2 - 2 a.b cancels
    assert_same(lambda x, y: torch.hypot(x[:, :1], y[:, :1]), x, y)


FUNCTIONS = {
    "cumprod": lambda x: x.cumprod(1),
    "cummax": lambda x: torch.cummax(x, -1),
    "cummin of whole numbers": lambda x: (3 * x).long().cummin(1),
    "searchsorted": lambda x: torch.searchsorted(x.sort(-1).values, x),
    "stable sort": lambda x: torch.sort(x.round(), dim=1, stable=True, descending=True),
    "stable argsort": lambda x: torch.argsort(x.round(), dim=1, stable=True),
    "median": lambda x: x.median(1),
    "kthvalue": lambda x: x.kthvalue(2, -1),
    "cdist": lambda x: torch.cdist(x[..., None], x[..., None] + 1, p=1),
    "many distances": lambda x: torch.cdist(x.repeat(1, 4).unflatten(1, (-1, 1)), x[..., None]),
    "hypot": lambda x: torch.hypot(x, x + 1),
}
DYNAMIC = ("cumprod", "cummax", "cummin of whole numbers", "median", "searchsorted")


def rows(batch: int) -> tuple[Tensor]:
    return (numbers(batch, 9, seed=batch),)


def longer(batch: int) -> tuple[Tensor]:
    return (numbers(batch, 8 + batch, seed=batch),)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_graph_has_it_for_every_batch(name: str) -> None:
    assert_exported(
        FUNCTIONS[name], rows, tolerance=1e-4 if "dist" in name else 1e-5, opset=18 if "cum" in name else 20
    )


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_graph_has_it_for_every_length(name: str) -> None:
    assert_exported(FUNCTIONS[name], longer, axes=(0, 1))
