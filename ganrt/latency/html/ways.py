"""Rows as the page tells them apart: a colour, a mark and a name for each way of computing, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..results import Asked, Report, Timing
from .svg import marker
from .text import element, text

__all__ = ["COLOURS", "Way", "legend", "name_of", "ways"]

COLOURS = 6  # in the style sheet, .c0 to .c5; a seventh way has the first one's colour and another mark


class Way(NamedTuple):
    """`rows`: all rows of it, in the order of their batch sizes."""

    at: int
    name: str
    rows: list[Timing]

    @property
    def colour(self) -> str:
        return f"c{self.at % COLOURS}"

    @property
    def mark(self) -> int:
        return self.at + self.at // COLOURS

    def key(self) -> str:
        """Its mark and name, in words and colour."""
        drawn = element("svg", marker(self.mark, 7, 7), viewBox="0 0 14 14", class_="key", aria_hidden="true")
        return element("span", drawn + element("span", text(self.name)), class_=f"way {self.colour}")


def ways(report: Report) -> list[Way]:
    """Every way of the report, in the order of its rows."""
    by_key: dict[tuple[str, Asked], list[Timing]] = {}
    for row in report.rows:
        by_key.setdefault((row.scenario, row.asked), []).append(row)
    names = [name_of(rows, asked) for (_, asked), rows in by_key.items()]
    found = []
    for place, ((scenario, asked), rows) in enumerate(by_key.items()):
        name = names[place] if scenario == "single_stream" else f"{scenario}: {names[place]}"
        if names.count(names[place]) > 1:  # two ways of asking for the same
            name += f" (asked: {asked.backend} {asked.precision} {asked.form})"
        found.append(Way(place, name, sorted(rows, key=lambda row: row.batch)))
    return found


def name_of(rows: Sequence[Timing], asked: Asked) -> str:
    """What ran in these rows, in a few words; what was asked for where that differs from row to row, or nothing ran.

    Threads are told where they were asked for; what each row had of them, and of streams, the rows' own table says.
    """
    calls = [call for row in rows for call in row.ran]
    # versions stand in the head of the page
    engines = {" ".join(word for word in call.engine.split() if not word[0].isdigit()) for call in calls}
    engine = _only(engines, asked.backend)
    precision = _only({call.precision for call in calls}, asked.precision)
    form = _only({call.form for call in calls}, asked.form)
    words = [engine, precision.upper() if precision != "auto" else "", "" if form in ("plain", "auto") else form]
    if asked.threads:
        words.append(f"{asked.threads} thread{'s' if asked.threads > 1 else ''}")
    return " ".join(filter(None, words))


def _only(found: set[str], otherwise: str) -> str:
    """The one that was found; what was asked for where there were several, or none."""
    return next(iter(found)) if len(found) == 1 else otherwise


def legend(shown: Sequence[Way]) -> str:
    """The keys in a line; nothing where there is only one way."""
    return element("p", "".join(way.key() for way in shown), class_="legend") if len(shown) > 1 else ""
