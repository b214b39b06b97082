"""The losses against the formulas of their papers, and their gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ganrt_export.training.losses import (
    Hinge,
    NonSaturating,
    Relativistic,
    Wasserstein,
    lipschitz_penalty,
    zero_centred_penalty,
)

SCORES = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=8)
LOSSES = (NonSaturating, Hinge, Wasserstein, Relativistic)


def pair(real: list[float], generated: list[float]) -> tuple[Tensor, Tensor]:
    count = min(len(real), len(generated))
    return (torch.tensor(scores[:count], dtype=torch.float64) for scores in (real, generated))  # type: ignore[return-value]


@given(SCORES, SCORES)
def test_the_non_saturating_loss_is_binary_cross_entropy_averaged_over_real_and_generated(
    real: list[float], generated: list[float]
) -> None:
    yes, no = pair(real, generated)
    bce = nn.BCEWithLogitsLoss()
    expected = (bce(yes, torch.ones_like(yes)) + bce(no, torch.zeros_like(no))) / 2
    torch.testing.assert_close(NonSaturating.discriminator(yes, no), expected)
    torch.testing.assert_close(NonSaturating.generator(no), bce(no, torch.ones_like(no)))


@given(SCORES, SCORES)
def test_the_hinge_loss_is_its_formula(real: list[float], generated: list[float]) -> None:
    yes, no = pair(real, generated)
    expected = sum(max(0, 1 - r) for r in yes.tolist()) + sum(max(0, 1 + g) for g in no.tolist())
    assert float(Hinge.discriminator(yes, no)) == pytest.approx(expected / len(yes))
    assert float(Hinge.generator(no)) == pytest.approx(-sum(no.tolist()) / len(no))


@given(SCORES, SCORES)
def test_the_wasserstein_loss_is_the_gap_between_the_means(real: list[float], generated: list[float]) -> None:
    yes, no = pair(real, generated)
    assert float(Wasserstein.discriminator(yes, no)) == pytest.approx(float(no.mean() - yes.mean()))
    assert float(Wasserstein.generator(no)) == pytest.approx(-float(no.mean()))


@given(SCORES, SCORES)
def test_the_relativistic_loss_is_minus_the_logarithm_of_the_sigmoid_of_the_lead(
    real: list[float], generated: list[float]
) -> None:
    yes, no = pair(real, generated)
    torch.testing.assert_close(Relativistic.discriminator(yes, no), -nn.functional.logsigmoid(yes - no).mean())
    torch.testing.assert_close(Relativistic.generator(no, yes), -nn.functional.logsigmoid(no - yes).mean())


@given(SCORES, SCORES, st.floats(-5, 5))
def test_only_differences_of_scores_matter_to_the_relativistic_loss(
    real: list[float], generated: list[float], shift: float
) -> None:
    yes, no = pair(real, generated)
    torch.testing.assert_close(Relativistic.discriminator(yes + shift, no + shift), Relativistic.discriminator(yes, no))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_better_told_pair_costs_the_discriminator_less_and_the_generator_more(loss: type[NonSaturating]) -> None:
    near, far = torch.tensor([0.1]), torch.tensor([0.9])
    assert loss.discriminator(far, -far) < loss.discriminator(near, -near)
    assert loss.generator(-far, far) > loss.generator(-near, near)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss: type[NonSaturating]) -> None:
    draws = torch.Generator().manual_seed(0)
    real, generated = (torch.randn(5, generator=draws, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(loss.discriminator, (real, generated))
    assert torch.autograd.gradcheck(lambda scores: loss.generator(scores, real.detach()), (generated,))


@pytest.mark.parametrize("loss", LOSSES)
def test_scores_in_bf16_are_averaged_in_fp32(loss: type[NonSaturating]) -> None:
    real = torch.linspace(-1, 1, 1_001).to(torch.bfloat16)
    generated = real.flip(0)
    wide = loss.discriminator(real.float(), generated.float()), loss.generator(generated.float(), real.float())
    narrow = loss.discriminator(real, generated), loss.generator(generated, real)
    for exact, found in zip(wide, narrow, strict=True):
        assert found.dtype == torch.float32
        assert float(found) == pytest.approx(float(exact), abs=4e-3)


def test_the_generator_still_learns_where_it_is_seen_through() -> None:
    score = torch.tensor([-30.0], requires_grad=True)
    NonSaturating.generator(score).backward()
    assert float(score.grad) == pytest.approx(-1)  # type: ignore[arg-type]


def slopes(critic: Callable[[Tensor], Tensor], sample: Tensor, step: float = 1e-6) -> Tensor:
    """d critic(x) / dx of each sample, by central differences: [batch, ...] as `sample`."""
    found = torch.zeros_like(sample)
    for index in range(sample[0].numel()):
        change = torch.zeros_like(sample[0]).flatten()
        change[index] = step
        gap = critic(sample + change.view_as(sample[0])) - critic(sample - change.view_as(sample[0]))
        found.view(len(sample), -1)[:, index] = gap / (2 * step)
    return found


@pytest.fixture
def critic() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)).double()


def test_the_zero_centred_penalty_is_the_mean_squared_slope(critic: nn.Module) -> None:
    sample = torch.randn(4, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    expected = slopes(critic, sample.detach()).square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(zero_centred_penalty(sample, critic(sample)), expected, rtol=1e-6, atol=1e-9)


def test_the_lipschitz_penalty_is_the_squared_distance_of_the_slope_from_1_between_real_and_generated(
    critic: nn.Module,
) -> None:
    draws = torch.Generator().manual_seed(2)
    real, generated = (torch.randn(4, 1, 2, 3, dtype=torch.float64, generator=draws) for _ in range(2))
    torch.manual_seed(3)
    found = lipschitz_penalty(critic, real, generated)
    torch.manual_seed(3)
    share = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    lengths = slopes(critic, real + share * (generated - real)).flatten(1).norm(dim=1)
    torch.testing.assert_close(found, (lengths - 1).square().mean(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_the_penalties_of_a_linear_critic_follow_from_the_length_of_its_weights(length: float) -> None:
    weight = torch.full((1, 2, 2), length / 2)
    real, generated = torch.randn(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(4))

    def critic(image: Tensor) -> Tensor:
        return (image * weight).sum(dim=(1, 2, 3))

    real.requires_grad_()
    assert float(zero_centred_penalty(real, critic(real))) == pytest.approx(length**2)
    assert float(lipschitz_penalty(critic, real, generated)) == pytest.approx((length - 1) ** 2, abs=1e-12)


def test_a_penalty_can_be_trained_on() -> None:
    weight = torch.full((1, 2, 2), 2.0, requires_grad=True)
    image = torch.zeros(1, 1, 2, 2, requires_grad=True)
    zero_centred_penalty(image, (image * weight).sum(dim=(1, 2, 3))).backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 2 * weight.detach())
