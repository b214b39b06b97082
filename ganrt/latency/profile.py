"""Where the time of a call goes: its stages, the engine's operations, what it computes and moves, its energy."""

from __future__ import annotations

import msgspec

from .energy import Energy
from .operations import Operations
from .stages import Stages
from .work import Work

__all__ = ["Profile"]


class Profile(msgspec.Struct, frozen=True):
    """Of one call of `batch` samples. `operations` None: the engine does not tell, and `note` says why.

    `weights`: bytes of weights that all engine calls of the call read. `energy`: of `energy_samples` samples.
    """

    batch: int
    stages: Stages
    operations: Operations | None
    work: Work
    weights: int
    energy: Energy
    energy_samples: int
    note: str = ""
