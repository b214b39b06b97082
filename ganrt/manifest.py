"""manifest.json: what a bundle holds, as msgspec structs. The format, no disk.

Version 1. Unknown fields are errors, so that a typing mistake is found; a newer format says so by its number.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from .errors import FormatTooNew, ManifestError, legible
from .spec import Extent, Line, Spec, TensorName

__all__ = [
    "FORMAT",
    "Bound",
    "Engine",
    "FileEntry",
    "Golden",
    "Goldens",
    "Manifest",
    "Precision",
    "Profile",
    "decode",
    "encode",
]

FORMAT = 1

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
Digest: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Size: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 40)]
Capability: TypeAlias = Annotated[str, Meta(pattern=r"^[1-9][0-9]?\.[0-9]\Z")]
Span: TypeAlias = tuple[Extent, Extent, Extent]
FormName: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,30}\Z")]
_NESTING = 16  # of lists and objects in the figures


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class FileEntry(_Record, frozen=True):
    """What a member must be: its size in bytes and its SHA-256."""

    sha256: Digest
    size: Size


class Bound(_Record, frozen=True):
    """How far an engine may be from the reference.

    `psnr_db`: peak signal-to-noise ratio of the raw output, against the output's range. `max_step`: largest
    difference of any uint8 value, None where there are none; `within_one`: share of uint8 values at most one step off.
    """

    psnr_db: float
    within_one: Annotated[float, Meta(ge=0, le=1)] = 1.0
    max_step: int | None = None


class Golden(_Record, frozen=True):
    """One reference sample: the arguments that make it; its output is the same row of the goldens file."""

    seed: Annotated[int, Meta(ge=0)]
    index: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    label: int | None = None
    truncation: float | None = None

    def __post_init__(self) -> None:
        if self.seed >= 1 << 64:
            raise ValueError(f"the seed {self.seed} is above 2**64 - 1")


class Goldens(_Record, frozen=True):
    """Reference outputs: a .npy member with the raw output of every golden, [len(samples), ...].

    `inputs`: input -> .npy member [len(samples), ...], for a graph that takes a signal; the samples' arguments then say
    nothing.
    """

    file: str
    samples: Annotated[tuple[Golden, ...], Meta(min_length=1, max_length=4096)]
    bounds: dict[Precision, Bound]
    inputs: dict[str, str] = {}


class Profile(_Record, frozen=True):
    """The sizes that an engine runs at, each as (least, best, most).

    `batch`: samples a call. `sizes`: the axes that the graph leaves open beside it, by input and axis: "photo_2" is the
    axis 2 of the input "photo".
    """

    batch: Span
    sizes: dict[TensorName, Span] = {}

    def __post_init__(self) -> None:
        for name, (least, best, most) in {"batch": self.batch, **self.sizes}.items():
            if not least <= best <= most:
                raise ValueError(f"a profile has {least}:{best}:{most} for {name}; least, best and most must rise")


class Engine(_Record, frozen=True):
    """A member built ahead of time from a graph, for one kind of engine: facts to choose it by, before it is read.

    It is an executable artefact: a digest in a manifest says that it arrived whole, not that it is harmless.
    `engine` and `version` built it, on `platform`, for GPUs of these `capabilities`. `graph` is the SHA-256 of the ONNX
    that it was built from, so that one that outlived its graph is known. `mapping`, `mapping_graph`: the same for the
    first graph of a generator of two. A reader ignores an engine of a kind or version that it does not know.
    """

    file: str
    graph: Digest
    engine: Annotated[Line, Meta(min_length=1, max_length=100)]
    version: Annotated[Line, Meta(max_length=100)]
    precision: Precision
    capabilities: tuple[Capability, ...]
    profiles: Annotated[tuple[Profile, ...], Meta(min_length=1, max_length=64)]
    platform: Annotated[Line, Meta(max_length=100)]
    mapping: str | None = None
    mapping_graph: Digest | None = None

    def __post_init__(self) -> None:
        if (self.mapping is None) != (self.mapping_graph is None):
            raise ValueError(f"the engine {self.file!r} needs both of mapping and mapping_graph, or neither")


class Manifest(_Record, frozen=True):
    """The whole of manifest.json.

    `graphs`: precision -> member; "fp32" is the reference. `forms`: the function of the fp32 graph in other operations,
    name -> member; which is fastest depends on the machine. `mappings`: precision -> member for a generator of two
    graphs: the first makes w of the inputs, and the graph of that precision takes w in their place (StyleGAN).
    `automatic`: lower precisions whose graph passed the default gate (50 dB), so that `precision="auto"` may take them.
    `engines`: name -> what was built ahead of time from these graphs; see `current`.
    `quality`, `fidelity`, `provenance`: figures and facts for people; nothing is decided by them.
    """

    format: int
    name: Annotated[Line, Meta(min_length=1, max_length=100)]
    family: Annotated[Line, Meta(max_length=100)]
    spec: Spec
    graphs: Annotated[dict[Precision, str], Meta(min_length=1)]
    files: dict[str, FileEntry]
    description: str = ""
    license: str = ""
    goldens: Goldens | None = None
    engines: dict[Annotated[Line, Meta(min_length=1, max_length=200)], Engine] = {}
    mappings: dict[Precision, str] = {}
    automatic: tuple[Precision, ...] = ()
    forms: dict[FormName, str] = {}
    quality: dict[str, Any] = {}
    fidelity: dict[str, Any] = {}
    provenance: dict[str, Any] = {}

    def __post_init__(self) -> None:
        used = [*self.graphs.values(), *self.mappings.values(), *self.forms.values()]
        used += [*self._engine_files(), *self._golden_files()]
        for member in used:
            if member not in self.files:
                raise ValueError(f"{member!r} is used but not listed in files")
        if any(_depth(figures) > _NESTING for figures in (self.quality, self.fidelity, self.provenance)):
            raise ValueError(f"quality, fidelity and provenance go at most {_NESTING} levels deep")
        for golden in self.goldens.samples if self.goldens else ():
            _check_golden(golden, self.spec)

    def current(self, engine: Engine) -> bool:
        """Was it built from the very graphs that this bundle holds in its precision?"""
        held = (self.graphs.get(engine.precision), self.mappings.get(engine.precision))
        digests = tuple(None if member is None else self.files[member].sha256 for member in held)
        return digests == (engine.graph, engine.mapping_graph)

    def _engine_files(self) -> tuple[str, ...]:
        engines = self.engines.values()
        return tuple(file for engine in engines for file in (engine.file, engine.mapping) if file is not None)

    def _golden_files(self) -> tuple[str, ...]:
        return () if self.goldens is None else (self.goldens.file, *self.goldens.inputs.values())


class _Version(msgspec.Struct):
    format: int


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON; equal manifests give equal bytes. Raises ManifestError if JSON cannot hold it."""
    try:
        compact = msgspec.json.encode(manifest, enc_hook=_plain, order="sorted")
    except (TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise ManifestError(f"The manifest of '{manifest.name}' cannot be written as JSON: {problem}.") from problem
    return msgspec.json.format(compact, indent=2) + b"\n"


def decode(data: bytes, source: str) -> Manifest:
    """The manifest in `data`. Raises FormatTooNew or ManifestError; `source` names the bundle in the message."""
    try:
        version = msgspec.json.decode(data, type=_Version).format
        if version > FORMAT:
            raise FormatTooNew(
                f"{source} is written in bundle format {version}; this ganrt reads up to {FORMAT}. "
                "Update it: pip install --upgrade ganrt"
            )
        if version < 1:
            raise ManifestError(f"{source}: manifest.json gives format {version}; the first format is 1.")
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ManifestError(
            f"{source}: manifest.json is not valid: {legible(problem)}. Export the bundle again."
        ) from problem


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays, without importing numpy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"it holds a {type(value).__name__}")


def _depth(value: Any, level: int = 0) -> int:
    """Levels of lists and objects, counted to just beyond the limit."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return level if level > _NESTING else max((_depth(part, level + 1) for part in parts), default=level)


def _check_golden(golden: Golden, spec: Spec) -> None:
    label, truncation = spec.label, spec.truncation
    if golden.label is not None and not (label is not None and 0 <= golden.label < label.classes):
        raise ValueError(f"a golden has the label {golden.label}, which the spec does not know")
    if golden.truncation is not None and not (
        truncation is not None and truncation.minimum <= golden.truncation <= truncation.maximum
    ):
        raise ValueError(f"a golden has the truncation {golden.truncation}, which the spec does not allow")
