"""InfoGAN in PyTorch-GAN's layout: a latent, a category and two codes side by side."""

from __future__ import annotations

import torch
from family_laws import (
    assert_agrees,
    assert_exports,
    assert_loads,
    assert_refused,
    assert_refuses_damage,
    assert_same_in_onnx,
    fill,
)
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.spec import Code, Image, Latent
from ganrt_export import families
from ganrt_export.families.dcgan import UpsamplingSizes
from ganrt_export.families.infogan import Generator


class PyTorchGAN(nn.Module):
    """PyTorch-GAN's InfoGAN with fewer channels, its activations and doublings written out."""

    def __init__(self, inputs: int = 74, side: int = 4) -> None:
        super().__init__()
        self.side = side
        self.l1 = nn.Sequential(nn.Linear(inputs, 8 * side * side))
        self.conv_blocks = nn.ModuleDict(
            {
                "0": nn.BatchNorm2d(8),
                "2": nn.Conv2d(8, 8, 3, 1, 1),
                "3": nn.BatchNorm2d(8, 0.8),
                "6": nn.Conv2d(8, 4, 3, 1, 1),
                "7": nn.BatchNorm2d(4, 0.8),
                "9": nn.Conv2d(4, 1, 3, 1, 1),
            }
        )

    def forward(self, noise: Tensor, labels: Tensor, code: Tensor) -> Tensor:
        blocks = self.conv_blocks
        x = self.l1(torch.cat((noise, labels, code), -1)).view(-1, 8, self.side, self.side)
        x = blocks["0"](x).repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = F.leaky_relu(blocks["3"](blocks["2"](x)), 0.2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        return torch.tanh(blocks["9"](F.leaky_relu(blocks["7"](blocks["6"](x)), 0.2)))


def test_it_is_pytorch_gans_network() -> None:
    loaded = assert_agrees("infogan", fill(PyTorchGAN()))
    assert loaded.spec.inputs == (
        Latent(size=62),
        Code(size=10, name="category"),
        Code(size=2, name="code", kind="continuous", low=-1.0, high=1.0),
    )
    assert loaded.spec.output == Image(height=16, width=16, channels=1)
    assert "0.8" in " ".join(loaded.notes)


def test_a_checkpoint_gives_the_network_it_came_from() -> None:
    loaded = assert_loads("infogan", fill(Generator(UpsamplingSizes(74, 2, (8, 6, 4, 3)))))
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


def test_another_latent_is_an_infogan_when_it_is_called_one() -> None:
    state = fill(PyTorchGAN(inputs=30)).state_dict()
    assert families.recognise(state) == "dcgan"
    loaded = families.load("infogan", state)
    assert loaded.spec.inputs[0] == Latent(size=18)
    assert "latent of 18" in loaded.notes[0]


def test_damage_is_refused() -> None:
    assert_refuses_damage("infogan", fill(PyTorchGAN()).state_dict())


def test_what_differs_is_named() -> None:
    state = fill(PyTorchGAN()).state_dict()
    assert_refused("infogan", fill(PyTorchGAN(inputs=12)).state_dict(), "leave no latent")
    assert_refused("infogan", {**state, "l1.0.weight": torch.zeros(8 * 17, 74)}, "no 8 square maps")
    acgan = {**state, "label_emb.weight": torch.zeros(10, 74)}
    assert families.recognise(acgan) == "infogan"
    assert_refused("infogan", acgan, "label_emb.weight")
