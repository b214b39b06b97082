"""ONNX -> MNN's own format, on the machine that will run it, into the cache, and a trial before it serves.

A child process does both (`_mnn_trial`): the converter prints, ignores Ctrl-C, and crashes on unusual graphs. MNN too
has written beyond its arrays, at batches from 3 up; it then ends its process at any later place, or gives wrong numbers
and lives. So the child runs the graph as a lane would, with as many threads, at several batches in changing order, and
closes it, while the C library watches its memory where that is glibc (MALLOC_CHECK_, mallopt(3)).
Only what it survived is opened; what it did not is remembered in the cache as a sentence, and not tried again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

import msgspec

from .. import cache
from ..environment import processor
from ..errors import BackendError, BackendUnavailable, legible
from ._mnn_process import INTERPRETER, python, unloadable
from .base import Graph

__all__ = ["Converted", "Library", "Trial", "attempt", "convert"]

_VERSION = 2  # of what is done here
# GELU as ONNX defines it instead of an approximation; recurrent layers as layers instead of loops
_OPTIONS = ("--bizCode", "ganrt", "--useGeluApproximation", "0", "--useOriginRNNImpl")
_SECONDS = 900.0  # the largest known generators take a few
_LEAST = 16  # bytes; no model is smaller
_CHILD = Path(__file__).with_name("_mnn_trial.py")
_DONE, _UNLOADABLE = "ganrt: done", "ganrt: no MNN: "
_OUTSIDE = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", None)}  # not the graph's doing


class Library(NamedTuple):
    """MNN as installed: the file of its native code, and its version."""

    file: str
    version: str


class Trial(NamedTuple):
    """How the child runs a graph. `inputs`: type and shape of each, None for the batch; without, it is only opened.

    `first`: a batch that the graph must be able to compute.
    """

    threads: int
    inputs: Mapping[str, tuple[str, Sequence[int | None]]] | None = None
    first: int = 1


class Converted(NamedTuple):
    """A model in MNN's format. `folder` holds it where the cache could not, and is the caller's to remove."""

    path: Path
    folder: str | None = None


class _Verdict(msgspec.Struct):
    """What came of a trial: the sentence of a refusal and what was said with it, both empty where the graph serves."""

    fault: str = ""
    said: str = ""


def convert(graph: Graph, library: Library, trial: Trial, *, anew: bool = False) -> Converted:
    """The graph in MNN's format, tried: from the cache, or made now; `anew` when what the cache had was damaged.

    Raises BackendError when MNN cannot convert or run the graph, or there is no room for the result, and
    BackendUnavailable when this MNN has no converter.
    """
    model, verdict = _model(graph.digest, library), _verdict(graph.digest, library, trial)
    kept = cache.folder() / model
    if not anew and _serves(verdict) and _touch(kept):
        return Converted(kept)
    with cache.lock(model):
        if not anew and _serves(verdict) and _touch(kept):  # another process made it meanwhile
            return Converted(kept)
        try:
            return _made(graph, library, trial, model, verdict, anew=anew)
        except OSError as problem:
            raise BackendError(
                f"MNN needs room for the graph in its own format, and there is none in {_temporary()} "
                f"({problem.strerror or problem})."
            ) from problem


def attempt(digest: str, library: Library, model: Path, trial: Trial) -> bool:
    """Tries a converted graph once more, where its sizes became known with the first call; from the cache, or now.

    False when MNN says that it cannot compute with these sizes, which is then to be learnt from itself.
    Raises BackendError when the child did not survive.
    """
    verdict = _verdict(digest, library, trial)
    if _serves(verdict):
        return True
    with cache.lock(verdict):
        if _serves(verdict):
            return True
        done = _child(library, None, model, trial)
        if done.returncode < 0:
            raise _remembered(verdict, done, converted=True)
        if done.returncode == 0:
            cache.write(verdict, msgspec.json.encode(_Verdict()))
        return done.returncode == 0


def _model(digest: str, library: Library) -> str:
    return f"mnn/{cache.key(graph=digest, engine=library.version, options=_OPTIONS, version=_VERSION)}.mnn"


def _verdict(digest: str, library: Library, trial: Trial) -> str:
    """A trial holds for the machine it was made on: MNN picks its kernels by the processor."""
    here = processor()
    key = cache.key(
        graph=digest,
        engine=library,
        options=_OPTIONS,
        version=_VERSION,
        processor=(here.name, here.cores, here.features),
        threads=trial.threads,
        inputs=None if trial.inputs is None else dict(trial.inputs),
    )
    return f"mnn/{key}.json"


def _serves(verdict: str) -> bool:
    """Did a trial go well? False when there was none. Raises BackendError with the sentence of one that did not."""
    data = cache.read(verdict)
    try:
        found = None if data is None else msgspec.json.decode(data, type=_Verdict)
    except msgspec.DecodeError:
        return False  # damaged: tried anew
    if found is not None and found.fault:
        raise BackendError(found.fault) from RuntimeError(found.said)
    return found is not None


def _made(graph: Graph, library: Library, trial: Trial, model: str, verdict: str, *, anew: bool) -> Converted:
    """Converts where the cache has nothing, tries, and keeps the model and what came of it."""
    kept = cache.folder() / model
    with tempfile.TemporaryDirectory(prefix="ganrt-mnn-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder) / "model.onnx", kept
        if anew or not _touch(kept):
            target = Path(folder) / "model.mnn"
            source.write_bytes(graph.data)
        done = _child(library, source if target != kept else None, target, trial)
        if done.returncode != 0 or _DONE not in done.stdout:
            if target.exists() and not shutil.disk_usage(folder).free:  # the converter does not notice
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise _remembered(verdict, done, converted=target.exists())
        data = None if target == kept else target.read_bytes()
    made = Converted(kept)
    if data is not None:
        if cache.write(model, data):
            cache.prune()
        else:
            made = _aside(data)
    cache.write(verdict, msgspec.json.encode(_Verdict()))
    return made


def _aside(data: bytes) -> Converted:
    """The model in a temporary folder, for this process only."""
    folder = tempfile.mkdtemp(prefix="ganrt-mnn-")
    try:
        alone = Path(folder) / "model.mnn"
        alone.write_bytes(data)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
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


def _child(library: Library, source: Path | None, model: Path, trial: Trial) -> subprocess.CompletedProcess[str]:
    """Converts `source` to `model`, where there is one to convert, and tries it."""
    tools = PathFinder.find_spec("_tools", [str(Path(library.file).parent)])
    if tools is None or tools.origin is None:
        raise BackendUnavailable("This MNN has no converter. Install it anew: pip install --force-reinstall MNN")
    facts = {
        "path": sys.path,
        "tools": tools.origin,
        "interpreter": str(INTERPRETER),
        "source": None if source is None else str(source),
        "model": str(model),
        "options": _OPTIONS,
        "done": _DONE,
        "unloadable": _UNLOADABLE,
        **trial._asdict(),
    }
    try:
        done = subprocess.run(  # killed when anything, Ctrl-C included, interrupts the waiting
            [*python(), str(_CHILD)],
            input=json.dumps(facts),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env=os.environ | _watched() if sys.platform == "linux" else None,
        )
    except subprocess.TimeoutExpired as problem:
        raise BackendError(f"MNN did not convert and run this graph within {_SECONDS:g} seconds.") from problem
    if done.returncode > 0 and _UNLOADABLE in done.stdout:
        raise unloadable(legible(done.stdout.rpartition(_UNLOADABLE)[2].strip()))
    return done


def _watched() -> dict[str, str]:
    """Has glibc end the child where something was written beyond an array, as far as it sees that.

    Memory is handed out as zeros: of some graphs MNN's converter reads what it never wrote, and is right by that alone.
    """
    return {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "255"}


def _remembered(verdict: str, done: subprocess.CompletedProcess[str], *, converted: bool) -> BackendError:
    """The refusal, kept in the cache unless it came from outside; its cause is what was said."""
    fault = _refusal(done.stdout, done.returncode, converted=converted)
    said = f"the converter ended with {done.returncode} and said: {legible(done.stdout, 4000)}"
    if -done.returncode not in _OUTSIDE and "MemoryError" not in done.stdout:
        cache.write(verdict, msgspec.json.encode(_Verdict(fault, said)))
    problem = BackendError(fault)
    problem.__cause__ = RuntimeError(said)
    return problem


def _refusal(said: str, code: int, *, converted: bool) -> str:
    """What the child said, as one sentence."""
    unknown = re.search(r"These Op Not Support: *(.+)", said)
    if unknown:
        names = ", ".join(name.split("::")[-1] for name in unknown[1].split() if name != "|")
        return f"MNN cannot use this graph: it does not know the operation {legible(names)}."
    if "has subgraphs" in said:
        return "MNN cannot use this graph: it has branches or loops, which MNN runs only while all other threads wait."
    if code < 0:
        what = "it converts it, and a process that then ran it" if converted else "its converter"
        return f"MNN cannot use this graph: {what} was ended by signal {-code}."
    words = [re.sub(r"^\[[\d:]+\] :\d+: ", "", line).strip() for line in said.splitlines()]
    telling = [line for line in words if re.search(r"error|fail|invalid|not |don't support|can't", line, re.IGNORECASE)]
    reason = next((line for line in telling if not line.startswith(("Don't has", "ERROR: ld.so"))), "it gave no reason")
    what = "it converts this graph and cannot run it" if converted else "its converter failed"
    return f"MNN cannot use this graph: {what} ({legible(reason)})."
