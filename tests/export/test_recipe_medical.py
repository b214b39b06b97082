"""The class-conditional GAN of small labelled sets: its losses, what its discriminator sees, and named classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_laws import assert_gradients_reach_every_weight, assert_resumes_exactly, losses_of
from safetensors.torch import load_file
from torch import Tensor, nn

from ganrt import Generator
from ganrt.bundle import Bundle
from ganrt.errors import ArgumentError, DataError
from ganrt.latents import draw
from ganrt_export import families
from ganrt_export.families.cdcgan import Generator as Network
from ganrt_export.training.datasets import PictureFiles, Pictures
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train
from ganrt_export.training.losses import Relativistic
from ganrt_export.training.recipe import provenance
from ganrt_export.training.recipes.medical import MEDMNIST, Discriminator, Recipe, Settings, disturbed, stages

SETTINGS = Settings(steps=4, batch=8, width=4, penalty_every=2, norm_batches=1)


def scans(path: Path, classes: int = 2, size: int = 28, **arrays: np.ndarray) -> Path:
    """A file as MedMNIST's, of real digits for scans: class 0 three times as often as any other."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:60].repeat(4, axis=1).repeat(4, axis=2)[:, 2 : 2 + size, 2 : 2 + size]
    labels = np.maximum(np.arange(60) % (classes + 2) - 2, 0).astype(np.uint8)[:, None]
    stored = {"train_images": (images * 15.9).astype(np.uint8), "train_labels": labels} | arrays
    np.savez(path, **stored)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Pictures | PictureFiles:
    return Recipe.data(scans(tmp_path_factory.mktemp("data") / "pneumoniamnist.npz"), SETTINGS)


