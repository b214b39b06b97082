"""Super-resolution weights as ncnn keeps them: a `.param` of text and a `.bin`, read into a PyTorch state dict.

    .param    7767517, the counts of layers and blobs, then a line for each layer:
              type, name, how many blobs in and out, their names, settings as number=value or -233xx=count,values
    .bin      what the layers hold, in the order of the lines. A convolution: four bytes that say how its weights are
              stored (0: float32; 0x01306b47: float16, padded to four bytes), the weights [out, in, height, width],
              then its bias in float32. A PReLU: a slope for each channel in float32.

The names that PyTorch gave its weights are lost on the way to ncnn. They follow from the graph, so a graph is read only
when it is, layer for layer, one of these networks, for which the keys of their first publication are known:

    SRVGGNetCompact    body.0 to body.n        Wang et al. 2021, Real-ESRGAN, arXiv:2107.10833
    RRDBNet            conv_first, body.0.rdb1.conv1, ..., conv_last
                                               Wang et al. 2018, ESRGAN, arXiv:1809.00219
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ganrt.errors import CheckpointError, legible

__all__ = ["read_ncnn"]

_MAGIC: Final = "7767517"
_FLOAT32, _FLOAT16 = b"\0\0\0\0", (0x01306B47).to_bytes(4, "little")
_TEXT_LIMIT = 4 << 20  # bytes; the largest published network of these has 0.12 MB
_ARRAY = -23300  # a setting that is a list has this number less its own

_Settings: TypeAlias = Mapping[int, tuple[float, ...]]

_DEFAULTS: Final[Mapping[str, _Settings]] = {  # settings that change nothing when they are written out
    "Convolution": {
        2: (1,),
        3: (1,),
        8: (0,),
        9: (0,),
        11: (3,),
        12: (1,),
        13: (1,),
        14: (1,),
        15: (1,),
        16: (1,),
        18: (0,),
    },
    "PixelShuffle": {1: (0,)},
    "Interp": {3: (0,), 4: (0,), 5: (0,), 6: (0,)},
    "Concat": {0: (0,)},
    "BinaryOp": {0: (0,), 1: (0,), 2: (0,)},
}
_COUNTS: Final[Mapping[str, tuple[int, ...]]] = {"Convolution": (0, 6), "PReLU": (0,)}  # settings that count weights
_INPUT = -1  # the place of the picture itself


class _Layer(NamedTuple):
    """A line of the .param: `sources` are the places of the layers whose results it takes."""

    kind: str
    name: str
    sources: tuple[int, ...]
    settings: _Settings


class _Part(NamedTuple):
    """What a network has at a place: as _Layer, with the key that its weights have in PyTorch."""

    kind: str
    sources: tuple[int, ...]
    settings: _Settings
    key: str


def read_ncnn(param: Path, bin: Path) -> dict[str, Tensor]:
    """The weights of an ncnn super-resolution network, float32, under the keys they have in PyTorch.

    Nothing is read beyond the end of `bin`, and nothing may be left of it. Raises CheckpointError when a file is
    missing or damaged, when the two do not belong together, or when the graph is neither a SRVGGNetCompact nor an
    RRDBNet with nothing before or after it.
    """
    layers = _layers(_read(param, _TEXT_LIMIT), legible(param))
    parts = _recognise(layers, legible(param))
    weights = _Bytes(_read(bin), legible(bin))
    state: dict[str, Tensor] = {}
    for layer, part in zip(layers, parts, strict=True):
        if layer.kind == "Convolution":
            shape = _convolution_shape(layer, legible(param))
            state[f"{part.key}.weight"] = weights.flagged(shape, layer.name)
            state[f"{part.key}.bias"] = weights.float32((shape[0],), layer.name)
        elif layer.kind == "PReLU":
            state[f"{part.key}.weight"] = weights.float32((_count(layer, 0, legible(param)),), layer.name)
    weights.end()
    return state


def _read(path: Path, limit: int | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
    except OSError as problem:
        raise CheckpointError(f"{legible(path)} cannot be read: {problem.strerror}.") from problem
    if limit is not None and len(data) > limit:
        raise CheckpointError(f"{legible(path)} is no ncnn .param: it is larger than {limit >> 20} MB.")
    return data


# ------------------------------------------------------------------------------------------------------- the .param


def _layers(data: bytes, source: str) -> list[_Layer]:
    """The lines of a .param, without its Input and Split lines: those compute nothing."""
    lines = [line.split() for line in data.decode("ascii", "replace").splitlines() if line.strip()]
    if len(lines) < 2 or lines[0] != [_MAGIC]:
        raise CheckpointError(f"{source} is no ncnn .param: its first line is not {_MAGIC}.")
    counts, lines = lines[1], lines[2:]
    if len(counts) != 2 or counts[0] != str(len(lines)):
        raise CheckpointError(
            f"{source} is cut short or damaged: it has {len(lines)} layers and announces '{legible(' '.join(counts))}'."
        )
    layers: list[_Layer] = []
    made_by: dict[str, int] = {}  # blob -> place of its layer
    for number, words in enumerate(lines, start=3):
        try:
            kind, name, takes, gives, *rest = words
            blobs, settings = rest[: int(takes) + int(gives)], rest[int(takes) + int(gives) :]
            sources = tuple(made_by[blob] for blob in blobs[: int(takes)])
            outputs = blobs[int(takes) :]
            if min(int(takes), int(gives)) < 0 or len(outputs) != int(gives) or not made_by.keys().isdisjoint(outputs):
                raise ValueError
            layer = _Layer(legible(kind, 40), legible(name, 80), sources, dict(map(_setting, settings)))
        except (KeyError, ValueError) as problem:
            raise CheckpointError(f"{source}, line {number}, is no layer of an ncnn .param.") from problem
        if kind == "Input" and not made_by:
            made_by.update(dict.fromkeys(outputs, _INPUT))
        elif kind == "Split" and len(sources) == 1:
            made_by.update(dict.fromkeys(outputs, sources[0]))
        else:
            made_by.update(dict.fromkeys(outputs, len(layers)))
            layers.append(layer)
    return layers


def _setting(word: str) -> tuple[int, tuple[float, ...]]:
    number, _, text = word.partition("=")
    if int(number) > _ARRAY:
        return int(number), (float(text),)
    count, *values = text.split(",")
    if int(count) != len(values):
        raise ValueError
    return _ARRAY - int(number), tuple(map(float, values))


# ------------------------------------------------------------------------------------------------------ the networks


def _recognise(layers: list[_Layer], source: str) -> list[_Part]:
    """The network that `layers` are, part for part."""
    convolutions = sum(layer.kind == "Convolution" for layer in layers)
    if any(layer.kind == "PReLU" for layer in layers):
        shuffle = next((layer.settings.get(0, ()) for layer in layers if layer.kind == "PixelShuffle"), ())
        network, parts = "SRVGGNetCompact", _compact(convolutions, shuffle)
    else:
        upsamplings = sum(layer.kind == "Interp" for layer in layers)
        network, parts = "RRDBNet", _rrdb(max(0, (convolutions - upsamplings - 4) // 15), upsamplings)
    for layer, part in zip_longest(layers, parts):
        if layer is None:
            raise CheckpointError(f"{source} is cut short: after its last layer a {network} has a {part.kind}.")
        if part is None:
            raise CheckpointError(
                f"{source} is a {network} and something more, beginning with the {layer.kind} '{layer.name}', which "
                "would be lost. Only a SRVGGNetCompact or RRDBNet by itself can be read."
            )
        if not _same(layer, part):
            raise CheckpointError(
                f"{source} is no SRVGGNetCompact and no RRDBNet: a {network} has no such {layer.kind} as "
                f"'{layer.name}' at that place. Only those two can be read."
            )
    return parts


def _same(layer: _Layer, part: _Part) -> bool:
    implied, counts = _DEFAULTS.get(layer.kind, {}), _COUNTS.get(layer.kind, ())
    settings = {
        number: values
        for number, values in layer.settings.items()
        if number not in counts and (part.settings.get(number) == values or implied.get(number) != values)
    }
    return (layer.kind, layer.sources, settings) == (part.kind, part.sources, part.settings)


class _Network:
    """The parts of a network as they are added; `add` gives the place of the new one."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []

    def add(self, kind: str, *sources: int, settings: _Settings | None = None, key: str = "") -> int:
        self.parts.append(_Part(kind, sources, settings or {}, key))
        return len(self.parts) - 1

    def convolution(self, source: int, key: str, *, leaky: bool = False) -> int:
        """3x3, padded by 1; `leaky`: followed by LeakyReLU(0.2)."""
        activation: _Settings = {9: (2,), 10: (0.2,)} if leaky else {}
        return self.add("Convolution", source, settings={1: (3,), 4: (1,), 5: (1,), **activation}, key=key)

    def enlarge(self, source: int, factor: tuple[float, ...]) -> int:
        return self.add("Interp", source, settings={0: (1,), 1: factor, 2: factor})  # 0=1: nearest

    def add_scaled(self, branch: int, trunk: int) -> int:
        return self.add("Eltwise", branch, trunk, settings={0: (1,), 1: (0.2, 1.0)})


