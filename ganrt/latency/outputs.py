"""Are the outputs that were timed worth their time? New in every call: an engine has been seen to repeat itself."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FidelityError

__all__ = ["Distinct"]

_REMEMBERED = 1 << 18  # digests; beyond it a row is compared with these, and with its own call
_CHANCE = 0.01  # of the rows of a small coarse picture may happen to be alike


class Distinct:
    """Looks at every output; `demand` raises when more than one in a hundred had been seen before."""

    def __init__(self) -> None:
        self.rows = self.repeated = 0
        self._seen: set[bytes] = set()

    def look(self, outputs: NDArray[Any]) -> None:
        """Outputs of one call, the batch first. Raises FidelityError when they are not finite."""
        if outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
            raise FidelityError(f"Call {self.rows // len(outputs)} gave numbers that are not finite.")
        digests = [blake2b(row.data, digest_size=8).digest() for row in np.ascontiguousarray(outputs)]
        fresh = set(digests) - self._seen
        self.rows += len(digests)
        self.repeated += len(digests) - len(fresh)
        if len(self._seen) < _REMEMBERED:
            self._seen |= fresh

    def demand(self) -> None:
        """Raises FidelityError when the outputs repeat."""
        if self.repeated > _CHANCE * self.rows:
            raise FidelityError(
                f"{self.repeated} of {self.rows} outputs repeat earlier ones, though every call had new latents; "
                "the engine does not compute them."
            )
