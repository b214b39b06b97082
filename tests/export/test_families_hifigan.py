"""HiFi-GAN, against the authors' network written out with the names and paddings of its paper's code."""

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
    fill,
    inputs,
    run,
)
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.spec import Audio, Signal
from ganrt_export.families.hifigan import Generator, Sizes


class Block(nn.Module):
    def __init__(self, kind: str, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(
                channels, channels, kernel, 1, dilation=dilation, padding=int((kernel * dilation - dilation) / 2)
            )

        if kind == "1":
            self.convs1 = nn.ModuleList([conv(dilation) for dilation in dilations])
            self.convs2 = nn.ModuleList([conv(1) for _ in dilations])
        else:
            self.convs = nn.ModuleList([conv(dilation) for dilation in dilations])

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "convs"):
            for c in self.convs:
                x = c(F.leaky_relu(x, 0.1)) + x
            return x
        for c1, c2 in zip(self.convs1, self.convs2, strict=True):
            x = c2(F.leaky_relu(c1(F.leaky_relu(x, 0.1)), 0.1)) + x
        return x


class HiFiGAN(nn.Module):
    """`settings`: block kind, upsampling rates and kernels, first width, block kernels and dilations of a config."""

    SETTINGS = {
        "V1": ("1", (8, 8, 2, 2), (16, 16, 4, 4), 32, (3, 7, 11), ((1, 3, 5),) * 3),
        "V3": ("2", (8, 8, 4), (16, 16, 8), 16, (3, 5, 7), ((1, 2), (2, 6), (3, 12))),
        "tiny": ("1", (2,), (4,), 4, (3,), ((1, 3, 5),)),
        "small": ("1", (4, 2), (8, 4), 8, (3, 5), ((1, 3, 5),) * 2),
    }

    def __init__(self, which: str, mels: int = 80) -> None:
        super().__init__()
        kind, rates, kernels, width, self.block_kernels, dilations = self.SETTINGS[which]
        self.conv_pre = nn.Conv1d(mels, width, 7, 1, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for number, (rate, kernel) in enumerate(zip(rates, kernels, strict=True)):
            before, after = width // 2**number, width // 2 ** (number + 1)
            self.ups.append(nn.ConvTranspose1d(before, after, kernel, rate, padding=(kernel - rate) // 2))
            for block_kernel, each in zip(self.block_kernels, dilations, strict=True):
                self.resblocks.append(Block(kind, after, block_kernel, each))
        self.conv_post = nn.Conv1d(after, 1, 7, 1, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_pre(x)
        n = len(self.block_kernels)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(self.resblocks[i * n + j](x) for j in range(n)) / n
        return torch.tanh(self.conv_post(F.leaky_relu(x)))  # here alone the slope is torch's own, 0.01


def quiet(network: nn.Module) -> nn.Module:
    """Residuals add up: smaller weights keep the sound out of the flat ends of tanh."""
    return fill(network, gain=1.0)


@pytest.mark.parametrize("which", ["V1", "V3"])
def test_it_is_the_authors_network(which: str) -> None:
    loaded = assert_agrees("hifigan", quiet(HiFiGAN(which)))
    assert loaded.spec.inputs == (Signal(name="mel", kind="mel", shape=(80, None)),)
    assert loaded.spec.output == Audio(length=None, sample_rate=22_050)
    assert "= 256 samples a frame" in loaded.notes[0]
    assert ("3: 1-3-5" if which == "V1" else "7: 3-12") in loaded.notes[1]
    feeds = inputs(loaded.spec, 2)
    assert run(loaded.module, loaded.spec, feeds).shape == (2, 1, 13 * 256)


def test_a_checkpoint_gives_the_network_it_came_from_for_any_length() -> None:
    sizes = Sizes(10, (8, 6, 4), (8, 4), (3, 5), ((1, 3, 5),) * 2, True, (7, 7), 1)
    loaded = assert_loads("hifigan", quiet(Generator(sizes)))
    assert loaded.spec.inputs == (Signal(name="mel", kind="mel", shape=(10, None)),)
    assert_exports(loaded, lengths=(13, 5))


def test_one_convolution_a_step_is_exported_for_any_length() -> None:
    sizes = Sizes(10, (8, 4), (8,), (3, 5, 7), ((1, 2), (2, 6), (3, 12)), False, (7, 7), 1)
    assert_exports(assert_loads("hifigan", quiet(Generator(sizes))), lengths=(13, 2))


@pytest.mark.parametrize(
    ("widths", "kernels", "paired", "millions"),
    [
        ((512, 256, 128, 64, 32), (16, 16, 4, 4), True, 13.92),
        ((128, 64, 32, 16, 8), (16, 16, 4, 4), True, 0.92),
        ((256, 128, 64, 32), (16, 16, 8), False, 1.46),
    ],
    ids=["V1", "V2", "V3"],
)
def test_it_has_as_many_weights_as_the_paper_says(
    widths: tuple[int, ...], kernels: tuple[int, ...], paired: bool, millions: float
) -> None:
    block_kernels = (3, 7, 11) if paired else (3, 5, 7)
    dilations = ((1, 3, 5),) * 3 if paired else ((1, 2), (2, 6), (3, 12))
    with torch.device("meta"):
        network = Generator(Sizes(80, widths, kernels, block_kernels, dilations, paired, (7, 7), 1))
    weights = sum(weight.numel() for weight in network.parameters())
    assert weights / 1e6 == pytest.approx(millions, abs=0.01)


def test_damage_is_refused() -> None:
    assert_refuses_damage("hifigan", quiet(HiFiGAN("tiny", mels=6)).state_dict())


def test_what_differs_is_named() -> None:
    state = quiet(HiFiGAN("small", mels=6)).state_dict()
    lost = {key: value for key, value in state.items() if not key.startswith("resblocks.3.")}
    assert_refused("hifigan", lost, "3 residual blocks for 2 upsamplings")
    assert_refused("hifigan", {**state, "conv_post.weight": torch.zeros(1, 2, 6)}, "even kernel")
    v3 = quiet(HiFiGAN("V3", mels=6)).state_dict()
    assert_refused("hifigan", {**v3, "resblocks.2.convs.0.weight": torch.zeros(8, 8, 9)}, "not for its 9")


def test_weights_that_are_not_folded_and_discriminators_are_not_recognised() -> None:
    network = HiFiGAN("small", mels=6)
    normed = torch.nn.utils.parametrizations.weight_norm(network.conv_pre)
    assert not hasattr(normed, "weight_g")
    assert_not_recognised(network.state_dict(), r"hifigan: conv_pre\.weight, ups\.0\.weight, conv_post\.weight")
    period = nn.ModuleDict({"convs": nn.ModuleList([nn.Conv2d(1, 4, (5, 1))]), "conv_post": nn.Conv2d(4, 1, (3, 1))})
    assert_not_recognised(period.state_dict())