class Trained(NamedTuple):
    recipe: Recipe
    module: nn.Module
    folder: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def trained(data: Pictures | PictureFiles, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("run")
    recipe = make(data)
    module = train(recipe, data, folder)
    bundle = recipe.export(module, folder / "scans.ganrt", provenance(recipe, data), lambda stage: None)
    return Trained(recipe, module, folder, bundle)


def make(data: Pictures | PictureFiles, settings: Settings = SETTINGS) -> Recipe:
    torch.manual_seed(0)
    return Recipe(settings, data)


def test_the_score_is_the_projection_of_the_label() -> None:
    torch.manual_seed(0)
    network, image, label = Discriminator(28, 1, 3, 4), torch.rand(5, 1, 28, 28), torch.tensor([0, 1, 2, 1, 0])
    phi = network.features(image)
    wanted = network.score(phi)[:, 0] + (phi * network.embedding.weight[label]).sum(dim=1) / 128**0.5
    torch.testing.assert_close(network(image, label), wanted)


def test_a_score_does_not_depend_on_the_rest_of_the_batch() -> None:
    torch.manual_seed(0)
    network, image, label = Discriminator(32, 3, 2, 4), torch.rand(5, 3, 32, 32), torch.tensor([0, 1, 0, 1, 0])
    torch.testing.assert_close(network(image, label)[2:3], network(image[2:3], label[2:3]))


@pytest.mark.parametrize("size", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_networks_have_the_size_asked_for(size: int, channels: int) -> None:
    label = torch.tensor([0, 2])
    image = Network(stages(size, 9, 2, channels), 3, 4)(torch.randn(2, 5), label)
    assert image.shape == (2, channels, size, size)
    assert Discriminator(size, channels, 3, 2)(image, label).shape == (2,)


def squares(network: nn.Module, image: Tensor, label: Tensor) -> float:
    """E |d score / d image|^2, a picture at a time."""
    slopes = []
    for one, of in zip(image, label, strict=True):
        leaf = one[None].clone().requires_grad_()
        network(leaf, of[None]).sum().backward()
        assert leaf.grad is not None
        slopes.append(float(leaf.grad.square().sum()))
    return float(np.mean(slopes))


def test_the_losses_are_relativistic_with_a_penalty_every_few_steps(data: Pictures | PictureFiles) -> None:
    recipe = make(data, replace(SETTINGS, gamma=3.0))
    turns = recipe.turns()
    real, label = data[list(range(SETTINGS.batch))]
    penalised, bare = (losses_of(recipe, turns[0], data, step) for step in (2, 3))
    fooled = losses_of(recipe, turns[1], data)
    with torch.no_grad():
        torch.manual_seed(1)
        made = recipe.generator(recipe.latents(len(real)), label)
        seen, made = (disturbed(images, 0.125, 0.25) for images in (real, made))
        wanted = Relativistic.discriminator(recipe.discriminator(seen, label), recipe.discriminator(made, label))
    assert bare == pytest.approx({"loss_d": float(wanted)}, rel=1e-4)
    penalty = squares(recipe.discriminator, seen, label) + squares(recipe.discriminator, made, label)
    assert penalised == pytest.approx({"loss_d": float(wanted), "penalty": 3.0 / 2 * 2 * penalty}, rel=1e-4)
    with torch.no_grad():
        torch.manual_seed(1)
        made = disturbed(recipe.generator(recipe.latents(len(real)), label), 0.125, 0.25)
        score_real = recipe.discriminator(disturbed(real, 0.125, 0.25), label)
        wanted = Relativistic.generator(recipe.discriminator(made, label), score_real)
    assert fooled == pytest.approx({"loss_g": float(wanted)}, rel=1e-4)


def test_each_turn_moves_all_of_its_network(data: Pictures | PictureFiles) -> None:
    in_every_pair = {"discriminator.score.bias"}  # so it cancels
    assert_gradients_reach_every_weight(make(data), data, in_every_pair)


def test_a_stopped_run_resumes_to_the_same_bits(data: Pictures | PictureFiles, tmp_path: Path) -> None:
    assert_resumes_exactly(lambda: make(data), data, tmp_path)


@settings(max_examples=15)
@given(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_a_disturbed_picture_is_the_old_one_shifted_with_repeated_edges_and_another_brightness(
    count: int, channels: int, seed: int
) -> None:
    torch.manual_seed(seed)
    images = torch.rand(count, channels, 8, 8)
    for image, seen in zip(images, disturbed(images, 0.25, 0.5), strict=True):
        found = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                rows, columns = ((torch.arange(8) + by).clamp(0, 7) for by in (down, right))
                change = seen - image[:, rows][:, :, columns]
                found.append(float(change.max() - change.min()) < 1e-6 and abs(float(change[0, 0, 0])) <= 0.5)
        assert any(found)


def test_pictures_are_disturbed_apart_and_in_every_direction() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(16.0).expand(500, 1, 16, 16)
    shifts = {round(float(shift)) for shift in disturbed(ramp, 0.125, 0.0)[:, 0, 8, 8] - 8}
    assert shifts == {-2, -1, 0, 1, 2}
    light = disturbed(torch.zeros(500, 1, 4, 4), 0.0, 0.25)[:, 0, 0, 0]
    assert float(light.min()) < -0.2
    assert float(light.max()) > 0.2


def test_gradients_pass_through_the_disturbance() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 1, 8, 8, requires_grad=True)
    disturbed(images, 0.125, 0.25).sum().backward()
    assert images.grad is not None
    assert images.grad.sum().item() == 3 * 64  # each value that is seen has come from somewhere


def test_nothing_is_disturbed_where_nothing_is_asked_for() -> None:
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(disturbed(images, 0.0, 0.0), images)


def test_labels_are_drawn_as_often_as_the_data_have_them(data: Pictures | PictureFiles) -> None:
    recipe = make(data)
    _, label = recipe.inputs(8_000)
    assert data.labels is not None
    share = float((data.labels == 0).float().mean())
    assert float((label == 0).float().mean()) == pytest.approx(share, abs=0.02)
    assert share == 0.75


@pytest.mark.parametrize(
    ("name", "classes", "names"),
    [
        ("pneumoniamnist.npz", 2, ("normal", "pneumonia")),
        ("pneumoniamnist_64.npz", 2, ("normal", "pneumonia")),
        ("pneumoniamnist.npz", 3, ("0", "1", "2")),
        ("mine.npz", 3, ("0", "1", "2")),
    ],
)
def test_medmnists_classes_have_their_names(name: str, classes: int, names: tuple[str, ...], tmp_path: Path) -> None:
    data = Recipe.data(scans(tmp_path / name, classes), SETTINGS)
    assert data.names == names
    assert make(data).spec.label.names == names  # type: ignore[union-attr]


def test_words_for_labels_and_folders_for_classes_are_the_names(tmp_path: Path) -> None:
    words = np.array(["ill", "well"] * 30)
    assert Recipe.data(scans(tmp_path / "words.npz", train_labels=words), SETTINGS).names == ("ill", "well")
    photos = Recipe.data(prepare("photos", tmp_path / "photos"), replace(SETTINGS, size=64))
    assert photos.names == ("china", "flower")
    assert make(photos, replace(SETTINGS, size=64)).spec.output.channels == 3  # type: ignore[union-attr]


def test_every_set_of_medmnist_has_names_that_a_bundle_takes() -> None:
    numbers = {name: len(words) for name, words in MEDMNIST.items()}
    assert numbers == {
        "bloodmnist": 8,
        "breastmnist": 2,
        "dermamnist": 7,
        "octmnist": 4,
        "organamnist": 11,
        "organcmnist": 11,
        "organsmnist": 11,
        "pathmnist": 9,
        "pneumoniamnist": 2,
        "tissuemnist": 8,
    }
    assert all(len(set(words)) == len(words) for words in MEDMNIST.values())


def test_data_without_classes_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", train_images=np.zeros((4, 28, 28), np.uint8))
    with pytest.raises(DataError, match="has no 'train_labels' beside 'train_images'"):
        Recipe.data(tmp_path / "bare.npz", SETTINGS)
    one = scans(tmp_path / "one.npz", train_labels=np.zeros(60, np.uint8))
    with pytest.raises(DataError, match=r"one\.npz are of one class; this recipe learns what sets classes apart\."):
        Recipe.data(one, SETTINGS)
    with pytest.raises(ArgumentError, match="The size is 30; this recipe makes squares of 28, 32, 64, 128 pixels"):
        Settings(size=30)


def test_the_bundle_draws_a_class_by_its_name(trained: Trained) -> None:
    with Generator.load(trained.bundle.path, precision="fp32") as generator:
        drawn = generator.sample(3, seed=5, label="pneumonia", output="float")
        other = generator.sample(3, seed=5, label="normal", output="float")
        assert generator.sample(2, truncation=0.5).shape == (2, 28, 28, 1)
    z = torch.from_numpy(draw(trained.recipe.spec.latents[0], 5, 0, 3))
    with torch.no_grad():
        wanted = trained.module(z, torch.tensor([1, 1, 1])).numpy()
    np.testing.assert_allclose(drawn, wanted, atol=1e-5)
    assert np.abs(drawn - other).max() > 1e-3


def test_its_weights_are_read_as_a_conditional_dcgan_checkpoint(trained: Trained) -> None:
    state = load_file(trained.folder / "generator.safetensors")
    assert families.recognise(state) == "cdcgan"
