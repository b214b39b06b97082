"""Bundles of the measured networks, FP16 included, and their TensorRT-RTX plans, into one folder."""

from __future__ import annotations

import sys
from pathlib import Path

from ganrt.errors import GanrtError
from ganrt_export import export_generator
from ganrt_export.engines import build_engines
from ganrt_export.sources import load_checkpoint

from ..rewrites.networks import sample

NETWORKS = ("face", "sngan", "srvgg")
CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")
SIZES = {"height": (32, 64, 128), "width": (32, 64, 128)}


def prepare(folder: Path, names: tuple[str, ...] = NETWORKS) -> None:
    """`name.ganrt`, `name.PRECISION.plan`; a path among the names is a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if Path(name).exists():
            source = load_checkpoint(Path(name))
            module, spec, stem = source.module.eval(), source.spec, "real-faces"
        else:
            made = sample(name)
            module, spec, stem = made.module, made.spec, name
        bundle = export_generator(module, folder / f"{stem}.ganrt", spec, precisions=("fp16",), optimize="count")
        print(f"{stem}: {', '.join([*bundle.manifest.graphs, *bundle.manifest.forms])}", flush=True)
        try:
            built = build_engines(bundle, CAPABILITIES, sizes=SIZES if spec.signals else None)
        except GanrtError as problem:
            print(f"{stem}: no plan; {problem}", flush=True)
            continue
        for engine in built.engines.values():
            (folder / f"{stem}.{engine.precision}.plan").write_bytes(built.files[engine.file])


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), tuple(sys.argv[2:]) or NETWORKS)
