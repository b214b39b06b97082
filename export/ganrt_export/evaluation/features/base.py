"""What scores are measured in: a network that makes numbers of pictures, and how it is told from any other."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Features"]


class Features(Protocol):
    """A network. Scores of one compare with scores of no other: `digest` tells them apart.

    `name`: as it is asked for; `says`: what it is, in a line; `digest`: SHA-256 of its weights and of what is done to
    pictures before; `dimensions`: of what it makes.
    """

    @property
    def name(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def dimensions(self) -> int: ...

    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features float32 [n, dimensions] of pictures uint8 [n, height, width, channels]."""
        ...
