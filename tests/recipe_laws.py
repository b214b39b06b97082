"""What every recipe of `ganrt train` keeps to; a recipe's test brings the recipe and real data."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest
import torch
from torch import nn

from ganrt_export.training.loop import Losses, train
from ganrt_export.training.recipe import Data, Recipe, Turn

__all__ = [
    "assert_bfloat16_gives_nearly_the_same_losses",
    "assert_gradients_reach_every_weight",
    "assert_resumes_exactly",
    "losses_of",
]


def losses_of(recipe: Recipe, turn: Turn, data: Data, step: int = 0) -> Losses:
    """The terms of one turn for the first batch, after the seed 1; their gradients are left on the weights."""
    recipe.train().requires_grad_(False)
    for weight in turn.parameters():
        weight.requires_grad_(True).grad = None
    torch.manual_seed(1)
    terms = turn.loss(data[list(range(recipe.settings.batch))], step)
    torch.stack(list(terms.values())).sum().backward()
    return {name: term.item() for name, term in terms.items()}


def assert_gradients_reach_every_weight(recipe: Recipe, data: Data, idle: Collection[str] = ()) -> None:
    """Each turn moves all of its own weights but the `idle` ones, and between them the turns have all there are."""
    moved: set[int] = set()
    for turn in recipe.turns():
        losses_of(recipe, turn, data)
        names = {id(weight): name for name, weight in recipe.named_parameters()}
        for weight in turn.parameters():
            assert weight.grad is not None, names[id(weight)]
            assert weight.grad.any() == (names[id(weight)] not in idle), names[id(weight)]
            moved.add(id(weight))
    assert moved == {id(weight) for weight in recipe.parameters()}


def assert_bfloat16_gives_nearly_the_same_losses(recipe: Recipe, data: Data) -> None:
    """Where a GPU computes in BF16 the losses are still float32, and those of float32 within its rounding."""
    for turn in recipe.turns():
        exact = losses_of(recipe, turn, data)
        with torch.autocast("cpu", torch.bfloat16):
            torch.manual_seed(1)
            terms = turn.loss(data[list(range(recipe.settings.batch))], 0)
        assert {term.dtype for term in terms.values()} == {torch.float32}
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(exact, rel=0.1, abs=1e-2)


def assert_resumes_exactly(make: Callable[[], Recipe], data: Data, folder: Path) -> None:
    """A run that was stopped half way and went on ends in the bits of one that was not, in every network and buffer."""

    def run(where: Path, stop_after: int = -1) -> tuple[Recipe, nn.Module]:
        done: list[int] = []
        torch.manual_seed(0)
        recipe = make()
        on_step = lambda step, losses: done.append(step)  # noqa: E731
        return recipe, train(recipe, data, where, on_step=on_step, should_stop=lambda: len(done) == stop_after)

    whole, generator = run(folder / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(folder / "parts", stop_after=whole.settings.steps // 2)
    resumed, other = run(folder / "parts")
    for one, two in ((whole, resumed), (generator, other)):
        for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
