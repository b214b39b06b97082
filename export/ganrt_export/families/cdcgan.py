"""Conditional DCGAN: the embedding of a label joined to the latent, then DCGAN's transposed convolutions.

Sources: Mirza and Osindero 2014 (arXiv:1411.1784), Radford et al. 2015 (arXiv:1511.06434). Layout:

    EMBEDDING: Embedding; TRUNK.{0, 3, 6, ..}: ConvTranspose2d; TRUNK.{1, 4, 7, ..}: BatchNorm2d

No one name is agreed on; `EMBEDDINGS` and `TRUNKS` are the usual ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganrt.spec import Image, Label, Latent, Spec

from .base import Loaded, State, load_exactly
from .dcgan import Stages, read_stages, transposed
from .layout import Layout, build, foreign, matches, shape

__all__ = ["EMBEDDINGS", "LAYOUTS", "NAME", "TRUNKS", "Generator", "detect", "load"]

NAME = "cdcgan"
EMBEDDINGS = ("label_emb", "label_embed", "label_embedding", "embedding", "embed", "emb")
TRUNKS = ("main", "net", "model", "gen")


def _layout(embedding: str, trunk: str) -> Layout:
    return {f"{embedding}.weight": 2, f"{trunk}.0.weight": 4, f"{trunk}.1.running_mean": 1, f"{trunk}.3.weight": 4}


_NAMES = [(embedding, trunk) for trunk in TRUNKS for embedding in EMBEDDINGS]
LAYOUTS = tuple(_layout(*names) for names in _NAMES)


class Generator(nn.Module):
    """DCGAN whose latent ends in the embedding of a label; `embedding` and `trunk` name its two parts.

    `forward(z, label)`: `z` float32 [batch, stages.inputs - embedding_dim] from N(0, 1), `label` int64 [batch] in
    0 .. classes - 1. Returns float32 [batch, channels, side, side] in [-1, 1].
    """

    def __init__(
        self, stages: Stages, classes: int, embedding_dim: int, embedding: str = "label_emb", trunk: str = "main"
    ) -> None:
        super().__init__()
        self._embedding, self._trunk = embedding, trunk
        self.add_module(embedding, nn.Embedding(classes, embedding_dim))
        self.add_module(trunk, transposed(stages))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        embedded = self.get_submodule(self._embedding)(label)
        image: Tensor = self.get_submodule(self._trunk)(torch.cat([z, embedded], dim=1)[:, :, None, None])
        return image


def detect(state: State) -> bool:
    """Are these an embedding and DCGAN's transposed convolutions, by one of the usual names?"""
    return any(matches(state, layout) for layout in LAYOUTS)


def load(state: State) -> Loaded:
    """The generator with these weights. Raises CheckpointError when they are not a conditional DCGAN's."""
    named = (names for names in _NAMES if matches(state, _layout(*names)))
    embedding, trunk = next(named, (EMBEDDINGS[0], TRUNKS[0]))
    classes, embedding_dim = shape(state, f"{embedding}.weight", 2, NAME)
    stages = read_stages(state, trunk, NAME)
    z_dim = stages.inputs - embedding_dim
    if z_dim < 1:
        raise foreign(
            NAME, f"an embedding of {embedding_dim} numbers leaves no latent among the {stages.inputs} inputs"
        )
    network = build(lambda: Generator(stages, classes, embedding_dim, embedding, trunk), NAME)
    module = load_exactly(network, state, NAME, ignore=("num_batches_tracked",))
    spec = Spec(
        inputs=(Latent(size=z_dim), Label(classes=classes)),
        output=Image(height=stages.side, width=stages.side, channels=stages.widths[-1]),
    )
    order = "The latent was taken to come first and the label's embedding after it; a checkpoint does not say."
    tutorial = "ReLU, the strides and the batch norms' epsilon of 1e-5 are those of PyTorch's DCGAN tutorial."
    return Loaded(module, spec, (order, tutorial))