def _compact(convolutions: int, scale: tuple[float, ...]) -> list[_Part]:
    network = _Network()
    at = network.convolution(_INPUT, "body.0")
    for turn in range(1, convolutions):
        at = network.add("PReLU", at, key=f"body.{2 * turn - 1}")
        at = network.convolution(at, f"body.{2 * turn}")
    at = network.add("PixelShuffle", at, settings={0: scale})
    network.add("BinaryOp", at, network.enlarge(_INPUT, scale))
    return network.parts


def _rrdb(blocks: int, upsamplings: int) -> list[_Part]:
    network = _Network()
    first = at = network.convolution(_INPUT, "conv_first")
    for block in range(blocks):
        start = at
        for dense in (1, 2, 3):
            key = f"body.{block}.rdb{dense}"
            grown = [at]
            for turn in (1, 2, 3, 4):
                joined = grown[0] if turn == 1 else network.add("Concat", *grown)
                grown.append(network.convolution(joined, f"{key}.conv{turn}", leaky=True))
            at = network.add_scaled(network.convolution(network.add("Concat", *grown), f"{key}.conv5"), at)
        at = network.add_scaled(at, start)
    at = network.add("BinaryOp", first, network.convolution(at, "conv_body"))
    for turn in range(1, upsamplings + 1):
        at = network.convolution(network.enlarge(at, (2,)), f"conv_up{turn}", leaky=True)
    network.convolution(network.convolution(at, "conv_hr", leaky=True), "conv_last")
    return network.parts


