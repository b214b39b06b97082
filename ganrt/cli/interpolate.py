"""`ganrt interpolate`: a walk between seeds as a film."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from ..errors import ArgumentError
from .options import WHAT, WHERE, Backend, Codes, Json, Precision, Source, Threads, Truncation, read_codes
from .terminal import plain, print_json, show, waiting

__all__ = ["WalkReport", "command"]


class WalkReport(msgspec.Struct, frozen=True):
    """What --json prints."""

    path: str
    seeds: list[int]
    frames: int
    backend: str
    precision: str


def command(
    source: Source,
    seeds: Annotated[
        str, typer.Option(metavar="N,N,...", help="Where the walk begins, passes and ends.", rich_help_panel=WHAT)
    ] = "3,11",
    frames: Annotated[int, typer.Option(metavar="N", help="How many pictures.", rich_help_panel=WHAT)] = 60,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL", help="A class by index or name; by default the first seed's.", rich_help_panel=WHAT
        ),
    ] = None,
    code: Codes = None,
    truncation: Truncation = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A film (.gif .mp4), a strip (.png .jpg .webp), arrays (.npy), or a folder for a picture each: "
            "end it with /. By default NAME-walk.gif.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    fps: Annotated[float, typer.Option(metavar="N", help="Pictures a second.", rich_help_panel=WHERE)] = 30,
    scale: Annotated[
        int | None,
        typer.Option(metavar="N", help="Enlarge N times; small films are by default.", rich_help_panel=WHERE),
    ] = None,
    json: Json = False,
    backend: Backend = "auto",
    threads: Threads = None,
    precision: Precision = "auto",
) -> None:
    """Walk between seeds, as a film.

    Every picture on the way is as likely as the ends.

    \b
    Examples:
      ganrt interpolate digits                           into digits-walk.gif
      ganrt interpolate digits --seeds 3,11,3 --label 7  there and back
      ganrt interpolate digits --frames 240 -o walk.mp4
      ganrt interpolate digits --frames 12 -o strip.png  side by side
    """
    from ..generator import Generator
    from ..media import choose_writer

    numbers = _seeds(seeds)
    with waiting(f"opening {source}") as bar:
        generator = Generator.load(source, backend=backend, threads=threads, precision=precision, progress=bar.describe)
    with generator:
        writer = choose_writer(
            output,
            generator.spec.output,
            frames,
            name=f"{generator.name}-walk",
            seed=numbers[0],
            columns=frames,
            scale=scale,
            fps=fps,
        )
        draw: dict[str, Any] = {"label": label, "code": read_codes(code), "truncation": truncation}
        with waiting(f"walking through {generator.name}"), writer.open() as append:
            append(generator.interpolate(*numbers, frames=frames, **draw))
        report = WalkReport(str(writer.path), numbers, frames, generator.backend, generator.precision)
    if json:
        print_json(report)
        return
    through = " to ".join(map(str, numbers))
    show(f"{plain(report.path)}: {frames} frames, seeds {through}, {report.backend} {report.precision}")


def _seeds(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as problem:
        raise ArgumentError(f"The seeds '{text}' are not whole numbers with commas between, such as 3,11.") from problem
