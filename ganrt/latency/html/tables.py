"""Tables of figures: columns of one kind each, numbers to the right, words to the left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .text import element, text

__all__ = ["Column", "bar", "row", "table", "words"]


class Column(NamedTuple):
    """`kind`: the class of its cells in the style sheet; None is numbers."""

    title: str
    kind: str | None = None


def words(title: str) -> Column:
    return Column(title, "words")


def table(
    columns: Sequence[Column], rows: Iterable[str], *, caption: str = "", small: bool = False, scroll: bool = True
) -> str:
    """`rows`: made by `row`. It scrolls sideways by itself where there is no room."""
    head = "".join(element("th", text(one.title), class_="words" if one.kind else None) for one in columns)
    said = element("caption", text(caption)) if caption else ""
    made = element(
        "table",
        said + element("thead", element("tr", head)) + element("tbody", "".join(rows)),
        class_="small" if small else None,
    )
    return element("div", made, class_="scroll") if scroll else made


def row(columns: Sequence[Column], cells: Iterable[str], colour: str | None = None) -> str:
    """`cells`: markup, one for each column."""
    made = [element("td", cell, class_=column.kind) for column, cell in zip(columns, cells, strict=True)]
    return element("tr", "".join(made), class_=colour)


def bar(share: float, said: str) -> str:
    """A bar of a share of its cell, for the kind "barred", and words after it."""
    return element("i", class_="bar", style=f"width:{0.7 * max(0.0, min(1.0, share)):.1%}") + element(
        "span", text(said)
    )
