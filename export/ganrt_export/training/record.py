"""What a run leaves in its folder for people to look at.

metrics.csv          the losses of every step, and the seconds that training has taken
events.out.*         the same every ten steps, and the samples, for TensorBoard; with tensorboardX only
samples/000500.png   the same inputs after 500 steps
samples.gif          those, one after the other
progress.png         the losses as curves; with matplotlib only
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import OutputError
from ganrt.media.atomic import make_folder, write_bytes
from ganrt.media.image import grid, write_image
from ganrt.media.video import write_video

from .events import Events

__all__ = ["Record"]

_EVENTS_EVERY = 10  # steps
_MOST_FRAMES = 120
_GIF_SECONDS = 8.0


class Record:
    """Writes into `folder`; goes on after `first` steps with what is there, and forgets what came after them.

    Everything raises OutputError when the disk does not take it.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self._folder = folder
        self._table = folder / "metrics.csv"
        rows = _rows(self._table)[: first + 1]  # a row a step, below the heading
        self._columns = rows[0] if rows else []
        self._seconds = float(rows[-1][-1]) if len(rows) > 1 else 0.0
        self._started = time.perf_counter()
        write_bytes(self._table, _text(rows).encode())
        with self._taken():
            self._file: IO[str] = self._table.open("a", newline="")
            self._events = None if find_spec("tensorboardX") is None else Events(folder, first)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._taken() if error is None else suppress(OSError):  # a full disk fails again, and was told of
            try:
                self._file.close()
            finally:
                if self._events is not None:
                    self._events.close()

    def losses(self, step: int, losses: Mapping[str, float]) -> None:
        """The losses of step `step`; those of the first step are the columns, later ones may lack some."""
        rows = [] if self._columns else [["step", *losses, "seconds"]]
        self._columns = self._columns or rows[0]
        told = [f"{losses[name]:.6g}" if name in losses else "" for name in self._columns[1:-1]]
        rows.append([str(step + 1), *told, f"{self._seconds + time.perf_counter() - self._started:.2f}"])
        with self._taken():
            self._file.write(_text(rows))
            if self._events is not None and (step + 1) % _EVENTS_EVERY == 0:
                self._events.losses(step + 1, losses)

    def samples(self, steps: int, pictures: NDArray[np.uint8], columns: int | None) -> None:
        """A grid of `pictures` uint8 [n, height, width, channels], as they are after `steps` steps."""
        sheet = grid(pictures, columns)
        make_folder(self._folder / "samples")
        write_image(self._folder / "samples" / f"{steps:06}.png", sheet)
        if self._events is not None:
            with self._taken():
                self._events.samples(steps, sheet)

    def flush(self) -> None:
        """Everything so far is in the files."""
        with self._taken():
            self._file.flush()
            if self._events is not None:
                self._events.flush()

    def summary(self) -> None:
        """Writes samples.gif and progress.png from what is in the folder."""
        self.flush()
        sheets = sorted((self._folder / "samples").glob("*.png"))
        if sheets:
            chosen = np.unique(np.linspace(0, len(sheets) - 1, min(len(sheets), _MOST_FRAMES)).astype(int))
            frames = np.stack([_read(sheets[index]) for index in chosen])
            write_video(self._folder / "samples.gif", frames, fps=max(1.0, len(frames) / _GIF_SECONDS), scale=1)
        if find_spec("matplotlib") is not None:
            write_bytes(self._folder / "progress.png", _curves(_rows(self._table)))

    @contextmanager
    def _taken(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise OutputError(
                f"{self._folder} could not be written: {problem.strerror or problem}. Make room, or choose another "
                "disk with --work-dir; an earlier checkpoint is kept, and the same command goes on from it."
            ) from problem


def _rows(path: Path) -> list[list[str]]:
    """The whole rows of a table; a last one that was cut short is left out."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    return [row for row in rows if len(row) == len(rows[0])]


def _text(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _read(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _curves(rows: list[list[str]]) -> bytes:
    """A PNG of each column against the steps: every value in pale, a running mean over it."""
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps = np.array([int(row[0]) for row in rows[1:]])
    for index, name in enumerate(rows[0][1:-1], start=1):
        there = np.array([row[index] != "" for row in rows[1:]])
        values = np.array([float(row[index]) for row in rows[1:] if row[index] != ""])
        width = max(1, len(values) // 100)
        mean = np.convolve(values, np.ones(width) / width, mode="valid")
        (line,) = axes.plot(steps[there], values, alpha=0.25, linewidth=0.6)
        axes.plot(steps[there][width - 1 :], mean, color=line.get_color(), label=name)
    axes.set(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
