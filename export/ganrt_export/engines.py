"""Engines built ahead of time, and the bundle that carries them.

    bundle -> a plan for each precision (two for a generator of two graphs) -> the same bundle with engines/...

TensorRT-RTX builds here without a GPU, for named compute capabilities; TensorRT for the GPU of this machine. An engine
runs at the sizes of its profiles and at no other: (least, best, most) samples a call, and the same for every axis that
the graph leaves open, such as the height and width of a picture to enlarge. It is fastest at the best ones.

A plan is an executable artefact. It is written here and listed; nothing here runs one.
"""

from __future__ import annotations

import hashlib
import math
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from ganrt.bundle import Bundle, write_bundle
from ganrt.errors import ArgumentError, BundleError, legible
from ganrt.manifest import Engine, Manifest, Precision, Profile
from ganrt.onnx_header import read_onnx_header
from ganrt.spec import Port, Spec

from .tensorrt_builder import Library, Shapes, Span, load

__all__ = ["PRECISIONS", "Built", "Progress", "Span", "add_engines", "build_engines", "choose_precisions"]

PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32")
Progress: TypeAlias = Callable[[str, float], None]
_MOST = 1 << 16  # samples a call
_AT_ONCE = 1 << 24  # values of the output a call, where the user names no profile: 64 MiB of float32


class Built(NamedTuple):
    """`engines`: name -> what the manifest says of it; `files`: the plans, by member."""

    engines: dict[str, Engine]
    files: dict[str, bytes]


class _Axis(NamedTuple):
    """An axis that the graph leaves open: "photo_2", for short "height"."""

    name: str
    short: str


class _Part(NamedTuple):
    """One graph of a generator: its ONNX and the inputs it takes."""

    data: bytes
    digest: str
    source: str
    inputs: tuple[Port, ...]


def build_engines(
    bundle: Bundle,
    capabilities: Sequence[str] = (),
    *,
    engine: str = "tensorrt-rtx",
    precisions: Sequence[str] = (),
    batches: Sequence[Span] = (),
    sizes: Mapping[str, Span] | None = None,
    progress: Progress | None = None,
) -> Built:
    """Engines for the GPUs of these compute capabilities ("8.6", "12.0"), one for each precision; writes nothing.

    `precisions`: of "fp16" and "fp32", all that the bundle has if left out. `batches`: a profile each, (least, best,
    most) samples a call; chosen by the size of the output if left out. `sizes`: the same for each axis that the graph
    leaves open, by name ("photo_2") or for short ("height", "width", "length"). `progress` is told what is being built
    and the share of it all that is done, 0 .. 1, perhaps from another thread.

    Raises ArgumentError for what cannot be asked, BundleError when the bundle has no graph of a precision, MissingExtra
    when the engine is not installed, BackendError in a sentence that names the node when it refuses the graph, and
    KeyboardInterrupt after the builder has stopped.
    """
    chosen = choose_precisions(bundle, precisions)
    library = load(engine)
    targets = _targets(library, capabilities)
    parts = {precision: tuple(_parts(bundle, precision)) for precision in chosen}
    spec = bundle.manifest.spec
    every = [part for graphs in parts.values() for part in graphs]
    open_sizes = _open_sizes(spec, every, dict(sizes or {}))
    spans = [_checked("batch", span, _MOST) for span in batches] or [_usual_batch(spec)]
    profiles = tuple(Profile(batch=span, sizes=open_sizes) for span in spans)
    built = Built({}, {})
    for precision, graphs in parts.items():
        name = "-".join((engine, precision, *(f"sm{target.replace('.', '')}" for target in targets)))
        members = (f"engines/{name}.mapping.plan", f"engines/{name}.plan")[-len(graphs) :]
        for member, part in zip(members, graphs, strict=True):
            done = len(built.files)

            def tell(share: float, name: str = name, done: int = done) -> None:
                if progress is not None:
                    progress(name, (done + share) / len(every))

            tell(0.0)
            shapes = [_shapes(spec, part.inputs, profile) for profile in profiles]
            built.files[member] = library.build(part.data, shapes, targets, source=part.source, progress=tell)
            tell(1.0)
        mapping = graphs[0] if len(graphs) == 2 else None
        built.engines[name] = Engine(
            file=members[-1],
            graph=graphs[-1].digest,
            engine=engine,
            version=library.version,
            precision=precision,
            capabilities=targets,
            profiles=profiles,
            platform=f"{platform.system().lower()}-{platform.machine().lower()}",
            mapping=None if mapping is None else members[0],
            mapping_graph=None if mapping is None else mapping.digest,
        )
    return built


