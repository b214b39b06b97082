"""Tables: float32 [n, columns] to .csv, a batch at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from .atomic import Replacement

__all__ = ["FORMATS", "table_writer", "write_table"]

FORMATS = ("csv",)


def write_table(path: str | Path, rows: NDArray[np.float32], columns: tuple[str, ...]) -> None:
    """Writes float32 [n, len(columns)] as .csv under a line of column names. Raises ArgumentError, OutputError."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise ArgumentError(f"A table is written as .csv, not '{path.suffix}'.")
    with table_writer(path, columns) as append:
        append(rows)


@contextmanager
def table_writer(path: Path, columns: tuple[str, ...]) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Gives a function that appends rows, [n, len(columns)]. The numbers read back to the same float32."""

    def append(batch: NDArray[Any]) -> None:
        if batch.ndim != 2 or batch.shape[1] != len(columns):
            raise ArgumentError(f"A table of {len(columns)} columns cannot take the shape {list(batch.shape)}.")
        file.write(_lines(map(str, row) for row in batch.astype(np.float32)))

    with Replacement(path) as file:
        file.write(_lines([columns]))
        yield append


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
