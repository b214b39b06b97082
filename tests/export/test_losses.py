"""The losses against the formulas of their papers."""

import math

import pytest
import torch

from ganrt_export.training.losses import relativistic_loss, zero_centred_penalty


def test_the_relativistic_loss_is_the_mean_softplus_of_the_lag() -> None:
    winner, loser = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 3.0])
    expected = (math.log(1 + math.exp(-1.0)) + math.log(1 + math.exp(4.0))) / 2
    assert float(relativistic_loss(winner, loser)) == pytest.approx(expected, rel=1e-6)


def test_equal_scores_cost_the_logarithm_of_two() -> None:
    scores = torch.randn(8, generator=torch.Generator().manual_seed(0))
    assert float(relativistic_loss(scores, scores)) == pytest.approx(math.log(2), rel=1e-6)


def test_a_constant_added_to_all_scores_changes_nothing() -> None:
    winner, loser = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    shifted = relativistic_loss(winner + 5, loser + 5)
    torch.testing.assert_close(shifted, relativistic_loss(winner, loser), rtol=1e-5, atol=1e-6)


def test_the_penalty_of_a_linear_critic_is_its_squared_norm() -> None:
    weight = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(2))
    image = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    penalty = zero_centred_penalty(image, (image * weight).sum(dim=(1, 2, 3)))
    assert float(penalty) == pytest.approx(float(weight.square().sum()), rel=1e-5)


def test_the_penalty_of_a_square_critic_is_the_mean_squared_gradient() -> None:
    image = torch.randn(5, 1, 3, 3, generator=torch.Generator().manual_seed(4)).requires_grad_()
    penalty = zero_centred_penalty(image, image.square().sum(dim=(1, 2, 3)))
    expected = (2 * image.detach()).square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(penalty.detach(), expected)


def test_the_penalty_can_be_trained_on() -> None:
    weight = torch.ones(1, 2, 2, requires_grad=True)
    image = torch.zeros(1, 1, 2, 2, requires_grad=True)
    zero_centred_penalty(image, (image * weight).sum(dim=(1, 2, 3))).backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 2 * weight.detach())
