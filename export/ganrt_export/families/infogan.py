"""InfoGAN: a picture from a latent, a category and two continuous codes, each of which ends up meaning something.

Source: Chen et al. 2016 (arXiv:1606.03657), in the layout of PyTorch-GAN:

    l1.0: Linear; conv_blocks.{0, 3, 7}: BatchNorm2d; conv_blocks.{2, 6, 9}: Conv2d

A checkpoint says how many numbers go in, not what they are: the last 12 are 10 for the category and 2 for the code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganrt.spec import Code, Image, Latent, Spec

from .base import Loaded, State, load_exactly
from .dcgan import INFOGAN_INPUTS, UPSAMPLING, UPSAMPLING_NOTE, Upsampling, UpsamplingSizes, read_upsampling
from .layout import build, foreign, matches

__all__ = ["CATEGORIES", "CODES", "LAYOUTS", "NAME", "Generator", "describe", "detect", "load"]

NAME = "infogan"
LAYOUTS = (UPSAMPLING,)
CATEGORIES, CODES = 10, 2


class Generator(Upsampling):
    """PyTorch-GAN's network.

    `forward(z, category, code)`: `z` float32 [batch, z_dim] from N(0, 1), `category` float32 [batch, 10] one-hot,
    `code` float32 [batch, 2] from U(-1, 1). Returns float32 [batch, channels, height, width] in [-1, 1].
    """

    def forward(self, z: Tensor, category: Tensor, code: Tensor) -> Tensor:
        return self.picture(torch.cat([z, category, code], dim=1))


def describe(sizes: UpsamplingSizes) -> Spec:
    """What a generator of these sizes takes and gives: what is not category or code of its inputs is the latent."""
    return Spec(
        inputs=(
            Latent(size=sizes.inputs - CATEGORIES - CODES),
            Code(size=CATEGORIES, name="category"),
            Code(size=CODES, name="code", kind="continuous"),
        ),
        output=Image(height=4 * sizes.side, width=4 * sizes.side, channels=sizes.widths[-1]),
    )


def detect(state: State) -> bool:
    """Are these PyTorch-GAN's keys, with InfoGAN's 62 + 10 + 2 inputs? Its DCGAN has the same keys."""
    return matches(state, UPSAMPLING) and state["l1.0.weight"].shape[1] == INFOGAN_INPUTS


def load(state: State) -> Loaded:
    """The generator with these weights; the latent is as long as 10 categories and 2 codes leave it.

    Raises CheckpointError when they are not an InfoGAN's.
    """
    sizes = read_upsampling(state, NAME)
    z_dim = sizes.inputs - CATEGORIES - CODES
    if z_dim < 1:
        raise foreign(NAME, f"its {sizes.inputs} inputs leave no latent beside 10 categories and 2 codes")
    module = load_exactly(build(lambda: Generator(sizes), NAME), state, NAME, ignore=("num_batches_tracked",))
    spec = describe(sizes)
    inputs = (
        f"Its {sizes.inputs} inputs were taken for a latent of {z_dim}, then 10 categories, then 2 codes in -1 .. 1."
    )
    return Loaded(module, spec, (inputs, UPSAMPLING_NOTE))
