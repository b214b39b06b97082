"""A generator and all that is known about it -> one bundle.

module -> large weights rounded to float16 -> graph -> fidelity gate -> goldens -> bundle
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

import ganrt
from ganrt.bundle import Bundle, write_bundle
from ganrt.latents import Draws
from ganrt.manifest import FORMAT, Bound, FileEntry, Golden, Goldens, Manifest
from ganrt.spec import Spec

from .fidelity import fidelity, hold
from .reference import evaluate
from .to_onnx import export_onnx

__all__ = ["BOUNDS", "choose_goldens", "pack"]

GRAPH, GOLDENS = "generator.fp32.onnx", "goldens.npy"
BOUNDS = {
    "fp32": Bound(psnr_db=70.0, max_step=1),
    "fp16": Bound(psnr_db=50.0, within_one=0.995),
    "int8": Bound(psnr_db=50.0, within_one=0.995),
}
_MAX_LABELS = 32  # goldens a truncation; of more classes, some spread over all
_UNLABELLED = 4


def pack(
    path: Path,
    module: nn.Module,
    spec: Spec,
    *,
    name: str,
    family: str,
    description: str = "",
    license: str = "",
    quality: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    half_weights: bool = False,
) -> Bundle:
    """Exports `module`, holds the graph to it on every engine here, and writes the bundle whole or not at all.

    `module` is in eval mode; with `half_weights` its weights were rounded by `half_weights.round_weights`.
    Raises FidelityError when an engine of this machine does not give the module's output, OutputError when the bundle
    cannot be written.
    """
    graph = export_onnx(module, spec, half_weights=half_weights)
    found = fidelity(module, spec, graph)
    hold(found, BOUNDS["fp32"])
    goldens = choose_goldens(spec)
    files = {GRAPH: graph, GOLDENS: _golden_rows(module, spec, goldens)}
    manifest = Manifest(
        format=FORMAT,
        name=name,
        family=family,
        description=description,
        license=license,
        spec=spec,
        graphs={"fp32": GRAPH},
        goldens=Goldens(file=GOLDENS, samples=goldens, bounds=BOUNDS),  # type: ignore[arg-type]
        quality=dict(quality or {}),
        fidelity={"fp32": {backend: msgspec.to_builtins(figures) for backend, figures in found.items()}},
        provenance={
            **(provenance or {}),
            "ganrt": ganrt.__version__,
            "torch": str(torch.__version__),
        },
        files={
            member: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for member, data in files.items()
        },
    )
    return write_bundle(path, manifest, files)


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


def _golden_rows(module: nn.Module, spec: Spec, goldens: tuple[Golden, ...]) -> bytes:
    """The module's own output for each golden, as a .npy member: float32 [goldens, ...]."""
    draws = [Draws(spec, g.seed, g.index, 1, label=g.label, truncation=g.truncation) for g in goldens]
    file = io.BytesIO()
    np.save(file, np.concatenate([evaluate(module, spec, draw.feeds(0, 1)) for draw in draws]), allow_pickle=False)
    return file.getvalue()
