"""The GAN of linear layers: a latent, and a label where there is an embedding of it, to all pixels at once.

Sources: Goodfellow et al. 2014 (arXiv:1406.2661), Mirza and Osindero 2014 (arXiv:1411.1784), in the layout of
PyTorch-GAN's gan, wgan, cgan and their like:

    model.N: Linear, BatchNorm1d, nothing where an activation is; label_emb: Embedding, if the network takes a label
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganrt.spec import Image, Label, Latent, Spec

from .base import Loaded, State, load_exactly
from .layout import Layout, build, count, foreign, matches, shape

__all__ = ["LAYOUTS", "NAME", "Generator", "detect", "load"]

NAME = "mlp_gan"
LAYOUTS: tuple[Layout, ...] = (
    {"model.0.weight": 2, "model.2.weight": 2},
    {"model.0.weight": 2, "model.1.running_mean": 1, "model.3.weight": 2},
)
EPSILON, SLOPE = 0.8, 0.2  # PyTorch-GAN's: the epsilon is large, and trained with


class Generator(nn.Module):
    """Linear layers with batch norm and leaky ReLU between them, and tanh at the end.

    `forward(z)` or, with `label_emb`, `forward(z, label)`: `z` float32 [batch, z_dim] from N(0, 1), `label` int64
    [batch]. Returns float32 [batch, channels, side, side] in [-1, 1].
    """

    def __init__(
        self, model: nn.Sequential, image: tuple[int, int, int], label_emb: nn.Embedding | None = None
    ) -> None:
        super().__init__()
        self.label_emb = label_emb
        self.model = model
        self.unflatten = nn.Unflatten(1, image)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        inputs = z if self.label_emb is None else torch.cat([self.label_emb(label), z], dim=1)
        image: Tensor = self.unflatten(self.model(inputs))
        return image


def detect(state: State) -> bool:
    """Are these linear layers in a row called `model`?"""
    return any(matches(state, layout) for layout in LAYOUTS)


def load(state: State) -> Loaded:
    """The generator with these weights. Raises CheckpointError when they are not an MLP generator's."""
    conditional = "label_emb.weight" in state
    classes, embedding_dim = shape(state, "label_emb.weight", 2, NAME) if conditional else (0, 0)
    _, inputs = shape(state, "model.0.weight", 2, NAME)
    if inputs <= embedding_dim:
        raise foreign(NAME, f"an embedding of {embedding_dim} numbers leaves no latent among the {inputs} inputs")
    layers, outputs = _layers(state)
    image = _image(outputs)

    def make() -> Generator:
        embedding = nn.Embedding(classes, embedding_dim) if conditional else None
        return Generator(nn.Sequential(*(layer() for layer in layers)), image, embedding)

    module = load_exactly(build(make, NAME), state, NAME, ignore=("num_batches_tracked",))
    latent = Latent(size=inputs - embedding_dim)
    spec = Spec(
        inputs=(latent, Label(classes=classes)) if conditional else (latent,),
        output=Image(height=image[1], width=image[2], channels=image[0]),
    )
    return Loaded(module, spec, tuple(_notes(state, outputs, image, conditional)))


def _layers(state: State) -> tuple[list[Callable[[], nn.Module]], int]:
    """How to make the layers of `model`, and how many numbers they give."""
    layers: list[Callable[[], nn.Module]] = []
    (width, number), gap = (shape(state, "model.0.weight", 2, NAME)[1], count(state, "model.")), True
    for at in range(number):
        if f"model.{at}.running_mean" in state:
            layers.append(_norm(width))
        elif f"model.{at}.weight" in state:
            rows, _ = shape(state, f"model.{at}.weight", 2, NAME)
            layers.append(_linear(width, rows))
            width = rows
        elif gap:
            raise foreign(NAME, f"model.{at} has no weights, and only one activation fits between two layers")
        else:
            layers.append(lambda: nn.LeakyReLU(SLOPE))
        gap = not any(f"model.{at}.{leaf}" in state for leaf in ("weight", "running_mean"))
    layers.append(nn.Tanh)
    return layers, width


def _linear(inputs: int, outputs: int) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(inputs, outputs)


def _norm(width: int) -> Callable[[], nn.Module]:
    return lambda: nn.BatchNorm1d(width, eps=EPSILON)


def _image(outputs: int) -> tuple[int, int, int]:
    """Channels, height and width of a square picture of `outputs` numbers: grey, or else colour."""
    if outputs == 1:
        raise foreign(NAME, "its last layer gives one number, as a discriminator's does")
    for channels in (1, 3):
        side = math.isqrt(outputs // channels)
        if channels * side**2 == outputs:
            return channels, side, side
    raise foreign(NAME, f"its last layer gives {outputs} numbers, which are no square picture, grey or in colour")


def _notes(state: State, outputs: int, image: tuple[int, int, int], conditional: bool) -> list[str]:
    colour = "grey" if image[0] == 1 else "in colour, its channels one after the other"
    notes = [f"Its {outputs} outputs were taken for a square picture of {image[1]} x {image[2]}, {colour}."]
    if any(key.endswith("running_mean") for key in state):
        notes.append("The epsilon of a batch norm is not in a checkpoint; PyTorch-GAN's 0.8 was taken.")
    notes.append("Between its layers leaky ReLU of slope 0.2 was taken, and tanh at the end, as in PyTorch-GAN.")
    if conditional:
        notes.append("The label's embedding was taken to come first and the latent after it, as in PyTorch-GAN.")
    return notes
