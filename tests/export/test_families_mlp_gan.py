"""The GAN of linear layers, with and without labels, against PyTorch-GAN's own written out."""

from __future__ import annotations

import pytest
import torch
from family_laws import (
    assert_agrees,
    assert_exports,
    assert_loads,
    assert_not_recognised,
    assert_refused,
    assert_refuses_damage,
    assert_same_in_onnx,
    fill,
)
from torch import Tensor, nn

from ganrt.spec import Image, Label, Latent
from ganrt_export.families.mlp_gan import Generator


def pytorch_gan(outputs: int = 64, classes: int = 0, norms: bool = True, latent_dim: int = 6) -> nn.Module:
    """PyTorch-GAN's gan.py, or cgan.py with classes, with fewer units; 0.8 is an epsilon there."""

    def block(inputs: int, units: int, normalize: bool) -> list[nn.Module]:
        norm = [nn.BatchNorm1d(units, 0.8)] if normalize else []
        return [nn.Linear(inputs, units), *norm, nn.LeakyReLU(0.2)]

    class PyTorchGAN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if classes:
                self.label_emb = nn.Embedding(classes, classes)
            self.model = nn.Sequential(
                *block(latent_dim + classes, 8, normalize=False),
                *block(8, 12, normalize=norms),
                *block(12, 16, normalize=norms),
                nn.Linear(16, outputs),
                nn.Tanh(),
            )

        def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            flat = self.model(torch.cat((self.label_emb(labels), z), -1) if classes else z)
            channels = 3 if outputs % 3 == 0 else 1
            side = int((outputs / channels) ** 0.5)
            return flat.view(len(flat), channels, side, side)

    return fill(PyTorchGAN())


@pytest.mark.parametrize(("outputs", "channels", "side"), [(784, 1, 28), (3 * 64, 3, 8)])
@pytest.mark.parametrize("norms", [True, False])
def test_it_is_pytorch_gans_network(outputs: int, channels: int, side: int, norms: bool) -> None:
    loaded = assert_agrees("mlp_gan", pytorch_gan(outputs, norms=norms))
    assert loaded.spec.inputs == (Latent(size=6),)
    assert loaded.spec.output == Image(height=side, width=side, channels=channels)
    assert f"{side} x {side}, {'grey' if channels == 1 else 'in colour'}" in loaded.notes[0]
    assert any("0.8" in note for note in loaded.notes) == norms


def test_with_an_embedding_it_takes_a_label_as_pytorch_gans_cgan() -> None:
    loaded = assert_agrees("mlp_gan", pytorch_gan(classes=5))
    assert loaded.spec.inputs == (Latent(size=6), Label(classes=5))
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


def test_36_outputs_are_grey_for_no_colour_picture_has_them() -> None:
    assert assert_loads("mlp_gan", generator(36)).spec.output == Image(height=6, width=6, channels=1)


def generator(outputs: int) -> nn.Module:
    model = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8, eps=0.8), nn.LeakyReLU(0.2), nn.Linear(8, outputs), nn.Tanh()
    )
    side = int(outputs**0.5)
    return fill(Generator(model, (1, side, side)))


def test_a_checkpoint_gives_the_network_it_came_from() -> None:
    loaded = assert_loads("mlp_gan", generator(49))
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


@pytest.mark.parametrize("classes", [0, 3])
def test_damage_is_refused(classes: int) -> None:
    assert_refuses_damage("mlp_gan", pytorch_gan(classes=classes).state_dict())


def test_a_discriminator_is_no_generator() -> None:
    layers = [nn.Linear(64, 8), nn.LeakyReLU(0.2), nn.Linear(8, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Sigmoid()]
    state = {f"model.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()}
    assert_refused("mlp_gan", state, "as a discriminator's does")
    assert_not_recognised({f"net.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()})


def test_what_differs_is_named() -> None:
    state = pytorch_gan().state_dict()
    assert_refused("mlp_gan", pytorch_gan(outputs=65).state_dict(), "no square picture")
    apart = {key.replace("model.8", "model.9"): value for key, value in state.items()}
    assert_refused("mlp_gan", apart, "model.8 has no weights")
    wide = {**pytorch_gan(classes=3).state_dict(), "label_emb.weight": torch.zeros(3, 9)}
    assert_refused("mlp_gan", wide, "leaves no latent")
