"""Class-conditional GAN for small grey images: a label embedding joined to the latent, a projection discriminator.

Sources: Radford et al. 2015 (DCGAN, arXiv:1511.06434) for the transposed-convolution generator,
Miyato and Koyama 2018 (cGANs with projection discriminator, arXiv:1802.05637) for the critic.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ganrt.spec import Image, Label, Latent, Spec, Truncation

from .base import Loaded, State, load_exactly
from .layout import Layout, build, foreign, matches, shape

__all__ = ["LAYOUTS", "NAME", "Discriminator", "FoldedGenerator", "Generator", "detect", "load", "spec"]

NAME = "cgan"
LAYOUTS: tuple[Layout, ...] = (
    {"embedding.weight": 2, "project.weight": 2, "upsample.0.running_mean": 1, "upsample.2.weight": 4},
)


class Generator(nn.Module):
    """Latent and label -> image of 28 x 28 pixels.

    `forward(z, label)`: `z` float32 [batch, z_dim] from N(0, 1), `label` int64 [batch] in 0 .. classes - 1.
    Returns float32 [batch, 1, 28, 28] in [-1, 1].
    """

    def __init__(self, z_dim: int = 64, classes: int = 10, embedding_dim: int = 32, width: int = 64) -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, classes
        self.embedding = nn.Embedding(classes, embedding_dim)
        self.project = nn.Linear(z_dim + embedding_dim, width * 7 * 7, bias=False)
        self.unflatten = nn.Unflatten(1, (width, 7, 7))
        self.upsample = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width // 2, 1, 5, padding=2),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        joined = torch.cat([z, self.embedding(label)], dim=1)
        image: Tensor = self.upsample(self.unflatten(self.project(joined)))
        return image


class Discriminator(nn.Module):
    """Image and label -> one score: psi(phi(x)) + <phi(x), embedding(label)>.

    `forward(image, label)`: `image` float32 [batch, 1, 28, 28] in [-1, 1], `label` int64 [batch].
    Returns float32 [batch], larger for more real.
    """

    def __init__(self, classes: int = 10, width: int = 32, feature_dim: int = 128) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(4 * width * 7 * 7, feature_dim),
            nn.LeakyReLU(0.2),
        )
        self.score = nn.Linear(feature_dim, 1)
        self.embedding = nn.Embedding(classes, feature_dim)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        phi: Tensor = self.features(image)
        projection: Tensor = (phi * self.embedding(label)).sum(dim=1) / phi.shape[1] ** 0.5
        score: Tensor = self.score(phi).squeeze(1)
        return score + projection


class FoldedGenerator(nn.Module):
    """A trained `Generator` in the form that is exported: the same function of (z, label) with less to compute.

    Batch norm in eval mode is y = s x + t, a channel, with s = gamma / sqrt(var + eps) and t = beta - mean s. So
        ConvTranspose then BN:  weight s over the output channels, bias t
        Linear then BN:         W [z, embedding(label)] = W_z z + W_e embedding(label), rows scaled by s, plus t;
                                the label's part takes `classes` values only: a table, looked up.
    Computed in float64; equal to `Generator` up to float32 rounding.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.z_dim, self.classes = generator.z_dim, generator.classes
        first_norm, _, up1, norm1, _, up2, norm2, _, last, _ = generator.upsample
        self.unflatten = generator.unflatten
        positions = generator.unflatten.unflattened_size[1] * generator.unflatten.unflattened_size[2]
        scale, shift = (part.repeat_interleave(positions) for part in _scale_and_shift(first_norm))
        rows = generator.project.weight.detach().double() * scale[:, None]
        by_z, by_embedding = rows[:, : generator.z_dim], rows[:, generator.z_dim :]
        labels = generator.embedding.weight.detach().double() @ by_embedding.T + shift
        self.by_label = nn.Embedding(generator.classes, labels.shape[1], _weight=labels.float())
        self.by_z = nn.Parameter(by_z.T.contiguous().float(), requires_grad=False)
        self.upsample = nn.Sequential(
            nn.LeakyReLU(0.2),
            _fold(up1, norm1),
            nn.LeakyReLU(0.2),
            _fold(up2, norm2),
            nn.LeakyReLU(0.2),
            last,
            nn.Tanh(),
        )
        self.requires_grad_(False).eval()

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        image: Tensor = self.upsample(self.unflatten(torch.addmm(self.by_label(label), z, self.by_z)))
        return image


def detect(state: State) -> bool:
    """Are these the keys of `Generator`?"""
    return any(matches(state, layout) for layout in LAYOUTS)


def load(state: State) -> Loaded:
    """The `Generator` with these weights. Raises CheckpointError when they are not one's."""
    classes, embedding_dim = shape(state, "embedding.weight", 2, NAME)
    _, inputs = shape(state, "project.weight", 2, NAME)
    (width,) = shape(state, "upsample.0.running_mean", 1, NAME)
    z_dim = inputs - embedding_dim
    if z_dim < 1:
        raise foreign(NAME, f"an embedding of {embedding_dim} numbers leaves no latent among the {inputs} inputs")
    network = build(lambda: Generator(z_dim, classes, embedding_dim, width), NAME)
    load_exactly(network, state, NAME, ignore=("num_batches_tracked",))
    return Loaded(network, spec(network))


def spec(generator: Generator | FoldedGenerator, names: tuple[str, ...] = ()) -> Spec:
    """What a generator of this family takes and gives; `names` are those of its classes."""
    return Spec(
        inputs=(
            Latent(size=generator.z_dim),
            Label(classes=generator.classes, names=names),
            Truncation(minimum=0.3, maximum=4.0, how="threshold"),
        ),
        output=Image(height=28, width=28, channels=1),
    )


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """s and t of a batch norm in eval mode, float64 [channels]."""
    mean, var, gamma, beta = (
        getattr(norm, name).detach().double() for name in ("running_mean", "running_var", "weight", "bias")
    )
    scale = gamma / torch.sqrt(var + norm.eps)
    return scale, beta - mean * scale


def _fold(convolution: nn.Module, norm: nn.Module) -> nn.ConvTranspose2d:
    scale, shift = _scale_and_shift(norm)
    folded = copy.deepcopy(convolution)
    assert isinstance(folded, nn.ConvTranspose2d)
    folded.weight = nn.Parameter((folded.weight.detach().double() * scale[:, None, None]).float())
    folded.bias = nn.Parameter(shift.float())
    return folded
