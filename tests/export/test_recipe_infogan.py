"""InfoGAN: the bound on the information, its gradients, and codes that do what they say in the bundle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from recipe_laws import (
    assert_bfloat16_gives_nearly_the_same_losses,
    assert_gradients_reach_every_weight,
    assert_resumes_exactly,
    losses_of,
)
from safetensors.torch import load_file
from torch.distributions import Categorical, Normal

from ganrt import Generator
from ganrt.bundle import Bundle
from ganrt.latents import draw
from ganrt_export import families
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train
from ganrt_export.training.losses import NonSaturating
from ganrt_export.training.recipe import Data, provenance
from ganrt_export.training.recipes.infogan import Reading, Recipe, Settings, effects, information, unread

SETTINGS = Settings(steps=4, batch=8, width=8, norm_batches=1)


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
    bundle = recipe.export(module, folder / "codes.ganrt", provenance(recipe, digits), lambda stage: None)
    return Trained(recipe, module, folder, bundle)


def make(data: Data) -> Recipe:
    torch.manual_seed(0)
    return Recipe(SETTINGS, data)


def every_code(steps: int = 401) -> tuple[torch.Tensor, torch.Tensor]:
    """All ten categories as often as each other, and the whole range of both codes beside each."""
    line = (torch.arange(steps) + 0.5) / steps * 2 - 1
    code = torch.stack([line, line.flip(0)], dim=1).repeat(10, 1)
    return torch.eye(10).repeat_interleave(steps, dim=0), code


@given(
    logits=st.lists(st.floats(-8, 8), min_size=10, max_size=10),
    mean=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    log_spread=st.tuples(st.floats(-4, 2), st.floats(-4, 2)),
)
def test_a_reading_that_is_the_same_for_every_picture_carries_no_information(
    logits: list[float], mean: tuple[float, float], log_spread: tuple[float, float]
) -> None:
    category, code = every_code()
    same = (torch.tensor(values).expand(len(code), -1) for values in (logits, mean, log_spread))
    assert float(information(Reading(*same), category, code)) <= 1e-3


def test_a_reading_that_is_right_carries_all_of_the_category() -> None:
    category, code = every_code()
    sure = Reading(100 * category, code, torch.full_like(code, math.log(2 / math.sqrt(math.tau))))
    assert float(information(sure, category, code)) == pytest.approx(math.log(10), abs=1e-5)


def test_what_is_unread_is_the_log_likelihood_of_the_paper() -> None:
    torch.manual_seed(0)
    reading = Reading(torch.randn(6, 10), torch.randn(6, 2), torch.randn(6, 2))
    category, code = torch.eye(10)[:6], torch.rand(6, 2) * 2 - 1
    nats = unread(reading, category, code)
    by_category = -Categorical(logits=reading.category).log_prob(torch.arange(6)).mean()
    by_code = -Normal(reading.mean, reading.log_spread.exp()).log_prob(code).sum(dim=1).mean()
    torch.testing.assert_close(nats, (by_category, by_code))


def test_both_losses_are_the_papers_and_information_is_only_told(digits: Data) -> None:
    recipe = make(digits)
    discriminator, generator = (losses_of(recipe, turn, digits) for turn in recipe.turns())
    torch.manual_seed(1)
    inputs = recipe.inputs(SETTINGS.batch)
    (real,) = digits[list(range(SETTINGS.batch))]
    with torch.no_grad():
        (score, reading), (score_real, _) = recipe.discriminator(recipe.generator(*inputs)), recipe.discriminator(real)
    nats = unread(reading, *inputs[1:])
    weighted = float(nats[0]) + 0.1 * float(nats[1])
    assert discriminator == pytest.approx(
        {"loss_d": float(NonSaturating.discriminator(score_real, score)), "q": weighted}, rel=1e-5
    )
    assert generator == pytest.approx(
        {
            "loss_g": float(NonSaturating.generator(score)),
            "codes": weighted,
            "information": math.log(10) + 2 * math.log(2) - float(nats[0]) - float(nats[1]),
        },
        rel=1e-4,
    )


def test_each_turn_moves_all_of_its_network(digits: Data) -> None:
    assert_gradients_reach_every_weight(make(digits), digits)


def test_losses_are_nearly_the_same_in_bfloat16(digits: Data) -> None:
    assert_bfloat16_gives_nearly_the_same_losses(make(digits), digits)


def test_a_stopped_run_resumes_to_the_same_bits(digits: Data, tmp_path: Path) -> None:
    assert_resumes_exactly(lambda: make(digits), digits, tmp_path)


def test_the_bundle_says_how_well_its_codes_are_read(trained: Trained) -> None:
    quality = trained.bundle.manifest.quality
    assert quality == trained.recipe.quality(trained.module)
    assert 0 <= quality["category_accuracy"] <= 1
    assert len(quality["code_error"]) == 2
    nats = quality["category_cross_entropy"] + quality["code_negative_log_likelihood"]
    assert quality["information"] == pytest.approx(math.log(40) - nats, abs=1e-3)


def test_the_bundle_is_drawn_from_by_code(trained: Trained) -> None:
    with Generator.load(trained.bundle.path, precision="fp32") as digits:
        drawn = digits.sample(3, seed=5, code={"category": 7, "code": [0.25, -1.0]}, output="float")
        z = digits.spec.latents[0]
        other = digits.sample(3, seed=5, code={"category": 2, "code": [0.25, -1.0]}, output="float")
    inputs = draw(z, 5, 0, 3), np.eye(10, dtype=np.float32)[[7, 7, 7]], np.float32([[0.25, -1.0]] * 3)
    with torch.no_grad():
        wanted = trained.module(*map(torch.from_numpy, inputs)).numpy()
    np.testing.assert_allclose(drawn, wanted, atol=1e-5)
    assert np.abs(drawn - other).max() > 1e-3


def test_a_figure_shows_what_each_code_does(trained: Trained) -> None:
    sheet = effects(trained.module, trained.recipe.spec)
    with Image.open(trained.folder / "codes.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), sheet[..., 0])
    height, width, _ = sheet.shape
    assert (width - height) > height  # three codes beside each other, eight rows


def test_its_weights_are_read_as_an_infogan_checkpoint(trained: Trained) -> None:
    state = load_file(trained.folder / "generator.safetensors")
    assert families.recognise(state) == "infogan"
