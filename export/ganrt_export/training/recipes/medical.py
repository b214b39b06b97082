"""Class-conditional GAN of small labelled sets, as MedMNIST's.

The losses of `cgan` (relativistic pairs, R1 and R2 every few steps, averaged weights) on pictures of 28 to 128 pixels,
grey or coloured, with as many classes as the data have; the generator is a conditional DCGAN in the layout that `ganrt
export` reads too. A few hundred pictures are soon known by heart, so the discriminator sees every picture, real or
generated, shifted and with another brightness at random, in a way that gradients pass (Zhao et al. 2020,
arXiv:2006.10738). Nothing is mirrored: a heart is on the left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.errors import DataError
from ganrt.spec import Image, Label, Latent, Spec, Truncation
from ganrt_export.families.cdcgan import Generator
from ganrt_export.families.dcgan import Stages

from .. import recipe
from ..datasets import PictureFiles, Pictures
from ..losses import Relativistic, zero_centred_penalty
from ..recipe import Batch, Terms, Turn
from ._pictures import channels_of, first_side, open_grey_or_coloured

__all__ = ["MEDMNIST", "Discriminator", "Recipe", "Settings", "disturbed", "stages"]

_FEATURES = 128  # of the discriminator, joined to the label's embedding
_ORGANS = (
    "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right",
    "pancreas", "spleen",
)  # fmt: skip
# The words behind the numbers of MedMNIST v2 (Yang et al. 2023, arXiv:2110.14795), which its files do not hold
MEDMNIST = {
    "bloodmnist": (
        "basophil", "eosinophil", "erythroblast", "immature granulocyte", "lymphocyte", "monocyte", "neutrophil",
        "platelet",
    ),
    "breastmnist": ("malignant", "normal or benign"),
    "dermamnist": (
        "actinic keratosis or carcinoma in situ", "basal cell carcinoma", "benign keratosis", "dermatofibroma",
        "melanoma", "melanocytic nevus", "vascular lesion",
    ),
    "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    "organamnist": _ORGANS,
    "organcmnist": _ORGANS,
    "organsmnist": _ORGANS,
    "pathmnist": (
        "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa",
        "cancer-associated stroma", "colorectal adenocarcinoma epithelium",
    ),
    "pneumoniamnist": ("normal", "pneumonia"),
    "tissuemnist": (
        "collecting duct or connecting tubule", "distal convoluted tubule", "glomerular endothelial cell",
        "interstitial endothelial cell", "leukocyte", "podocyte", "proximal tubule segment", "thick ascending limb",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Settings(recipe.Settings):
    steps: int = 10_000
    batch: int = 64
    learning_rate: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.99
    gamma: float = 1.0  # weight of R1 and R2
    penalty_every: int = 4  # steps between penalties; each weighs this much more
    ema_decay: float = 0.999
    decay_last: float = 0.4
    replacement: bool = True
    size: int = 28
    z_dim: int = 64
    embedding_dim: int = 32
    width: int = 32  # channels of the discriminator's largest maps, half of the generator's largest hidden ones
    shift: float = 0.125  # largest shift of what the discriminator sees, of the side
    light: float = 0.25  # largest change of its brightness, in the range of -1 .. 1

    def __post_init__(self) -> None:
        super().__post_init__()
        first_side(self.size)


class Discriminator(nn.Module):
    """Picture and label -> one score: psi(phi(x)) + <phi(x), embedding(label)> (Miyato and Koyama, arXiv:1802.05637).

    `forward(image, label)`: `image` float32 [batch, channels, size, size] in [-1, 1], `label` int64 [batch].
    Returns float32 [batch], larger for more real. No batch norm, so that R1 and R2 are slopes at one picture.
    """

    def __init__(self, size: int, channels: int, classes: int, width: int) -> None:
        super().__init__()
        side = size
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        while side > first_side(size):
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            width, side = 2 * width, side // 2
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * side**2, _FEATURES), nn.LeakyReLU(0.2))
        self.score = nn.Linear(_FEATURES, 1)
        self.embedding = nn.Embedding(classes, _FEATURES)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        phi: Tensor = self.features(image).float()  # scores are close to each other: not in BF16
        projection: Tensor = (phi * self.embedding(label)).sum(dim=1) / _FEATURES**0.5
        score: Tensor = self.score(phi).squeeze(1)
        return score.float() + projection


class Recipe(recipe.Recipe):
    settings: Settings

    def __init__(self, settings: Settings, data: Pictures | PictureFiles) -> None:
        size, channels, classes = settings.size, channels_of(data), len(data.names)
        spec = Spec(
            inputs=(
                Latent(size=settings.z_dim),
                Label(classes=classes, names=data.names),
                Truncation(minimum=0.3, maximum=4.0, how="threshold"),
            ),
            output=Image(height=size, width=size, channels=channels),
        )
        super().__init__(settings, spec)
        layers = stages(size, settings.z_dim + settings.embedding_dim, 2 * settings.width, channels)
        self.generator = Generator(layers, classes, settings.embedding_dim)
        self.discriminator = Discriminator(size, channels, classes, settings.width)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert data.labels is not None
        self.register_buffer("labels", data.labels, persistent=False)

    @staticmethod
    def data(source: Path, settings: Settings) -> Pictures | PictureFiles:
        data = open_grey_or_coloured(source, settings.size, labelled=True)
        if len(data.names) < 2:
            raise DataError(f"All pictures in {source} are of one class; this recipe learns what sets classes apart.")
        words = MEDMNIST.get(source.stem.partition("_")[0], ())  # pneumoniamnist_64.npz: the same at another size
        data.names = words if len(words) == len(data.names) else data.names
        return data

    def turns(self) -> tuple[Turn, ...]:
        return Turn(self.discriminator, self.discriminator_loss), Turn(self.generator, self.generator_loss)

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        real, label = batch
        penalised = step % self.settings.penalty_every == 0
        with torch.no_grad():
            generated = self.generator(self.latents(len(real)), label)
        real, generated = self._disturbed(real), self._disturbed(generated)
        real, generated = real.requires_grad_(penalised), generated.requires_grad_(penalised)
        score_real, score_generated = self.discriminator(real, label), self.discriminator(generated, label)
        terms = {"loss_d": Relativistic.discriminator(score_real, score_generated)}
        if penalised:
            penalty = zero_centred_penalty(real, score_real) + zero_centred_penalty(generated, score_generated)
            terms["penalty"] = self.settings.gamma / 2 * self.settings.penalty_every * penalty
        return terms

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        real, label = batch
        generated = self._disturbed(self.generator(self.latents(len(real)), label))
        with torch.no_grad():
            score_real = self.discriminator(self._disturbed(real), label)
        return {"loss_g": Relativistic.generator(self.discriminator(generated, label), score_real)}

    def latents(self, count: int) -> Tensor:
        return torch.randn(count, self.settings.z_dim, device=self.device)

    def inputs(self, count: int) -> tuple[Tensor, ...]:
        """Latents, and labels as often as the data have them."""
        assert isinstance(self.labels, Tensor)
        chosen = torch.randint(len(self.labels), (count,), device=self.device)
        return self.latents(count), self.labels[chosen]

    def _disturbed(self, images: Tensor) -> Tensor:
        return disturbed(images, self.settings.shift, self.settings.light)


def stages(size: int, inputs: int, width: int, channels: int) -> Stages:
    """The generator's layers: from maps of 7 or 8 a side to `size`, the last but one of `width` channels."""
    doublings = (size // first_side(size)).bit_length() - 1
    widths = tuple(width << n for n in reversed(range(doublings)))
    return Stages(inputs, first_side(size), (*widths, channels), (False,) * doublings + (True,))


def disturbed(images: Tensor, shift: float, light: float) -> Tensor:
    """Images [batch, channels, side, side], each shifted and brightened or darkened at random; gradients pass.

    By up to `shift` of the side, what comes in repeating the edge, and by up to `light`.
    """
    count, side, reach = len(images), images.shape[3], round(shift * images.shape[3])
    brightness = (torch.rand(count, 1, 1, 1, device=images.device) * 2 - 1) * light
    down, right = torch.randint(2 * reach + 1, (2, count, 1), device=images.device) + torch.arange(
        side, device=images.device
    )
    padded = F.pad(images + brightness, (reach,) * 4, mode="replicate").permute(0, 2, 3, 1)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)
