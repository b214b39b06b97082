"""WaveGAN in both of the paper's forms, by the names of two ports."""

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
from torch.nn import functional as F

from ganrt.spec import Audio, Latent
from ganrt_export.families.wavegan import Generator, Sizes


class Port(nn.Module):
    """The layers, their names and the idle `bn1` of a common port; 16 x 4^layers samples.

    `upsample` repeats every step four times and convolves with zeros at the ends, otherwise a transposed convolution.
    """

    def __init__(self, widths: tuple[int, ...], upsample: bool, use_batch_norm: bool, latent_dim: int = 6) -> None:
        super().__init__()
        self.widths, self.upsample, self.use_batch_norm = widths, upsample, use_batch_norm
        self.fc1 = nn.Linear(latent_dim, 16 * widths[0])
        self.bn1 = nn.BatchNorm1d(widths[0])
        self.deconv_list = nn.ModuleList()
        for number in range(len(widths) - 1):
            before, after = widths[number : number + 2]
            if upsample:
                operations = [nn.ConstantPad1d(12, 0.0), nn.Conv1d(before, after, 25)]
            else:
                operations = [nn.ConvTranspose1d(before, after, 25, 4, 11, 1)]
            if use_batch_norm and number < len(widths) - 2:
                operations.append(nn.BatchNorm1d(after))
            layer = nn.Module()
            layer.transpose_ops = nn.Sequential(*operations)
            self.deconv_list.append(layer)

    def forward(self, z: Tensor) -> Tensor:
        x = self.fc1(z).view(-1, self.widths[0], 16)
        x = F.relu(self.bn1(x) if self.use_batch_norm else x)
        for number, layer in enumerate(self.deconv_list):
            if self.upsample:
                x = x.repeat_interleave(4, dim=2)
            x = layer.transpose_ops(x)
            x = F.relu(x) if number < len(self.deconv_list) - 1 else torch.tanh(x)
        return x


class PlainNames(nn.Module):
    """Another port: `dense`, then `deconv_1` and so on, called by its own names."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 16 * 8)
        self.deconv_1 = nn.ConvTranspose1d(8, 4, 25, 4, 11, 1)
        self.deconv_2 = nn.ConvTranspose1d(4, 2, 25, 4, 11, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = F.relu(self.dense(z).view(-1, 8, 16))
        return torch.tanh(self.deconv_2(F.relu(self.deconv_1(x))))


@pytest.mark.parametrize("upsample", [False, True], ids=["transposed", "repeated"])
@pytest.mark.parametrize("use_batch_norm", [False, True], ids=["plain", "norms"])
def test_it_is_the_ports_network(upsample: bool, use_batch_norm: bool) -> None:
    loaded = assert_agrees("wavegan", fill(Port((8, 6, 4, 1), upsample, use_batch_norm)))
    assert loaded.spec.inputs == (Latent(size=6, distribution="uniform"),)
    assert loaded.spec.output == Audio(length=1024, sample_rate=16_000)
    assert any("bn1 is left out" in note for note in loaded.notes) != use_batch_norm


def test_the_papers_five_layers_give_16384_samples_and_six_65536() -> None:
    five = assert_agrees("wavegan", fill(Port((32, 16, 8, 4, 2, 1), False, False)))
    assert five.spec.output == Audio(length=16_384, sample_rate=16_000)
    six = assert_agrees("wavegan", fill(Port((32, 16, 8, 4, 2, 2, 1), False, False)))
    assert six.spec.output == Audio(length=65_536, sample_rate=16_000)
    assert any("32,768" in note for note in six.notes)


def test_ten_layers_are_taken_in_the_order_of_their_numbers() -> None:
    state = fill(PlainNames()).state_dict()
    later = {key.replace("_1", "_9").replace("_2", "_10"): value for key, value in state.items()}
    from ganrt_export import families

    loaded, again = (families.load("wavegan", each).module for each in (state, later))
    z = torch.rand(2, 4)
    assert torch.equal(loaded(z), again(z))


def test_other_names_of_the_same_layers_are_the_same_network() -> None:
    loaded = assert_agrees("wavegan", fill(PlainNames()))
    assert next(iter(loaded.module.state_dict())) == "dense.weight"
    assert loaded.spec.output == Audio(length=256, sample_rate=16_000, channels=2)


@pytest.mark.parametrize("transposed", [True, False])
def test_a_checkpoint_gives_the_network_it_came_from(transposed: bool) -> None:
    layers, norms = ("up.0.conv", "up.1.conv", "up.2.conv"), ("norms.0", "norms.1", "norms.2")
    loaded = assert_loads("wavegan", fill(Generator(Sizes(5, "fc", layers, norms, (8, 4, 2, 1), transposed))))
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


@pytest.mark.parametrize("upsample", [False, True])
def test_damage_is_refused(upsample: bool) -> None:
    state = fill(Port((8, 6, 4, 1), upsample, False)).state_dict()
    assert_refuses_damage("wavegan", {key: value for key, value in state.items() if not key.startswith("bn1.")})


def test_a_discriminator_is_no_generator() -> None:
    layers = [nn.Conv1d(1, 4, 25, 4, 11), nn.Conv1d(4, 8, 25, 4, 11), nn.Conv1d(8, 16, 25, 4, 11)]
    state = nn.ModuleDict({"conv": nn.ModuleList(layers), "fc1": nn.Linear(16 * 16, 1)}).state_dict()
    assert_not_recognised(state)
    assert_refused("wavegan", state, "is not a wavegan generator")


def test_what_differs_is_named() -> None:
    state = fill(Port((8, 6, 4, 1), False, True)).state_dict()
    lost = {key: value for key, value in state.items() if not key.startswith("deconv_list.1.transpose_ops.1.")}
    assert_refused("wavegan", lost, "2 batch norms")
    lost = {key: value for key, value in state.items() if not key.startswith("deconv_list.1.transpose_ops.0.")}
    assert_refused("wavegan", lost, "where 6 channels and kernels of 25 come in")
    filtered = {**state, "ppfilter1.weight": torch.zeros(1, 1, 512)}
    assert_not_recognised(filtered)
    assert_refused("wavegan", filtered, "ppfilter1")
