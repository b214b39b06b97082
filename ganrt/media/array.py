"""Arrays to .npy and .npz, a batch at a time, so that memory stays small. Never a pickle."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import ArgumentError
from .atomic import Replacement, write_bytes

__all__ = ["FORMATS", "array_writer", "write_array"]

FORMATS = ("npy", "npz")


def write_array(path: str | Path, array: NDArray[Any]) -> None:
    """Writes one array as .npy. Raises ArgumentError for another suffix, OutputError when it cannot be written."""
    path = Path(path)
    if path.suffix.lower() != ".npy":
        raise ArgumentError(f"An array is written as .npy, not '{path.suffix}'.")
    write_bytes(path, _npy(array))


@contextmanager
def array_writer(
    path: Path, count: int, beside: Callable[[], Mapping[str, NDArray[Any]]] | None = None
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Gives a function that appends a batch, [n, ...], to one file of `count` samples.

    A .npy holds the samples; a .npz holds them as `samples`, and every array that `beside` gives (labels, seed,
    ...) under its name. `numpy.load(path)` opens both, a .npy also with mmap_mode="r". Raises OutputError.
    """
    with Replacement(path) as file:
        if path.suffix.lower() != ".npz":
            with _samples(file, count) as append:
                yield append
            return
        # Replacement does what zipfile asks of a file, and no more
        with zipfile.ZipFile(cast("IO[bytes]", file), "w", zipfile.ZIP_STORED) as archive:
            for name, array in (beside() if beside else {}).items():
                archive.writestr(f"{name}.npy", _npy(array))
            with archive.open("samples.npy", "w", force_zip64=True) as member, _samples(member, count) as append:
                yield append


@contextmanager
def _samples(sink: Replacement | IO[bytes], count: int) -> Iterator[Callable[[NDArray[Any]], None]]:
    written = 0

    def append(batch: NDArray[Any]) -> None:
        nonlocal written
        batch = np.ascontiguousarray(batch)
        if written == 0:
            sink.write(_header(batch.dtype, (count, *batch.shape[1:])))
        sink.write(batch.reshape(-1).view(np.uint8).data)
        written += len(batch)

    yield append
    if written != count:
        raise ArgumentError(f"A file of {count} samples got {written}.")


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    npy.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()
