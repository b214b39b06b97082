"""Run as a script, in the child process of `_mnn_convert`: ONNX -> MNN's format, then a trial of what came of it.

It loads the converter's native library `_tools` alone, never the Python package `MNN.tools` around it, which installs a
logging package by pip and sends usage with the machine's id to MNN's maker. Nothing of ganrt is imported but the file
that holds MNN's sessions.
"""

from __future__ import annotations

import json
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
    own = _module("_mnn_interpreter", facts["interpreter"])
    own.prepare(facts["path"])
    try:
        if facts["source"] is not None:
            command = ["mnnconvert", "-f", "ONNX", "--modelFile", facts["source"], "--MNNModel", facts["model"]]
            _module("_tools", facts["tools"]).mnnconvert([*command, *facts["options"]])
        interpreter = own.Interpreter(facts["model"], facts["threads"])
    except ImportError as problem:
        sys.exit(f"{facts['unloadable']}{problem}")
    if facts["inputs"] is not None:
        _try(interpreter, own.LAYOUTS, facts["inputs"], facts["first"])
    del interpreter  # closing it is part of the trial: memory is looked at where it is given back
    print(f"\n{facts['done']}", flush=True)


def _try(interpreter: Any, layouts: int, inputs: Mapping[str, _Input], first: int) -> None:
    """Batch `first` must run. The others may be refused: the trial is whether the process lives through them."""
    last, calls, each = first, 1, _seconds(interpreter, 0, inputs, first) / max(1, first)
    for batch in _BATCHES:
        if batch != last and each * batch <= (_PATIENT_S if batch <= _SMALL else _LONG_S):
            with suppress(RuntimeError):
                each = _seconds(interpreter, calls % layouts, inputs, batch) / batch
            last, calls = batch, calls + 1


def _seconds(interpreter: Any, number: int, inputs: Mapping[str, _Input], batch: int) -> float:
    """One call: numbers from -2 to 2, but 0 where whole ones are taken, an index that every table has."""
    import numpy as np

    shapes = {name: tuple(batch if size is None else size for size in shape) for name, (_, shape) in inputs.items()}
    started = time.perf_counter()
    layout = interpreter.lay_out(number, shapes)
    for name, array in layout.inputs.items():
        spread = 4 * np.modf(np.arange(array.size) * 0.618)[0] - 2
        array[...] = (spread if inputs[name][0].startswith("float") else 0 * spread).reshape(array.shape)
    interpreter.run(number)
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
