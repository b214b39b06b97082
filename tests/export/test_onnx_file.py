"""An ONNX file from elsewhere becomes a bundle that gives the file's own answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ganrt import ExportError, Generator, Spec, SpecError
from ganrt.spec import Image, Latent, Tensor
from ganrt_export.onnx_file import export_onnx_file

CHANCE = np.random.default_rng(0)
LATENT = (Latent(size=6),)
PICTURE = Image(height=4, width=4, channels=1)


def dcgan(batch: int | str, frozen_shape: bool = False) -> onnx.ModelProto:
    """z [batch, 6, 1, 1] -> tanh picture [batch, 1, 4, 4]; `frozen_shape` flattens with the batch written into it."""
    constants = {
        "up": CHANCE.standard_normal((6, 3, 4, 4), np.float32),
        "last": CHANCE.standard_normal((1, 3, 3, 3), np.float32),
        "scale": np.array([1, 3, 4, 4], np.int64),
    }
    nodes = [helper.make_node("ConvTranspose", ["input", "up"], ["large"])]
    if frozen_shape:
        nodes.append(helper.make_node("Reshape", ["large", "scale"], ["shaped"]))
    nodes += [
        helper.make_node("Conv", ["shaped" if frozen_shape else "large", "last"], ["raw"], pads=[1, 1, 1, 1]),
        helper.make_node("Tanh", ["raw"], ["generated"]),
    ]
    graph = helper.make_graph(
        nodes,
        "from elsewhere",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 6, 1, 1])],
        [helper.make_tensor_value_info("generated", TensorProto.FLOAT, [batch, 1, 4, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def wrapped(tmp_path: Path, model: onnx.ModelProto, spec: Spec | None = None):
    onnx.save(model, tmp_path / "g.onnx")
    described = spec or Spec(inputs=LATENT, output=PICTURE)
    return export_onnx_file(tmp_path / "g.onnx", tmp_path / "g.ganrt", lambda outputs, names: described)


@pytest.mark.parametrize(
    ("model", "way"),
    [(dcgan("n"), "as it is"), (dcgan(1), "batch renamed"), (dcgan(1, frozen_shape=True), "per sample")],
    ids=["dynamic", "frozen size", "frozen reshape"],
)
def test_whatever_its_batch_the_bundle_gives_what_the_file_gives(
    tmp_path: Path, model: onnx.ModelProto, way: str
) -> None:
    bundle = wrapped(tmp_path, model)
    assert bundle.manifest.provenance["traced"] == way
    session = onnxruntime.InferenceSession(model.SerializeToString())
    with Generator.load(bundle.path) as generator:
        raw = generator.sample(5, seed=3, output="float")
        assert generator.sample(5, seed=3).dtype == np.uint8
        z = CHANCE.standard_normal((5, 6), np.float32)
        raw = generator.run({"z": z})["image_float"]
    for row, one in zip(raw, z, strict=True):
        (expected,) = session.run(None, {"input": one.reshape(1, 6, 1, 1)})
        np.testing.assert_allclose(row, expected[0], atol=1e-5)


def test_a_batch_frozen_above_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="for a batch of 4 alone; export it for one sample, or with a dynamic batch"):
        wrapped(tmp_path, dcgan(4))


def test_a_spec_with_other_inputs_is_refused(tmp_path: Path) -> None:
    two = Spec(inputs=(Latent(size=6), Latent(size=6, name="noise")), output=Tensor(shape=(1, 4, 4)))
    with pytest.raises(SpecError, match=r"takes 1 inputs \(input\), the spec describes 2"):
        wrapped(tmp_path, dcgan("n"), two)


@pytest.mark.parametrize("data", [b"", b"not a model at all"])
def test_what_is_no_onnx_file_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "g.onnx").write_bytes(data)
    with pytest.raises(ExportError, match=r"is not an ONNX model that can be used|takes no input"):
        export_onnx_file(tmp_path / "g.onnx", tmp_path / "g.ganrt", lambda *_: Spec(inputs=LATENT, output=PICTURE))
    with pytest.raises(ExportError, match="There is no file"):
        export_onnx_file(tmp_path / "h.onnx", tmp_path / "g.ganrt", lambda *_: Spec(inputs=LATENT, output=PICTURE))
    assert not (tmp_path / "g.ganrt").exists()
