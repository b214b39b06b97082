"""A network as the ONNX that every engine is given: dynamic batch, height and width, PyTorch's own exporter."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from .networks import CASES, build

__all__ = ["INPUT", "OUTPUT", "feed", "graph"]

INPUT, OUTPUT = "x", "y"


def graph(case: str) -> bytes:
    """The ONNX of the network of this case; exported once, kept in the system's temporary folder."""
    name, shape = CASES[case]
    sources = Path(__file__).read_bytes() + Path(__file__).with_name("networks.py").read_bytes()
    kept = Path(tempfile.gettempdir()) / f"ganrt-bench-{name}-{hashlib.sha256(sources).hexdigest()[:16]}.onnx"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = Path(folder) / "g.onnx"
            dynamic = {0: torch.export.Dim.DYNAMIC}
            if len(shape) == 4:
                dynamic |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
            torch.onnx.export(
                build(name),
                (torch.randn(2, *shape[1:]),),
                made,
                dynamo=True,
                external_data=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(dynamic,),
                verbose=False,
            )
            data = made.read_bytes()
        temporary = kept.with_suffix(f".{hashlib.sha256(data).hexdigest()[:8]}")
        temporary.write_bytes(data)
        temporary.replace(kept)
    return kept.read_bytes()


def feed(case: str) -> np.ndarray:
    """The same input for every engine: pictures in 0 .. 1, or normal latents."""
    shape, random = CASES[case].shape, np.random.default_rng(7)
    return random.random(shape, np.float32) if len(shape) == 4 else random.standard_normal(shape, np.float32)
