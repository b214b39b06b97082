"""The table of commands: ganrt's own, and those that other packages bring.

A plug-in is an entry point of the group `ganrt.commands` that names a function with typer's annotations, or a Typer
app. It is loaded when its command is run and not before: `ganrt --help` stays quick and never imports the build side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer

from .. import __version__
from ..errors import GanrtError, MissingExtra
from . import bench, doctor, info, interpolate, sample, tune, verify
from .failure import Interrupted
from .terminal import show

__all__ = ["app", "run"]

_BUILD_SIDE = "Build (needs ganrt\\[export])"
_DESCRIPTIONS = {
    "train": "Train a generator and write it as a bundle.",
    "export": "Turn a trained PyTorch generator into a bundle.",
    "augment": "Fill up a labelled folder of pictures with generated ones.",
    "build": "Build engines into a bundle, ahead of time.",
    "evaluate": "Judge a generator against real data.",
}

app = typer.Typer(
    name="ganrt",
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _ganrt(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where a failure came from. Works anywhere.")] = False,
) -> None:
    """Run GAN generators fast, anywhere, with the same result.

    \b
    First steps:
      ganrt sample digits                       64 digits into digits.png
      ganrt sample digits --label 3 -o 3s.png   only threes
      ganrt interpolate digits                  a walk, as digits-walk.gif
      ganrt info digits                         how to call it from Python
      ganrt doctor                              what this machine can run

    ganrt COMMAND --help explains each, with examples.
    """
    if version:
        show(f"ganrt {__version__}")
    elif context.invoked_subcommand is None:
        show(context.get_help())


def run(words: Sequence[str]) -> int:
    """Runs one command line; returns its exit code, raises whatever goes wrong."""
    result = app(args=list(words), prog_name="ganrt", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def interruptible(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as stop:
            raise Interrupted from stop

    return interruptible


def _add_plug_in(entry: EntryPoint) -> None:
    ours = entry.dist is not None and entry.dist.name == "ganrt"

    def command(context: typer.Context) -> None:
        plug_in = _load(entry, ours)
        if not isinstance(plug_in, typer.Typer):
            function, plug_in = plug_in, typer.Typer(add_completion=False, rich_markup_mode="rich")
            plug_in.command()(_interruptible(function))
        code = plug_in(args=context.args, prog_name=f"ganrt {entry.name}", standalone_mode=False)
        raise typer.Exit(code if isinstance(code, int) else 0)

    app.command(
        entry.name,
        help=_DESCRIPTIONS.get(entry.name, "") if ours else f"From {entry.dist.name if entry.dist else entry.module}.",
        rich_help_panel=_BUILD_SIDE if ours else "Plug-ins",
        add_help_option=False,  # the plug-in's own --help is the one to show
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(command)


def _load(entry: EntryPoint, ours: bool) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as problem:
        if ours:
            raise MissingExtra(
                f"'ganrt {entry.name}' cannot be loaded ({problem}). Install what it needs: pip install 'ganrt[export]'"
            ) from problem
        raise GanrtError(f"'ganrt {entry.name}' cannot be loaded from {entry.value}: {problem}.") from problem


for _name, _module in (
    ("sample", sample),
    ("interpolate", interpolate),
    ("info", info),
    ("verify", verify),
    ("tune", tune),
    ("bench", bench),
    ("doctor", doctor),
):
    app.command(_name)(_interruptible(_module.command))
_own = {command.name for command in app.registered_commands}
for _entry in {entry.name: entry for entry in sorted(entry_points(group="ganrt.commands"))}.values():
    if _entry.name not in _own:
        _add_plug_in(_entry)
