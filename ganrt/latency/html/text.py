"""Words and numbers as the page shows them; whatever comes from a file passes through `text` on its way into it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

__all__ = ["amount", "attributes", "bytes_of", "element", "ms", "number", "text"]


def text(value: object) -> str:
    """The value as HTML text or inside an attribute's quotation marks: nothing in it can be markup, or turn the line.

    >>> text("<b> & \\u202eevil")
    '&lt;b&gt; &amp; ?evil'
    """
    return escape("".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in str(value)))


def attributes(given: Mapping[str, object]) -> str:
    """` name="value"` for each that is not None; `class_` is class, and other underscores are hyphens.

    >>> attributes({"class_": "c1", "text_anchor": "end", "x": 1.25, "y": None})
    ' class="c1" text-anchor="end" x="1.25"'
    """
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_short(value) if isinstance(value, float) else text(value)}"'
        for name, value in given.items()
        if value is not None
    )


def element(name: str, content: str = "", /, **given: object) -> str:
    """An element around `content`, which is markup already.

    >>> element("i", text("<"), title='"')
    '<i title="&quot;">&lt;</i>'
    """
    return f"<{name}{attributes(given)}>{content}</{name}>"


def number(value: float | None) -> str:
    """Three significant digits, never a power of ten; "" for None.

    >>> number(0.61234), number(12345.6), number(0.0), number(None)
    ('0.612', '12,346', '0', '')
    """
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    shown = f"{value:#.3g}"
    return f"{value:.6f}".rstrip("0") if "e" in shown else shown.rstrip(".")


def ms(value: float | None) -> str:
    """Milliseconds with their unit, seconds from ten on.

    >>> ms(0.61234), ms(12345), ms(None)
    ('0.612 ms', '12.3 s', '')
    """
    if value is None:
        return ""
    return f"{number(value / 1000)} s" if value >= 10_000 else f"{number(value)} ms"


def amount(value: float) -> str:
    """Thousands, millions and billions shortened.

    >>> amount(104628224), amount(950), amount(2.5e12)
    ('105 M', '950', '2,500 G')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if value >= size:
            return f"{number(value / (1e3 if unit == 'k' else size))} {unit}"
    return number(value)


def bytes_of(value: float) -> str:
    """
    >>> bytes_of(512), bytes_of(14306816)
    ('512 B', '13.6 MiB')
    """
    unit = "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} B" if unit == "B" else f"{number(value)} {unit}"


def _short(value: float) -> str:
    """Coordinates to a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
