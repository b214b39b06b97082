"""What is judged by what: a generator's samples, the real pictures, and what was asked for. Checked before any work."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganrt import Generator
from ganrt.errors import ArgumentError, DataError
from ganrt.latents import draw_label

from .data import Part, RealPictures, check_image, open_data
from .estimate import GROUPS
from .results import Judged, Real, Reference
from .samples import Samples, check_generator, like_data, same_classes

__all__ = ["LABELS", "REFERENCES", "Plan", "Subject", "open_subject"]

LABELS, REFERENCES = ("auto", "data", "uniform"), ("held-out", "training")
_LEAST = 2 * GROUPS  # pictures of each kind
_SAMPLES = 10_000


class Plan(NamedTuple):
    """What to do. `labels`: as in the data, every class alike, or "auto": the first where the classes are the same.

    `samples`: None, as many as the reference has, up to 10,000. `most_real`: pictures of each part, at most.
    `value_range`, `epochs`: see `features.open_features`.
    """

    features: str = "auto"
    samples: int | None = None
    seed: int = 0
    labels: str = "auto"
    truncation: float | None = None
    reference: Reference = "held-out"
    most_real: int = 100_000
    value_range: tuple[float, float] | None = None
    epochs: int | None = None


class Subject(NamedTuple):
    """`asked`: the class of the data that each sample was asked to be, int64 [n]; None where that cannot be said."""

    samples: Samples
    real: RealPictures
    plan: Plan
    asked: NDArray[np.int64] | None
    labels: str

    @property
    def reference(self) -> Part:
        return self.real.held_out if self.plan.reference == "held-out" else self.real.training

    def judged(self) -> Judged:
        generator, plan = self.samples.generator, self.plan
        digest, count = generator.bundle.digest, self.samples.count
        return Judged(generator.name, digest, generator.way, count, plan.seed, self.labels, plan.truncation)

    def judged_by(self) -> Real:
        return Real(len(self.real.training), len(self.real.held_out), self.plan.reference, self.real.facts)


def open_subject(generator: Generator, source: Path, held_out: Path | None, plan: Plan) -> Subject:
    """Raises ArgumentError when the generator or the plan cannot be, DataError when the data cannot."""
    image = check_generator(generator)
    check_image(generator.name, image)
    for what, value, allowed in (("labels", plan.labels, LABELS), ("against", plan.reference, REFERENCES)):
        if value not in allowed:
            raise ArgumentError(f"--{what} is '{value}'; choose {' or '.join(allowed)}.")
    if plan.samples is not None and plan.samples < _LEAST:
        raise ArgumentError(f"{plan.samples} samples are too few to judge; give -n {_LEAST} or more, 10,000 for FID.")
    if plan.most_real < _LEAST:
        raise ArgumentError(f"{plan.most_real} real pictures are too few to judge by; give {_LEAST} or more.")
    real = _limited(open_data(source, held_out, image), plan.most_real)
    for part, what in ((real.training, "training"), (real.held_out, "held-out")):
        if len(part) < _LEAST:
            raise DataError(
                f"There are {len(part)} {what} pictures in the data; to judge by them takes at least {_LEAST} of each."
            )
    reference = real.held_out if plan.reference == "held-out" else real.training
    count = min(len(reference), _SAMPLES) if plan.samples is None else plan.samples
    chosen, kind, asked = _labels(generator, real, plan, count)
    samples = Samples(generator, count, plan.seed, chosen, plan.truncation)
    iter(samples)  # what the generator does not take is told before any work
    return Subject(samples, real, plan, asked, kind)


def _labels(
    generator: Generator, real: RealPictures, plan: Plan, count: int
) -> tuple[NDArray[np.int64] | None, str, NDArray[np.int64] | None]:
    """The generator's classes to draw, how they were chosen, and the data's classes that these are."""
    label, to_generator, wanted = generator.spec.label, same_classes(generator, real), plan.labels
    if label is None:
        if wanted != "auto":
            raise ArgumentError(f"'{generator.name}' takes no class; leave out --labels.")
        return None, "", None
    if wanted == "data" and to_generator is None:
        raise ArgumentError(
            f"--labels data needs data with the generator's {label.classes} classes; these have "
            f"{len(real.names) or 'none'}. Draw every class alike with --labels uniform."
        )
    if to_generator is None:
        return draw_label(label, plan.seed, 0, count), "uniform", None
    to_data = np.argsort(to_generator)
    if wanted == "uniform":
        chosen = draw_label(label, plan.seed, 0, count)
        return chosen, "uniform", to_data[chosen]
    chosen = like_data(real, to_generator, plan.seed, count)
    return chosen, "data", to_data[chosen]


def _limited(real: RealPictures, most: int) -> RealPictures:
    """With at most so many pictures in each part; told where some are left out."""
    if max(len(real.training), len(real.held_out)) <= most:
        return real
    note = f"Of the real pictures, {most:,} of a part were looked at, chosen at random (--real)."
    return real._replace(
        training=real.training.at_most(most), held_out=real.held_out.at_most(most), notes=(*real.notes, note)
    )
