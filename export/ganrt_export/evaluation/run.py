"""The whole of it: draw, embed, compare.

samples of a generator -> features in pieces -> distances to real pictures, modes, copies -> Evaluation, Exhibits
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganrt import Generator, __version__

from . import notes
from .clusters import cluster_of, kmeans
from .copies import Memorising, Repetition, Seen, memorising, repetition
from .data import Part
from .features import ClassifierFeatures, Features, open_features
from .frechet import frechet
from .kernel import kernel_distance
from .manifold import density_coverage, precision_recall
from .modes import Classes, Clusters, classes, clusters
from .neighbours import Nearest, nearest
from .results import FORMAT, Evaluation, Network, Quality
from .samples import BATCH
from .subject import Plan, Subject, open_subject

__all__ = ["Exhibit", "evaluate"]

_CLUSTERS, _IN_CLUSTER = 100, 50  # at most; pictures in each on average, at least
_SHOWN, _NEIGHBOURS = 10, 4
_CANDIDATES = 1_000  # samples that are looked at more closely for copies

Tell = Callable[[str], None]


class Exhibit(NamedTuple):
    """Samples, uint8 [n, height, width, channels], with the training pictures nearest to each, [n, k, ...]."""

    title: str
    samples: NDArray[np.uint8]
    neighbours: NDArray[np.uint8]


class _Embedded(NamedTuple):
    """Features float32 [n, features] of each kind, and what was seen of the samples' pixels."""

    training: NDArray[np.float32]
    held_out: NDArray[np.float32]
    samples: NDArray[np.float32]
    seen: Seen


def evaluate(
    generator: Generator,
    source: Path,
    held_out: Path | None = None,
    plan: Plan | None = None,
    tell: Tell = lambda _: None,
) -> tuple[Evaluation, list[Exhibit]]:
    """Judges a generator by the pictures at `source`, and shows samples beside their nearest training pictures.

    Repeatable: the same generator, data, plan and engine give the same figures. It holds the features of all pictures
    in memory, and the pictures one piece at a time. `tell` hears what is being done.
    Raises ArgumentError when the generator or the plan cannot be, DataError when the data cannot, and what
    `open_features` raises.
    """
    started, plan = time.perf_counter(), plan or Plan()
    tell("reading the data")
    subject = open_subject(generator, source, held_out, plan)
    network = open_features(plan.features, subject.real, value_range=plan.value_range, epochs=plan.epochs, tell=tell)
    embedded = _embed_all(network, subject, tell)
    quality, real_quality = _qualities(embedded, subject, tell)
    tell("looking for what is missing, and for copies")
    near = nearest(embedded.samples, embedded.training, _NEIGHBOURS)
    by_class = _classes(network, subject, embedded)
    by_cluster, copied = _by_cluster(embedded, near.distances[:, 0], unseen=subject.real.unseen)
    repeated = _repetition(embedded, subject)
    said = (
        *subject.real.notes,
        *notes.of_size(quality, len(embedded.samples), len(subject.reference), network.dimensions),
        *notes.of_modes(by_class, by_cluster),
        *notes.of_copies(repeated, copied),
    )
    exhibits = list(_exhibits(subject, embedded, near))
    result = Evaluation(
        format=FORMAT,
        ganrt=__version__,
        judged=subject.judged(),
        real=subject.judged_by(),
        features=Network(network.name, network.says, network.digest, network.dimensions),
        quality=quality,
        real_quality=real_quality,
        clusters=by_cluster,
        repetition=repeated,
        classes=by_class,
        memorising=copied,
        notes=said,
        seconds=round(time.perf_counter() - started, 1),
    )
    return result, exhibits


def _embed_all(network: Features, subject: Subject, tell: Tell) -> _Embedded:
    real, samples, seen = subject.real, subject.samples, Seen()

    def noted() -> Iterator[NDArray[np.uint8]]:
        for pictures in samples:
            seen.add(pictures)
            yield pictures

    return _Embedded(
        _embed(network, _pieces(real.training), len(real.training), "training pictures", tell),
        _embed(network, _pieces(real.held_out), len(real.held_out), "held-out pictures", tell),
        _embed(network, noted(), samples.count, "samples", tell),
        seen,
    )


