"""Super-resolution, restoration and inpainting: every network that the package spandrel recognises by its keys.

spandrel (MIT) brings the networks and reads their sizes off the weights; here they become functions of a batch of
pictures of any size, which can be traced.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn

from ganrt.errors import CheckpointError, ExportError, MissingExtra, legible
from ganrt.spec import Image, Signal, Spec

from .base import Loaded, State
from .spandrel_networks import CALLS, Call, package, traceable

__all__ = ["KNOWN_BY", "NAME", "Inpainter", "Restorer", "detect", "load"]

NAME = "restoration"
KNOWN_BY = "the keys of any network that spandrel knows, once it is installed: pip install 'ganrt[restoration]'"

_NO_GRAPH: Final[dict[str, str]] = {
    "AuraSR": "it draws random numbers, other ones at every call",
    "IPT": "it cuts one picture at a time into pieces, and takes no batch",
    "SeemoRe": "it chooses other layers for other pictures, one picture at a time",
}
_ONE_SIZE: Final[dict[str, int]] = {"GFPGAN": 512, "GRL": 64, "Uformer": 256}  # the sizes they were published with
_TAKEN_FOR_GRANTED: Final = {
    "DRUNet": "It removes noise of the standard deviation 15 / 255, its authors' own.",
    "DnCNN": "Where it asks for the noise's standard deviation, it is told 15 / 255, its authors' own.",
    "SPAN": "The pictures' mean is taken to be its authors' own, which the weights do not tell.",
    "RestoreFormer": "It looks up the nearest entry of a codebook: a rounding error can make it another one.",
    "GFPGAN": "Its noise is the checkpoint's own, the same for every picture; it takes aligned faces.",
}
_HARMLESS: Final = 2  # pixels a side: spandrel's least where it never was a network's own
# Loosely recognised: one key that must be a convolution's, lest another family's generator be taken for it.
_CONVOLUTIONS: Final = {"Compact": "body.0.weight", "DnCNN": "model.2.weight"}


def detect(state: State) -> bool:
    """Does spandrel know these keys? Without spandrel, no."""
    try:
        spandrel = package()
    except MissingExtra:
        return False
    return _architecture(spandrel, spandrel.canonicalize_state_dict(dict(state))) is not None


def load(state: State, *, size: int | None = None) -> Loaded:
    """The network with these weights, for pictures of any height and width, or of `size` x `size` only.

    It takes `image` float32 [batch, channels, height, width] in 0 .. 1, and to inpaint also `mask` float32
    [batch, 1, height, width], 1 where the picture is missing; it gives `restored_float` float32 [batch, channels,
    scale height, scale width], 0 .. 1 but not clipped. What a network asks of the size is done inside: the picture is
    continued by reflection and the result cut. A network that cannot be traced for any size is loaded for one size.

    Raises MissingExtra without spandrel, CheckpointError when it does not know the network or the weights do not fit
    each other, ExportError for a network that is no function of one picture and can be no graph.
    """
    spandrel = package()
    tensors = spandrel.canonicalize_state_dict(dict(state))
    architecture = _architecture(spandrel, tensors)
    if architecture is None:
        keys = legible(", ".join(list(tensors)[:4]) or "nothing")
        raise CheckpointError(f"The checkpoint ({keys}, ...) is no network that spandrel {spandrel.__version__} knows.")
    if architecture.id in _NO_GRAPH:
        raise ExportError(f"{architecture.name} cannot be exported: {_NO_GRAPH[architecture.id]}.")
    described = _described(architecture, tensors)
    network = traceable(described.model.float())
    size = size or _ONE_SIZE.get(architecture.id)
    call = CALLS.get(architecture.id, described._call_fn)
    need, scale = described.size_requirements, described.scale
    masked = isinstance(described, spandrel.MaskedImageModelDescriptor)
    module = (Inpainter if masked else Restorer)(
        network, call, scale, minimum=need.minimum, multiple=need.multiple_of, square=need.square
    )
    if not 1 <= described.output_channels <= 4:
        raise CheckpointError(f"The checkpoint's {architecture.name} gives {described.output_channels} channels.")
    inputs = [Signal(name="image", kind="image", shape=(described.input_channels, size, size))]
    if masked:
        inputs.append(Signal(name="mask", kind="mask", shape=(1, size, size)))
    extent = size and size * scale
    channels = described.output_channels
    output = Image(extent, extent, channels, name="restored", raw="restored_float", low=0.0, high=1.0)
    return Loaded(module.eval(), Spec(inputs=tuple(inputs), output=output), tuple(_notes(described, size)))


class Restorer(nn.Module):
    """`forward(image)`: a picture in, a better one out, as `load` says."""

    def __init__(
        self, network: nn.Module, call: Call, scale: int, *, minimum: int = 0, multiple: int = 1, square: bool = False
    ) -> None:
        super().__init__()
        self.network, self.call, self.scale = network, call, scale
        self.minimum, self.multiple, self.square = minimum, multiple, square

    def forward(self, image: Tensor) -> Tensor:
        return self._restore(image)

    def _restore(self, image: Tensor, *more: Tensor) -> Tensor:
        taken = [part.clone() for part in (image, *more)]  # some networks write into what they are given
        if self.minimum <= _HARMLESS and self.multiple == 1 and not self.square:
            return self.call(self.network, *taken)
        height, width = image.shape[-2:]
        down, across = self._extent(height), self._extent(width)
        if self.square:
            down = across = torch.sym_max(down, across)  # type: ignore[no-untyped-call]
        result = self.call(self.network, *(_grow(part, down, across) for part in taken))
        return result[..., : height * self.scale, : width * self.scale]

    def _extent(self, size: int) -> int:
        """The least that the network takes and that holds `size`."""
        if self.minimum > 1:
            size = torch.sym_max(size, self.minimum)  # type: ignore[no-untyped-call]
        return (size + self.multiple - 1) // self.multiple * self.multiple if self.multiple > 1 else size


class Inpainter(Restorer):
    """`forward(image, mask)`: a picture with holes in, a whole one out, as `load` says."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return self._restore(image, mask)


