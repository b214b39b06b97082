"""The variational autoencoder: both terms of its bound, and a decoder that travels as a generator."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from recipe_laws import assert_gradients_reach_every_weight, assert_resumes_exactly, losses_of
from torch.distributions import Bernoulli as BernoulliLaw
from torch.distributions import Normal, kl_divergence

from ganrt import Generator
from ganrt.bundle import Bundle
from ganrt.errors import ArgumentError
from ganrt.latents import draw
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train
from ganrt_export.training.recipe import Data, provenance
from ganrt_export.training.recipes.vae import (
    Bernoulli,
    Decoder,
    Encoder,
    Gaussian,
    Recipe,
    Settings,
    divergence,
)

SETTINGS = Settings(steps=4, batch=8, width=4, z_dim=6)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Recipe.data(prepare("digits", tmp_path_factory.mktemp("data") / "digits"), SETTINGS)


class Trained(NamedTuple):
    recipe: Recipe
    module: torch.nn.Module
    folder: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def trained(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("run")
    recipe = make(digits)
    module = train(recipe, digits, folder)
    bundle = recipe.export(module, folder / "decoder.ganrt", provenance(recipe, digits), lambda stage: None)
    return Trained(recipe, module, folder, bundle)


def make(data: Data, settings: Settings = SETTINGS) -> Recipe:
    torch.manual_seed(0)
    return Recipe(settings, data)


moderate = st.floats(-3, 3, width=32)


@given(st.lists(st.tuples(moderate, moderate), min_size=1, max_size=8))
def test_the_divergence_is_pytorchs_closed_form(values: list[tuple[float, float]]) -> None:
    mean, log_variance = torch.tensor(values).T[:, None]
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(divergence(mean, log_variance), wanted, rtol=1e-5, atol=1e-5)


def test_the_divergence_is_what_sampling_finds() -> None:
    mean, log_variance = torch.tensor([[0.7, -1.2]]), torch.tensor([[-0.5, 0.8]])
    q, prior = Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)
    torch.manual_seed(0)
    z = q.sample((400_000,))
    ratios = (q.log_prob(z) - prior.log_prob(z)).sum(dim=2)
    error = float(ratios.std()) / math.sqrt(len(ratios))
    assert float(divergence(mean, log_variance)) == pytest.approx(float(ratios.mean()), abs=4 * error)


def test_the_divergence_is_zero_for_the_prior_alone() -> None:
    assert divergence(torch.zeros(2, 5), torch.zeros(2, 5)).tolist() == [0, 0]
    assert (divergence(torch.randn(9, 5), torch.randn(9, 5)) > 0).all()


def test_both_likelihoods_are_those_of_pytorchs_distributions() -> None:
    torch.manual_seed(0)
    logits, image = torch.randn(3, 2, 4, 4) * 4, torch.rand(3, 2, 4, 4).round() * 2 - 1
    wanted = -BernoulliLaw(logits=logits).log_prob((image + 1) / 2).flatten(1).sum(dim=1)
    torch.testing.assert_close(Bernoulli()(logits, image), wanted)
    gaussian = Gaussian()
    torch.nn.init.constant_(gaussian.log_deviation, -1.5)
    grey = torch.rand(3, 2, 4, 4) * 2 - 1
    wanted = -Normal(torch.tanh(logits / 2), math.exp(-1.5)).log_prob(grey).flatten(1).sum(dim=1)
    torch.testing.assert_close(gaussian(logits, grey), wanted)


def test_a_learnt_deviation_rests_where_it_is_the_error() -> None:
    torch.manual_seed(0)
    logits, image, gaussian = torch.randn(3, 1, 8, 8), torch.rand(3, 1, 8, 8), Gaussian()
    error = (image - torch.tanh(logits / 2)).square().mean().sqrt()
    torch.nn.init.constant_(gaussian.log_deviation, float(error.log()))
    gaussian(logits, image).sum().backward()
    assert gaussian.log_deviation.grad is not None
    assert float(gaussian.log_deviation.grad) == pytest.approx(0, abs=1e-3)


@given(st.floats(-40, 40, width=32))
def test_the_mean_of_a_value_is_its_probability_in_the_range_of_pictures(logit: float) -> None:
    decoder = Decoder(28, 1, 2, 2)
    decoder.logits = lambda z: torch.full((1,), logit)  # type: ignore[method-assign]
    assert float(decoder(torch.zeros(1, 2))) == pytest.approx(2 / (1 + math.exp(-logit)) - 1, abs=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_loss_is_the_bound_of_the_paper(digits: Data, likelihood: str) -> None:
    recipe = make(digits, replace(SETTINGS, likelihood=likelihood))
    (turn,) = recipe.turns()
    terms = losses_of(recipe, turn, digits)
    (image,) = digits[list(range(SETTINGS.batch))]
    torch.manual_seed(1)
    noise = torch.randn(SETTINGS.batch, SETTINGS.z_dim)
    with torch.no_grad():
        mean, log_variance = recipe.encoder(image)
        picture = recipe.generator(mean + torch.exp(log_variance / 2) * noise)
        q = Normal(mean, torch.exp(log_variance / 2))
        if likelihood == "gaussian":
            probability = Normal(picture, 1.0).log_prob(image)
        else:
            probability = BernoulliLaw((picture + 1) / 2, validate_args=False).log_prob((image + 1) / 2)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(dim=1).mean()
    reconstruction = -probability.flatten(1).sum(dim=1).mean()
    assert terms == pytest.approx({"reconstruction": float(reconstruction), "kl": float(kl)}, rel=1e-4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_one_turn_moves_encoder_decoder_and_deviation(digits: Data, likelihood: str) -> None:
    assert_gradients_reach_every_weight(make(digits, replace(SETTINGS, likelihood=likelihood)), digits)


def test_it_learns(digits: Data, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=40, batch=16, learning_rate=5e-3)
    seen: list[float] = []
    train(make(digits, settings), digits, tmp_path, on_step=lambda step, losses: seen.append(sum(losses.values())))
    assert np.mean(seen[-5:]) < 0.75 * seen[0]


def test_a_stopped_run_resumes_to_the_same_bits(digits: Data, tmp_path: Path) -> None:
    settings = replace(SETTINGS, likelihood="gaussian")
    assert_resumes_exactly(lambda: make(digits, settings), digits, tmp_path)


@pytest.mark.parametrize("size", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_encoder_and_decoder_have_the_size_asked_for(size: int, channels: int) -> None:
    picture = Decoder(size, channels, 5, 2)(torch.randn(2, 5))
    assert picture.shape == (2, channels, size, size)
    mean, log_variance = Encoder(size, channels, 5, 2)(picture)
    assert mean.shape == log_variance.shape == (2, 5)


def test_coloured_pictures_make_a_coloured_generator(tmp_path: Path) -> None:
    settings = Settings(steps=1, batch=2, size=32, width=2, z_dim=3)
    recipe = Recipe(settings, Recipe.data(prepare("photos", tmp_path / "photos"), settings))
    assert recipe.spec.output.channels == 3  # type: ignore[union-attr]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"The size is 48; this recipe makes squares of 28, 32, 64, 128 pixels\."):
        Settings(size=48)
    with pytest.raises(ArgumentError, match="'poisson' is not a likelihood of this recipe; choose one of bernoulli, "):
        Settings(likelihood="poisson")


def test_the_bundle_draws_what_the_decoder_does(trained: Trained) -> None:
    with Generator.load(trained.bundle.path, precision="fp32") as generator:
        drawn = generator.sample(3, seed=5, output="float")
    with torch.no_grad():
        wanted = trained.module(torch.from_numpy(draw(trained.recipe.spec.latents[0], 5, 0, 3))).numpy()
    np.testing.assert_allclose(drawn, wanted, atol=1e-5)


def test_the_bundle_tells_both_terms_of_the_bound(trained: Trained, digits: Data) -> None:
    quality = trained.bundle.manifest.quality
    assert quality == trained.recipe.quality(trained.module)
    assert quality["pictures"] == len(digits) == 1_500
    total = quality["reconstruction_nats"] + quality["kl_nats"]
    assert quality["elbo_nats"] == pytest.approx(-total, abs=2e-3)
    with torch.no_grad():
        terms = trained.recipe.loss(digits[list(range(1_500))], 0)
    assert quality["kl_nats"] == pytest.approx(float(terms["kl"]), abs=1e-3)
    assert quality["reconstruction_nats"] == pytest.approx(float(terms["reconstruction"]), rel=0.02)


def test_a_figure_shows_pictures_and_below_each_its_reconstruction(trained: Trained, digits: Data) -> None:
    sheet = trained.recipe.reconstructions(trained.module)
    chosen = np.linspace(0, len(digits) - 1, 32).astype(int).tolist()
    (real,) = digits[chosen]
    with torch.no_grad():
        again = trained.module(trained.recipe.encoder(real)[0])
    rows = sheet.reshape(8, 8, 28, 28)
    for row in range(4):
        for shown, wanted in ((rows[2 * row], real), (rows[2 * row + 1], again)):
            values = (wanted[8 * row : 8 * row + 8, 0].numpy() + 1) * 127.5
            np.testing.assert_allclose(shown, values, atol=0.51)
    with Image.open(trained.folder / "reconstructions.png") as picture:
        assert picture.size[0] == picture.size[1]