# --------------------------------------------------------------------------------------------------------- the .bin


def _count(layer: _Layer, number: int, source: str) -> int:
    values = layer.settings.get(number, ())
    count = values[0] if len(values) == 1 else 0.0
    if not count.is_integer() or not 1 <= count < 1 << 31:
        raise CheckpointError(f"{source}: '{layer.name}' does not say how many weights it holds.")
    return int(count)


def _convolution_shape(layer: _Layer, source: str) -> tuple[int, int, int, int]:
    """[out, in, 3, 3]: what goes in follows from the number of weights."""
    outputs, weights = (_count(layer, number, source) for number in (0, 6))
    inputs, rest = divmod(weights, outputs * 9)
    if rest:
        raise CheckpointError(f"{source}: '{layer.name}' has {weights} weights, which {outputs} channels cannot share.")
    return outputs, inputs, 3, 3


class _Bytes:
    """A .bin, taken from its beginning to its end."""

    def __init__(self, data: bytes, source: str) -> None:
        self._data, self._source, self._at = data, source, 0

    def flagged(self, shape: tuple[int, ...], layer: str) -> Tensor:
        """Weights that begin with how they are stored."""
        flag = self._take(4, layer)
        if flag == _FLOAT32:
            return self.float32(shape, layer)
        if flag != _FLOAT16:
            raise CheckpointError(
                f"{self._source}: the weights of '{layer}' are stored as 0x{flag[::-1].hex()}; float32 and float16 can "
                "be read. Either they are quantised, or this .bin does not belong to the .param."
            )
        size = 2 * int(np.prod(shape, dtype=np.int64))
        return self._tensor(self._take(size + size % 4, layer)[:size], "<f2", shape, layer)

    def float32(self, shape: tuple[int, ...], layer: str) -> Tensor:
        return self._tensor(self._take(4 * int(np.prod(shape, dtype=np.int64)), layer), "<f4", shape, layer)

    def end(self) -> None:
        if self._at != len(self._data):
            left = len(self._data) - self._at
            raise CheckpointError(f"{self._source} does not belong to the .param: {left} bytes of it are left over.")

    def _take(self, size: int, layer: str) -> bytes:
        if size > len(self._data) - self._at:
            raise CheckpointError(
                f"{self._source} is cut short, or does not belong to the .param: it ends within '{layer}'."
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def _tensor(self, data: bytes, dtype: str, shape: tuple[int, ...], layer: str) -> Tensor:
        values = np.frombuffer(data, dtype).astype(np.float32)
        if not np.isfinite(values).all():
            raise CheckpointError(f"{self._source} is damaged: a weight of '{layer}' is not a number.")
        return torch.from_numpy(values.reshape(shape))
