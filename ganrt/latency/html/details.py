"""What the page shows beyond a report: made by the command that writes it."""

from __future__ import annotations

import msgspec

__all__ = ["Details", "Exhibit"]


class Exhibit(msgspec.Struct, frozen=True):
    """Something that a generator made, to look at or listen to: a file of the type `mime`, "image/png" or "audio/wav".

    `width`: of a picture, in pixels of the page. `coarse`: its pixels are to be seen as squares.
    """

    caption: str
    mime: str
    data: bytes
    width: int = 0
    coarse: bool = False


class Details(msgspec.Struct, frozen=True):
    """`exhibits`: the same samples from each way, after the references. `commands`: what to type to see it again, each
    after a remark."""

    exhibits: list[Exhibit] = []
    commands: list[tuple[str, str]] = []
