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
from numpy.typing import NDArray
from torch import nn

import ganrt
from ganrt.bundle import Bundle, write_bundle
from ganrt.latents import Draws
from ganrt.manifest import FORMAT, Bound, FileEntry, Golden, Goldens, Manifest, Precision
from ganrt.spec import Spec

from .fidelity import Fidelity, drawn_pairs, fidelity, serving
from .goldens import choose_goldens
from .reference import evaluate
from .to_onnx import export_onnx
from .variants import NONE, Optimize, Variants, make_variants

__all__ = ["BOUNDS", "assemble", "pack"]

GRAPH, GOLDENS = "generator.fp32.onnx", "goldens.npy"
MAPPING, SYNTHESIS = "mapping.fp32.onnx", "synthesis.fp32.onnx"  # of a generator of two graphs
BOUNDS: dict[Precision, Bound] = {
    "fp32": Bound(psnr_db=70.0, max_step=1),
    "fp16": Bound(psnr_db=50.0, within_one=0.995),
    "int8": Bound(psnr_db=38.0, within_one=0.0),
}


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
    optimize: Optimize = "off",
) -> Bundle:
    """Exports `module`, holds the graph to it on every engine here, and writes the bundle whole or not at all.

    `module` is in eval mode; with `half_weights` its weights were rounded by `half_weights.round_weights`.
    `optimize`: how its other forms are chosen.
    Raises FidelityError when an engine of this machine does not give the module's output, OutputError when the bundle
    cannot be written.
    """
    graph = export_onnx(module, spec, half_weights=half_weights)
    pairs = drawn_pairs(module, spec)
    found = serving(fidelity(spec, graph, pairs), BOUNDS["fp32"])
    variants = make_variants(spec, graph, pairs, mapping=None, optimize=optimize, precisions=(), tell=lambda _: None)
    goldens = choose_goldens(spec)
    return assemble(
        path,
        spec,
        graph,
        found,
        goldens=goldens,
        golden_rows=_golden_rows(module, spec, goldens),
        variants=variants,
        name=name,
        family=family,
        description=description,
        license=license,
        quality=quality,
        provenance=provenance,
    )


def assemble(
    path: Path,
    spec: Spec,
    graph: bytes,
    found: Mapping[str, Fidelity],
    *,
    name: str,
    family: str,
    goldens: tuple[Golden, ...] = (),
    golden_rows: NDArray[Any] | None = None,
    golden_inputs: Mapping[str, NDArray[Any]] | None = None,
    mapping: bytes | None = None,
    variants: Variants = NONE,
    description: str = "",
    license: str = "",
    quality: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """Writes a graph that passed the gate, with its figures and goldens, as one bundle, whole or not at all.

    `golden_rows`: the module's own output for each golden; `golden_inputs`: what it was given, where the graph takes a
    signal; `variants`: forms and lower precisions that passed too. Raises OutputError when the bundle cannot be
    written.
    """
    main, first = (GRAPH, None) if mapping is None else (SYNTHESIS, MAPPING)
    files = {main: graph} if mapping is None else {main: graph, MAPPING: mapping}
    forms = {form: main.replace(".fp32.", f".fp32.{form}.") for form in variants.forms}
    lower: dict[Precision, str] = {precision: main.replace("fp32", precision) for precision in variants.lowered}
    files |= {forms[form]: data for form, data in variants.forms.items()}
    files |= {lower[precision]: one.graph for precision, one in variants.lowered.items()}
    bounds: dict[Precision, Bound] = BOUNDS | {precision: one.bound for precision, one in variants.lowered.items()}
    described = None
    if golden_rows is not None:
        files[GOLDENS] = _npy(golden_rows)
        members = {port: f"goldens.{port}.npy" for port in golden_inputs or {}}
        files |= {members[port]: _npy(array) for port, array in (golden_inputs or {}).items()}
        described = Goldens(file=GOLDENS, samples=goldens, bounds=bounds, inputs=members)
    graphs: dict[Precision, str] = {"fp32": main, **lower}
    measured = {"fp32": found, **{precision: one.figures for precision, one in variants.lowered.items()}}
    manifest = Manifest(
        format=FORMAT,
        name=name,
        family=family,
        description=description,
        license=license,
        spec=spec,
        graphs=graphs,
        mappings={} if first is None else dict.fromkeys(graphs, first),
        automatic=tuple(precision for precision, one in variants.lowered.items() if one.automatic),
        forms=forms,
        goldens=described,
        quality=dict(quality or {}),
        fidelity={
            precision: {backend: _figures(figures) for backend, figures in by_engine.items()}
            for precision, by_engine in measured.items()
        },
        provenance={
            **(provenance or {}),
            **({"operations": dict(variants.counted)} if variants.counted else {}),
            **{f"{precision}_kept_higher": list(one.kept) for precision, one in variants.lowered.items()},
            "ganrt": ganrt.__version__,
            "torch": str(torch.__version__),
        },
        files={
            member: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for member, data in files.items()
        },
    )
    return write_bundle(path, manifest, files)


def _figures(figures: Fidelity) -> dict[str, Any]:
    """What is known of one engine; what is empty is left out."""
    return {name: value for name, value in msgspec.to_builtins(figures).items() if value not in (None, "")}


def _golden_rows(module: nn.Module, spec: Spec, goldens: tuple[Golden, ...]) -> NDArray[np.float32]:
    """The module's own output for each golden, float32 [goldens, ...]."""
    return np.concatenate([evaluate(module, spec, Draws.of(spec, golden).feeds(0, 1)) for golden in goldens])


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()
