"""StyleGAN2: what is trained is what is exported, styles mix and truncate as they should, penalties are the papers'."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recipe_laws import (
    assert_bfloat16_gives_nearly_the_same_losses,
    assert_gradients_reach_every_weight,
    assert_resumes_exactly,
    losses_of,
)
from safetensors.torch import load_file
from torch.nn import functional as F

from ganrt import Generator
from ganrt.bundle import Bundle
from ganrt.errors import ArgumentError
from ganrt_export import families
from ganrt_export.families.stylegan2.trained import Discriminator, SynthesisLayer, batch_deviation
from ganrt_export.families.stylegan2.trained import Generator as TrainedGenerator
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train
from ganrt_export.training.losses import path_lengths
from ganrt_export.training.recipe import Data, provenance
from ganrt_export.training.recipes.stylegan2 import Recipe, Settings, mixed

SETTINGS = Settings(steps=4, batch=4, size=16, z_dim=16, mapping_layers=2, channel_base=128, channel_max=16)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Recipe.data(prepare("photos", tmp_path_factory.mktemp("data") / "photos"), SETTINGS)


class Trained(NamedTuple):
    recipe: Recipe
    module: TrainedGenerator
    folder: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def trained(photos: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("run")
    recipe = make(photos)
    with torch.no_grad():
        for name, weight in recipe.generator.named_parameters():
            if name.endswith("noise_strength"):  # begins at 0, where noise could be forgotten
                weight.fill_(0.3)
    module = train(recipe, photos, folder)
    assert isinstance(module, TrainedGenerator)
    bundle = recipe.export(module, folder / "styles.ganrt", provenance(recipe, photos), lambda stage: None)
    return Trained(recipe, module, folder, bundle)


def make(data: Data) -> Recipe:
    torch.manual_seed(0)
    return Recipe(SETTINGS, data)


def test_a_layer_gives_each_sample_the_kernel_of_the_paper() -> None:
    torch.manual_seed(0)
    layer = SynthesisLayer(5, 7, 6, 8, up=False)
    torch.nn.init.constant_(layer.noise_strength, 0.5)
    x, w = torch.randn(3, 5, 8, 8), torch.randn(3, 6)
    kernels = layer.affine(w)[:, None, :, None, None] * layer.weight  # [batch, out, in, 3, 3]
    kernels = kernels / (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    wanted = torch.cat([F.conv2d(one[None], kernel, padding=1) for one, kernel in zip(x, kernels, strict=True)])
    wanted = F.leaky_relu(wanted + 0.5 * layer.noise_const + layer.bias[:, None, None], 0.2) * 2**0.5
    torch.testing.assert_close(layer.eval()(x, w), wanted)


def test_noise_is_new_in_training_and_the_layers_own_outside_it() -> None:
    torch.manual_seed(0)
    layer = SynthesisLayer(2, 2, 2, 4, up=True)
    torch.nn.init.constant_(layer.noise_strength, 1.0)
    x, w = torch.randn(2, 2, 2, 2), torch.randn(2, 2)
    assert not torch.equal(layer(x, w), layer(x, w))
    layer.eval()
    assert torch.equal(layer(x, w), layer(x, w))


@pytest.mark.parametrize("psi", [0.0, 0.5, 1.0, 1.5])
def test_what_is_exported_is_what_was_trained(trained: Trained, psi: float) -> None:
    z, truncation = torch.randn(3, 16), torch.full((3, 1), psi)
    with torch.no_grad():
        torch.testing.assert_close(
            trained.recipe.exportable(trained.module)(z, truncation),
            trained.module(z, truncation),
            rtol=1e-4,
            atol=1e-5,
        )


@given(
    layers=st.integers(2, 14),
    batch=st.integers(1, 5),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_mixing_takes_early_layers_from_one_latent_and_the_rest_from_another(
    layers: int, batch: int, share: float, seed: int
) -> None:
    torch.manual_seed(seed)
    first, second = torch.zeros(batch, 3), torch.ones(batch, 3)
    ws = mixed(first, second, layers, share)
    assert ws.shape == (batch, layers, 3)
    for sample in ws:
        from_second = sample[:, 0]
        assert torch.equal(from_second, from_second.sort().values)  # never back to the first
        assert from_second[0] == 0
        assert share < 1 or from_second[-1] == 1
        assert share > 0 or from_second[-1] == 0


def test_every_layer_can_be_where_styles_change() -> None:
    ws = mixed(torch.zeros(400, 1), torch.ones(400, 1), 6, 0.9)
    assert set(ws[..., 0].sum(dim=1).tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (6, 3), (2, 2), (7, 1)])
def test_the_deviation_map_is_of_groups_of_up_to_four(batch: int, group: int) -> None:
    x = torch.randn(batch, 3, 4, 4)
    maps = batch_deviation(x)
    assert maps.shape == (batch, 1, 4, 4)
    for sample in range(batch):
        members = x[sample % (batch // group) :: batch // group]
        assert len(members) == group
        wanted = (members.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(maps[sample], wanted.expand(1, 4, 4))


def test_the_discriminator_sees_whether_samples_are_alike() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(16, 3, base=128, most=16)
    alike = torch.randn(1, 3, 16, 16).repeat(4, 1, 1, 1)
    varied = torch.cat([alike[:1], torch.randn(3, 3, 16, 16)])
    assert not torch.allclose(discriminator(alike)[0], discriminator(varied)[0])


def test_path_lengths_are_those_of_the_jacobian() -> None:
    torch.manual_seed(0)
    jacobian = torch.randn(2, 3, 2 * 4 * 4)  # two layers of three numbers -> a picture of 2 channels, 4 x 4
    styles = torch.randn(5, 2, 3, requires_grad=True)
    image = torch.einsum("bls,lsp->bp", styles, jacobian).reshape(5, 2, 4, 4)
    torch.manual_seed(1)
    lengths = path_lengths(image, styles)
    torch.manual_seed(1)
    noise = torch.randn(5, 32) / 4  # the root of the 16 pixels
    slope = torch.einsum("bp,lsp->bls", noise, jacobian)
    torch.testing.assert_close(lengths, slope.square().sum(dim=2).mean(dim=1).sqrt())


def test_penalties_come_at_step_0_and_every_so_many_steps_and_weigh_as_much_more(photos: Data) -> None:
    recipe = make(photos)
    discriminator, generator = recipe.turns()
    for step in range(33):
        assert ("r1" in losses_of(recipe, discriminator, photos, step)) == (step in (0, 16, 32))
    for step in range(9):
        assert ("path" in losses_of(recipe, generator, photos, step)) == (step in (0, 4, 8))


def test_r1_weighs_what_size_and_batch_ask_for(photos: Data) -> None:
    assert Settings(size=64, batch=32).gamma == pytest.approx(2e-4 * 64**2 / 32)
    assert Settings(r1=3.0).gamma == 3.0
    recipe = make(photos)
    terms = losses_of(recipe, recipe.turns()[0], photos)
    real = photos[list(range(4))][0].requires_grad_()
    (slope,) = torch.autograd.grad(recipe.discriminator(real).sum(), real)
    mean = slope.square().sum(dim=(1, 2, 3)).mean().item()
    assert terms["r1"] == pytest.approx(SETTINGS.gamma / 2 * 16 * mean / 2, rel=1e-4)


def test_the_means_of_w_and_of_path_lengths_follow(photos: Data) -> None:
    recipe = make(photos)
    w_avg, path_mean = recipe.generator.mapping.w_avg.clone(), recipe.path_mean.clone()
    losses_of(recipe, recipe.turns()[1], photos)
    torch.manual_seed(1)
    w = recipe.styles(4)[:, 0].mean(dim=0)
    torch.testing.assert_close(recipe.generator.mapping.w_avg, w_avg + 0.002 * (w - w_avg))
    assert recipe.path_mean > path_mean


def test_each_turn_moves_all_of_its_network(photos: Data) -> None:
    assert_gradients_reach_every_weight(make(photos), photos)


def test_losses_are_nearly_the_same_in_bfloat16(photos: Data) -> None:
    assert_bfloat16_gives_nearly_the_same_losses(make(photos), photos)


def test_a_stopped_run_resumes_to_the_same_bits(photos: Data, tmp_path: Path) -> None:
    assert_resumes_exactly(lambda: make(photos), photos, tmp_path)


@pytest.mark.parametrize("size", [8, 24, 512])
def test_sizes_that_are_not_made_are_refused(size: int) -> None:
    with pytest.raises(ArgumentError, match=f"size is {size}; this recipe makes squares of 16, 32, 64, 128, 256"):
        Settings(size=size)


def test_the_bundle_is_two_graphs_that_mix_styles(trained: Trained) -> None:
    with Generator.load(trained.bundle.path, precision="fp32") as photos:
        styles = photos.styles(2, seed=3)
        assert styles.shape == (2, 6, 16)  # 4, 8 and 16 pixels, two layers each
        np.testing.assert_array_equal(photos.synthesize(styles), photos.sample(2, seed=3))
        mix = np.concatenate([styles[:1, :2], styles[1:, 2:]], axis=1)
        drawn = photos.synthesize(mix, output="float")
    with torch.no_grad():
        wanted = trained.module.synthesis(torch.from_numpy(mix)).numpy()
    np.testing.assert_allclose(drawn, wanted, rtol=1e-3, atol=1e-4)


def test_truncation_draws_towards_the_mean_that_training_kept(trained: Trained) -> None:
    with Generator.load(trained.bundle.path, precision="fp32") as photos:
        free, half, mean = (photos.styles(4, seed=1, truncation=psi)[:, 0] for psi in (1.0, 0.5, 0.0))
        same = photos.sample(4, seed=1, truncation=0.0)
    np.testing.assert_allclose(mean, np.tile(trained.module.mapping.w_avg.numpy(), (4, 1)), atol=1e-6)
    np.testing.assert_allclose(half, (free + mean) / 2, atol=1e-5)
    assert (same == same[:1]).all()


def test_its_weights_are_read_as_a_checkpoint_in_nvlabs_layout(trained: Trained) -> None:
    loaded = families.load("stylegan2", load_file(trained.folder / "generator.safetensors"))
    z, psi = torch.randn(2, 16), torch.ones(2, 1)
    torch.testing.assert_close(loaded.module(z, psi), trained.module(z, psi), rtol=1e-4, atol=1e-5)