def add_engines(bundle: Bundle, built: Built, path: Path) -> Bundle:
    """Writes the bundle with the engines in it to `path`, whole or not at all; `path` may be the bundle's own file.

    Engines that these replace are left out: of the same kind and precision for no other GPUs, and those of a graph that
    the bundle no longer holds. Raises OutputError when it cannot be written; a file at `path` is then as it was.
    """
    manifest = bundle.manifest
    kept = {
        name: engine
        for name, engine in manifest.engines.items()
        if manifest.current(engine) and not any(_covers(new, engine) for new in built.engines.values())
    }
    engines = {**kept, **built.engines}
    gone = set(_files_of(manifest.engines.values())) - set(_files_of(engines.values()))
    files = {member: bundle.read(member) for member in manifest.files if member not in gone}
    files |= built.files
    return write_bundle(path, _with_engines(manifest, engines, files), files)


def choose_precisions(bundle: Bundle, wanted: Sequence[str] = ()) -> tuple[Precision, ...]:
    """Those that engines are built in, each once: the wanted ones, or all that the bundle has a graph for."""
    for word in wanted:
        if word not in PRECISIONS:
            raise ArgumentError(f"Engines are built in {' and '.join(PRECISIONS)}, not in '{legible(word, 40)}'.")
    have = bundle.manifest.graphs
    chosen = tuple(one for one in PRECISIONS if one in (wanted or have))
    for precision in chosen or ("fp32",):
        if precision not in have:
            raise BundleError(
                f"{bundle.path} has no {precision} graph, and an engine computes in the types of its graph; it has: "
                f"{', '.join(have)}. Put one into the bundle first, or build in another precision."
            )
    return chosen


def _covers(new: Engine, old: Engine) -> bool:
    same = (new.engine, new.precision, new.platform) == (old.engine, old.precision, old.platform)
    return same and set(old.capabilities) <= set(new.capabilities)


def _files_of(engines: Iterable[Engine]) -> Iterator[str]:
    for engine in engines:
        yield from (file for file in (engine.mapping, engine.file) if file is not None)


def _with_engines(manifest: Manifest, engines: Mapping[str, Engine], files: Mapping[str, bytes]) -> Manifest:
    """`write_bundle` fills the entries in; the manifest wants the names of all members before that."""
    blank = msgspec.structs.replace(next(iter(manifest.files.values())), size=0)
    return msgspec.structs.replace(
        manifest, engines=dict(engines), files={member: manifest.files.get(member, blank) for member in files}
    )


def _targets(library: Library, wanted: Sequence[str]) -> tuple[str, ...]:
    """Compute capabilities in rising order, each once; also from "86", "sm86", "sm_86"."""
    known = library.capabilities
    listed = ", ".join(known)
    if not wanted and library.ahead:
        raise ArgumentError(
            f"Which GPUs is the engine for? Name their compute capabilities, e.g. --capability 8.6,8.9,12.0 for the "
            f"RTX 30, 40 and 50 series; {library.title} {library.version} knows {listed}."
        )
    found = set()
    for word in wanted or known:
        match = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", word.strip().lower())
        target = f"{match[1]}.{match[2]}" if match else word
        if target not in known:
            what = f"{library.title} {library.version} builds for" if library.ahead else "the GPU here has"
            raise ArgumentError(
                f"There is no engine for the compute capability '{legible(word, 40)}': {what} {listed}. "
                "That of your GPU: https://developer.nvidia.com/cuda-gpus"
            )
        found.add(target)
    return tuple(sorted(found, key=float))


