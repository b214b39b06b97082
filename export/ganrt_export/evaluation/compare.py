"""Two evaluations beside each other: better, worse, or within noise; and a refusal where they cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ganrt.errors import ArgumentError, legible

from .estimate import Estimate
from .results import Evaluation

__all__ = ["SCORES", "Change", "Score", "compare"]

_SURE = 2.0  # standard errors of the difference


class Score(NamedTuple):
    """A field of `Quality`, what people call it, and what is better: -1 less, 1 more, 0 near `ideal`."""

    field: str
    title: str
    better: int
    ideal: float | None = None
    depends_on_size: bool = False


SCORES = (
    Score("frechet_distance", "Fréchet distance", -1, 0.0, depends_on_size=True),
    Score("frechet_unbiased", "  without its bias", -1, 0.0),
    Score("kernel_distance", "kernel distance", -1, 0.0),
    Score("precision", "precision", 1, None, depends_on_size=True),
    Score("recall", "recall", 1, None, depends_on_size=True),
    Score("density", "density", 0, 1.0),
    Score("coverage", "coverage", 1, None, depends_on_size=True),
)


class Change(NamedTuple):
    """`verdict`: "better", "worse", "within noise", or why there is none."""

    score: Score
    old: Estimate
    new: Estimate
    verdict: str


def compare(old: Evaluation, new: Evaluation) -> Iterator[Change]:
    """Every score of both. Raises ArgumentError when they were not measured in the same features by the same data."""
    for what, one, other in (
        ("in different features", _features(old), _features(new)),
        ("by different data", _data(old), _data(new)),
        ("against different parts of the data", old.real.reference, new.real.reference),
    ):
        if one != other:
            raise ArgumentError(f"These were measured {what} ({one}; {other}), and so cannot be compared.")
    same_size = old.judged.samples == new.judged.samples
    for score in SCORES:
        before, after = (getattr(result.quality, score.field) for result in (old, new))
        if score.depends_on_size and not same_size:
            yield Change(score, before, after, "of another number of samples")
        else:
            yield Change(score, before, after, _verdict(score, before, after))


def _verdict(score: Score, old: Estimate, new: Estimate) -> str:
    noise = ((old.error or 0.0) ** 2 + (new.error or 0.0) ** 2) ** 0.5
    if abs(new.value - old.value) <= _SURE * noise:
        return "within noise"
    if score.better:
        gain = score.better * (new.value - old.value)
    else:
        assert score.ideal is not None
        gain = abs(old.value - score.ideal) - abs(new.value - score.ideal)
    return "better" if gain > 0 else "worse"


def _features(result: Evaluation) -> str:
    return f"'{legible(result.features.name, 60)}' {legible(result.features.digest[:8])}"


def _data(result: Evaluation) -> str:
    """Where they are from, how many were used of each part, and the digest of the pictures as they were compared."""
    facts, held_out = result.real.facts, result.real.facts.get("held_out", {})
    digests = "+".join(legible(str(one.get("sha256", ""))[:8]) for one in (facts, held_out) if one)
    name = legible(str(facts.get("name", "")), 60)
    return f"{name} {digests}, {result.real.training:,} and {result.real.held_out:,} pictures"
