"""What a generator takes and gives: inputs with a role, one output with a kind.

A spec is data, part of the manifest. It names the tensors of the graph, so it is also the contract that a graph
is held to when its graph is read (`check_ports`). In the graph every input's first dimension is the batch.

Annotations are evaluated here, not kept as text: msgspec would look the text up in the module that a class says it is
from, and the package's face renames that to `ganrt`.
"""

from functools import cached_property
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from .errors import SpecError, legible

__all__ = [
    "Audio",
    "Code",
    "Image",
    "Input",
    "Label",
    "Latent",
    "Output",
    "Port",
    "Signal",
    "Spec",
    "Table",
    "Tensor",
    "Truncation",
]

# Text that stays on its line in a terminal: no control character, line separator or change of direction.
Line: TypeAlias = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]*\Z")]
TensorName: TypeAlias = Annotated[Line, Meta(min_length=1, max_length=200)]
Extent: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 24)]
_MAX_VALUES = 1 << 31  # of one sample
_FLOAT32_MAX = 3.4028234663852886e38


class Port(msgspec.Struct, frozen=True):
    """A tensor at the edge of a graph: `shape` has None where any size goes."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="role"):
    pass


class Latent(_Part, frozen=True, tag="latent"):
    """Random numbers, float32 [batch, size].

    `distribution`: "normal" N(0, 1); "uniform" over -1 .. 1; "truncated_normal", N(0, 1) redrawn until its magnitude
    is at most `threshold`.
    """

    size: Extent
    name: TensorName = "z"
    distribution: Literal["normal", "uniform", "truncated_normal"] = "normal"
    threshold: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= _FLOAT32_MAX:
            raise SpecError(f"the threshold of latent '{self.name}' is {self.threshold}; it must be above 0")


class Label(_Part, frozen=True, tag="label"):
    """A class: int64 [batch] when `encoding` is "index", float32 [batch, classes] when it is "one_hot"."""

    classes: Extent
    name: TensorName = "label"
    names: tuple[TensorName, ...] = ()
    encoding: Literal["index", "one_hot"] = "index"

    def __post_init__(self) -> None:
        if self.names and not len(set(self.names)) == len(self.names) == self.classes:
            raise SpecError(
                f"label '{self.name}' has {self.classes} classes and {len(self.names)} names, "
                f"{len(set(self.names))} of them different; every class needs a name of its own"
            )


class Code(_Part, frozen=True, tag="code"):
    """An InfoGAN code, float32 [batch, size]: one-hot if categorical, uniform over `low` .. `high` if continuous."""

    size: Extent
    name: TensorName = "code"
    kind: Literal["categorical", "continuous"] = "categorical"
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -_FLOAT32_MAX <= self.low < self.high <= _FLOAT32_MAX:
            raise SpecError(f"code '{self.name}' runs from {self.low} to {self.high}; low must be below high")


class Truncation(_Part, frozen=True, tag="truncation"):
    """The trade of variety for typicality; smaller is more typical.

    `how`: "threshold" redraws the latents until no magnitude exceeds the value, outside the graph (Brock et al. 2018,
    arXiv:1809.11096); "graph" is an input float32 [batch, 1] (StyleGAN's psi). `default` None means no truncation and
    goes with "threshold" only.
    """

    minimum: float
    maximum: float
    name: TensorName = "truncation"
    default: float | None = None
    how: Literal["threshold", "graph"] = "threshold"

    def __post_init__(self) -> None:
        if not -_FLOAT32_MAX <= self.minimum <= self.maximum <= _FLOAT32_MAX:
            raise SpecError(f"truncation runs from {self.minimum} to {self.maximum}; the ends must be in order")
        if self.how == "threshold" and self.minimum <= 0:
            raise SpecError(f"a truncation threshold must be above 0; the minimum is {self.minimum}")
        if self.default is None and self.how == "graph":
            raise SpecError("a truncation that the graph takes needs a default")
        if self.default is not None and not self.minimum <= self.default <= self.maximum:
            raise SpecError(f"the default truncation {self.default} is outside {self.minimum} to {self.maximum}")


class Signal(_Part, frozen=True, tag="signal"):
    """What the user brings: a picture, sound, spectrogram, mask, or a tensor that the spec says no more of.

    `shape` follows the batch, None for any size.
    """

    name: TensorName
    kind: Literal["image", "audio", "mel", "mask", "tensor"]
    shape: tuple[Extent | None, ...]
    dtype: Literal["float32", "float64", "float16", "uint8", "int32", "int64", "bool"] = "float32"


class Image(_Part, frozen=True, tag="image", tag_field="kind"):
    """Pictures: `name` is uint8 [batch, height, width, channels], made in the graph.

    `raw` is the network's own output, float32 [batch, channels, height, width], whose `low` .. `high` became 0 .. 255.
    `height` and `width` are None where they follow the input.
    """

    height: Extent | None
    width: Extent | None
    channels: Annotated[int, Meta(ge=1, le=4)]
    name: TensorName = "image"
    raw: TensorName = "image_float"
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -_FLOAT32_MAX <= self.low < self.high <= _FLOAT32_MAX:
            raise SpecError(f"'{self.raw}' runs from {self.low} to {self.high}; low must be below high")
        if (self.height or 1) * (self.width or 1) * self.channels > _MAX_VALUES:
            raise SpecError(f"a picture of {self.height}x{self.width}x{self.channels} values is larger than 2**31")


class Audio(_Part, frozen=True, tag="audio", tag_field="kind"):
    """Sound: float32 [batch, channels, length] in -1 .. 1 at `sample_rate` Hz.

    `length` is None where it follows the input.
    """

    length: Extent | None
    sample_rate: Annotated[int, Meta(ge=1, le=1_000_000)]
    channels: Annotated[int, Meta(ge=1, le=64)] = 1
    raw: TensorName = "audio"


class Table(_Part, frozen=True, tag="table", tag_field="kind"):
    """Rows of numbers: float32 [batch, len(columns)]."""

    columns: Annotated[tuple[TensorName, ...], Meta(min_length=1)]
    raw: TensorName = "table"

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise SpecError(f"'{self.raw}' needs at least one column, and each its own name")


class Tensor(_Part, frozen=True, tag="tensor", tag_field="kind"):
    """Numbers that the spec says no more of, [batch, *shape]; None for a size that follows the input.

    `batched` False: [*shape], for what a network gives once for the whole batch.
    """

    shape: tuple[Extent | None, ...]
    raw: TensorName = "output"
    batched: bool = True
    dtype: Literal["float32", "float64", "float16", "uint8", "int32", "int64", "bool"] = "float32"


Input: TypeAlias = Latent | Label | Code | Truncation | Signal
Output: TypeAlias = Image | Audio | Table | Tensor


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Inputs in the order of the graph, the output, and what else the graph gives beside it (`also`)."""

    inputs: tuple[Input, ...]
    output: Output
    also: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        if not self.inputs:
            raise SpecError("a generator takes at least one input")
        names = [part.name for part in self.inputs] + [port.name for port in self.graph_outputs()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SpecError(f"two inputs or outputs are called '{twice[0]}'")
        for role in (Label, Truncation):
            if sum(isinstance(part, role) for part in self.inputs) > 1:
                raise SpecError(f"a generator takes at most one {role.__name__.lower()}")
        if not self.signals and any(None in port.shape[1:] for port in self.graph_outputs()):
            raise SpecError("an output whose size follows the input needs a signal to follow")
        normal = any(isinstance(part, Latent) and part.distribution != "uniform" for part in self.inputs)
        if self.truncation is not None and self.truncation.how == "threshold" and not normal:
            raise SpecError("a truncation threshold needs a latent with a normal distribution")

    @cached_property
    def latents(self) -> tuple[Latent, ...]:
        return tuple(part for part in self.inputs if isinstance(part, Latent))

    @cached_property
    def codes(self) -> tuple[Code, ...]:
        return tuple(part for part in self.inputs if isinstance(part, Code))

    @cached_property
    def signals(self) -> tuple[Signal, ...]:
        return tuple(part for part in self.inputs if isinstance(part, Signal))

    @cached_property
    def label(self) -> Label | None:
        return next((part for part in self.inputs if isinstance(part, Label)), None)

    @cached_property
    def truncation(self) -> Truncation | None:
        return next((part for part in self.inputs if isinstance(part, Truncation)), None)

    def input_ports(self) -> tuple[Port, ...]:
        """The tensors that the graph must take, the batch first."""
        return tuple(port for port in map(_input_port, self.inputs) if port is not None)

    def graph_outputs(self) -> tuple[Port, ...]:
        """Every tensor that the graph must give, in its order, the batch first."""
        return (*self.output_ports(), *map(_tensor_port, self.also))

    def output_ports(self) -> tuple[Port, ...]:
        """The tensors of the output itself: for pictures the pixels, and last what the network gives."""
        match self.output:
            case Image(height=height, width=width, channels=channels, name=name, raw=raw):
                return (
                    Port(name, "uint8", (None, height, width, channels)),
                    Port(raw, "float32", (None, channels, height, width)),
                )
            case Audio(length=length, channels=channels, raw=raw):
                return (Port(raw, "float32", (None, channels, length)),)
            case Table(columns=columns, raw=raw):
                return (Port(raw, "float32", (None, len(columns))),)
            case Tensor():
                return (_tensor_port(self.output),)

    def check_ports(self, inputs: tuple[Port, ...], outputs: tuple[Port, ...], source: str) -> None:
        """Raises SpecError when a graph with these ports is not the one that the spec describes."""
        for side, wanted, found in (("input", self.input_ports(), inputs), ("output", self.graph_outputs(), outputs)):
            have = {port.name: port for port in found}
            for port in wanted:
                if port.name not in have:
                    listing = legible(", ".join(sorted(have)) or "none")
                    raise SpecError(f"{source} has no {side} '{port.name}', which its spec names; it has: {listing}.")
                if not _fits(port, have[port.name]):
                    raise SpecError(
                        f"{source}: {side} '{port.name}' is {legible(_describe(have[port.name]))}, "
                        f"its spec says {_describe(port)}."
                    )
        extra = {port.name for port in inputs} - {port.name for port in self.input_ports()}
        if extra:
            raise SpecError(f"{source} takes '{legible(min(extra))}', which its spec does not mention.")


def _input_port(part: Input) -> Port | None:
    match part:
        case Latent(size=size, name=name) | Code(size=size, name=name):
            return Port(name, "float32", (None, size))
        case Label(classes=classes, name=name, encoding=encoding):
            return Port(name, "int64", (None,)) if encoding == "index" else Port(name, "float32", (None, classes))
        case Truncation(name=name, how=how):
            return Port(name, "float32", (None, 1)) if how == "graph" else None
        case Signal(name=name, dtype=dtype, shape=shape):
            return Port(name, dtype, (None, *shape))


def _tensor_port(tensor: Tensor) -> Port:
    return Port(tensor.raw, tensor.dtype, (None, *tensor.shape) if tensor.batched else tensor.shape)


def _fits(wanted: Port, found: Port) -> bool:
    same_rank = len(wanted.shape) == len(found.shape)
    sizes = zip(wanted.shape[1:], found.shape[1:], strict=False)
    dynamic_batch = wanted.shape[:1] != (None,) or (bool(found.shape) and found.shape[0] is None)
    return (
        wanted.dtype == found.dtype
        and same_rank
        and dynamic_batch
        and all(a == b or a is None or b is None for a, b in sizes)
    )


def _describe(port: Port) -> str:
    sizes = ", ".join("any" if size is None else str(size) for size in port.shape)
    return f"{port.dtype} [{sizes}]"
