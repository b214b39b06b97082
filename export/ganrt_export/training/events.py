"""TensorBoard's file of a run: losses and pictures by step.

By tensorboardX, but written where it is asked for: its own SummaryWriter does that in a thread, where a full disk ends
in a traceback and in a queue that nobody empties.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganrt.media.image import encode_image

__all__ = ["Events"]


class Events:
    """Writes `folder`/events.out.tfevents.*; what earlier files say of steps after `first` is hidden.

    Raises OSError, from every method. Needs tensorboardX.
    """

    def __init__(self, folder: Path, first: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventsWriter(str(folder / "events"), f".{first}")
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(first + 1, session_log=started)

    def losses(self, step: int, losses: Mapping[str, float]) -> None:
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in losses.items()]
        self._add(step, summary=self._summary(value=values))

    def samples(self, step: int, sheet: NDArray[np.uint8]) -> None:
        """A picture, uint8 [height, width, channels]."""
        height, width, channels = sheet.shape
        image = self._summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=bytes(encode_image(sheet, "png"))
        )
        self._add(step, summary=self._summary(value=[self._summary.Value(tag="samples", image=image)]))

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _add(self, step: int, **what: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **what))  # noqa: TID251  shown as a date
