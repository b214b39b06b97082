"""PyAV, which decodes films and sounds: an optional package, so imported when it is needed."""

from __future__ import annotations

from typing import Any

from ganrt.errors import MissingExtra

__all__ = ["pyav"]


def pyav(doing: str) -> Any:
    """The module `av`. Raises MissingExtra; `doing` begins its sentence: "Reading sounds"."""
    try:
        import av
    except (ImportError, OSError) as problem:
        raise MissingExtra(f"{doing} needs PyAV; install it with: pip install 'ganrt[media]'") from problem
    return av
