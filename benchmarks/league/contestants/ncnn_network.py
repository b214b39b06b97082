"""ncnn in FP32 on every core, converted by its own pnnx. It has no batch dimension: n samples are n calls."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ganrt.environment import usable_cores

from ..networks import build
from ._answer import drawing, keep, load, pixels


def make(n: int, inputs: str, answer: str, file: str, name: str) -> Callable[[], object]:
    import ncnn

    made = build(name).sample
    feeds = load(inputs)
    (samples,), draw = feeds.values(), drawing(feeds, made.spec)
    net = ncnn.Net()
    net.opt.num_threads = usable_cores()
    for halved in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, halved, False)
    with tempfile.TemporaryDirectory() as folder:
        _convert(made.module, samples[:1], Path(folder))
        net.load_param(f"{folder}/g.ncnn.param")
        net.load_model(f"{folder}/g.ncnn.bin")

    def one(sample: np.ndarray) -> np.ndarray:
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(sample))
            code, result = extractor.extract("out0")
            if code != 0:
                raise SystemExit(f"ncnn failed with {code}")
            return np.array(result)

    run = lambda: np.stack([one(sample) for sample in samples])  # noqa: E731
    keep(answer, run())
    return lambda: (draw(), pixels(run(), made.spec))


def _convert(module: torch.nn.Module, sample: np.ndarray, folder: Path) -> None:
    found = find_spec("pnnx")
    if found is None or found.origin is None:
        raise SystemExit("ncnn's converter is missing. Install it: pip install --no-deps pnnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.from_numpy(sample), check_trace=False).save(str(folder / "g.pt"))
    sizes = ",".join(map(str, sample.shape))
    command = [str(Path(found.origin).parent / "pnnx"), "g.pt", f"inputshape=[{sizes}]", "fp16=0"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
