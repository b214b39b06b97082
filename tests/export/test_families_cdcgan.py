"""The conditional DCGAN: an embedding joined to the latent, by any of the usual names."""

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
from ganrt_export.families.cdcgan import Generator
from ganrt_export.families.dcgan import Stages


class LabelThenTutorial(nn.Module):
    """z, then the label's embedding, into the network of PyTorch's DCGAN tutorial; 16 x 16 pixels."""

    def __init__(self, z_dim: int = 5, classes: int = 4, embedding_dim: int = 3) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(classes, embedding_dim)
        self.main = nn.Sequential(
            nn.ConvTranspose2d(z_dim + embedding_dim, 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(True),
            nn.ConvTranspose2d(6, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        joined = torch.cat((z, self.label_emb(labels)), 1)
        return self.main(joined.unsqueeze(2).unsqueeze(3))


def test_it_is_a_label_and_the_tutorials_network() -> None:
    loaded = assert_agrees("cdcgan", fill(LabelThenTutorial()))
    assert loaded.spec.inputs == (Latent(size=5), Label(classes=4))
    assert loaded.spec.output == Image(height=16, width=16, channels=3)
    assert "The latent was taken to come first" in loaded.notes[0]


@pytest.mark.parametrize(("embedding", "trunk"), [("label_emb", "main"), ("label_embedding", "net")])
def test_a_checkpoint_gives_the_network_it_came_from(embedding: str, trunk: str) -> None:
    stages = Stages(7, 4, (8, 4, 1), (False, True, False))
    network = fill(Generator(stages, classes=3, embedding_dim=2, embedding=embedding, trunk=trunk))
    assert f"{embedding}.weight" in network.state_dict()
    loaded = assert_loads("cdcgan", network)
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


def test_every_label_is_another_image() -> None:
    loaded = assert_loads("cdcgan", fill(Generator(Stages(7, 4, (8, 4, 1), (False,) * 3), 3, 2)))
    one, two, three = loaded.module(torch.ones(1, 5).repeat(3, 1), torch.arange(3))
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)


def test_damage_is_refused() -> None:
    assert_refuses_damage("cdcgan", fill(LabelThenTutorial()).state_dict())


def test_what_differs_is_named() -> None:
    state = fill(LabelThenTutorial()).state_dict()
    assert_refused("cdcgan", {**state, "label_emb.weight": torch.zeros(4, 8)}, "leaves no latent among the 8 inputs")
    discriminator = {"label_emb.weight": torch.zeros(4, 8), "main.0.weight": torch.zeros(8, 4, 4, 4)}
    assert_not_recognised({**discriminator, "main.2.weight": torch.zeros(8, 8, 4, 4)})
