"""Names and numbers of a module's own code, while it is traced."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import torch
from substitute_case import assert_exported, exported, numbers
from torch import Tensor, nn

from ganrt_export.substitutes.plain_python import any_argument_names, makes_numbers, symbolic_sizes


class Windows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        windows = x.reshape(-1, 2, 3)
        batch = int(windows.shape[0] / (8 / 2 / 2))
        return windows.reshape(len(x), -1, 3) + windows.reshape(batch, 4, 3)


class Styled(nn.Module):
    def forward(self, x: Tensor, mod: Tensor) -> Tensor:
        return x * mod


class Calls(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = Styled()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, mod=x + 1)


def test_a_batch_made_a_number_stays_a_symbol() -> None:
    module = Windows()
    with symbolic_sizes(module):
        assert_exported(module, lambda batch: (numbers(batch, 4, 3),))
    with pytest.raises(Exception, match=r"[Cc]onstrain"):
        exported(module, (numbers(2, 4, 3),))


def test_they_are_what_they_were_for_everything_else() -> None:
    with symbolic_sizes(Windows()):
        stand = globals()["int"]
        assert stand("12") == 12
        assert stand("ff", 16) == 255
        assert isinstance(3, stand)
        assert not isinstance(3.0, stand)
        assert issubclass(bool, stand)
        assert type(3) == stand  # noqa: E721, UP003  as authors write it
        assert np.zeros(2, stand).dtype == np.int64
        assert {builtins.int: 1}[stand] == 1
        assert globals()["len"]([1, 2]) == 2
    assert not {"int", "len"} & globals().keys()


def test_it_is_put_back_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), symbolic_sizes(Windows()):
        raise ZeroDivisionError
    assert "int" not in globals()


def test_only_code_that_calls_them_makes_numbers() -> None:
    assert makes_numbers(Windows())
    assert not makes_numbers(nn.Sequential(nn.Linear(2, 2)))


def test_a_layer_may_have_an_argument_that_the_tracer_has() -> None:
    module = Calls()
    with any_argument_names(module):
        assert_exported(module, lambda batch: (numbers(batch, 4),))
    assert "__call__" not in vars(Styled)
    assert torch.equal(module(torch.ones(1)), torch.tensor([2.0]))
