"""Bundles to build engines from: a DCGAN in FP32 and FP16, a StyleGAN2 of two graphs, an upscaler of any size.

Random weights and no goldens: what is held here is the engine's way into the bundle, not the picture.
"""

from __future__ import annotations

import copy
import functools
import itertools

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ganrt.manifest import FORMAT, FileEntry, Manifest
from ganrt.spec import Image, Latent, Signal, Spec, Table, Truncation
from ganrt.spec import Tensor as Numbers
from ganrt_export.families import dcgan as dcgans
from ganrt_export.families.stylegan2.networks import (
    FirUpsample,
    Generator,
    MappingNetwork,
    ModulatedConv2d,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGB,
    linear,
)
from ganrt_export.signature import Call, Flat
from ganrt_export.to_onnx import export_onnx, finish
from ganrt_export.trace import attempts

__all__ = ["Contents", "dcgan", "graph_bundle", "stylegan2", "upscaler"]

Contents = tuple[Manifest, dict[str, bytes]]  # what `write_bundle` takes
W = 12


class Half(nn.Module):
    """The module in float16 between float32 inputs and outputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).half()

    def forward(self, *inputs: Tensor) -> Tensor:
        given = [one.half() if one.is_floating_point() else one for one in inputs]
        result: Tensor = self.module(*given)
        return result.float()


def _export(module: nn.Module, spec: Spec, example: Tensor) -> bytes:
    """As `export_onnx`, of a module whose input is no draw."""
    (name,) = (port.name for port in spec.input_ports())
    call = Call((name,), (example,), (example,), {})
    attempt = next(attempts(Flat(module, call), [example], [name], [spec.output_ports()[-1].name], [[0]]))
    assert attempt.model is not None, attempt.problem
    return finish(attempt.model, spec)


def _contents(name: str, spec: Spec, graphs: dict[str, bytes], mappings: dict[str, bytes] | None = None) -> Contents:
    graph_names = {precision: f"generator.{precision}.onnx" for precision in graphs}
    mapping_names = {precision: f"mapping.{precision}.onnx" for precision in mappings or {}}
    files = {graph_names[precision]: data for precision, data in graphs.items()}
    files |= {mapping_names[precision]: data for precision, data in (mappings or {}).items()}
    manifest = Manifest(
        format=FORMAT,
        name=name,
        family=name,
        spec=spec,
        graphs=graph_names,  # type: ignore[arg-type]
        mappings=mapping_names,  # type: ignore[arg-type]
        files={member: FileEntry(sha256="0" * 64, size=0) for member in files},
    )
    return manifest, files


@functools.cache
def dcgan() -> Contents:
    """PyTorch's tutorial at its real size: 64 x 64 pixels, 3.6 M parameters, FP32 and FP16."""
    torch.manual_seed(0)
    stages = dcgans.Stages(100, 4, (512, 256, 128, 64, 3), (False,) * 5)
    module = dcgans.Generator(stages).eval().requires_grad_(False)
    spec = Spec(inputs=(Latent(size=100),), output=Image(height=64, width=64, channels=3))
    return _contents("dcgan", spec, {"fp32": export_onnx(module, spec), "fp16": export_onnx(Half(module), spec)})


@functools.cache
def stylegan2() -> Contents:
    """8 x 8 pixels, mapping and synthesis, FP32."""
    torch.manual_seed(0)
    fir = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1]))
    fir = fir / fir.sum() * 4
    widths = (8, 6)

    def conv(inputs: int, outputs: int, size: int, **options: object) -> ModulatedConv2d:
        affine = linear(torch.randn(inputs, W), torch.ones(inputs))
        return ModulatedConv2d(torch.randn(outputs, inputs, size, size), affine, **options)

    layers = [SynthesisLayer(conv(8, 8, 3), torch.randn(8), noise=torch.randn(4, 4))]
    to_rgbs = [ToRGB(conv(8, 3, 1, demodulate=False, bias=torch.randn(3)), None)]
    for inputs, outputs in itertools.pairwise(widths):
        layers.append(SynthesisLayer(conv(inputs, outputs, 3, fir=fir), torch.randn(outputs)))
        layers.append(SynthesisLayer(conv(outputs, outputs, 3), torch.randn(outputs)))
        to_rgbs.append(ToRGB(conv(outputs, 3, 1, demodulate=False, bias=torch.randn(3)), FirUpsample(fir, 3)))
    mapping = MappingNetwork([linear(torch.randn(W, W), torch.randn(W)) for _ in range(3)])
    synthesis = SynthesisNetwork(torch.randn(8, 4, 4), layers, to_rgbs)
    module = Generator(mapping, synthesis, torch.randn(W)).eval().requires_grad_(False)
    psi = Truncation(minimum=0, maximum=1.5, default=1, how="graph", name="psi")
    spec = Spec(inputs=(Latent(size=W), psi), output=Image(height=8, width=8, channels=3))
    first, second = module.halves()
    shape = (synthesis.num_ws, W)
    to_w = Spec(inputs=spec.inputs, output=Numbers(shape=shape, raw="w"))
    from_w = Spec(inputs=(Signal(name="w", kind="tensor", shape=shape),), output=spec.output)
    return _contents(
        "stylegan2",
        spec,
        {"fp32": _export(second, from_w, torch.randn(2, *shape))},
        {"fp32": export_onnx(first, to_w)},
    )


def graph_bundle(nodes: list[onnx.NodeProto], constants: dict[str, object]) -> Contents:
    """A graph of these nodes, from 'z' [batch, 8] to the table 'table' [batch, 2]."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("table", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],  # type: ignore[arg-type]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    spec = Spec(inputs=(Latent(size=8),), output=Table(columns=("a", "b")))
    return _contents("made", spec, {"fp32": model.SerializeToString()})


@functools.cache
def upscaler() -> Contents:
    """Twice the height and width of any picture, through PixelShuffle."""
    nodes = [
        helper.make_node("Conv", ["photo", "kernel"], ["wide"], name="wide", pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["wide"], ["large"], name="large", blocksize=2, mode="CRD"),
        helper.make_node("Tanh", ["large"], ["image_float"], name="image_float"),
        helper.make_node("Mul", ["image_float", "scale"], ["scaled"], name="scaled"),
        helper.make_node("Add", ["scaled", "scale"], ["moved"], name="moved"),
        helper.make_node("Round", ["moved"], ["whole"], name="whole"),
        helper.make_node("Transpose", ["whole"], ["last"], name="last", perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["last"], ["image"], name="image", to=TensorProto.UINT8),
    ]
    torch.manual_seed(0)
    constants = {"kernel": torch.randn(12, 3, 3, 3).numpy(), "scale": torch.tensor(127.5).numpy()}
    graph = helper.make_graph(
        nodes,
        "upscaler",
        [helper.make_tensor_value_info("photo", TensorProto.FLOAT, ["batch", 3, "h", "w"])],
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "hh", "ww", 3]),
            helper.make_tensor_value_info("image_float", TensorProto.FLOAT, ["batch", 3, "hh", "ww"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    spec = Spec(
        inputs=(Signal(name="photo", kind="image", shape=(3, None, None)),),
        output=Image(height=None, width=None, channels=3),
    )
    return _contents("upscaler", spec, {"fp32": model.SerializeToString()})
