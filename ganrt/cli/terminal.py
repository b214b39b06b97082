"""Lines for people on the terminal: results to stdout, all else to stderr."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Bar", "mark", "plain", "print_json", "rows", "say", "show", "size", "two_digits", "waiting"]

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


class Bar:
    """Progress of one thing: call it with how many more are done, `describe` what it does now."""

    def __init__(self, description: str, total: int | None) -> None:
        self._description, self._total, self._done = description, total, 0
        self._shown: Any = None
        self._over = False
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        self._done += count
        if self._shown is not None:
            self._shown.update(0, completed=self._done)

    def describe(self, text: str) -> None:
        self._description = text
        if self._shown is not None:
            self._shown.update(0, description=plain(text))

    def appear(self) -> None:
        with self._lock:
            if not self._over:
                self._shown = _columns()
                self._shown.add_task(plain(self._description), total=self._total, completed=self._done)
                self._shown.start()

    def end(self) -> None:
        with self._lock:
            self._over = True
            if self._shown is not None:
                self._shown.stop()


@contextmanager
def waiting(description: str, total: int | None = None) -> Iterator[Bar]:
    """A progress bar on stderr, once the block has taken two seconds and if someone watches."""
    bar = Bar(description, total)
    timer = threading.Timer(_PATIENCE_S, bar.appear)
    timer.daemon = True
    if sys.stderr is not None and sys.stderr.isatty():
        timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        bar.end()


def _columns() -> Any:
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
