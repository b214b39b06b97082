"""Which samples a bundle's goldens are: what every engine must reproduce before it serves, and every precision here."""

from __future__ import annotations

import numpy as np

from ganrt.manifest import Golden
from ganrt.spec import Spec

__all__ = ["choose_goldens"]

_MAX_LABELS = 32  # goldens a truncation; of more classes, some spread over all
_UNLABELLED = 4


def choose_goldens(spec: Spec) -> tuple[Golden, ...]:
    """Every label at the default truncation, and again at the strongest one; each golden has a seed of its own."""
    if spec.label is None:
        labels: list[int | None] = [None] * _UNLABELLED
    else:
        spread = np.linspace(0, spec.label.classes - 1, min(spec.label.classes, _MAX_LABELS))
        labels = [round(float(label)) for label in spread]
    ends = [None] if spec.truncation is None else [None, spec.truncation.minimum]
    choices = [(label, truncation) for truncation in ends for label in labels]
    return tuple(
        Golden(seed=seed, label=label, truncation=truncation) for seed, (label, truncation) in enumerate(choices)
    )
