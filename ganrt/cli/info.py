"""`ganrt info`: what a bundle takes and gives, and how to call it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..bundle import Bundle
from ..manifest import Manifest
from ..spec import Audio, Code, Image, Input, Label, Latent, Output, Signal, Spec, Table, Tensor, Truncation
from .options import Json, Source
from .terminal import plain, print_json, rows, show, size

__all__ = ["BundleInfo", "command"]


class BundleInfo(msgspec.Struct, frozen=True):
    """What --json prints. `call`: Python lines that draw from this bundle."""

    path: str
    size: int
    digest: str
    manifest: Manifest
    call: list[str]


def command(source: Source, json: Json = False) -> None:
    """Show what a bundle holds, and how to call it.

    \b
    Examples:
      ganrt info digits
      ganrt info faces.ganrt --json
    """
    bundle = Bundle.open(source)
    manifest = bundle.manifest
    total = sum(entry.size for entry in manifest.files.values())
    call = list(_call(source, manifest))
    if json:
        print_json(BundleInfo(str(bundle.path), total, bundle.digest, manifest, call))
        return
    show(f"{plain(manifest.name)}{': ' if manifest.description else ''}{plain(manifest.description)}")
    _section(
        "Bundle",
        [
            ("family", manifest.family),
            ("licence", manifest.license or "not said"),
            ("file", f"{bundle.path} ({size(total)})"),
            ("digest", bundle.digest),
        ],
    )
    _section("Takes", [(part.name, _takes(part)) for part in manifest.spec.inputs])
    _section("Gives", [_gives(manifest.spec.output)])
    _section("Graphs", list(_graphs(manifest)))
    _section("Engines", list(_engines(manifest)))
    _section("Reference samples", list(_goldens(manifest)))
    _section("Quality", list(_flat(manifest.quality)))
    _section("Fidelity", list(_fidelity(manifest.fidelity)))
    _section("Provenance", list(_flat({k: v for k, v in manifest.provenance.items() if k != "operations"})))
    show("", "From Python", *(f"  {plain(line)}" for line in call))


def _section(title: str, pairs: list[tuple[str, str]]) -> None:
    if pairs:
        show("", title, rows((f"  {name}", text) for name, text in pairs))


def _graphs(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Each graph and form with its size, and how much it computes where the exporter counted."""
    counted = manifest.provenance.get("operations")
    for key, member in (*manifest.graphs.items(), *manifest.forms.items()):
        count = counted.get(key) if isinstance(counted, dict) else None
        told = ""
        if isinstance(count, dict) and isinstance(count.get("multiply_adds"), int):
            told = f", {count['multiply_adds']:,} multiply-adds a sample, {count.get('nodes')} nodes"
        kind = f"{key}, a form of fp32" if key in manifest.forms else key
        yield kind, f"{member} ({size(manifest.files[member].size)}{told})"


def _takes(part: Input) -> str:
    match part:
        case Latent(size=size, distribution=distribution):
            return f"latent, {size} numbers, {distribution.replace('_', ' ')}; drawn from the seed"
        case Label(classes=classes, names=names):
            shown = f": {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else ""
            return f"label, {classes} classes{shown}"
        case Code(kind="categorical", size=size):
            return f"code, a category from 0 to {size - 1}"
        case Code(size=size, low=low, high=high):
            return f"code, {size} number{'s' if size > 1 else ''} from {low:g} to {high:g}"
        case Truncation(minimum=minimum, maximum=maximum, default=default):
            usual = "none" if default is None else f"{default:g}"
            return f"truncation, {minimum:g} to {maximum:g}, usually {usual}"
        case Signal(kind=kind, dtype=dtype, shape=shape):
            return f"{kind}, {dtype} [{', '.join(['n', *('any' if size is None else str(size) for size in shape)])}]"


def _gives(output: Output) -> tuple[str, str]:
    """The tensor that users get, and what it is."""
    match output:
        case Image(name=name, height=height, width=width, channels=channels):
            colour = {1: "grey", 2: "grey with transparency", 3: "colour", 4: "colour with transparency"}[channels]
            size = f"{width} x {height}, " if height and width else "of the input's size, "
            return name, f"pictures, {size}{colour}: uint8 [n, {height or 'any'}, {width or 'any'}, {channels}]"
        case Audio(raw=raw, length=length, sample_rate=rate, channels=channels):
            lasts = f"{length / rate:.3g} s" if length else "as long as the input says,"
            return raw, f"sound, {lasts} at {rate} Hz: float32 [n, {channels}, {length or 'any'}]"
        case Table(raw=raw, columns=columns):
            return raw, f"a table with the columns {', '.join(columns)}: float32 [n, {len(columns)}]"
        case Tensor(raw=raw, dtype=dtype, shape=shape):
            return raw, f"{dtype} [{', '.join(['n', *('any' if size is None else str(size) for size in shape)])}]"


