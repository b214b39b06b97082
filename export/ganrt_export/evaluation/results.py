"""What an evaluation found: plain numbers with all that they depend on, as JSON and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from ganrt.errors import ArgumentError, legible

from .copies import Memorising, Repetition
from .estimate import Estimate
from .modes import Classes, Clusters

__all__ = ["Evaluation", "Judged", "Network", "Quality", "Real", "Reference", "read"]

FORMAT = 1
Reference = Literal["held-out", "training"]


class Judged(msgspec.Struct, frozen=True):
    """What was judged: a bundle by its digest, in one way of computing, and which samples of it.

    `labels`: "data", "uniform", or "" for a generator that takes none.
    """

    name: str
    digest: str
    way: str
    samples: int
    seed: int
    labels: str = ""
    truncation: float | None = None


class Real(msgspec.Struct, frozen=True):
    """What it was judged by: `reference` says which of the two parts; `facts` where they come from."""

    training: int
    held_out: int
    reference: Reference
    facts: dict[str, Any]


class Network(msgspec.Struct, frozen=True):
    """The features that all distances are measured in; scores of another `digest` are other scores."""

    name: str
    says: str
    digest: str
    dimensions: int


class Quality(msgspec.Struct, frozen=True):
    """Scores of a set of pictures against the reference; `frechet.py`, `kernel.py` and `manifold.py` say which."""

    frechet_distance: Estimate
    frechet_unbiased: Estimate
    kernel_distance: Estimate
    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


class Evaluation(msgspec.Struct, frozen=True):
    """All of it. `real_quality`: of the other part of the real pictures, which a perfect generator would reach.

    `classes`: None where nobody tells them apart; `memorising`: None where no pictures were held out; `notes`: what the
    figures do not say by themselves.
    """

    format: int
    ganrt: str
    judged: Judged
    real: Real
    features: Network
    quality: Quality
    real_quality: Quality
    clusters: Clusters
    repetition: Repetition
    classes: Classes | None = None
    memorising: Memorising | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def read(path: Path) -> Evaluation:
    """An evaluation that was printed as JSON. Raises ArgumentError when the file holds none."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except OSError as problem:
        raise ArgumentError(f"{path} cannot be read: {problem.strerror}.") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ArgumentError(f"{path} holds no result of ganrt evaluate --json: {legible(problem, 120)}.") from problem
    if result.format != FORMAT:
        raise ArgumentError(f"{path} was written by another version of ganrt; evaluate again.")
    return result
