"""Two graphs as one session: the first makes w of the latents, the second pictures of w (StyleGAN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import DTypeLike, NDArray

from .base import Session, SessionInfo

__all__ = ["Chain", "W"]

W = "w"  # what the first graph gives and the second takes


class Chain:
    """`mapping` then `synthesis`, each a session of the same engine."""

    def __init__(self, mapping: Session, synthesis: Session) -> None:
        self.mapping, self.synthesis = mapping, synthesis

    @property
    def info(self) -> SessionInfo:
        return self.synthesis.info

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return self.synthesis.empty(shape, dtype)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        self.synthesis.run(self.mapping.evaluate(inputs, (W,)), outputs)

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        return self.synthesis.evaluate(self.mapping.evaluate(inputs, (W,)), outputs)

    def close(self) -> None:
        self.mapping.close()
        self.synthesis.close()
