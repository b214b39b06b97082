"""DCGAN of faces: the paper's layers at every size, its losses, and weights that `ganrt export` reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from recipe_laws import assert_gradients_reach_every_weight, assert_resumes_exactly, losses_of
from safetensors.torch import load_file
from torch import nn

from ganrt import Generator
from ganrt.bundle import Bundle
from ganrt.cli import main
from ganrt.errors import ArgumentError
from ganrt.latents import draw
from ganrt_export import families
from ganrt_export.families.dcgan import Generator as Network
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train
from ganrt_export.training.losses import Hinge, NonSaturating
from ganrt_export.training.recipe import Data, provenance
from ganrt_export.training.recipes.dcgan_faces import Discriminator, Recipe, Settings, mirrored, stages

SETTINGS = Settings(steps=4, batch=4, size=32, width=4, norm_batches=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Recipe.data(prepare("photos", tmp_path_factory.mktemp("data") / "photos"), SETTINGS)


class Trained(NamedTuple):
    recipe: Recipe
    module: nn.Module
    folder: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def trained(photos: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("run")
    recipe = make(photos)
    module = train(recipe, photos, folder)
    bundle = recipe.export(module, folder / "faces.ganrt", provenance(recipe, photos), lambda stage: None)
    return Trained(recipe, module, folder, bundle)


def make(data: Data, settings: Settings = SETTINGS) -> Recipe:
    torch.manual_seed(0)
    return Recipe(settings, data)


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_networks_have_the_size_asked_for(size: int, channels: int) -> None:
    generator = Network(stages(size, 100, 2, channels))
    image = generator(torch.randn(2, 100))
    assert image.shape == (2, channels, size, size)
    assert Discriminator(size, channels, 2)(image).shape == (2,)


def test_at_64_pixels_the_networks_are_those_of_pytorchs_tutorial() -> None:
    assert stages(64, 100, 64, 3).widths == (512, 256, 128, 64, 3)
    convolutions = [module for module in Discriminator(64, 3, 64).modules() if isinstance(module, nn.Conv2d)]
    assert [one.out_channels for one in convolutions] == [64, 128, 256, 512, 1]
    assert sum(weight.numel() for weight in Discriminator(64, 3, 64).parameters()) == 2_765_568
    assert sum(weight.numel() for weight in Network(stages(64, 100, 64, 3)).parameters()) == 3_576_704


def test_weights_begin_as_the_paper_says(photos: Data) -> None:
    recipe = make(photos, replace(SETTINGS, width=16))
    for module in recipe.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 1_000:
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert float(module.weight.detach().mean()) == pytest.approx(1, abs=0.02)
            assert not module.bias.any()


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_each_picture_is_mirrored_or_left(count: int, seed: int) -> None:
    torch.manual_seed(seed)
    images = torch.rand(count, 3, 4, 5)
    for image, seen in zip(images, mirrored(images), strict=True):
        assert torch.equal(seen, image) or torch.equal(seen, image.flip(2))


def test_about_half_of_the_pictures_are_mirrored() -> None:
    torch.manual_seed(0)
    images = torch.arange(2.0).expand(4_000, 1, 1, 2)
    assert float(mirrored(images)[:, 0, 0, 0].mean()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("name", "loss"), [("non-saturating", NonSaturating), ("hinge", Hinge)])
def test_the_losses_are_those_asked_for(photos: Data, name: str, loss: Any) -> None:
    recipe = make(photos, replace(SETTINGS, loss=name))
    discriminator, generator = (losses_of(recipe, turn, photos) for turn in recipe.turns())
    (real,) = photos[list(range(SETTINGS.batch))]
    torch.manual_seed(1)
    real = mirrored(real)
    with torch.no_grad():
        made = recipe.generator(*recipe.inputs(len(real)))
        wanted = loss.discriminator(recipe.discriminator(real), recipe.discriminator(made))
        torch.manual_seed(1)
        fooled = loss.generator(recipe.discriminator(recipe.generator(*recipe.inputs(len(real)))))
    assert discriminator == pytest.approx({"loss_d": float(wanted)}, rel=1e-4)
    assert generator == pytest.approx({"loss_g": float(fooled)}, rel=1e-4)


def test_each_turn_moves_all_of_its_network(photos: Data) -> None:
    assert_gradients_reach_every_weight(make(photos), photos)


def test_a_stopped_run_resumes_to_the_same_bits(photos: Data, tmp_path: Path) -> None:
    assert_resumes_exactly(lambda: make(photos), photos, tmp_path)


def test_grey_pictures_make_a_grey_generator(tmp_path: Path) -> None:
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    recipe = make(Recipe.data(tmp_path, SETTINGS))
    assert recipe.spec.output.channels == 1  # type: ignore[union-attr]
    Image.fromarray(np.full((32, 32, 3), (9, 9, 10), np.uint8)).save(tmp_path / "almost.png")
    recipe = make(Recipe.data(tmp_path, SETTINGS))
    assert recipe.spec.output.channels == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [8, 16, 48, 256])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ArgumentError, match=rf"The size is {size}; this recipe makes squares of 32, 64, 128 pixels\."):
        Settings(size=size)


def test_another_loss_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'wasserstein' is not a loss of this recipe; choose one of non-saturating"):
        Settings(loss="wasserstein")


def test_the_bundle_draws_what_the_network_does(trained: Trained) -> None:
    with Generator.load(trained.bundle.path, precision="fp32") as generator:
        drawn = generator.sample(3, seed=5, output="float")
    with torch.no_grad():
        wanted = trained.module(torch.from_numpy(draw(trained.recipe.spec.latents[0], 5, 0, 3))).numpy()
    np.testing.assert_allclose(drawn, wanted, atol=1e-5)


def test_its_weights_are_exported_as_a_dcgan_checkpoint_with_the_same_samples(trained: Trained) -> None:
    weights = trained.folder / "generator.safetensors"
    assert families.recognise(load_file(weights)) == "dcgan"
    again = trained.folder / "again.ganrt"
    assert main(["export", str(weights), "-o", str(again)]) == 0
    samples = []
    for path in (trained.bundle.path, again):
        with Generator.load(path, backend="onnxruntime", precision="fp32") as generator:
            samples.append(generator.sample(2, seed=3, output="float"))
    np.testing.assert_allclose(*samples, atol=1e-5)
