"""StyleGAN2 (Karras et al. 2019, arXiv:1912.04958) from the checkpoints of its three common PyTorch implementations.

    weights.py      tensors taken from a checkpoint one by one: nothing missing, nothing left over
    networks.py     mapping, modulated convolution, synthesis, generator, in the form that is exported
    trained.py      generator and discriminator as they are trained, constants not yet folded, in the layout of NVlabs
    assembly.py     the spec, the mean w that truncation starts from, noise where a checkpoint has none
    rosinality.py   rosinality/stylegan2-pytorch and the converted official weights in its layout
    nvlabs.py       NVlabs stylegan2-ada-pytorch, and the StyleGAN2 networks of NVlabs stylegan3
    lucidrains.py   stylegan2-pytorch on PyPI: a relative of StyleGAN2 with a synthesis network of its own

Every module here is `forward(z, psi)`: z float32 [batch, z_dim] from N(0, 1), psi float32 [batch, 1]; conditional
networks take `label` float32 [batch, classes], one-hot, after them. Its `.mapping` is z -> w and its `.synthesis` is
ws [batch, num_ws, w_dim] -> image, for two graphs instead of one.
"""

from __future__ import annotations

from ganrt.errors import CheckpointError

from ..base import Loaded, State
from . import lucidrains, nvlabs, rosinality
from .nvlabs import load_nvlabs

__all__ = ["NAME", "detect", "load", "load_nvlabs"]

NAME = "stylegan2"
_LAYOUTS = (
    (rosinality.detect, rosinality.load),
    (nvlabs.detect, nvlabs.load),
    (lucidrains.detect, lucidrains.load),
)


def detect(state: State) -> bool:
    """Are these the keys and ranks of a StyleGAN2 generator? Looks at no value."""
    return any(is_it(state) for is_it, _ in _LAYOUTS)


def load(state: State) -> Loaded:
    """The generator with these weights, in eval mode; sizes are read off the shapes.

    Raises CheckpointError when the state is of none of the three layouts, or not complete and consistent in its own.
    """
    for is_it, read in _LAYOUTS:
        if is_it(state):
            return read(state)
    raise CheckpointError(
        "The checkpoint is not a StyleGAN2 generator in the layout of rosinality, NVlabs or lucidrains: it has neither "
        "'style.1.weight' and 'input.input', nor 'synthesis.b4.const', nor 'S.net.0.weight' and 'G.blocks.0.*'."
    )
