"""Inverses, determinants and solutions by cofactors."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from substitute_case import assert_exported, assert_same, numbers
from torch import Tensor

from ganrt_export.substitutes.matrices import adjugate


@given(n=st.integers(1, 4), batch=st.lists(st.integers(1, 3), max_size=2), seed=st.integers(0, 99))
def test_small_matrices_are_pytorchs(n: int, batch: list[int], seed: int) -> None:
    matrix = numbers(*batch, n, n, seed=seed) + 4 * torch.eye(n)
    right = numbers(*batch, n, 2, seed=seed + 1)
    assert_same(torch.linalg.inv, matrix)
    assert_same(lambda x: x.inverse(), matrix)
    assert_same(torch.det, matrix)
    assert_same(torch.linalg.solve, matrix, right)
    assert_same(torch.linalg.solve, matrix, right[..., 0])


@given(n=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_matrix_times_its_adjugate_is_its_determinant_times_one(n: int, seed: int) -> None:
    matrix = numbers(n, n, seed=seed).double()
    torch.testing.assert_close(matrix @ adjugate(matrix), torch.linalg.det(matrix) * torch.eye(n).double())


def test_a_turned_camera_whose_diagonal_is_zero_is_inverted() -> None:
    assert_same(torch.linalg.inv, torch.tensor([[0.0, 1, 0, 2], [0, 0, 1, 3], [1, 0, 0, 4], [0, 0, 0, 1]]))


def test_a_larger_matrix_is_left_to_pytorch() -> None:
    assert_same(torch.linalg.inv, numbers(2, 5, 5), tolerance=0)


def test_a_graph_inverts_what_it_is_given() -> None:
    def posed(x: Tensor) -> tuple[Tensor, Tensor]:
        matrix = x.reshape(-1, 4, 4) + 4 * torch.eye(4)
        return torch.inverse(matrix), torch.linalg.det(matrix[:, :3, :3])

    assert_exported(posed, lambda batch: (numbers(batch, 16, seed=batch),))
