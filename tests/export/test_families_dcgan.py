"""DCGAN in its two layouts: the tutorial's transposed convolutions, PyTorch-GAN's doubling and convolving."""

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

from ganrt.spec import Image, Latent
from ganrt_export.families.dcgan import Generator, Stages, UpsamplingGenerator, UpsamplingSizes


def tutorial(nz: int = 7, ngf: int = 4, nc: int = 3, doublings: int = 4) -> nn.Module:
    """PyTorch's DCGAN tutorial, for any number of doublings: widths ngf 2^i down to ngf, 64 x 64 pixels at four."""

    class Tutorial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = ngf * 2 ** (doublings - 1)
            layers = [nn.ConvTranspose2d(nz, width, 4, 1, 0, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
            for _ in range(doublings - 1):
                layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)]
                layers += [nn.BatchNorm2d(width // 2), nn.ReLU(True)]
                width //= 2
            self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, nc, 4, 2, 1, bias=False), nn.Tanh())

        def forward(self, z: Tensor) -> Tensor:
            return self.main(z.view(len(z), nz, 1, 1))

    return fill(Tutorial())


def pytorch_gan(latent_dim: int = 6, img_size: int = 16, channels: int = 1) -> nn.Module:
    """PyTorch-GAN's DCGAN with fewer channels; the 0.8 are epsilons, as there."""

    class PyTorchGAN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.init_size = img_size // 4
            self.l1 = nn.Sequential(nn.Linear(latent_dim, 8 * self.init_size**2))
            self.conv_blocks = nn.Sequential(
                nn.BatchNorm2d(8),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(8, 8, 3, stride=1, padding=1),
                nn.BatchNorm2d(8, 0.8),
                nn.LeakyReLU(0.2),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(8, 4, 3, stride=1, padding=1),
                nn.BatchNorm2d(4, 0.8),
                nn.LeakyReLU(0.2),
                nn.Conv2d(4, channels, 3, stride=1, padding=1),
                nn.Tanh(),
            )

        def forward(self, z: Tensor) -> Tensor:
            out = self.l1(z)
            return self.conv_blocks(out.view(len(out), 8, self.init_size, self.init_size))

    return fill(PyTorchGAN())


@pytest.mark.parametrize("doublings", [2, 4, 6])
def test_it_is_the_tutorials_network(doublings: int) -> None:
    side = 4 * 2**doublings
    loaded = assert_agrees("dcgan", tutorial(ngf=4, doublings=doublings))
    assert loaded.spec.inputs == (Latent(size=7),)
    assert loaded.spec.output == Image(height=side, width=side, channels=3)


@pytest.mark.parametrize("img_size", [8, 32])
def test_it_is_pytorch_gans_network(img_size: int) -> None:
    loaded = assert_agrees("dcgan", pytorch_gan(img_size=img_size, channels=3))
    assert loaded.spec.inputs == (Latent(size=6),)
    assert loaded.spec.output == Image(height=img_size, width=img_size, channels=3)
    assert "0.8" in loaded.notes[0]
    assert "InfoGAN" in loaded.notes[1]


@pytest.mark.parametrize(
    "stages",
    [
        Stages(5, 4, (8, 6, 4, 3), (False,) * 4),
        Stages(5, 7, (8, 4, 1), (True, False, True)),  # 28 x 28: a first kernel of 7
    ],
)
def test_a_checkpoint_gives_the_network_it_came_from(stages: Stages) -> None:
    loaded = assert_loads("dcgan", fill(Generator(stages)))
    assert loaded.spec.output == Image(height=stages.side, width=stages.side, channels=stages.widths[-1])
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


def test_a_checkpoint_of_pytorch_gan_gives_the_network_it_came_from() -> None:
    loaded = assert_loads("dcgan", fill(UpsamplingGenerator(UpsamplingSizes(6, 3, (8, 6, 4, 1)))))
    assert loaded.spec.output == Image(height=12, width=12, channels=1)
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


def test_an_old_checkpoint_without_batch_counts_loads() -> None:
    state = tutorial().state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    network = Generator(Stages(7, 4, (32, 16, 8, 4, 3), (False,) * 5))
    fill(network)
    network.load_state_dict(state)
    loaded = assert_loads("dcgan", network)
    from ganrt_export import families

    again = families.load("dcgan", old).module.state_dict()
    assert all(torch.equal(again[key], value) for key, value in loaded.module.state_dict().items() if key in old)


@pytest.mark.parametrize("network", [tutorial(doublings=2), pytorch_gan()], ids=["tutorial", "pytorch-gan"])
def test_damage_is_refused(network: nn.Module) -> None:
    assert_refuses_damage("dcgan", network.state_dict())


def test_the_tutorials_discriminator_is_no_generator() -> None:
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for width in (4, 8, 16):
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
    discriminator = nn.Sequential(*layers, nn.Conv2d(32, 1, 4, 1, 0, bias=False), nn.Sigmoid())
    state = {f"main.{key}": value for key, value in discriminator.state_dict().items()}
    assert_not_recognised(state)
    assert_refused("dcgan", state, "main.3.weight")


def test_what_differs_is_named() -> None:
    state = tutorial(doublings=2).state_dict()
    assert_refused("dcgan", {**state, "main.3.weight": torch.zeros(8, 4, 3, 3)}, "kernel of 3 x 3")
    assert_refused("dcgan", {**state, "main.3.weight": torch.zeros(9, 4, 4, 4)}, r"'main.3.weight' is \[9, 4, 4, 4\]")
    assert_refused("dcgan", {**state, "main.6.weight": torch.zeros(4, 9, 4, 4)}, "9 channels")
    assert_refused("dcgan", {**state, "main.0.weight": torch.zeros(0, 16, 4, 4)}, "above 0")
    missing = {key: value for key, value in state.items() if key != "main.1.running_var"}
    assert_refused("dcgan", missing, "lacks main.1.running_var")


def test_shapes_that_ask_for_more_than_there_is_are_refused_before_memory_is_touched() -> None:
    for width in (1 << 17, 1 << 22, 1 << 40):
        wide = torch.zeros(1).expand(1, width, 4, 4)  # shares one number
        state = {**tutorial(doublings=2).state_dict(), "main.0.weight": wide, "main.3.weight": wide}
        assert_refused("dcgan", state, "is not a dcgan generator")


def test_pictures_beyond_any_use_are_refused() -> None:
    state = {"main.0.weight": torch.zeros(1, 1, 4, 4), "main.1.running_mean": torch.zeros(1)}
    state |= {f"main.{3 * at}.weight": torch.zeros(1, 1, 4, 4) for at in range(1, 40)}
    assert_refused("dcgan", state, "more than 4096 pixels")


def test_loading_leaves_the_random_state_alone() -> None:
    state = tutorial().state_dict()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    from ganrt_export import families

    families.load("dcgan", state)
    assert torch.equal(torch.random.get_rng_state(), before)
