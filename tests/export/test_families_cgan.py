"""The family of the bundled digits: its networks, its spec, and the folded form that is exported."""

from __future__ import annotations

import pytest
import torch

from ganrt.spec import Image, Label, Latent, Truncation
from ganrt_export.families.cgan import Discriminator, FoldedGenerator, Generator, spec


def inputs(generator: Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(3)
    return torch.randn(count, generator.z_dim, generator=draws), torch.arange(count) % generator.classes


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_folded_generator_is_the_same_function(exported, count: int) -> None:
    z, label = inputs(exported.trained, count)
    folded = FoldedGenerator(exported.trained)
    with torch.no_grad():
        torch.testing.assert_close(folded(z, label), exported.trained(z, label), rtol=0, atol=1e-5)


def test_folding_leaves_the_trained_generator_as_it_was(exported) -> None:
    before = {name: value.clone() for name, value in exported.trained.state_dict().items()}
    FoldedGenerator(exported.trained)
    assert all(torch.equal(value, before[name]) for name, value in exported.trained.state_dict().items())


def test_the_folded_generator_has_no_norms_and_nothing_to_train(exported) -> None:
    folded = FoldedGenerator(exported.trained)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert not any(weight.requires_grad for weight in folded.parameters())
    assert not folded.training


def test_images_are_28_by_28_in_range(exported) -> None:
    image = exported.trained(*inputs(exported.trained, 5))
    assert image.shape == (5, 1, 28, 28)
    assert float(image.abs().max()) <= 1


def test_every_label_is_another_image(exported) -> None:
    z = inputs(exported.trained, 1)[0].repeat(3, 1)
    one, two, three = exported.trained(z, torch.arange(3))
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)


def test_the_discriminator_gives_one_score_for_each_image_and_label() -> None:
    discriminator = Discriminator(classes=3, width=4, feature_dim=8)
    image, label = torch.zeros(2, 1, 28, 28), torch.tensor([0, 1])
    scores = discriminator(image, label).detach()
    assert scores.shape == (2,)
    assert float(scores[0]) != float(scores[1])


def test_the_spec_is_that_of_the_network() -> None:
    described = spec(Generator(), tuple("abcdefghij"))
    assert described.inputs == (
        Latent(size=64),
        Label(classes=10, names=tuple("abcdefghij")),
        Truncation(minimum=0.3, maximum=4.0, how="threshold"),
    )
    assert described.output == Image(height=28, width=28, channels=1)
