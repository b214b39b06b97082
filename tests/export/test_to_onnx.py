"""The exported graph: the ports of its spec, a dynamic batch, the module's numbers, and nothing else inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import ganrt_export
from ganrt.errors import SpecError
from ganrt.latents import Draws
from ganrt.onnx_header import read_onnx_header
from ganrt.spec import Audio, Image, Label, Latent, Port, Spec, Table
from ganrt_export.reference import evaluate, sample, to_pixels
from ganrt_export.to_onnx import OPSET, export_onnx

PLAIN = [
    *[
        "Gather",
        "Gemm",
        "Reshape",
        "LeakyRelu",
        "ConvTranspose",
        "LeakyRelu",
        "ConvTranspose",
        "LeakyRelu",
        "Conv",
        "Tanh",
    ],
    *["Mul", "Add", "Round", "Clip", "Transpose", "Cast"],
]


def run(graph: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]).run(None, feeds)


class Bent(nn.Module):
    """Colour pictures of 3 x 2 pixels, a range of 0 .. 2, a pixel norm with its epsilon."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 18)

    def forward(self, z: Tensor) -> Tensor:
        normal = z / torch.sqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        return torch.sigmoid(8 * self.linear(normal)).reshape(-1, 3, 3, 2) * 3 - 0.5  # beyond the range on both sides


BENT = Spec(inputs=(Latent(size=4),), output=Image(height=3, width=2, channels=3, low=0.0, high=2.0))


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("which", ["graph", "half_graph"])
def test_onnx_runtime_gives_what_pytorch_gives_at_every_batch(exported, which: str, count: int) -> None:
    feeds = Draws(exported.spec, 5, 0, count).feeds(0, count)
    pixels, raw = run(getattr(exported, which), feeds)
    expected = evaluate(exported.module, exported.spec, feeds)
    assert pixels.shape == (count, 28, 28, 1)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(raw, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(pixels, to_pixels(raw, exported.spec.output))


def test_the_graph_has_the_ports_of_its_spec(exported) -> None:
    header = read_onnx_header(exported.graph, "the graph")
    assert header.inputs == (Port("z", "float32", (None, 6)), Port("label", "int64", (None,)))
    assert header.outputs == (
        Port("image", "uint8", (None, 28, 28, 1)),
        Port("image_float", "float32", (None, 1, 28, 28)),
    )


def test_the_graph_is_lean_and_the_cast_to_pixels_comes_last(exported) -> None:
    assert [node.op_type for node in onnx.load_from_string(exported.graph).graph.node] == PLAIN


def test_the_graph_says_nothing_about_where_it_was_made(exported) -> None:
    model = onnx.load_from_string(exported.half_graph)
    assert not model.functions
    assert not model.metadata_props
    assert not model.doc_string
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert not model.graph.metadata_props
    assert not model.graph.doc_string
    for trace in (str(Path(ganrt_export.__file__).parent), str(Path.home()), "site-packages", ".py"):
        assert trace.encode() not in exported.half_graph


def test_the_graph_is_of_the_opset_that_every_engine_reads(exported) -> None:
    model = onnx.load_from_string(exported.graph)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    onnx.checker.check_model(model, full_check=True)


def test_equal_weights_give_equal_bytes(exported) -> None:
    assert export_onnx(exported.module, exported.spec) == exported.graph


def test_pixels_are_scaled_from_the_range_clipped_and_put_last_to_channels() -> None:
    module = Bent().eval()
    draws = Draws(BENT, 1, 0, 9)
    pixels, raw = run(export_onnx(module, BENT), draws.feeds(0, 9))
    np.testing.assert_allclose(raw, sample(module, draws), rtol=0, atol=1e-6)
    exact = np.rint(np.clip(raw.astype(np.float64) / 2, 0, 1) * 255).transpose(0, 2, 3, 1)
    assert np.abs(pixels - exact).max() <= 1
    assert (pixels != exact).mean() < 0.01
    assert pixels.min() == 0
    assert pixels.max() == 255


def test_batch_norm_is_in_the_weights_of_what_is_linear() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(4, 32, bias=False),
        nn.BatchNorm1d(32),
        nn.Unflatten(1, (8, 2, 2)),
        nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 3, 3, padding=1),
        nn.BatchNorm2d(3),
    )
    module(torch.randn(64, 4))  # statistics other than 0 and 1
    described = Spec(inputs=(Latent(size=4),), output=Image(height=4, width=4, channels=3))
    graph = export_onnx(module.eval(), described)
    assert not any(node.op_type == "BatchNormalization" for node in onnx.load_from_string(graph).graph.node)
    draws = Draws(described, 0, 0, 9)
    np.testing.assert_allclose(run(graph, draws.feeds(0, 9))[1], sample(module, draws), rtol=0, atol=1e-5)


def test_a_pixel_norm_of_a_zero_latent_stays_zero() -> None:
    graph = export_onnx(Bent().eval(), BENT)
    assert np.isfinite(run(graph, {"z": np.zeros((1, 4), np.float32)})[1]).all()


def test_half_a_step_rounds_to_even() -> None:
    image = Image(height=1, width=4, channels=1, low=0.0, high=255.0)
    raw = np.array([0.5, 1.5, 2.5, 254.5], np.float32).reshape(1, 1, 1, 4)
    assert to_pixels(raw, image).ravel().tolist() == [0, 2, 2, 254]


def test_sound_and_tables_keep_their_only_output() -> None:
    for output, shape in ((Audio(length=6, sample_rate=8_000, channels=3), (3, 6)), (Table(tuple("abcdef")), (6,))):
        described = Spec(inputs=(Latent(size=4, distribution="uniform"),), output=output)
        module = nn.Sequential(nn.Linear(4, 18 if len(shape) == 2 else 6), nn.Unflatten(1, shape), nn.Tanh()).eval()
        draws = Draws(described, 0, 0, 3)
        (raw,) = run(export_onnx(module, described), draws.feeds(0, 3))
        np.testing.assert_allclose(raw, sample(module, draws), rtol=0, atol=1e-6)


def test_a_one_hot_label_and_a_graph_that_takes_it_second() -> None:
    class OneHot(nn.Module):
        def forward(self, z: Tensor, label: Tensor) -> Tensor:
            return z * 2 + label

    described = Spec(inputs=(Latent(size=3), Label(classes=3, encoding="one_hot")), output=Table(tuple("abc")))
    feeds = Draws(described, 2, 0, 4).feeds(0, 4)
    (raw,) = run(export_onnx(OneHot().eval(), described), feeds)
    np.testing.assert_allclose(raw, feeds["z"] * 2 + feeds["label"], rtol=1e-6)


def test_a_module_of_another_size_than_its_spec_is_refused() -> None:
    described = Spec(inputs=(Latent(size=4),), output=Image(height=2, width=3, channels=3))
    with pytest.raises(SpecError, match=r"image_float|2, 3"):
        export_onnx(Bent().eval(), described)
