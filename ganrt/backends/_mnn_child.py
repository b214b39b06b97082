"""Run as a script, in the child process of `_mnn_convert`: ONNX -> MNN's format, then a trial of what came of it.

It loads the converter's native library `_tools` alone, never the Python package `MNN.tools` around it, which installs a
logging package by pip and sends usage with the machine's id to MNN's maker. Nothing of ganrt is imported but the file
that holds MNN's sessions, so that the start takes a quarter of a second.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, TypeAlias

_Input: TypeAlias = tuple[str, Sequence[int | None]]  # type, and shape with None for the batch
_BATCHES = (1, 2, 3, 8, 64, 1)  # odd, even, as large as ganrt's own calls get, more than a lane keeps, one again
_SMALL = 3  # batches up to this one may take _PATIENT_S
_PATIENT_S, _LONG_S = 10.0, 0.25  # ganrt itself gives no larger batch to what takes longer than this


def main() -> None:
    """Reads a JSON object from stdin, as `_mnn_convert` writes it; its `done` is the last line of stdout on success."""
    facts = json.load(sys.stdin)
    sys.path[:] = facts["path"]
    with suppress(ImportError, ValueError, OSError):  # a crash here is an answer, and leaves no file
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if facts["source"] is not None:
        command = ["mnnconvert", "-f", "ONNX", "--modelFile", facts["source"], "--MNNModel", facts["model"]]
        _module("_tools", facts["tools"]).mnnconvert([*command, *facts["options"]])
    import MNN

    lane = _module("_mnn_lane", facts["lane"]).Lane(MNN, facts["model"], facts["threads"])
    if facts["inputs"] is not None:
        _try(lane, facts["inputs"], facts["first"])
    del lane  # closing it is part of the trial
    print(f"\n{facts['done']}", flush=True)


def _try(lane: Any, inputs: Mapping[str, _Input], first: int) -> None:
    """Batch `first` must run. The others may be refused: the trial is whether the process lives through them."""
    last, each = first, _seconds(lane, inputs, first) / max(1, first)
    for batch in _BATCHES:
        if batch != last and each * batch <= (_PATIENT_S if batch <= _SMALL else _LONG_S):
            with suppress(RuntimeError):
                each = _seconds(lane, inputs, batch) / batch
            last = batch


def _seconds(lane: Any, inputs: Mapping[str, _Input], batch: int) -> float:
    """One call: numbers from -2 to 2, but 0 where whole ones are taken, an index that every table has."""
    import numpy as np

    shapes = {name: tuple(batch if size is None else size for size in shape) for name, (_, shape) in inputs.items()}
    feeds = {}
    for name, shape in shapes.items():
        spread = 4 * np.modf(np.arange(math.prod(shape)) * 0.618)[0] - 2
        feeds[name] = (spread if inputs[name][0].startswith("float") else 0 * spread).reshape(shape).astype(np.float32)
    started = time.perf_counter()
    lane.run(feeds, shapes)
    return time.perf_counter() - started


def _module(name: str, file: str) -> Any:
    """The module in that file, without the package around it."""
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
