"""A network in ncnn's own format: layers, and the text and the weights that ncnn reads.

Format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure. There is no batch: a shape here is that of
one sample. ncnn believes what it is told, and reads beyond its arrays where that is wrong; so every layer comes with
its shape, worked out in `_ncnn_operations`, and the names in the text are made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layer", "Network", "Parameter", "Shape", "Written"]

Parameter: TypeAlias = "int | float | list[int] | list[float]"
Shape: TypeAlias = tuple[int, ...]

_MAGIC, _LISTS = 7767517, -23300
_FUSES = ("Convolution", "Deconvolution", "InnerProduct")  # beginnings of the kinds that have an activation within
_ACTIVATION, _ITS_NUMBERS = 9, 10
_RELU, _LEAKY_RELU = 1, 2


class Layer(NamedTuple):
    """`parameters` by ncnn's numbers. `weights` in its order; those of `tagged` layers begin with a word on their type,

    and what follows them has none.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    parameters: dict[int, Parameter]
    weights: tuple[NDArray[np.float32], ...] = ()
    tagged: bool = False


class Written(NamedTuple):
    """`text` is ncnn's .param; `blobs`: what the text calls each tensor."""

    text: str
    blobs: dict[str, str]
    layers: list[Layer]

    def weights(self) -> Iterator[memoryview]:
        """ncnn's .bin in parts; made when asked for, since networks of other sizes have the same."""
        for layer in self.layers:
            if layer.tagged:
                yield memoryview(bytes(4))
            for array in layer.weights:
                yield np.ascontiguousarray(array, "<f4").data


class Network:
    """Layers in the order they are computed."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.shapes: dict[str, Shape] = {}

    def add(self, layer: Layer, shape: Shape) -> None:
        self.layers.append(layer)
        self.shapes[layer.output] = shape

    def write(self, outputs: set[str]) -> Written:
        """ReLUs go into the layers before them; what is used more than once is split, as ncnn wants it."""
        layers = _fused(_needed(self.layers, outputs), outputs)
        uses = Counter(name for layer in layers for name in layer.inputs)
        blobs = {layer.output: f"b{number}" for number, layer in enumerate(layers)}
        lines, taken = list[str](), Counter[str]()
        made = 0
        for number, layer in enumerate(layers):
            inputs = list[str]()
            for name in layer.inputs:
                inputs.append(f"{blobs[name]}_{taken[name]}" if uses[name] > 1 else blobs[name])
                taken[name] += 1
            blob = blobs[layer.output]
            words = [layer.kind, f"l{number}", len(inputs), 1, *inputs, blob, *_parameters(layer.parameters)]
            lines.append(" ".join(map(str, words)))
            made += 1
            if (parts := uses[layer.output]) > 1:
                names = [f"{blob}_{part}" for part in range(parts)]
                lines.append(" ".join(["Split", f"s{number}", "1", str(parts), blob, *names]))
                made += parts
        return Written(f"{_MAGIC}\n{len(lines)} {made}\n" + "\n".join(lines) + "\n", blobs, layers)


def _needed(layers: list[Layer], outputs: set[str]) -> list[Layer]:
    """Without those that nothing comes of; inputs are kept."""
    wanted, kept = set(outputs), list[Layer]()
    for layer in reversed(layers):
        if layer.output in wanted or layer.kind == "Input":
            kept.append(layer)
            wanted.update(layer.inputs)
    return kept[::-1]


def _fused(layers: list[Layer], outputs: set[str]) -> list[Layer]:
    """A ReLU that is all that follows a layer with weights becomes that layer's activation."""
    uses = Counter(name for layer in layers for name in layer.inputs)
    at = {layer.output: index for index, layer in enumerate(layers)}
    made = list[Layer | None](layers)
    for index, layer in enumerate(layers):
        if layer.kind != "ReLU" or (given := layer.inputs[0]) in outputs or uses[given] > 1:
            continue
        before = made[at[given]]
        if before is None or not before.kind.startswith(_FUSES) or _ACTIVATION in before.parameters:
            continue
        activation: dict[int, Parameter] = {_ACTIVATION: _RELU}
        if slope := layer.parameters.get(0):
            assert isinstance(slope, float)
            activation = {_ACTIVATION: _LEAKY_RELU, _ITS_NUMBERS: [slope]}
        made[at[given]] = before._replace(output=layer.output, parameters=before.parameters | activation)
        made[index], at[layer.output] = None, at[given]
    return [layer for layer in made if layer is not None]


def _parameters(given: dict[int, Parameter]) -> list[str]:
    return [
        f"{_LISTS - number}={len(value)},{','.join(map(_number, value))}"
        if isinstance(value, list)
        else f"{number}={_number(value)}"
        for number, value in given.items()
    ]


def _number(value: float) -> str:
    """At most 15 characters, of which ncnn reads no more; nine digits are every float32."""
    return str(value) if isinstance(value, int) else f"{value:.8e}"
