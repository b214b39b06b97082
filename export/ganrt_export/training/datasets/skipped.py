"""Files that could not be used, for one sentence about all of them."""

from __future__ import annotations

from pathlib import Path

from ganrt.errors import legible

__all__ = ["Skipped"]

_NAMED = 5  # files that are named for each reason


class Skipped:
    """Collects files with the reason of each; as text, what was skipped, counted and named.

    >>> skipped = Skipped()
    >>> skipped.add(Path("cats/1.png"), "damaged")
    >>> f"{skipped}"
    '1 damaged (1.png)'
    """

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, file: Path, reason: str) -> None:
        self._names.setdefault(reason, []).append(file.name)

    def __bool__(self) -> bool:
        return bool(self._names)

    def __str__(self) -> str:
        return "; ".join(f"{len(names)} {reason} ({_some(names)})" for reason, names in self._names.items())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return legible(", ".join(names[:_NAMED])) + more