def _grow(image: Tensor, height: int, width: int) -> Tensor:
    """`image` [..., height, width], continued to the right and below by reflection, and then by its first pixel.

    By index, not by padding: one graph serves every size, also where the reflection is as long as the picture.
    """
    for axis, extent in ((-2, height), (-1, width)):
        last = image.shape[axis] - 1
        if not (isinstance(last, int) and last + 1 == extent):
            image = image.index_select(axis, (last - (torch.arange(extent) - last).abs()).clamp(min=0))
    return image


# ------------------------------------------------------------------------------------------------------- recognising


def _architecture(spandrel: Any, tensors: dict[str, Any]) -> Any:
    """spandrel's first architecture with these keys, or None."""
    for support in spandrel.MAIN_REGISTRY.architectures("detection"):
        if support.detect(tensors):
            key = _CONVOLUTIONS.get(support.architecture.id, "")
            return support.architecture if not key or getattr(tensors[key], "ndim", 0) == 4 else None
    return None


def _described(architecture: Any, tensors: dict[str, Any]) -> Any:
    """spandrel's descriptor: the network with its weights, and what it takes and gives."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch about its own future, while networks are built
            return architecture.load(tensors)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"The checkpoint looks like {architecture.name}, but is not one of consistent sizes: {legible(told, 200)}."
        ) from error


def _notes(described: Any, size: int | None) -> Iterator[str]:
    architecture, need = described.architecture, described.size_requirements
    what = ", ".join([f"{described.scale} times the size", *described.tags])
    yield f"{architecture.name} for {described.purpose} ({what}), as spandrel reads it."
    if size is not None and architecture.id in _ONE_SIZE:
        yield f"Pictures of {size} x {size} only: {architecture.name} cannot be traced for any size."
    wants = [
        *([f"at least {need.minimum} pixels a side"] if need.minimum > _HARMLESS else []),
        *([f"multiples of {need.multiple_of} pixels"] if need.multiple_of > 1 else []),
        *(["squares"] if need.square else []),
    ]
    if wants and size is None:
        yield f"It takes {' and '.join(wants)}; other pictures are continued by reflection and the result is cut."
    if described.tiling.name != "SUPPORTED":
        yield "It looks at the whole picture: tiles of one may show their seams."
    formats = {"float16": described.supports_half, "bfloat16": described.supports_bfloat16}
    refused = [name for name, supported in formats.items() if not supported]
    if refused:
        yield f"spandrel does not run it in {' or '.join(refused)}: expect the gate to refuse that precision."
    if architecture.id in _TAKEN_FOR_GRANTED:
        yield _TAKEN_FOR_GRANTED[architecture.id]