def _embed(
    network: Features, pieces: Iterable[NDArray[np.uint8]], count: int, what: str, tell: Tell
) -> NDArray[np.float32]:
    result, done = np.empty((count, network.dimensions), np.float32), 0
    for pictures in pieces:
        result[done : done + len(pictures)] = network.embed(pictures)
        done += len(pictures)
        tell(f"features of {what}, {done / count:.0%}")
    return result


def _pieces(part: Part) -> Iterator[NDArray[np.uint8]]:
    return (part.pixels(start, start + BATCH) for start in range(0, len(part), BATCH))


def _qualities(embedded: _Embedded, subject: Subject, tell: Tell) -> tuple[Quality, Quality]:
    """Of the samples, and of as many pictures of the other part."""
    reference, other = _reference_and_other(embedded, subject)
    return (
        _quality(reference, embedded.samples, lambda step: tell(f"comparing samples: {step}")),
        _quality(reference, other[: len(embedded.samples)], lambda step: tell(f"comparing real pictures: {step}")),
    )


def _reference_and_other(embedded: _Embedded, subject: Subject) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if subject.plan.reference == "held-out":
        return embedded.held_out, embedded.training
    return embedded.training, embedded.held_out


def _quality(real: NDArray[np.float32], generated: NDArray[np.float32], tell: Tell) -> Quality:
    distances = frechet(real, generated, lambda done, of: tell(f"Fréchet distance, {done / of:.0%}"))
    tell("kernel distance")
    kernel = kernel_distance(real, generated)
    tell("precision and recall")
    same = min(len(real), len(generated))
    precision, recall = precision_recall(real[:same], generated[:same])
    density, coverage = density_coverage(real[:same], generated[:same])
    return Quality(distances.distance, distances.unbiased, kernel, precision, recall, density, coverage)


def _classes(network: Features, subject: Subject, embedded: _Embedded) -> Classes | None:
    """None unless the features tell the very classes of the data apart."""
    real = subject.real
    if not isinstance(network, ClassifierFeatures) or real.held_out.labels is None or network.names != real.names:
        return None
    taken_for, real_taken_for = network.classify(embedded.samples), network.classify(embedded.held_out)
    return classes(real.names, taken_for, subject.asked, real.held_out.labels, real_taken_for)


def _by_cluster(
    embedded: _Embedded, to_training: NDArray[np.float64], *, unseen: bool
) -> tuple[Clusters, Memorising | None]:
    features = embedded.training, embedded.held_out, embedded.samples
    count = min(_CLUSTERS, max(2, min(map(len, features)) // _IN_CLUSTER))
    centres = kmeans(embedded.training, count)
    training, held_out, samples = (cluster_of(some, centres) for some in features)
    found = clusters(samples, training, held_out, count)
    if not unseen:
        return found, None
    away = nearest(embedded.held_out, embedded.training).distances[:, 0]
    new = embedded.seen.new
    return found, memorising(to_training[new], away, samples[new], held_out)


def _repetition(embedded: _Embedded, subject: Subject) -> Repetition:
    reference, other = _reference_and_other(embedded, subject)
    same = min(len(reference), len(other), len(embedded.samples))
    return repetition(embedded.samples[:same], reference[:same], other[:same], embedded.seen)


def _exhibits(subject: Subject, embedded: _Embedded, near: Nearest) -> Iterator[Exhibit]:
    """The first samples, and those that look most like copies."""
    for title, rows in (
        ("The first samples", np.arange(_SHOWN)),
        ("The likeliest copies", _suspects(embedded.training, near)),
    ):
        samples = np.stack([subject.samples.again(row) for row in rows.tolist()])
        neighbours = [subject.real.training.chosen(near.indices[row]) for row in rows]
        yield Exhibit(title, samples, np.stack(neighbours))


def _suspects(training: NDArray[np.float32], near: Nearest) -> NDArray[np.int64]:
    """The samples that are nearest to a training picture for how near that is to another training picture.

    Plain shapes are near each other everywhere; of ten thousand digits the nearest are all ones.
    """
    candidates = np.argsort(near.distances[:, 0], kind="stable")[:_CANDIDATES]
    to_other = nearest(training[near.indices[candidates, 0]], training, 2).distances[:, 1]
    ratio = near.distances[candidates, 0] / np.maximum(to_other, np.finfo(np.float64).tiny)
    return candidates[np.argsort(ratio, kind="stable")[:_SHOWN]]
