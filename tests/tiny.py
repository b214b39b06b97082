"""Tiny generators, each made twice: as an ONNX graph, and in numpy, which is the oracle of its goldens.

All are one network: tanh(tanh(x @ inner + embedding[label]) @ outer), x the latents and codes side by side, scaled by
the truncation where the graph takes it. They differ in what they take and in what the result is taken for.
"""

import functools
import io
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ganrt.latents import Draws
from ganrt.manifest import FORMAT, Bound, FileEntry, Golden, Goldens, Manifest
from ganrt.spec import Audio, Code, Image, Label, Latent, Spec, Table, Truncation

GRAPH, GOLDENS = "generator.fp32.onnx", "goldens.npy"
HIDDEN = 12


class Tiny(NamedTuple):
    """What `write_bundle` takes."""

    manifest: Manifest
    files: dict[str, bytes]


PICTURE = Image(height=6, width=5, channels=1)

SPECS = {
    "conditional": Spec(
        inputs=(Latent(size=8), Label(classes=10), Truncation(minimum=0.5, maximum=3.0)),
        output=PICTURE,
    ),
    "uniform": Spec(inputs=(Latent(size=8, distribution="uniform"),), output=PICTURE),
    "infogan": Spec(
        inputs=(
            Latent(size=5),
            Code(size=3, name="category"),
            Code(size=2, name="style", kind="continuous", low=-2.0, high=2.0),
        ),
        output=PICTURE,
    ),
    "one_hot": Spec(
        inputs=(Latent(size=4, name="noise"), Label(classes=3, names=("cat", "dog", "owl"), encoding="one_hot")),
        output=Image(height=3, width=4, channels=3),
    ),
    "psi": Spec(
        inputs=(Latent(size=8), Truncation(minimum=-1.0, maximum=1.5, default=1.0, how="graph", name="psi")),
        output=PICTURE,
    ),
    "audio": Spec(inputs=(Latent(size=6),), output=Audio(length=16, sample_rate=8000)),
    "table": Spec(
        inputs=(Latent(size=6, distribution="truncated_normal", threshold=1.5),),
        output=Table(columns=("age", "height", "income")),
    ),
}


@functools.cache
def make(name: str) -> Tiny:
    """The tiny generator of that name, with goldens from numpy: every label, both ends of truncation."""
    spec = SPECS[name]
    goldens = tuple(_goldens(spec))
    raw = np.concatenate([reference(spec, _feeds(spec, golden)) for golden in goldens])
    manifest = Manifest(
        format=FORMAT,
        name=f"tiny-{name}",
        family="tiny",
        spec=spec,
        graphs={"fp32": GRAPH},
        files={name: FileEntry(sha256="0" * 64, size=0) for name in (GRAPH, GOLDENS)},
        description="A network too small to draw anything, for tests.",
        license="MIT",
        goldens=Goldens(file=GOLDENS, samples=goldens, bounds={"fp32": Bound(psnr_db=90.0, max_step=1)}),
    )
    return Tiny(manifest, {GRAPH: model(spec).SerializeToString(), GOLDENS: npy(raw)})


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _goldens(spec: Spec) -> list[Golden]:
    if spec.label is not None:
        goldens = [Golden(seed=100 + label, label=label) for label in range(spec.label.classes)]
    else:
        goldens = [Golden(seed=100 + index, index=index) for index in range(4)]
    if spec.truncation is not None:
        ends = (spec.truncation.minimum, spec.truncation.maximum)
        goldens += [Golden(seed=200, label=0 if spec.label else None, truncation=end) for end in ends]
    return goldens


def _feeds(spec: Spec, golden: Golden) -> dict[str, np.ndarray[Any, Any]]:
    return Draws.of(spec, golden).feeds(0, 1)


def weights(spec: Spec) -> dict[str, np.ndarray[Any, Any]]:
    """Fixed numbers of standard deviation 0.7 / sqrt(rows); no generator stream, so no numpy version changes them."""
    taken = sum(part.size for part in (*spec.latents, *spec.codes))
    values = int(np.prod(spec.output_ports()[-1].shape[1:]))  # type: ignore[arg-type]
    shapes = {"inner": (taken, HIDDEN), "outer": (HIDDEN, values)}
    if spec.label is not None:
        shapes["embedding"] = (spec.label.classes, HIDDEN)
    bits = np.random.Philox(key=5)
    return {
        name: ((bits.random_raw(rows * columns) * 2.0**-63 - 1) * 1.2 / rows**0.5)
        .astype(np.float32)
        .reshape(rows, columns)
        for name, (rows, columns) in shapes.items()
    }


def reference(spec: Spec, feeds: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """The raw output for these inputs, float32 [batch, ...], computed in float64."""
    matrix = weights(spec)
    x = np.concatenate([feeds[part.name] for part in (*spec.latents, *spec.codes)], axis=1).astype(np.float64)
    if spec.truncation is not None and spec.truncation.how == "graph":
        x = x * feeds[spec.truncation.name]
    x = x @ matrix["inner"]
    if spec.label is not None:
        label = feeds[spec.label.name]
        x = x + (matrix["embedding"][label] if spec.label.encoding == "index" else label @ matrix["embedding"])
    raw = np.tanh(np.tanh(x) @ matrix["outer"]).astype(np.float32)
    return raw.reshape(-1, *spec.output_ports()[-1].shape[1:])  # type: ignore[arg-type]


def picture(raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What the tail of the graph makes of the raw output, uint8 [batch, height, width, channels]."""
    return np.clip(np.round(raw * np.float32(127.5) + np.float32(127.5)), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def model(spec: Spec) -> onnx.ModelProto:
    """The same network as a graph."""
    constants = weights(spec)
    nodes = []

    def node(operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(name: str, value: np.ndarray[Any, Any]) -> str:
        constants[name] = value
        return name

    parts = [part.name for part in (*spec.latents, *spec.codes)]
    x = node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    if spec.truncation is not None and spec.truncation.how == "graph":
        x = node("Mul", x, spec.truncation.name)
    x = node("MatMul", x, "inner")
    if spec.label is not None:
        index = spec.label.encoding == "index"
        chosen = node("Gather", "embedding", spec.label.name) if index else node("MatMul", spec.label.name, "embedding")
        x = node("Add", x, chosen)
    x = node("Tanh", node("MatMul", node("Tanh", x), "outer"))
    raw = spec.output_ports()[-1]
    node("Reshape", x, constant("raw_shape", np.array([-1, *raw.shape[1:]], np.int64)), output=raw.name)
    if isinstance(spec.output, Image):
        half = constant("half", np.array(127.5, np.float32))
        x = node("Round", node("Add", node("Mul", raw.name, half), half))
        x = node("Clip", x, constant("black", np.array(0, np.float32)), constant("white", np.array(255, np.float32)))
        node("Cast", node("Transpose", x, perm=[0, 2, 3, 1]), output=spec.output.name, to=TensorProto.UINT8)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [_value(port) for port in spec.input_ports()],
        [_value(port) for port in spec.output_ports()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def _value(port: Any) -> onnx.ValueInfoProto:
    dtype = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}[port.dtype]
    return helper.make_tensor_value_info(port.name, dtype, ["batch", *port.shape[1:]])
