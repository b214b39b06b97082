"""`ganrt sample`: draw samples into a picture, a folder, an array or a sound."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .options import WHAT, WHERE, Backend, Codes, Json, Precision, Source, Threads, Truncation, read_codes, read_labels
from .terminal import plain, print_json, show, two_digits, waiting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spec import Spec

__all__ = ["SampleReport", "command"]

_MOST_COLUMNS = 20


class SampleReport(msgspec.Struct, frozen=True):
    """What --json prints. `sampling_s` is the time in the generator alone: no loading, no encoding, no disk."""

    path: str
    n: int
    seed: int
    start: int
    backend: str
    precision: str
    sampling_s: float
    ms_per_sample: float


def command(
    source: Source,
    n: Annotated[int, typer.Option("-n", metavar="N", help="How many samples.", rich_help_panel=WHAT)] = 64,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same samples.", rich_help_panel=WHAT)
    ] = 0,
    start: Annotated[
        int,
        typer.Option(metavar="N", help="Index of the first sample; 64 carries on after -n 64.", rich_help_panel=WHAT),
    ] = 0,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="A class by index or name, or several to take in turn: 0,3,7 or 0-9 or all; drawn if left out.",
            rich_help_panel=WHAT,
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
            help="A picture (.png .jpg .webp), arrays (.npy .npz), a sound (.wav .flac), a table (.csv), "
            "or a folder for a file each: end it with /. By default the generator's name.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Format of the files in a folder, e.g. jpg.", rich_help_panel=WHERE),
    ] = None,
    columns: Annotated[
        int | None, typer.Option(metavar="N", help="Columns of the grid.", rich_help_panel=WHERE, show_default=False)
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Enlarge each picture N times; small grids are by default.", rich_help_panel=WHERE
        ),
    ] = None,
    json: Json = False,
    backend: Backend = "auto",
    threads: Threads = None,
    precision: Precision = "auto",
) -> None:
    """Draw samples into a picture, a folder or an array.

    Sample i of a seed is always the same, whatever -n, the machine or the engine.

    \b
    Examples:
      ganrt sample digits                                64, into digits.png
      ganrt sample digits --seed 7 --label 3 -o 3s.png   only threes
      ganrt sample digits -n 100 --label 0-9 -o all.png  a column for each
      ganrt sample digits -n 1000 -o digits/             a PNG each
      ganrt sample digits -n 60000 -o digits.npz         for numpy.load
      ganrt sample faces.ganrt --truncation 0.7 -o faces.jpg
    """
    from ..generator import Generator
    from ..media import choose_writer

    with waiting(f"opening {source}") as bar:
        generator = Generator.load(source, backend=backend, threads=threads, precision=precision, progress=bar.describe)
    with generator:
        labels = read_labels(label, generator.spec.label)
        draw: dict[str, Any] = {
            "seed": seed,
            "start": start,
            "label": _cycled(labels, n, start),
            "truncation": truncation,
        }
        draw["code"] = read_codes(code)
        batches = generator.stream(n, **draw)
        if columns is None and 1 < len(labels) <= _MOST_COLUMNS:
            columns = len(labels)  # a column for each label
        writer = choose_writer(
            output,
            generator.spec.output,
            n,
            name=generator.name,
            seed=seed,
            start=start,
            labels=labels,
            format=format,
            columns=columns,
            scale=scale,
            beside=lambda: _beside(generator.spec, n, draw),
        )
        spent = 0.0
        with writer.open() as append, waiting(generator.name, total=n) as advance:
            clock = time.perf_counter()
            for batch in batches:
                spent += time.perf_counter() - clock
                append(batch)
                advance(len(batch))
                clock = time.perf_counter()
        report = SampleReport(
            path=str(writer.path),
            n=n,
            seed=seed,
            start=start,
            backend=generator.backend,
            precision=generator.precision,
            sampling_s=spent,
            ms_per_sample=spent * 1000 / n,
        )
    if json:
        print_json(report)
        return
    show(
        f"{plain(writer.path)}: {n} sample{'s' if n > 1 else ''}, seed {seed}, "
        f"{report.backend} {report.precision}, {two_digits(report.ms_per_sample)} ms a sample"
    )


def _cycled(labels: list[int | str], n: int, start: int) -> list[int | str] | int | str | None:
    """One label for all, or the next in turn for each; by the sample's index, so that -n and --start change nothing."""
    if len(labels) < 2:
        return labels[0] if labels else None
    return [labels[(start + i) % len(labels)] for i in range(n)]


def _beside(spec: Spec, n: int, draw: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """What an .npz says about its samples: their seed and index, and their class where there are classes."""
    import numpy as np

    from ..latents import Draws, draw_label

    seed, start = draw["seed"], draw["start"]
    arrays = {"seed": np.array(seed, np.uint64), "index": np.arange(start, start + n)}
    if spec.label is not None:
        fixed = Draws(spec, count=n, **draw).labels
        arrays["label"] = draw_label(spec.label, seed, start, n) if fixed is None else np.resize(fixed, n)
    return arrays
