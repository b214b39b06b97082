"""Features of an ONNX file: any network, run by ganrt's own engines, and nothing in the file but a graph.

It takes pictures, as one input of rank 4, [batch, channels, height, width] or [batch, height, width, channels], with 1
or 3 channels: uint8 pixels, or float32 in a range that the user says. What else it wants done to pictures (mean and
deviation taken out, say) belongs into the graph. It gives features, [batch, features]: the output called so, or the
only one of that rank.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ganrt.backends import NAMES, available, open_session
from ganrt.backends.base import Graph, Options
from ganrt.environment import usable_cores
from ganrt.errors import ArgumentError, BackendUnavailable, DataError
from ganrt.onnx_header import read_onnx_header
from ganrt.spec import Port

__all__ = ["GraphFeatures"]

_AT_ONCE = 64  # pictures, where the graph takes any number
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow


class GraphFeatures:
    """What the graph in a file makes of pictures; `value_range`: (low, high) that pixels become, of a float input.

    Raises NotABundle when the file is no ONNX model, ArgumentError when it is not a graph as described above or the
    range is missing, BackendError when no engine opens it.
    """

    def __init__(self, path: Path, value_range: tuple[float, float] | None) -> None:
        data = path.read_bytes()
        header = read_onnx_header(data, str(path))
        if header.external_data:
            raise ArgumentError(f"{path} keeps weights in other files; save it as one file.")
        self._input, self._output = _picture_port(path, header.inputs), _features_port(path, header.outputs)
        self._low, self._high = _range(path, self._input, value_range)
        self._planar = self._input.shape[1] in (1, 3)
        _, *sizes = self._input.shape
        self._channels = sizes[0] if self._planar else sizes[-1]
        self._height, self._width = sizes[1:] if self._planar else sizes[:2]
        engine = next((name for name in NAMES if available(name)), None)
        if engine is None:
            raise BackendUnavailable("There is no engine to run the features with: pip install 'ganrt[cpu]'")
        digest = hashlib.sha256(data).hexdigest()
        self._session = open_session(engine, Graph(data, digest, "fp32"), Options(threads=usable_cores()))
        self.name = path.name
        self.dimensions = self._output.shape[1] or self._measured()
        self.digest = hashlib.sha256(f"{digest} {self._low:g} {self._high:g}".encode()).hexdigest()
        said = f", pixels as {self._low:g} to {self._high:g}" if self._input.dtype == "float32" else ""
        self.says = f"the network in {path.name}{said}"

    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        step = self._input.shape[0] or _AT_ONCE
        parts = [self._run(pictures[start : start + step], step) for start in range(0, len(pictures), step)]
        return np.concatenate(parts)

    def _run(self, pictures: NDArray[np.uint8], step: int) -> NDArray[np.float32]:
        count = len(pictures)
        if self._input.shape[0] is not None:  # a graph of one batch size takes no fewer
            pictures = np.concatenate([pictures, np.repeat(pictures[-1:], step - count, axis=0)])
        outputs = self._session.evaluate({self._input.name: self._prepared(pictures)}, [self._output.name])
        made: NDArray[np.float32] = outputs[self._output.name][:count].astype(np.float32)
        if not np.isfinite(made).all():
            raise DataError(f"The features '{self.name}' of some pictures are no numbers; is the range right?")
        return made

    def _prepared(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float()
        if planes.shape[1] != self._channels:
            weights = torch.tensor(_GREY).view(1, 3, 1, 1)
            planes = planes.expand(-1, 3, -1, -1) if self._channels == 3 else (planes * weights).sum(1, keepdim=True)
        size = (self._height or planes.shape[2], self._width or planes.shape[3])
        if size != tuple(planes.shape[2:]):
            planes = F.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
        array = planes.numpy() if self._planar else planes.numpy().transpose(0, 2, 3, 1)
        if self._input.dtype == "uint8":
            return np.ascontiguousarray(np.clip(np.rint(array), 0, 255).astype(np.uint8))
        return np.ascontiguousarray(array * np.float32((self._high - self._low) / 255) + np.float32(self._low))

    def _measured(self) -> int:
        size = (self._height or 64, self._width or 64)
        made = self._run(np.zeros((1, *size, self._channels or 1), np.uint8), self._input.shape[0] or 1)
        return int(made.shape[1])


def _picture_port(path: Path, inputs: tuple[Port, ...]) -> Port:
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].dtype in ("uint8", "float32"):
        shape = inputs[0].shape
        if shape[1] in (1, 3) or shape[3] in (1, 3):
            return inputs[0]
    raise ArgumentError(
        f"{path} takes {_listed(inputs)}; features are made of one input of pictures, uint8 or float32 "
        "[batch, channels, height, width] or [batch, height, width, channels], with 1 or 3 channels."
    )


def _features_port(path: Path, outputs: tuple[Port, ...]) -> Port:
    flat = [port for port in outputs if len(port.shape) == 2 and port.dtype.startswith("float")]
    named = [port for port in flat if port.name == "features"]
    if len(named or flat) != 1:
        raise ArgumentError(
            f"{path} gives {_listed(outputs)}; it needs one output of features [batch, features], called 'features' "
            "where there are several."
        )
    return (named or flat)[0]


def _range(path: Path, port: Port, given: tuple[float, float] | None) -> tuple[float, float]:
    if port.dtype == "uint8":
        if given is not None:
            raise ArgumentError(f"{path} takes uint8 pixels as they are; leave out --feature-range.")
        return 0.0, 255.0
    if given is None:
        raise ArgumentError(
            f"{path} takes float32; say which range pixels are to have, as in --feature-range=-1:1 or 0:1."
        )
    return given


def _listed(ports: tuple[Port, ...]) -> str:
    told = (f"'{port.name}' {port.dtype} {[size or 'any' for size in port.shape]}" for port in ports)
    return ", ".join(told).replace("'any'", "any") or "nothing"
