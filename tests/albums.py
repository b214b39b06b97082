"""Generators that draw from an album: each sample is one of the pictures that they were made of, chosen by the latent.

So it is known how good they are: one of fresh pictures is perfect, one of few pictures has collapsed, and one of its
training pictures has learnt them by heart. And real pictures to judge them by: bars on the left, the right or both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganrt.bundle import write_bundle
from ganrt.manifest import FORMAT, FileEntry, Manifest
from ganrt.spec import Image, Label, Latent, Spec

__all__ = ["NAMES", "SIZE", "bars", "write_album", "write_idx"]

SIZE = 12
NAMES = ("left", "right", "both")


def bars(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures uint8 [count, 12, 12] and their classes int64 [count]; every one is different."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 3, count)
    pictures = draws.integers(0, 40, (count, SIZE, SIZE), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        for there, middle in ((label != 1, 3), (label != 0, 8)):
            if there:
                left, top, bottom = middle + draws.integers(-1, 2), draws.integers(0, 4), draws.integers(8, 13)
                picture[top:bottom, left : left + 2] += draws.integers(100, 215, dtype=np.uint8)
    return pictures, labels


def write_idx(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], part: str = "train") -> None:
    """Adds a part of a data set in MNIST's format to a folder; `part`: train or t10k."""
    folder.mkdir(exist_ok=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
        sizes = np.array(array.shape, ">u4").tobytes()
        (folder / f"{part}-{name}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def write_album(path: Path, pictures: NDArray[np.uint8], names: tuple[str, ...] = ()) -> Path:
    """A bundle that draws from `pictures` uint8 [n, height, width, channels], every one as likely as the others.

    With `names`, class-conditional: [classes, n, height, width, channels].
    """
    *counts, height, width, channels = pictures.shape
    each = counts[-1]
    inputs: tuple[Latent | Label, ...] = (Latent(size=1, distribution="uniform"),)
    if names:
        inputs = (*inputs, Label(classes=len(names), names=names))
    spec = Spec(inputs=inputs, output=Image(height=height, width=width, channels=channels))
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["z", "one"], ["above"]),
            helper.make_node("Mul", ["above", "half"], ["place"]),
            helper.make_node("Cast", ["place"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Clip", ["whole", "first", "last"], ["column"]),
            helper.make_node("Reshape", ["column", "flat"], ["inside"]),
            *(_of_class() if names else [helper.make_node("Identity", ["inside"], ["row"])]),
            helper.make_node("Gather", ["album", "row"], ["image"]),
            helper.make_node("Cast", ["image"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["number", "scale"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "one"], ["centred"]),
            helper.make_node("Transpose", ["centred"], ["image_float"], perm=[0, 3, 1, 2]),
        ],
        "album",
        [_value(port.name, port.dtype, port.shape) for port in spec.input_ports()],
        [_value(port.name, port.dtype, port.shape) for port in spec.output_ports()],
        [
            numpy_helper.from_array(value, name)
            for name, value in {
                "one": np.array(1, np.float32),
                "half": np.array(each / 2, np.float32),
                "first": np.array(0),
                "last": np.array(each - 1),
                "flat": np.array([-1]),
                "each": np.array(each),
                "scale": np.array(2 / 255, np.float32),
                "album": pictures.reshape(-1, height, width, channels),
            }.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    member = "generator.fp32.onnx"
    manifest = Manifest(
        format=FORMAT,
        name=path.stem,
        family="album",
        spec=spec,
        graphs={"fp32": member},
        files={member: FileEntry(sha256="0" * 64, size=0)},
    )
    write_bundle(path, manifest, {member: model.SerializeToString()})
    return path


def _of_class() -> list[onnx.NodeProto]:
    """Pictures of a class lie together."""
    return [
        helper.make_node("Mul", ["label", "each"], ["start"]),
        helper.make_node("Add", ["start", "inside"], ["row"]),
    ]


def _value(name: str, dtype: str, shape: tuple[int | None, ...]) -> onnx.ValueInfoProto:
    kind = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}[dtype]
    return helper.make_tensor_value_info(name, kind, ["batch", *shape[1:]])
