"""Every recipe, by the same laws: it says what it is, trains on real data, resumes, and becomes a bundle."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ganrt import Generator
from ganrt.cli import main
from ganrt.errors import ArgumentError
from ganrt_export.training import recipe, recipes
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train

NAMES = tuple(recipes.summaries())


def test_recipes_are_the_files_and_each_says_what_it_is_in_a_line() -> None:
    assert {"cgan", "dcgan-mnist", "gan"} <= set(NAMES)
    for name, line in recipes.summaries().items():
        assert line.endswith("."), name
        assert len(line) <= 63, name  # a line of --help in 80 columns
        assert name == name.lower()


def test_listing_recipes_imports_none() -> None:
    program = (
        "import sys; from ganrt_export.training import recipes; recipes.summaries(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_unknown_recipe_is_refused_with_those_that_are() -> None:
    with pytest.raises(ArgumentError, match=r"'biggan' is not a recipe; there are cgan, .*gan"):
        recipes.find("biggan")


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_settings_of_the_loop(name: str) -> None:
    settings = recipes.find(name).Settings()
    assert isinstance(settings, recipe.Settings)
    assert dataclasses.replace(settings, steps=3).steps == 3
    smoke = recipes.find(name).Settings(**recipes.find(name).Recipe.smoke_settings)
    assert smoke.steps <= 10


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"batch": -4}, "batch is -4; it must be at least 1"),
        ({"batch": 10, "accumulate": 3}, "A batch of 10 cannot be computed in 3 equal parts"),
        ({"learning_rate": 0.0}, "The learning rate is 0.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "must be above 0"),
        ({"learning_rate": float("inf")}, "must be above 0"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"norm_batches": 0}, "norm_batches is 0; it must be at least 1"),
        ({"ema_decay": 7.0}, "ema_decay is 7.0; it must be at most 1"),
        ({"beta2": 1.0}, "beta1 and beta2 must be below 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, float], told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        recipe.Settings(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_no_number_of_a_recipe_may_be_negative_or_endless_or_none_at_all(name: str) -> None:
    settings = recipes.find(name).Settings
    for field in dataclasses.fields(settings):
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            for value in (-1, float("inf"), float("nan")):
                with pytest.raises(ArgumentError, match=f"{field.name.replace('_', '.')} is {value}"):
                    settings(**{field.name: value})


@pytest.mark.parametrize("size", [0, -16, 8, 48, 63, 256])
def test_sizes_that_are_no_power_of_two_are_refused_with_those_that_are(size: int) -> None:
    with pytest.raises(ArgumentError, match=f"The size is {size}; this recipe makes squares of 16, 32, 64, 128 pixels"):
        recipe.check_power_of_two(size, 16, 128)
    recipe.check_power_of_two(64, 16, 128)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_goes_the_whole_way_on_real_data(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", name, "--smoke", "-o", str(tmp_path / "x.ganrt")]) == 0
    shown = capsys.readouterr().out
    for word in ("stopped", "went on", "exported", "drew"):
        assert word in shown
    with Generator.load(tmp_path / "x.ganrt") as generator:
        assert generator.bundle.manifest.provenance["recipe"] == name


@pytest.mark.parametrize("name", ["gan", "dcgan-mnist", "cgan"])  # the others have files of their own
def test_a_recipe_resumes_to_the_same_bits_on_real_digits(name: str, tmp_path: Path) -> None:
    file = recipes.find(name)
    settings = file.Settings(**{**file.Recipe.smoke_settings, "steps": 2})
    data = file.Recipe.data(prepare("digits", tmp_path / "data"), settings)

    def run(folder: str, stop_after: int = -1) -> nn.Module:
        done: list[int] = []
        torch.manual_seed(settings.seed)
        return train(
            file.Recipe(settings, data),
            data,
            tmp_path / folder,
            on_step=lambda step, losses: done.append(step),
            should_stop=lambda: len(done) == stop_after,
        )

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", stop_after=1)
    resumed = run("parts")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


# The two plainest ones, layer by layer


def layers(module: nn.Module) -> list[str]:
    """What every layer with weights is, and the activations between them."""
    told = []
    for one in module.modules():
        match one:
            case nn.Linear():
                told.append(f"linear {one.in_features} {one.out_features}{'' if one.bias is not None else ' no bias'}")
            case nn.ConvTranspose2d() | nn.Conv2d():
                kind = "up" if isinstance(one, nn.ConvTranspose2d) else "conv"
                bias = "" if one.bias is not None else " no bias"
                told.append(f"{kind} {one.in_channels} {one.out_channels} {one.kernel_size[0]} /{one.stride[0]}{bias}")
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                told.append("norm")
            case nn.LeakyReLU() | nn.Tanh():
                told.append(type(one).__name__)
            case nn.Dropout():
                told.append(f"dropout {one.p}")
    return told


def test_dcgan_mnist_is_the_network_of_its_description() -> None:
    file = recipes.find("dcgan-mnist")
    settings = file.Settings()
    made = file.Recipe(settings, None)
    doubling = ["norm", "LeakyReLU"]
    assert layers(made.generator) == [
        "linear 100 6272 no bias",
        *doubling,
        "up 128 128 5 /1 no bias",
        *doubling,
        "up 128 128 5 /2 no bias",
        *doubling,
        "up 128 128 5 /2 no bias",
        *doubling,
        "conv 128 1 5 /1",
        "Tanh",
    ]
    assert layers(made.discriminator) == [
        "conv 1 64 5 /2",
        "LeakyReLU",
        "dropout 0.3",
        "conv 64 128 5 /2",
        "LeakyReLU",
        "dropout 0.3",
        "linear 6272 1",
    ]
    images = made.generator(*made.inputs(3))
    assert images.shape == (3, 1, 28, 28)
    assert made.discriminator(images).shape == (3,)
    assert (settings.batch, settings.learning_rate, settings.beta1, settings.z_dim) == (128, 2e-4, 0.5, 100)


def test_one_iteration_is_a_step_of_each_side_with_binary_cross_entropy() -> None:
    file = recipes.find("dcgan-mnist")
    settings = file.Settings(steps=1, batch=4)
    made = file.Recipe(settings, None)
    made.discriminator.eval()  # no dropout: two passes agree
    real = torch.rand(4, 1, 28, 28)
    bce = nn.BCEWithLogitsLoss()
    generate, discriminate = made.turns()
    assert (discriminate.times, generate.times) == (1, 1)
    torch.manual_seed(5)
    loss_g = generate.loss((real,), 0)["loss_g"]
    loss_d = discriminate.loss((real,), 0)["loss_d"]
    torch.manual_seed(5)
    score, other = made.discriminator(real), made.discriminator(made.generator(*made.inputs(4)))
    torch.testing.assert_close(loss_g, bce(other, torch.ones(4)))
    torch.testing.assert_close(loss_d, (bce(score, torch.ones(4)) + bce(other, torch.zeros(4))) / 2)
    assert not made.drawn


def test_a_maxout_unit_is_the_largest_of_its_linear_pieces() -> None:
    maxout = recipes.find("gan").Maxout(3, units=4, pieces=5)  # type: ignore[attr-defined]
    values = torch.randn(2, 3)
    every = values @ maxout.linear.weight.T + maxout.linear.bias
    expected = torch.stack([every[:, unit * 5 : unit * 5 + 5].max(dim=1).values for unit in range(4)], dim=1)
    torch.testing.assert_close(maxout(values), expected)


def test_the_weights_of_the_first_gan_are_read_by_ganrt_export(tmp_path: Path) -> None:
    from ganrt_export.sources import load_checkpoint

    file = recipes.find("gan")
    settings = file.Settings(steps=1, batch=4)
    data = file.Recipe.data(prepare("digits", tmp_path / "data"), settings)
    trained = train(file.Recipe(settings, data), data, tmp_path / "run")
    source = load_checkpoint(tmp_path / "run" / "generator.safetensors")
    z = torch.randn(4, 100)
    assert source.family == "mlp_gan"
    torch.testing.assert_close(source.module(z), trained(z))
