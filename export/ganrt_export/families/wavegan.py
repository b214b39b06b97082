"""WaveGAN: sound from a latent, through layers that make the signal four times longer.

Source: Donahue et al. 2018 (arXiv:1802.04208). A linear layer to 16 steps, then kernels of 25, in one of the paper's
two forms: a transposed convolution of stride 4, or four repeats of every step and a convolution.

PyTorch ports agree on the layers and not on their names, so a checkpoint is known by its shapes: one matrix, and after
it kernels of 25 whose channels follow from each other. The network takes over the checkpoint's names.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.spec import Audio, Latent, Spec

from .base import Loaded, State, load_exactly
from .layout import build, foreign, shape

__all__ = ["KNOWN_BY", "NAME", "Generator", "Sizes", "detect", "load"]

NAME = "wavegan"
KNOWN_BY = "one matrix, then kernels of 25 by any name"
KERNEL, FACTOR, STEPS, SAMPLE_RATE = 25, 4, 16, 16_000
_FEWEST, _MOST = 2, 10  # layers


class Sizes(NamedTuple):
    """`layers` and `norms` are where the checkpoint keeps them, in order; `widths` are the channels around the layers.

    `norms` is empty, or one after the linear layer and one after every other layer but the last.
    """

    z_dim: int
    dense: str
    layers: tuple[str, ...]
    norms: tuple[str, ...]
    widths: tuple[int, ...]
    transposed: bool

    @property
    def length(self) -> int:
        return STEPS << (2 * len(self.layers))


class Generator(nn.Module):
    """The paper's network.

    `forward(z)`: `z` float32 [batch, z_dim] from U(-1, 1). Returns float32 [batch, channels, length] in [-1, 1].
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self._sizes = sizes
        _place(self, sizes.dense, nn.Linear(sizes.z_dim, sizes.widths[0] * STEPS))
        for name, before, after in zip(sizes.layers, sizes.widths[:-1], sizes.widths[1:], strict=True):
            if sizes.transposed:
                layer: nn.Module = nn.ConvTranspose1d(before, after, KERNEL, FACTOR, padding=11, output_padding=1)
            else:
                layer = nn.Conv1d(before, after, KERNEL, padding=12)
            _place(self, name, layer)
        for name, width in zip(sizes.norms, sizes.widths[:-1], strict=False):
            _place(self, name, nn.BatchNorm1d(width))

    def forward(self, z: Tensor) -> Tensor:
        sizes = self._sizes
        sound: Tensor = self.get_submodule(sizes.dense)(z).reshape(-1, sizes.widths[0], STEPS)
        for number, name in enumerate(sizes.layers):
            if sizes.norms:
                sound = self.get_submodule(sizes.norms[number])(sound)
            sound = F.relu(sound)
            if not sizes.transposed:
                sound = F.interpolate(sound, scale_factor=FACTOR, mode="nearest")
            sound = self.get_submodule(name)(sound)
        return sound.tanh()


def detect(state: State) -> bool:
    """Is there one matrix, to 16 steps of as many channels as the first of several kernels of 25 takes?"""
    matrices, kernels = (_weights(state, rank) for rank in (2, 3))
    if len(matrices) != 1 or len(kernels) < _FEWEST:
        return False
    rows, first = state[f"{matrices[0]}.weight"].shape[0], state[f"{kernels[0]}.weight"].shape
    long = all(state[f"{name}.weight"].shape[2] == KERNEL for name in kernels)
    return long and rows in (first[0] * STEPS, first[1] * STEPS)


def load(state: State) -> Loaded:
    """The generator with these weights. Raises CheckpointError when they are not a WaveGAN's."""
    sizes = _read(state)
    idle = [name for name in _norms(state) if name not in sizes.norms]
    used = {key: value for key, value in state.items() if key.rpartition(".")[0] not in idle}
    module = load_exactly(build(lambda: Generator(sizes), NAME), used, NAME, ignore=("num_batches_tracked",))
    spec = Spec(
        inputs=(Latent(size=sizes.z_dim, distribution="uniform"),),
        output=Audio(length=sizes.length, sample_rate=SAMPLE_RATE, channels=sizes.widths[-1]),
    )
    notes = [f"A sample rate of {SAMPLE_RATE:,} Hz was taken, the paper's; it is not in a checkpoint."]
    if len(sizes.layers) == 6:
        notes.append("Its last layer was taken to have stride 4; with stride 2 it would give 32,768 samples.")
    if idle:
        notes.append(f"{', '.join(idle)} is left out: without batch norm between the layers the ports do not use it.")
    return Loaded(module, spec, tuple(notes))


def _read(state: State) -> Sizes:
    matrices, kernels = (_weights(state, rank) for rank in (2, 3))
    if len(matrices) != 1 or not _FEWEST <= len(kernels) <= _MOST:
        raise foreign(NAME, f"it has {len(matrices)} matrices and {len(kernels)} kernels, not one and then several")
    rows, z_dim = shape(state, f"{matrices[0]}.weight", 2, NAME)
    shapes = [shape(state, f"{name}.weight", 3, NAME) for name in kernels]
    transposed = shapes[0][0] * STEPS == rows  # [in, out, 25], where a convolution has [out, in, 25]
    widths = [rows // STEPS]
    for name, (one, other, kernel) in zip(kernels, shapes, strict=True):
        before, after = (one, other) if transposed else (other, one)
        if (before, kernel) != (widths[-1], KERNEL):
            wanted = f"{widths[-1]} channels and kernels of {KERNEL}"
            raise foreign(NAME, f"'{name}.weight' is {[one, other, kernel]}, where {wanted} come in")
        widths.append(after)
    norms = _norms(state)
    if len(norms) not in (0, 1, len(kernels)):
        raise foreign(NAME, f"it has {len(norms)} batch norms, and {len(kernels)} or none belong to its layers")
    used = norms if len(norms) == len(kernels) else []
    return Sizes(z_dim, matrices[0], tuple(kernels), tuple(used), tuple(widths), transposed)


def _weights(state: State, rank: int) -> list[str]:
    """What has a weight of that rank, in the order of its numbers: layer 2 before layer 10."""
    names = [key.removesuffix(".weight") for key in state if key.endswith(".weight") and state[key].ndim == rank]
    return sorted(names, key=_by_number)


def _norms(state: State) -> list[str]:
    suffix = ".running_mean"
    return sorted((key.removesuffix(suffix) for key in state if key.endswith(suffix)), key=_by_number)


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", name)]


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    """`module` at `path` under `root`, through plain modules where there are none."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in dict(root.named_children()):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)
