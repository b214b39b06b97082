"""`ganrt build`: engines for GPUs that need not be here, built into a bundle."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganrt.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from ganrt.bundle import Bundle

    from ..engines import Built, Span

__all__ = ["command"]

_WHAT, _SIZES, _OUT = "What to build", "The sizes it runs at", "The bundle"
_PER_CENT = 100


def command(
    source: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A .ganrt file; or a folder, 'digits', an .onnx, each with -o.")
    ],
    engine: Annotated[
        str,
        typer.Option(
            metavar="ENGINE",
            help="tensorrt-rtx: RTX GPUs, built here without one. tensorrt: datacentre GPUs and Jetson, built on the "
            "GPU that will run it.",
            rich_help_panel=_WHAT,
        ),
    ] = "tensorrt-rtx",
    capability: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIST",
            help="Compute capabilities of the GPUs: 7.5 RTX 20, 8.0 A100, 8.6 RTX 30, 8.9 RTX 40, 12.0 RTX 50. "
            "One engine serves all that are named, and is no larger for it.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIST",
            help="fp16, fp32 or both; an engine each. All that the bundle has a graph for if left out.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LEAST:BEST:MOST",
            help="Samples a call: it runs from LEAST to MOST, and is fastest at BEST. Repeat it for several, e.g. "
            "1:1:1 and 1:16:64. More samples need more GPU memory. Chosen by the output's size if left out.",
            rich_help_panel=_SIZES,
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LEAST:BEST:MOST",
            help="For a graph that takes any size: height=64:256:512,width=64:256:512, or length=80:400:1600; one "
            "number is that size only.",
            rich_help_panel=_SIZES,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.ganrt", help="By default the bundle itself.", rich_help_panel=_OUT
        ),
    ] = None,
) -> None:
    """Build engines into a bundle, ahead of time and without a GPU.

    An engine holds the generator compiled for some GPUs, at the sizes of its profiles. The bundle keeps its graphs, so
    that it runs everywhere else as before; it is replaced whole or not at all. Two builds never give equal bytes.

    \b
    Examples:
      ganrt build faces.ganrt --capability 8.6,8.9,12.0
      ganrt build faces.ganrt --capability 8.6,12.0 --precision fp16 --profile 1:1:1 --profile 1:16:64
      ganrt build upscale.ganrt --capability 8.9 --size height=64:256:512,width=64:256:512 -o upscale-rtx40.ganrt
    """
    from ganrt.bundle import Bundle
    from ganrt.cli.failure import Interrupted

    from ..engines import add_engines

    bundle = Bundle.open(source)
    target = _target(source, bundle, output)
    batches, sizes = [_span(text) for text in profile or ()], dict(_sizes(size or ()))
    asked = {
        "engine": engine,
        "capabilities": _words(capability),
        "precisions": _words(precision),
        "batches": batches,
        "sizes": sizes,
    }
    try:
        started = time.perf_counter()
        built = _build(bundle, asked)
        seconds = time.perf_counter() - started
        replaced = target.exists()
        written = add_engines(bundle, built, target)
    except KeyboardInterrupt as stop:
        raise Interrupted from stop
    gone = sorted(set(bundle.manifest.engines) - set(written.manifest.engines))
    _report(written, built, gone, replaced, seconds)


def _build(bundle: Bundle, asked: dict[str, Any]) -> Built:
    """With a bar on the terminal, once it takes more than two seconds."""
    from ganrt.cli.terminal import waiting

    from ..engines import build_engines

    with waiting(f"building for {asked['engine']}", _PER_CENT) as advance:
        shown = 0

        def tell(name: str, share: float) -> None:
            nonlocal shown
            done = int(share * _PER_CENT)
            if done > shown:
                advance(done - shown)
                shown = done

        return build_engines(bundle, progress=tell, **asked)


def _target(source: str, bundle: Bundle, output: Path | None) -> Path:
    """Where the bundle goes; what would fail after the build fails before it."""
    from ganrt.bundle import bundled_names

    if output is None:
        if source in bundled_names():
            raise ArgumentError(
                f"'{source}' ships with ganrt and stays as it is; say where the new bundle goes with -o."
            )
        if bundle.path.suffix.lower() != ".ganrt" or bundle.path.is_dir():
            raise ArgumentError(f"{bundle.path} is no .ganrt file to replace; say where the new bundle goes with -o.")
    target = bundle.path.resolve() if output is None else output  # behind a link: the file, not the link
    if target.suffix.lower() != ".ganrt":
        raise ArgumentError(f"The bundle is one file that ends in .ganrt; {target} does not.")
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist; make it, or choose another place with -o.")
    if not os.access(folder, os.W_OK) or target.is_dir():
        raise OutputError(f"{target} cannot be written; choose another place with -o.")
    return target


def _words(texts: list[str] | None) -> list[str]:
    """Repeated options and lists with commas alike.

    >>> _words(["8.6,12.0", "8.9"])
    ['8.6', '12.0', '8.9']
    """
    return [word.strip() for text in texts or () for word in text.split(",") if word.strip()]


def _span(text: str) -> Span:
    """(least, best, most) of "1:16:64"; all three of "8".

    >>> _span("1:16:64"), _span("8")
    ((1, 16, 64), (8, 8, 8))
    """
    words = text.split(":")
    if len(words) not in (1, 3) or not all(word.isdecimal() and len(word) < 9 for word in words):
        raise ArgumentError(f"'{text}' is not LEAST:BEST:MOST, three whole numbers such as 1:16:64, or one number.")
    numbers = [int(word) for word in words]
    return (numbers[0], numbers[len(numbers) // 2], numbers[-1])


def _sizes(texts: list[str] | tuple[str, ...]) -> list[tuple[str, Span]]:
    """Names and spans of "height=64:256:512,width=512"."""
    found = []
    for word in _words(list(texts)):
        name, equals, span = word.rpartition("=")
        if not equals or not name:
            raise ArgumentError(f"'{word}' is not NAME=LEAST:BEST:MOST, such as height=64:256:512.")
        found.append((name, _span(span)))
    return found


def _report(bundle: Bundle, built: Built, gone: list[str], replaced: bool, seconds: float) -> None:
    from ganrt.cli.terminal import show
    from ganrt.cli.terminal import size as bytes_for_people

    files = bundle.manifest.files
    for name, engine in built.engines.items():
        members = [file for file in (engine.mapping, engine.file) if file is not None]
        total = bytes_for_people(sum(files[member].size for member in members))
        spans = " and ".join(_words_of(profile.batch) for profile in engine.profiles)
        show(f"{name}: {total}, {spans} samples a call, {engine.engine} {engine.version}")
    if gone:
        show(f"Replaced or out of date, and left out: {', '.join(gone)}")
    show(
        f"{bundle.path}{' was replaced' if replaced else ''}: "
        f"{bytes_for_people(sum(entry.size for entry in files.values()))}, {seconds:.1f} s. "
        f"Built, not run: that needs the GPU. See it: ganrt info {bundle.path}"
    )


def _words_of(span: Span) -> str:
    least, best, most = span
    return str(most) if least == most else f"{least} to {most} (best at {best})"
