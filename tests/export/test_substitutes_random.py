"""Noise that a module draws inside: listed, frozen, or given."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from substitute_case import assert_near, exported, numbers, run
from torch import Tensor

from ganrt.errors import ArgumentError, ExportError
from ganrt_export.substitutes import Noise, Substitutes
from ganrt_export.substitutes.random import PERIOD, Draw

DRAWN = {
    "randn": lambda x: x + torch.randn(x.shape[0], 5),
    "randn of a shape": lambda x: x + torch.randn(x.shape),
    "randn of a size": lambda x: x + torch.randn(size=(x.shape[0], 5)),
    "randn_like": lambda x: x + torch.randn_like(x),
    "rand_like": lambda x: x + torch.rand_like(x),
    "normal": lambda x: torch.normal(x, x.abs()),
    "normal of a size": lambda x: x + torch.normal(1.0, 2.0, size=x.shape),
    "normal_": lambda x: x + x.new_empty(x.shape[0], 5).normal_(1, std=2),
    "uniform_": lambda x: x + torch.empty_like(x).uniform_(-3, to=5),
    "exponential_": lambda x: x + torch.empty_like(x).exponential_(2.0),
    "bernoulli": lambda x: x + torch.bernoulli(x.sigmoid()),
    "bernoulli_": lambda x: x + torch.empty_like(x).bernoulli_(0.3),
    "dropout": lambda x: F.dropout(x, 0.3),
    "dropout2d": lambda x: F.dropout2d(x[:, :, None, None].expand(-1, -1, 2, 2), 0.4)[..., 0, 0],
    "randint": lambda x: x + torch.randint(3, 9, x.shape),
    "randint_like": lambda x: x + torch.randint_like(x, 7),
    "randperm": lambda x: x[:, torch.randperm(5)],
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, hard=True),
    "multinomial": lambda x: torch.multinomial(x.softmax(1), 2),
    "with replacement": lambda x: torch.multinomial(x.softmax(1), 7, replacement=True),
    "a distribution": lambda x: torch.distributions.Normal(x, x.abs() + 1).rsample(),
    "changed in place": lambda x: x + torch.randn(x.shape).mul_(2),
    "one for all samples": lambda x: x + torch.randn(5) + torch.randn(1, 5) + torch.randn(()),
}


@pytest.mark.parametrize("name", DRAWN)
def test_frozen_noise_does_not_depend_on_the_batch(name: str) -> None:
    x = numbers(1, 5)
    results = []
    for batch in (1, 3, 8):
        with Noise("freeze", batch=batch):
            results.append(DRAWN[name](x.expand(batch, 5).contiguous()))
    for result in results:
        assert torch.equal(result, results[0].expand_as(result))


@pytest.mark.parametrize(
    "name", ["randn", "uniform_", "bernoulli", "dropout", "randint", "randperm", "gumbel_softmax", "a distribution"]
)
def test_a_graph_has_the_same_frozen_noise_at_every_batch(name: str) -> None:
    def inside(x: Tensor) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(Noise("freeze", batch=x.shape[0]))
        stack.enter_context(Substitutes())
        return stack

    graph = exported(DRAWN[name], (numbers(2, 5),), inside=inside)
    for batch in (1, 2, 3, 8):
        x = numbers(batch, 5, seed=batch)
        with Noise("freeze", batch=batch):
            assert_near(run(graph, (x,))[0], DRAWN[name](x).numpy())


def test_a_graph_has_noise_of_a_length_it_only_knows_when_it_runs() -> None:
    def drawn(x: Tensor) -> Tensor:
        return x + torch.randn_like(x)

    graph = exported(drawn, (numbers(2, 5),), (0, 1), inside=lambda x: Noise("freeze", batch=x.shape[0]))
    for batch, length in ((1, 7), (3, 5000)):
        x = numbers(batch, length)
        with Noise("freeze", batch=batch):
            assert_near(run(graph, (x,))[0], drawn(x).numpy())
    long = run(graph, (torch.zeros(1, PERIOD + 3),))[0][0]
    assert (long[PERIOD:] == long[:3]).all()


def test_several_rows_of_each_sample_stay_its_own() -> None:
    def drawn(x: Tensor) -> Tensor:
        return x[:, None] + torch.randn(x.shape[0] * 3, 5).view(x.shape[0], 3, 5)

    graph = exported(drawn, (numbers(2, 5),), inside=lambda x: Noise("freeze", batch=x.shape[0]))
    with Noise("freeze", batch=1):
        alone = drawn(torch.zeros(1, 5))
    assert_near(run(graph, (torch.zeros(4, 5),))[0], alone.expand(4, 3, 5).numpy())


def test_frozen_noise_has_its_distribution_and_each_draw_another() -> None:
    with Noise("freeze", batch=1):
        normal, uniform = torch.randn(1, 20_000), torch.zeros(1, 20_000).uniform_(-3, 5)
        again, exponential = torch.randn(1, 20_000), torch.zeros(1, 20_000).exponential_(2.0)
        mask = F.dropout(torch.ones(1, 20_000), 0.25)
        dice = torch.randint(1, 7, (1, 20_000))
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.03
    assert -3 <= float(uniform.min()) < -2.9 < 4.9 < float(uniform.max()) < 5
    assert abs(float((normal * again).mean())) < 0.03
    assert abs(float(exponential.mean()) - 0.5) < 0.02
    assert abs(float((mask == 0).float().mean()) - 0.25) < 0.02
    assert sorted(set(mask.ravel().tolist())) == pytest.approx([0, 1 / 0.75])
    assert torch.bincount(dice.ravel(), minlength=7)[1:].min() > 3000


def test_another_seed_is_other_noise_and_the_same_seed_the_same() -> None:
    found = []
    for seed in (1, 1, 2):
        with Noise("freeze", batch=2, seed=seed):
            found.append(torch.randn(2, 8))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_without_a_batch_every_first_size_is_taken_for_it() -> None:
    with Noise("freeze"):
        three = torch.randn(3, 40)
    assert torch.equal(three[0], three[2])
    assert 0.6 < float(three[0].std()) < 1.4


def test_recording_lists_the_draws_and_changes_none() -> None:
    x = numbers(2, 5)
    torch.manual_seed(0)
    expected = F.dropout(x + torch.randn(2, 5), 0.5) + torch.rand(1, 5)
    torch.manual_seed(0)
    with Noise("record", batch=2) as noise:
        found = F.dropout(x + torch.randn(2, 5), 0.5) + torch.rand(1, 5)
        F.dropout(x, 0.5, training=False)
    assert torch.equal(found, expected)
    assert noise.draws == [
        Draw("randn", "normal", (2, 5), torch.float32, True),
        Draw("dropout", "uniform", (2, 5), torch.float32, True),
        Draw("rand", "uniform", (1, 5), torch.float32, False),
    ]


def test_given_numbers_are_taken_in_order() -> None:
    n, u = numbers(2, 5), torch.rand(1, 5)
    with Noise("input", tensors=(n, u, n)) as noise:
        first = torch.zeros(2, 5).normal_(1, 2)
        second = torch.zeros(2, 5).uniform_(-1, 1)
    assert torch.allclose(first, 1 + 2 * n)
    assert torch.allclose(second, (2 * u - 1).expand(2, 5))
    assert noise.unused == 1


def test_given_numbers_become_inputs_of_the_graph() -> None:
    def drawn(x: Tensor, n: Tensor) -> Tensor:
        return x * torch.randn_like(x)

    graph = exported(drawn, (numbers(2, 5), numbers(2, 5)), inside=lambda _, n: Noise("input", tensors=(n,)))
    x, n = numbers(3, 5), numbers(3, 5, seed=1)
    assert_near(run(graph, (x, n))[0], (x * n).numpy())


def drawn_twice() -> Any:
    return torch.randn(2, 5), torch.randn(2, 5)


@pytest.mark.parametrize(
    ("tensors", "sentence"), [((numbers(2, 5),), "more than 1 times"), ((numbers(3, 5), numbers(2, 5)), r"\[3, 5\]")]
)
def test_numbers_that_do_not_suffice_or_fit_are_refused(tensors, sentence: str) -> None:
    with Noise("input", tensors=tensors), pytest.raises(ArgumentError, match=sentence):
        drawn_twice()


def test_a_draw_that_cannot_be_frozen_is_refused() -> None:
    with Noise("freeze"), pytest.raises(ExportError, match="poisson"):
        torch.poisson(torch.ones(2, 3))
    with pytest.raises(ArgumentError, match="record, freeze or input"):
        Noise("other")  # type: ignore[arg-type]


def test_outside_the_block_draws_are_draws() -> None:
    with Noise("freeze"):
        frozen = torch.randn(1, 8)
    assert not torch.equal(torch.randn(1, 8), frozen)
