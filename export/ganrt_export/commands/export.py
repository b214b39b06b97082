"""`ganrt export`: a checkpoint, a module of the user's own or an ONNX file -> one verified bundle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganrt.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from ganrt.bundle import Bundle
    from ganrt.spec import Spec

    from ..export import Progress

__all__ = ["command"]

_WHAT, _MEANS, _FAST, _OUT = (
    "What to export",
    "What it takes and gives (for a module or an ONNX file of your own)",
    "How fast it shall be",
    "The bundle",
)


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A checkpoint, whose family is recognised; a family's name with --checkpoint; my_module:build, a "
            "function that returns your torch.nn.Module; or an .onnx file.",
        ),
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "-c", "--checkpoint", metavar="FILE", help="Weights: .pt .pth .safetensors .npz", rich_help_panel=_WHAT
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Which part of the checkpoint, where it holds several.", rich_help_panel=_WHAT
        ),
    ] = None,
    latent: Annotated[
        list[str] | None, typer.Option(metavar="KIND:SIZE", help="normal:128, uniform:100.", rich_help_panel=_MEANS)
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="TEXT", help="classes:10, or names: cat,dog,owl.", rich_help_panel=_MEANS)
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:SIZE", help="categorical:10, continuous:2:-1:1.", rich_help_panel=_MEANS),
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:SIZES", help="image:3xANYxANY, mel:80xANY.", rich_help_panel=_MEANS),
    ] = None,
    truncation: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="A threshold on the latents.", rich_help_panel=_MEANS)
    ] = None,
    gives: Annotated[
        str | None,
        typer.Option(
            "--output-kind",
            metavar="KIND",
            help="image:-1:1, image:0:1, audio:16000, table, tensor.",
            rich_help_panel=_MEANS,
        ),
    ] = None,
    optimize: Annotated[
        str | None,
        typer.Option(
            metavar="count|measure|off",
            help="Other forms of the graph beside the plain one: of fewest operations, as this machine's engines run "
            "each layer fastest, or none. Which form runs is chosen where the bundle is loaded. By default count, and "
            "off for graphs above 64 MiB.",
            rich_help_panel=_FAST,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="Lower precisions that the bundle holds too, each within its gate: fp16, int8 or fp16,int8.",
            rich_help_panel=_FAST,
        ),
    ] = None,
    int8_gate: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Least PSNR of int8, 38 if left out: as much as misses it stays float32. What is within 50 dB, and "
            "99.5 % of its pixels within one step, is taken by load() itself where it is faster.",
            rich_help_panel=_FAST,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.ganrt", help="Named after WHAT if left out.", rich_help_panel=_OUT
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The bundle's name.", rich_help_panel=_OUT)] = None,
    license: Annotated[str, typer.Option(metavar="TEXT", help="Of the weights.", rich_help_panel=_OUT)] = "",
    noise: Annotated[
        str,
        typer.Option(
            metavar="refuse|freeze|input",
            help="Random numbers drawn inside the module: an error, constants, or latents of the bundle.",
            rich_help_panel=_WHAT,
        ),
    ] = "refuse",
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="A grid of samples beside it.", rich_help_panel=_OUT)
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="A page with samples, fidelity and speed by precision and engine.",
            rich_help_panel=_OUT,
        ),
    ] = None,
) -> None:
    """Turn a trained PyTorch generator into one bundle, checked on every engine here.

    Nothing in a checkpoint is executed. The graph is held to PyTorch at batches 1, 2, 3 and 8 and 256 samples; one that
    differs is refused.

    \b
    Examples:
      ganrt export generator.pt -o faces.ganrt --preview faces.png
      ganrt export dcgan --checkpoint weights.tar -o faces.ganrt
      ganrt export my_code:build -c g.pt --latent normal:128 --label classes:10 -o mine.ganrt
      ganrt export model.onnx --latent normal:100 -o model.ganrt
      ganrt export generator.pt --optimize measure --precision fp16,int8 --html report.html
      ganrt export generator.pt --optimize measure --precision int8 --int8-gate 50
    """
    from rich.console import Console

    notes = Console(stderr=True, markup=False, highlight=False)
    if noise not in ("refuse", "freeze", "input"):
        raise ArgumentError(f"--noise is '{noise}'; it is refuse, freeze or input.")
    target = output or Path(f"{_stem(what, checkpoint)}.ganrt")
    if target.suffix != ".ganrt":
        raise ArgumentError(f"The bundle is one file that ends in .ganrt; {target} does not.")
    fast = {
        "optimize": optimize,
        "precisions": tuple(one.strip() for one in precision.split(",")) if precision else (),
        "int8_gate_db": int8_gate,
    }
    means = {"latent": latent, "label": label, "code": code, "signal": signal, "truncation": truncation, "gives": gives}
    started = time.perf_counter()
    with _status(notes, f"reading {what}") as tell:
        bundle = _export(what, checkpoint, key, means, target, name, license, noise, fast, tell)
    _report(bundle, time.perf_counter() - started)
    if preview is not None:
        _preview(bundle, preview)
    if html is not None:
        from ..report import write_report

        with _status(notes, f"measuring for {html}") as tell:
            write_report(bundle, html, tell)
        typer.echo(f"{html}: samples, fidelity and speed by precision and engine")


def _export(
    what: str,
    checkpoint: Path | None,
    key: str | None,
    means: dict[str, Any],
    target: Path,
    name: str | None,
    license: str,
    noise: str,
    fast: dict[str, Any],
    tell: Progress,
) -> Bundle:
    from ..export import export_generator
    from ..sources import build_module, load_into

    described = any(means.values())
    common: dict[str, Any] = {"name": name, "license": license, "noise": noise, **fast, "progress": tell}
    path = Path(what)
    if path.suffix.lower() == ".onnx":
        from ..onnx_file import export_onnx_file

        if checkpoint is not None:
            raise ArgumentError("An .onnx file brings its weights; leave out --checkpoint.")
        return export_onnx_file(
            path,
            target,
            lambda given, names: _spec(means, given, names),
            name=name,
            license=license,
            **fast,
            progress=tell,
        )
    if ":" in what and not path.exists():
        module, examples = build_module(what)
        if checkpoint is not None:
            load_into(module, checkpoint, key)
        if not described and examples is None:
            raise ArgumentError(
                f"{what} does not say what it takes: give --latent, --label, --code or --signal, or let the function "
                "return (module, example_inputs)."
            )
        spec = _spec_of(module, means, examples) if described else None
        return export_generator(module, target, spec, examples, **common)
    if described:
        raise ArgumentError("A family knows what it takes; leave out --latent and the like, or give my_module:build.")
    return _export_family(what, checkpoint, key, target, common)


def _export_family(what: str, checkpoint: Path | None, key: str | None, target: Path, common: dict[str, Any]) -> Bundle:
    from .. import families
    from ..export import export_generator
    from ..sources import load_checkpoint

    if checkpoint is None and what in families.NAMES and not Path(what).exists():
        raise ArgumentError(f"Which weights? Give them: ganrt export {what} --checkpoint FILE")
    family = None if checkpoint is None else what
    source = load_checkpoint(checkpoint or Path(what), key=key, family=family)
    return export_generator(source.module, target, source.spec, family=source.family, notes=source.notes, **common)


def _spec_of(module: nn.Module, means: dict[str, Any], examples: Any) -> Spec:
    import torch

    from ganrt.spec import Spec, Table

    from ..export import example_tensors
    from ..oracle import Oracle
    from ..signature import call_of

    inputs = _inputs(means)
    tensors = examples if examples is not None else example_tensors(Spec(inputs=inputs, output=Table(columns=("any",))))
    oracle = Oracle(module, call_of(module, tensors))
    with torch.no_grad():
        return _spec(means, oracle.outputs(oracle.call.tensors), ())


def _inputs(means: dict[str, Any]) -> tuple[Any, ...]:
    from .. import describe

    parts: list[Any] = [describe.read_latent(text) for text in means["latent"] or ()]
    parts += [describe.read_signal(text) for text in means["signal"] or ()]
    if means["label"]:
        parts.append(describe.read_label(means["label"]))
    parts += [describe.read_code(text) for text in means["code"] or ()]
    if means["truncation"]:
        parts.append(describe.read_truncation(means["truncation"]))
    return tuple(parts)


def _spec(means: dict[str, Any], given: Any, names: Any) -> Spec:
    from ganrt.spec import Spec

    from .. import describe

    inputs = _inputs(means)
    output, also = describe.read_output(means["gives"], given, inputs)
    return Spec(inputs=inputs, output=output, also=also)


def _stem(what: str, checkpoint: Path | None) -> str:
    if checkpoint is not None:
        return checkpoint.stem
    return what.partition(":")[0].rpartition(".")[2] if ":" in what and not Path(what).exists() else Path(what).stem


@contextmanager
def _status(console: Any, text: str) -> Iterator[Progress]:
    with console.status(text) as status:
        yield lambda step: status.update(step)


def _report(bundle: Bundle, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Console(markup=False, highlight=False)
    manifest = bundle.manifest
    table = Table(title=f"{manifest.name}: its graphs on every engine here, against PyTorch and the fp32 graph")
    for heading in ("engine", "samples", "largest error", "PSNR", "pixels equal", "ms a sample"):
        table.add_column(heading, justify="left" if heading == "engine" else "right", no_wrap=heading == "engine")
    by_precision = sorted(manifest.fidelity.items(), key=lambda item: item[0] != "fp32")
    every = [(precision, name, one) for precision, them in by_precision for name, one in them.items()]
    for precision, _, figures in every:
        label = figures["engine"] + ("" if precision == "fp32" else f", {precision}")
        if "fault" in figures:
            table.add_row(label, "", "refused", "", "", "")
            continue
        equal = f"{figures['identical']:.3%}" if "identical" in figures else ""
        table.add_row(
            label,
            str(figures["samples"]),
            f"{figures['max_error']:.2g}",
            f"{figures['psnr_db']:.0f} dB",
            equal,
            f"{figures.get('ms_per_sample', 0):.3g}",
        )
    shown.print(table)
    facts = bundle.manifest.provenance
    for note in facts.get("notes", ()):
        shown.print(f"note: {note}", soft_wrap=True)
    for precision, engine, figures in every:
        if "fault" in figures:
            shown.print(f"note: {engine} will not serve the {precision} graph: {figures['fault']}", soft_wrap=True)
    if "int8" in manifest.graphs:
        asked = "is for load(precision='int8'); --int8-gate 50 makes one that load() takes by itself"
        shown.print(
            f"int8: {'load() takes it where it is faster' if 'int8' in manifest.automatic else asked}", soft_wrap=True
        )
    for graph, count in facts.get("operations", {}).items():
        line = f"{graph}: {count['multiply_adds']:,} multiply-adds a sample in {count['nodes']} nodes"
        shown.print(line, soft_wrap=True)
    size = sum(entry.size for entry in bundle.manifest.files.values())
    shown.print(
        f"{bundle.path}: {size:,} bytes, {facts.get('parameters', 0):,} parameters, {seconds:.1f} s. "
        f"See it: ganrt info {bundle.path}",
        soft_wrap=True,
    )


def _preview(bundle: Bundle, path: Path) -> None:
    from ganrt import Generator
    from ganrt.media import choose_writer

    if bundle.manifest.spec.signals:
        typer.echo("No preview: this graph takes a signal, which only you have.", err=True)
        return
    with Generator.load(bundle.path) as generator:
        writer = choose_writer(str(path), generator.spec.output, 64, name=generator.name)
        with writer.open() as append:
            append(generator.sample(64))
    typer.echo(f"{path}: 64 samples of seed 0")
