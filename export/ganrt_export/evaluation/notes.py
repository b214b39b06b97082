"""What a reader of the figures should know and might not see in them, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from .copies import COPYING, Memorising, Repetition
from .modes import LEAST_OF_SHARE, Classes, Clusters
from .results import Quality

__all__ = ["of_copies", "of_modes", "of_size"]

_BIAS = 0.1  # of a Frechet distance, beyond which it is told
_TIMES = 3  # as many near-identical samples as real pictures
_HIT = 0.9  # of clusters
_KNOWN = 0.8  # of held-out pictures


def of_size(quality: Quality, samples: int, reference: int, dimensions: int) -> Iterator[str]:
    """Is the Frechet distance of so few pictures worth anything?"""
    few, distance = min(samples, reference), quality.frechet_distance.value
    bias = (distance - quality.frechet_unbiased.value) / distance if distance > 0 else 0.0
    if few <= dimensions:
        yield (
            f"{few:,} pictures are too few for the covariance of {dimensions:,} features: the Fréchet distance is "
            "mostly bias. Go by the kernel distance, which has none, or give more (-n, --data)."
        )
    elif bias > _BIAS:
        yield (
            f"About {min(bias, 1):.0%} of the Fréchet distance is the bias of few pictures ({samples:,} samples, "
            f"{reference:,} real ones): compare it only with one of as many."
        )


def of_modes(classes: Classes | None, clusters: Clusters) -> Iterator[str]:
    """Are kinds of pictures missing?"""
    if classes is not None and classes.classifier.value < _KNOWN:
        yield (
            f"The classifier knows only {classes.classifier.value:.1%} of the held-out pictures: what it says of "
            "classes, and distances in its features, are worth little; give it more --epochs, or other --features."
        )
    if classes is not None and classes.hit < classes.of:
        missing = [name for name, share in classes.real_shares.items() if share and _rare(classes, name)]
        yield f"{len(missing)} of {classes.of} classes are missing, or nearly: {', '.join(missing[:8])}."
    if clusters.hit < _HIT * clusters.real_hit:
        yield (
            f"Mode collapse: the samples hit {clusters.hit} of {clusters.of} clusters of the training pictures, "
            f"held-out pictures {clusters.real_hit}."
        )


def of_copies(repetition: Repetition, memorising: Memorising | None) -> Iterator[str]:
    """Does it repeat itself, or its data?"""
    if repetition.distinct < repetition.of:
        yield (
            f"Only {repetition.distinct:,} of {repetition.of:,} samples differ in any pixel; one came "
            f"{repetition.most:,} times."
        )
    elif repetition.near.value > _TIMES * max(repetition.real_near.value, 1 / repetition.of):
        yield (
            f"{repetition.near.value:.1%} of the samples are nearly the same as another, of as many real pictures "
            f"{repetition.real_near.value:.1%}."
        )
    if memorising is not None and memorising.c_t is not None and memorising.c_t < COPYING:
        yield (
            "Memorising: the samples are nearer to training pictures than held-out pictures are "
            f"(C_T {memorising.c_t:.1f})."
        )


def _rare(classes: Classes, name: str) -> bool:
    return classes.shares[name] < LEAST_OF_SHARE * classes.real_shares[name]