def _engines(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """For which GPUs and batches each engine was built; a second line where there is a second profile."""
    for name, engine in manifest.engines.items():
        total = sum(manifest.files[file].size for file in (engine.file, engine.mapping) if file is not None)
        stale = "" if manifest.current(engine) else "; of ANOTHER graph than this bundle's: build it again"
        capabilities = ", ".join(engine.capabilities)
        built_by = f"{engine.engine} {engine.version}, {engine.platform}"
        yield name, f"for compute capability {capabilities}: {built_by} ({size(total)}){stale}"
        for profile in engine.profiles:
            spans = {"batch": profile.batch, **profile.sizes}
            yield "", ", ".join(f"{axis} {_span(*span)}" for axis, span in spans.items())


def _span(least: int, best: int, most: int) -> str:
    return f"{most}" if least == most else f"{least} to {most}, best at {best}"


def _goldens(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.goldens is None:
        return
    from ..backends.choose import AUTO

    yield "samples", str(len(manifest.goldens.samples))
    for precision in manifest.graphs:
        bound = manifest.goldens.bounds.get(precision)
        if bound is not None:
            step = "" if bound.max_step is None else f", none more than {bound.max_step} off"
            told = bound.max_step != 1 and bound.within_one > 0
            within = f", {bound.within_one:.4g} of the uint8 values within one" if told else ""
            taken = precision in AUTO and precision in manifest.automatic
            unasked = "; serves unasked where it is faster" if taken else ""
            yield precision, f"at least {bound.psnr_db:g} dB{within}{step}{unasked}"


def _fidelity(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A line for each precision and engine; as they stand where they are not the exporter's."""
    for precision, engines in sorted(figures.items(), key=lambda item: item[0] != "fp32"):
        for engine, one in engines.items() if isinstance(engines, dict) else ():
            fault, name = (one.get("fault"), one.get("engine", engine)) if isinstance(one, dict) else (None, engine)
            if fault:
                yield f"{precision}, {name}", f"does not serve: {fault}"
                continue
            try:
                told = f"{one['psnr_db']:.0f} dB, largest error {one['max_error']:.2g} in {one['samples']} samples"
                told += f", {one['identical']:.3%} of the pixels equal" if "identical" in one else ""
                yield f"{precision}, {name}", told
            except (TypeError, KeyError, ValueError):
                yield from _flat({precision: {engine: one}})


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested figures as lines: fp32.onnxruntime.psnr_db."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{value:.5g}" if isinstance(value, float) else str(value)


def _call(source: str, manifest: Manifest) -> Iterator[str]:
    spec, name = manifest.spec, re.sub(r"\W+", "_", manifest.name.lower(), flags=re.ASCII).strip("_")
    name = name if name.isidentifier() else "generator"
    yield "from ganrt import Generator"
    yield f"{name} = Generator.load({source!r})"
    if not spec.signals:
        what = {Image: "images", Audio: "sounds", Table: "rows", Tensor: "values"}[type(spec.output)]
        port = spec.output_ports()[0]
        shape = ", ".join(map(str, (16, *port.shape[1:])))
        yield f"{what} = {name}.sample(16, {', '.join(_arguments(spec))})  # {port.dtype} [{shape}]"
    else:
        given = ", ".join(f"{port.name!r}: {port.name}" for port in spec.input_ports())
        names = ", ".join(port.name for port in spec.graph_outputs())
        yield f"outputs = {name}.run({{{given}}})  # arrays by name: {names}"


def _arguments(spec: Spec) -> Iterator[str]:
    yield "seed=7"
    if spec.label is not None:
        seventh = min(7, spec.label.classes - 1)
        yield f"label={(spec.label.names[seventh] if spec.label.names else seventh)!r}"
    if spec.codes:
        values = {
            part.name: 0 if part.kind == "categorical" else [(part.low + part.high) / 2] * part.size
            for part in spec.codes
        }
        yield f"code={values}"
    if spec.truncation is not None:
        part = spec.truncation
        yield f"truncation={max(part.minimum, min(part.maximum, 0.7)) if part.default is None else part.default:g}"


def _middle(part: Code) -> int | list[float]:
    return 0 if part.kind == "categorical" else [(part.low + part.high) / 2] * part.size
