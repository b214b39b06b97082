"""Lines for people on the terminal: results to stdout, all else to stderr."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["mark", "plain", "print_json", "rows", "say", "show", "size", "two_digits", "waiting"]

_PATIENCE_S = 2.0
_PIPE_WIDTH = 160  # columns where there is no terminal


def show(*things: RenderableType) -> None:
    """Prints to stdout: text as it is, anything else as rich lays it out."""
    for thing in things:
        if isinstance(thing, str):
            print(thing)
        elif sys.stdout is not None:
            _console(sys.stdout).print(thing)


def say(text: str) -> None:
    """Prints a line to stderr."""
    if sys.stderr is None:
        return
    head, colon, rest = text.partition(": ")
    style = "bold red" if head == "Error" else ""
    from rich.text import Text

    _console(sys.stderr).print(Text.assemble((head + colon, style), rest), soft_wrap=True)


def print_json(value: object) -> None:
    """Prints a msgspec struct, dict or list to stdout as indented JSON."""
    show(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def plain(text: object) -> str:
    """The text without what could move a cursor or change colours; names come from strangers' files."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)
    )


def rows(pairs: Iterable[tuple[object, ...]]) -> RenderableType:
    """Lines in columns, as wide as their content; the first column is a heading."""
    from rich.table import Table

    table: Table | None = None
    for cells in pairs:
        if table is None:
            table = Table.grid(padding=(0, 3, 0, 0))
            for index in range(len(cells)):
                table.add_column(style="bold" if index == 0 else "", overflow="fold", no_wrap=index == 0)
        table.add_row(*(plain(cell) for cell in cells))
    return table or ""


def mark(ok: bool | None) -> str:
    """A tick, a cross, or a dash for what was not tried."""
    return {True: "✓", False: "✗", None: "-"}[ok]


def two_digits(value: float) -> str:
    """A positive number to two significant digits, never as a power of ten.

    >>> two_digits(123.4), two_digits(5.67), two_digits(0.00891)
    ('123', '5.7', '0.0089')
    """
    return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def size(count: int) -> str:
    """Bytes for people.

    >>> size(512), size(733546)
    ('512 B', '716 KiB')
    """
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1000 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"


@contextmanager
def waiting(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, once the block has taken two seconds and if someone watches.

    Gives a function to call with how many more of `total` are done.
    """
    done = 0
    bar: Any = None
    lock = threading.Lock()

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if bar is not None:
            bar.update(0, completed=done)

    def appear() -> None:
        nonlocal bar
        with lock:
            if not over:
                bar = _bar()
                bar.add_task(plain(description), total=total, completed=done)
                bar.start()

    over = False
    timer = threading.Timer(_PATIENCE_S, appear)
    timer.daemon = True
    if sys.stderr is not None and sys.stderr.isatty():
        timer.start()
    try:
        yield advance
    finally:
        timer.cancel()
        with lock:
            over = True
            if bar is not None:
                bar.stop()


def _bar() -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=_console(sys.stderr), transient=True)


def _console(stream: Any) -> Console:
    from rich.console import Console

    width = None if stream is not None and stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)
