"""What is compared, made once: a bundle with the forms that were measured here, and PyTorch's own ONNX of the network.

Both stay in the system's temporary folder, under a digest of the networks and of what writes their graphs.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import ganrt_export
from ganrt_export import export_generator

from .. import rewrites
from ..rewrites.networks import Sample

__all__ = ["Files", "files"]


class Files(NamedTuple):
    """`bundle`: ganrt's. `stock`: an ONNX file as `torch.onnx.export` writes it by default."""

    bundle: Path
    stock: Path


def files(name: str, made: Sample) -> Files:
    """The files of this network, exported now if they are not there."""
    folder = Path(tempfile.gettempdir()) / f"ganrt-bench-chosen-{_digest()}"
    folder.mkdir(exist_ok=True)
    found = Files(folder / f"{name}.ganrt", folder / f"{name}.onnx")
    if not found.stock.exists():
        temporary = found.stock.with_suffix(".part")
        temporary.write_bytes(rewrites._torch_onnx(made))
        os.replace(temporary, found.stock)
    if not found.bundle.exists():
        export_generator(made.module, found.bundle, made.spec, optimize="measure")
    return found


def _digest() -> str:
    export = Path(ganrt_export.__file__).parent
    folders = (export / "optimize", Path(rewrites.__file__).parent)
    sources = [export / "to_onnx.py", *(source for folder in folders for source in folder.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sorted(sources))).hexdigest()[:16]
