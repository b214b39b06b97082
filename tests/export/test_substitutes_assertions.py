"""Checks of values inside forward. PYTEST_DONT_REWRITE: a rewritten assert is not what authors' modules have."""

from __future__ import annotations

import pytest
import torch
from substitute_case import assert_exported, exported, numbers
from torch import Tensor

from ganrt_export.substitutes import Substitutes


def checked(x: Tensor) -> Tensor:
    assert (x.abs() < 100).all(), "too large"
    assert not torch.isnan(x).any()
    return x.data * 2


def sampled(x: Tensor) -> Tensor:
    return torch.distributions.Normal(x, x.abs() + 1).mean + 1


@pytest.mark.parametrize("function", [checked, sampled])
def test_a_check_does_not_stop_the_trace(function) -> None:
    assert_exported(function, lambda batch: (numbers(batch, 4),))


def test_a_decision_by_value_does() -> None:
    def decided(x: Tensor) -> Tensor:
        if (x > 0).all():
            return x
        return -x

    with pytest.raises(Exception, match=r"data-dependent|export"):
        exported(decided, (numbers(2, 4),))


def test_in_pytorch_a_check_checks() -> None:
    with Substitutes(), pytest.raises(AssertionError, match="too large"):
        checked(numbers(2, 4) * 1000)
    with Substitutes(), pytest.raises(ValueError, match="constraint"):
        torch.distributions.Normal(numbers(2), -torch.ones(2), validate_args=True)
