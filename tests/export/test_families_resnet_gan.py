"""BigGAN and SNGAN, against their networks written out as the papers and the two code bases describe them."""

from __future__ import annotations

import family_laws
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
)
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.spec import Image, Label, Latent, Truncation
from ganrt_export import families
from ganrt_export.families.resnet_gan import SNGAN, BigGAN, BigGANSizes, SNGANSizes


def fill(network: nn.Module) -> nn.Module:
    """Residuals add up: smaller weights keep the picture out of the flat ends of tanh."""
    return family_laws.fill(network, gain=0.9)


def repeat(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Spectral(nn.Module):
    """A weight that is used divided by its largest singular value; u0 and sv0 as BigGAN-PyTorch stores them.

    Outside training one step of the power method is taken from u0 in every call.
    """

    def __init__(self, *shape: int, bias: bool = True, normed: bool = True) -> None:
        super().__init__()
        self.normed = normed
        self.weight = nn.Parameter(torch.empty(shape))
        if bias:
            self.bias = nn.Parameter(torch.empty(shape[0]))
        else:
            self.bias = None
        if normed:
            self.register_buffer("u0", torch.zeros(1, shape[0]))
            self.register_buffer("sv0", torch.ones(1))

    def effective(self) -> Tensor:
        if not self.normed:
            return self.weight
        matrix = self.weight.reshape(len(self.weight), -1)
        v = F.normalize(self.u0 @ matrix)
        u = F.normalize(v @ matrix.T)
        return self.weight / (v @ matrix.T @ u.T).squeeze()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.effective()
        if weight.ndim == 2:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=weight.shape[2] // 2)


class ConditionalNorm(nn.Module):
    def __init__(self, width: int, condition: int, normed: bool) -> None:
        super().__init__()
        self.gain = Spectral(width, condition, bias=False, normed=normed)
        self.bias = Spectral(width, condition, bias=False, normed=normed)
        self.register_buffer("stored_mean", torch.zeros(width))
        self.register_buffer("stored_var", torch.ones(width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = (x - self.stored_mean[:, None, None]) / torch.sqrt(self.stored_var + 1e-5)[:, None, None]
        return x * (1 + self.gain(y))[:, :, None, None] + self.bias(y)[:, :, None, None]


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("stored_mean", torch.zeros(width))
        self.register_buffer("stored_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.stored_mean, self.stored_var, self.gain, self.bias, False, 0.1, 1e-5)


class Block(nn.Module):
    def __init__(self, before: int, after: int, condition: int, normed: bool) -> None:
        super().__init__()
        self.conv1 = Spectral(after, before, 3, 3, normed=normed)
        self.conv2 = Spectral(after, after, 3, 3, normed=normed)
        self.conv_sc = Spectral(after, before, 1, 1, normed=normed)
        self.bn1 = ConditionalNorm(before, condition, normed)
        self.bn2 = ConditionalNorm(after, condition, normed)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = repeat(F.relu(self.bn1(x, y)))
        x = repeat(x)
        h = self.conv2(F.relu(self.bn2(self.conv1(h), y)))
        return h + self.conv_sc(x)


class SelfAttention(nn.Module):
    """Queries from every point, keys and values from the picture max-pooled to half its size."""

    def __init__(self, ch: int, normed: bool) -> None:
        super().__init__()
        self.theta = Spectral(ch // 8, ch, 1, 1, bias=False, normed=normed)
        self.phi = Spectral(ch // 8, ch, 1, 1, bias=False, normed=normed)
        self.g = Spectral(ch // 2, ch, 1, 1, bias=False, normed=normed)
        self.o = Spectral(ch, ch // 2, 1, 1, bias=False, normed=normed)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        theta, phi, g = self.theta(x), F.max_pool2d(self.phi(x), 2), F.max_pool2d(self.g(x), 2)
        beta = torch.einsum("bchw,bcij->bhwij", theta, phi).flatten(3).softmax(-1)
        seen = torch.einsum("bhwk,bck->bchw", beta, g.flatten(2))
        return self.gamma * self.o(seen) + x


class BrockGAN(nn.Module):
    """BigGAN-PyTorch's generator, its shared embedding looked up inside."""

    def __init__(
        self, widths: tuple[int, ...] = (16, 16, 8), attention: int | None = 0, hier: bool = True, normed: bool = True
    ) -> None:
        super().__init__()
        chunk, shared_dim = 3, 5
        condition = shared_dim + chunk if hier else shared_dim
        self.hier, self.chunk, self.width = hier, chunk, widths[0]
        self.shared = nn.Embedding(4, shared_dim)
        self.linear = Spectral(widths[0] * 16, chunk, normed=normed)
        blocks = []
        for number in range(len(widths) - 1):
            block = [Block(widths[number], widths[number + 1], condition, normed)]
            if number == attention:
                block.append(SelfAttention(widths[number + 1], normed))
            blocks.append(nn.ModuleList(block))
        self.blocks = nn.ModuleList(blocks)
        self.output_layer = nn.Sequential(Norm(widths[-1]), nn.ReLU(), Spectral(3, widths[-1], 3, 3, normed=normed))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        y = self.shared(label)
        ys = [y] * len(self.blocks)
        if self.hier:
            z, *rest = torch.split(z, self.chunk, 1)
            ys = [torch.cat([y, item], 1) for item in rest]
        h = self.linear(z).view(len(z), self.width, 4, 4)
        for index, block in enumerate(self.blocks):
            for layer in block:
                h = layer(h, ys[index])
        return torch.tanh(self.output_layer(h))


class MimicryNorm(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.width = width
        self.bn = nn.BatchNorm2d(width, affine=False)
        self.embed = nn.Embedding(classes, 2 * width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        table = self.embed(y)[:, :, None, None]
        return table[:, : self.width] * self.bn(x) + table[:, self.width :]


class MimicryBlock(nn.Module):
    def __init__(self, before: int, after: int, classes: int) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
        self.b1 = MimicryNorm(before, classes) if classes else nn.BatchNorm2d(before)
        self.b2 = MimicryNorm(after, classes) if classes else nn.BatchNorm2d(after)
        self.c_sc = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, *y: Tensor) -> Tensor:
        def up(x: Tensor) -> Tensor:
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

        h = self.c1(up(F.relu(self.b1(x, *y))))
        return self.c2(F.relu(self.b2(h, *y))) + self.c_sc(up(x))


class Mimicry(nn.Module):
    """Mimicry's SNGAN of 32 x 32 pixels, or its projection GAN with classes, with fewer channels."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.l1 = nn.Linear(6, 8 * 16)
        self.block2 = MimicryBlock(8, 8, classes)
        self.block3 = MimicryBlock(8, 8, classes)
        self.block4 = MimicryBlock(8, 8, classes)
        self.b5 = nn.BatchNorm2d(8)
        self.c5 = nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, z: Tensor, *y: Tensor) -> Tensor:
        h = self.l1(z).view(-1, 8, 4, 4)
        for block in (self.block2, self.block3, self.block4):
            h = block(h, *y)
        return torch.tanh(self.c5(F.relu(self.b5(h))))


@pytest.mark.parametrize("normed", [True, False], ids=["spectral norms", "folded"])
@pytest.mark.parametrize(("hier", "attention"), [(True, 0), (True, None), (False, 1)])
def test_it_is_biggan_pytorchs_network(hier: bool, attention: int | None, normed: bool) -> None:
    loaded = assert_agrees("resnet_gan", fill(BrockGAN((16, 16, 8), attention, hier, normed)))
    assert loaded.spec.inputs == (
        Latent(size=9 if hier else 3),
        Label(classes=4),
        Truncation(minimum=0.04, maximum=4.0, how="threshold"),
    )
    assert loaded.spec.output == Image(height=16, width=16, channels=3)
    assert not any(key.endswith("u0") for key in loaded.module.state_dict())


@pytest.mark.parametrize("classes", [0, 3])
def test_it_is_mimicrys_network(classes: int) -> None:
    loaded = assert_agrees("resnet_gan", fill(Mimicry(classes)))
    assert loaded.spec.inputs == (Latent(size=6), Label(classes=3))[: 2 if classes else 1]
    assert loaded.spec.output == Image(height=32, width=32, channels=3)
    assert "bilinearly" in loaded.notes[0]


BIGGANS = [
    BigGANSizes(3, 4, 2, True, 4, (4, 8, 4), frozenset({0}), 3),
    BigGANSizes(3, 4, 6, False, 3, (8, 8), frozenset(), 1),
]


@pytest.mark.parametrize("sizes", BIGGANS, ids=["split, attention", "whole, plain"])
def test_a_checkpoint_of_a_biggan_gives_the_network_it_came_from(sizes: BigGANSizes) -> None:
    loaded = assert_loads("resnet_gan", fill(BigGAN(sizes)))
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_checkpoint_of_an_sngan_gives_the_network_it_came_from(classes: int) -> None:
    loaded = assert_loads("resnet_gan", fill(SNGAN(SNGANSizes(5, classes, 6, (8, 4), 1))))
    assert loaded.spec.output == Image(height=12, width=12, channels=1)
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


def test_it_has_as_many_weights_as_biggan_pytorch_says_at_128_pixels() -> None:
    widths = tuple(96 * factor for factor in (16, 16, 8, 4, 2, 1))
    with torch.device("meta"):
        network = BigGAN(BigGANSizes(1000, 128, 20, True, 4, widths, frozenset({3}), 3))
    assert sum(weight.numel() for weight in network.parameters()) == 70_433_988


def test_the_folded_weights_have_a_largest_singular_value_of_one() -> None:
    network = fill(BrockGAN())
    weight = network.blocks[0][0].conv1.weight.detach().flatten(1).double()
    network.blocks[0][0].conv1.u0.copy_(torch.linalg.svd(weight).U[:, 0])
    folded = families.load("resnet_gan", network.state_dict()).module.state_dict()["blocks.0.0.conv1.weight"]
    assert float(torch.linalg.matrix_norm(folded.flatten(1), 2)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("network", [BrockGAN((8, 8), normed=False), Mimicry(3)], ids=["biggan", "sngan"])
def test_damage_is_refused(network: nn.Module) -> None:
    assert_refuses_damage("resnet_gan", fill(network).state_dict())


def test_discriminators_are_no_generators() -> None:
    state = fill(Mimicry()).state_dict()
    critic = {key: value for key, value in state.items() if key.startswith("block")}
    critic |= {"l5.weight": torch.zeros(1, 8), "l5.bias": torch.zeros(1)}
    assert_not_recognised(critic)
    biggan = fill(BrockGAN(normed=False)).state_dict()
    critic = {key: value for key, value in biggan.items() if key.startswith("blocks.") and ".bn" not in key}
    assert_not_recognised({**critic, "linear.weight": torch.zeros(1, 8), "embed.weight": torch.zeros(4, 8)})


def test_what_differs_is_named() -> None:
    biggan = fill(BrockGAN(normed=False)).state_dict()
    assert_refused("resnet_gan", {**biggan, "linear.weight": torch.zeros(16 * 15, 3)}, "no 16 square maps")
    assert_refused("resnet_gan", {**biggan, "shared.weight": torch.zeros(4, 6)}, "6 of the label, or 9 with a part")
    spectral = fill(BrockGAN()).state_dict()
    assert_refused("resnet_gan", {**spectral, "linear.u0": torch.zeros(1, 7)}, "7 numbers for 256 rows")
    thin = {**fill(BrockGAN((8, 4), None, normed=False)).state_dict(), "blocks.0.1.gamma": torch.zeros(())}
    assert_refused("resnet_gan", thin, "follows 4 of them")
    deep = {**biggan, "blocks.0.0.conv3.weight": torch.zeros(1), "blocks.0.0.conv4.weight": torch.zeros(1)}
    assert_refused("resnet_gan", deep, r"conv3\.weight, blocks\.0\.0\.conv4\.weight")
    sagan = {**fill(Mimicry()).state_dict(), "block3.c1.weight_u": torch.zeros(8)}
    assert_refused("resnet_gan", sagan, "weight_u")