def _parts(bundle: Bundle, precision: Precision) -> Iterator[_Part]:
    """The graphs of a precision in the order they run, held to the spec by the bundle."""
    graph, mapping = bundle.graph(precision), bundle.mapping(precision)
    members = [(bundle.manifest.graphs[precision], graph)]
    if mapping is not None:
        members.insert(0, (bundle.manifest.mappings[precision], mapping))
    for member, data in members:
        source = f"'{member}'"
        yield _Part(data, hashlib.sha256(data).hexdigest(), source, read_onnx_header(data, source).inputs)


def _extents(spec: Spec, port: Port) -> Iterator[int | None]:
    """The sizes behind the batch, None where neither the graph nor the spec fixes one."""
    described = next((one.shape for one in spec.input_ports() if one.name == port.name), port.shape)
    for own, said in zip(port.shape[1:], described[1:], strict=True):
        yield said if own is None else own


def _open_axes(spec: Spec, parts: Iterable[_Part]) -> list[_Axis]:
    axes: dict[_Axis, None] = {}
    kinds = {part.name: part.kind for part in spec.signals}
    for part in parts:
        for port in part.inputs:
            last = len(port.shape) - 1
            for axis, extent in enumerate(_extents(spec, port), start=1):
                short = {
                    "image": {last - 1: "height", last: "width"},
                    "mask": {last - 1: "height", last: "width"},
                    "audio": {last: "length"},
                    "mel": {last: "length"},
                }.get(kinds.get(port.name, ""), {})
                if extent is None:
                    axes[_Axis(f"{port.name}_{axis}", short.get(axis, ""))] = None
    return list(axes)


def _open_sizes(spec: Spec, parts: Iterable[_Part], given: dict[str, Span]) -> dict[str, Span]:
    """Sizes by axis, for every open one; a full name goes before a short one."""
    axes = _open_axes(spec, parts)
    names = list(dict.fromkeys(axis.short or axis.name for axis in axes))
    for name in given:
        if not any(name in axis for axis in axes) or not name:
            what = f"it takes: {legible(', '.join(names))}" if axes else "every size of it is fixed but the batch"
            raise ArgumentError(f"The graph has no open size '{legible(name, 60)}'; {what}.")
    spans = {axis.name: given.get(axis.name, given.get(axis.short)) for axis in axes}
    missing = list(dict.fromkeys(axis.short or axis.name for axis in axes if spans[axis.name] is None))
    if missing:
        example = ",".join(f"{name}=64:256:512" for name in missing)
        raise ArgumentError(
            f"The graph takes any {legible(' and '.join(missing))}, and an engine needs limits: give the least, the "
            f"best and the most, e.g. --size {legible(example)}"
        )
    return {name: _checked(name, span, 1 << 24) for name, span in spans.items() if span is not None}


def _checked(what: str, span: Span, limit: int) -> Span:
    least, best, most = span
    if not 1 <= least <= best <= most <= limit:
        raise ArgumentError(
            f"{least}:{best}:{most} is no range for the {what}: it is the least, the best and the most, rising, "
            f"from 1 to {limit}."
        )
    return span


def _usual_batch(spec: Spec) -> Span:
    """1 to as many samples as make 64 MiB of output, 64 at most; 4 where the size is open. Best at a quarter."""
    shape = spec.output_ports()[-1].shape[1:]
    if any(size is None for size in shape):
        return (1, 1, 4)
    most = max(1, min(64, _AT_ONCE // max(1, math.prod(size or 1 for size in shape))))
    most = 1 << (most.bit_length() - 1)
    return (1, max(1, most // 4), most)


def _shapes(spec: Spec, inputs: Iterable[Port], profile: Profile) -> Shapes:
    """The least, best and most shape of every input."""
    shapes = {}
    for port in inputs:
        least, best, most = (
            tuple(
                [profile.batch[which] if port.shape[0] is None else port.shape[0]]
                + [
                    profile.sizes[f"{port.name}_{axis}"][which] if extent is None else extent
                    for axis, extent in enumerate(_extents(spec, port), start=1)
                ]
            )
            for which in range(3)
        )
        shapes[port.name] = (least, best, most)
    return shapes
