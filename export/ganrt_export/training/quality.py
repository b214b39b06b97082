"""How good are the samples? A generator of labelled images against digits that neither it nor the judge has seen.

Class accuracy: the share of samples that the judge takes for the digit that was asked for. Precision, recall and the
Frechet distance, in the judge's features, against the held-out images with as many samples of each class; the same
figures for real training images stand beside them, for they are what a perfect generator would reach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..evaluation.frechet import frechet_distance
from ..evaluation.manifold import precision_recall
from .datasets import LabelledImages
from .judge import Classifier, features, recognised

__all__ = ["ClassQuality", "Quality", "assess"]


class ClassQuality(msgspec.Struct, frozen=True):
    """The figures of one class, shares in 0 .. 1."""

    accuracy: float
    precision: float
    recall: float


class Quality(msgspec.Struct, frozen=True):
    """The figures of a generator. `samples` are those of the accuracies; `real_*` compare real images with real ones.

    `judge_accuracy`: how often the judge knows held-out images; no sample can be expected to be known more often.
    """

    samples: int
    accuracy: float
    worst_accuracy: float
    worst_class: str
    precision: float
    recall: float
    frechet_distance: float
    real_precision: float
    real_recall: float
    real_frechet_distance: float
    judge_accuracy: float
    classes: dict[str, ClassQuality]


def assess(
    draw: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    classifier: Classifier,
    training: LabelledImages,
    held_out: LabelledImages,
    names: tuple[str, ...],
    per_class: int = 1_200,
) -> Quality:
    """The figures of `draw`, which makes one image uint8 [n, height, width] for each label int64 [n].

    `per_class` samples are drawn of each class, at least as many as `held_out` has.
    """
    counts = np.bincount(held_out.labels, minlength=len(names))
    labels = np.repeat(np.arange(len(names)), max(per_class, int(counts.max())))
    generated = features(classifier, draw(labels))
    right = recognised(classifier, generated, labels)
    real = features(classifier, held_out.images)
    other = _like(training, counts)
    seen = features(classifier, training.images[other])
    matched = generated[_first(labels, counts)]
    matched_labels = labels[_first(labels, counts)]
    classes: dict[str, ClassQuality] = {}
    for index, name in enumerate(names):
        shares = precision_recall(real[held_out.labels == index], matched[matched_labels == index])
        precision, recall = (share.value for share in shares)
        classes[name] = ClassQuality(float(right[labels == index].mean()), precision, recall)
    worst = min(classes, key=lambda name: classes[name].accuracy)
    precision, recall = (share.value for share in precision_recall(real, matched))
    real_precision, real_recall = (share.value for share in precision_recall(real, seen))
    return Quality(
        samples=len(labels),
        accuracy=float(right.mean()),
        worst_accuracy=classes[worst].accuracy,
        worst_class=worst,
        precision=precision,
        recall=recall,
        frechet_distance=frechet_distance(real, matched),
        real_precision=real_precision,
        real_recall=real_recall,
        real_frechet_distance=frechet_distance(real, seen),
        judge_accuracy=float(recognised(classifier, real, held_out.labels).mean()),
        classes=classes,
    )


def rounded(quality: Quality, digits: int = 4) -> dict[str, Any]:
    """The figures as plain numbers for a manifest; more digits than these are noise."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        return round(value, digits) if isinstance(value, float) else value

    figures: dict[str, Any] = plain(msgspec.to_builtins(quality))
    return figures


def _first(labels: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of the first `counts[c]` of each class c."""
    return np.concatenate([np.flatnonzero(labels == c)[:count] for c, count in enumerate(counts)])


def _like(images: LabelledImages, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of as many images of each class as `counts` asks; there must be that many."""
    return _first(images.labels, counts)
