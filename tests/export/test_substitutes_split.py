"""chunk and split of axes of any size."""

from __future__ import annotations

from substitute_case import assert_exported, assert_same, numbers
from torch import Tensor


def halves(x: Tensor) -> tuple[Tensor, ...]:
    return (*x.chunk(2, 1), *x.split(x.shape[1] // 2 + 1, dim=1), *x.split_with_sizes([1, x.shape[1] - 1], 1))


def test_a_graph_splits_every_size() -> None:
    operations = assert_exported(halves, lambda batch: (numbers(batch, 4 + batch, 3),), axes=(0, 1))
    assert not any("Sequence" in operation for operation in operations)


def test_in_pytorch_the_pieces_are_pytorchs() -> None:
    assert_same(halves, numbers(2, 7, 3), tolerance=0)
