"""ONNX -> MNN's own format, on the machine that will run it, into the cache.

A child process converts: the converter prints, ignores Ctrl-C, and a crash of native code must not take the
application down. It loads one library, `_tools`, and never the Python package `MNN.tools` around it, which installs a
logging package by pip and sends usage with the machine's id to MNN's maker. Then it opens the result and, where every
size but the batch is known, runs it once, so that what MNN cannot run is known before this process opens it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from .. import cache
from ..errors import BackendError, BackendUnavailable, legible
from .base import Graph

__all__ = ["Converted", "convert"]

_VERSION = 1  # of what is done here
# GELU as ONNX defines it instead of an approximation; recurrent layers as layers instead of loops
_OPTIONS = ("--bizCode", "ganrt", "--useGeluApproximation", "0", "--useOriginRNNImpl")
_SECONDS = 900.0  # the largest known generators take a few
_LEAST = 16  # bytes; no model is smaller

_CHILD = """
import json, sys
facts = json.load(sys.stdin)
sys.path[:] = facts["path"]
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("_tools", facts["tools"])
tools = module_from_spec(spec)
spec.loader.exec_module(tools)
tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", facts["source"], "--MNNModel", facts["target"]]
                 + facts["options"])
import ctypes, math
import MNN
interpreter = MNN.Interpreter(facts["target"])
session = interpreter.createSession({"numThread": 1})
if facts["shapes"] is not None:
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    inputs = interpreter.getSessionInputAll(session)
    for name, tensor in inputs.items():
        interpreter.resizeTensor(tensor, tuple(facts["shapes"][name]))
    interpreter.resizeSession(session)
    for tensor in inputs.values():
        width = 1 if tensor.getDataType() is MNN.Halide_Type_Uint8 else 4
        ctypes.memset(address(tensor.getHost(), None), 0, width * math.prod(tensor.getShape()))
    if interpreter.runSession(session) != 0:
        raise SystemExit(4)
print("\\nganrt: opened", flush=True)
"""


class Converted(NamedTuple):
    """A model in MNN's format. `folder` holds it where the cache could not; it goes with the folder."""

    path: Path
    folder: tempfile.TemporaryDirectory[str] | None = None


def convert(
    graph: Graph, library: str, version: str, shapes: Mapping[str, tuple[int, ...]] | None, *, anew: bool = False
) -> Converted:
    """The graph in MNN's format: from the cache, or converted now; `anew` when what the cache had was damaged.

    `library`: the file of MNN's native code. `shapes`: of the inputs for a trial run, or None for none.
    Raises BackendError when MNN cannot convert or run the graph, or there is no room for the result, and
    BackendUnavailable when this MNN has no converter.
    """
    name = f"mnn/{cache.key(graph=graph.digest, engine=version, options=_OPTIONS, version=_VERSION)}.mnn"
    kept = cache.folder() / name
    if not anew and _touch(kept):
        return Converted(kept)
    with cache.lock(name):
        if not anew and _touch(kept):  # another process made it meanwhile
            return Converted(kept)
        try:
            data = _run(graph, library, shapes)
            if cache.write(name, data):
                cache.prune()
                return Converted(kept)
            return _aside(data)
        except OSError as problem:
            raise BackendError(
                f"MNN needs room for the graph in its own format, and there is none in {_temporary()} "
                f"({problem.strerror or problem})."
            ) from problem


def _aside(data: bytes) -> Converted:
    """The model in a temporary folder, for this process only."""
    folder = tempfile.TemporaryDirectory(prefix="ganrt-mnn-", ignore_cleanup_errors=True)
    try:
        alone = Path(folder.name) / "model.mnn"
        alone.write_bytes(data)
    except BaseException:
        folder.cleanup()
        raise
    return Converted(alone, folder)


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "any temporary folder"


def _touch(path: Path) -> bool:
    """Is it there? It has then been used just now."""
    try:
        if path.stat().st_size < _LEAST:
            return False
    except OSError:
        return False
    with suppress(OSError):  # a cache that can only be read
        os.utime(path)
    return True


def _run(graph: Graph, library: str, shapes: Mapping[str, tuple[int, ...]] | None) -> bytes:
    tools = PathFinder.find_spec("_tools", [str(Path(library).parent)])
    if tools is None or tools.origin is None:
        raise BackendUnavailable("This MNN has no converter. Install it anew: pip install --force-reinstall MNN")
    if not sys.executable:
        raise BackendUnavailable("MNN's converter needs a Python of its own, and this program is not run by one.")
    with tempfile.TemporaryDirectory(prefix="ganrt-mnn-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder) / "model.onnx", Path(folder) / "model.mnn"
        source.write_bytes(graph.data)
        facts = {
            "path": sys.path,
            "tools": tools.origin,
            "source": str(source),
            "target": str(target),
            "options": _OPTIONS,
            "shapes": shapes,
        }
        try:
            done = subprocess.run(  # killed when anything, Ctrl-C included, interrupts the waiting
                [sys.executable, "-I", "-S", "-c", _CHILD],
                input=json.dumps(facts),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as problem:
            raise BackendError(f"MNN did not convert this graph within {_SECONDS:g} seconds.") from problem
        if done.returncode == 0 and "ganrt: opened" in done.stdout:
            return target.read_bytes()
        if target.exists() and not shutil.disk_usage(folder).free:  # the converter does not notice
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise _refusal(done.stdout, done.returncode, converted=target.exists()) from RuntimeError(
            f"the converter ended with {done.returncode} and said: {legible(done.stdout, 4000)}"
        )


def _refusal(said: str, code: int, *, converted: bool) -> BackendError:
    """What the converter said, as one sentence."""
    unknown = re.search(r"These Op Not Support: *(.+)", said)
    if unknown:
        names = ", ".join(name.split("::")[-1] for name in unknown[1].split())
        return BackendError(f"MNN cannot use this graph: it does not know the operation {legible(names)}.")
    if "has subgraphs" in said:
        return BackendError(
            "MNN cannot use this graph: it has branches or loops, which MNN runs only while all other threads wait."
        )
    if code < 0:
        return BackendError(f"MNN cannot use this graph: its converter was ended by signal {-code}.")
    words = [re.sub(r"^\[[\d:]+\] :\d+: ", "", line).strip() for line in said.splitlines()]
    telling = [line for line in words if re.search(r"error|fail|invalid|not |don't support|can't", line, re.IGNORECASE)]
    reason = next((line for line in telling if not line.startswith("Don't has")), "it gave no reason")
    what = "it converts this graph and cannot run it" if converted else "its converter failed"
    return BackendError(f"MNN cannot use this graph: {what} ({legible(reason)}).")
