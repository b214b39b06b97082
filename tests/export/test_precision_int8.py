"""INT8 behind its gate: what NNCF makes, what is set back to float32, what is refused, and that nothing is reported."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganrt import ArgumentError, Bundle, FidelityError, MissingExtra
from ganrt.latents import Draws
from ganrt.manifest import Bound
from ganrt.spec import Image, Latent, Signal, Spec
from ganrt_export.precision import FP16, INT8, int8
from ganrt_export.precision.gate import shortfall
from ganrt_export.precision.quantize import RECIPES, quantized
from ganrt_export.precision.samples import outputs_of, session
from ganrt_export.precision.stripped import Quantized
from ganrt_export.precision.to_int8 import _prepared

pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'ganrt[int8]'")

DIGITS = Bundle.open("digits")
DIGITS_DRAWN = Draws(DIGITS.manifest.spec, 0, 0, 50).feeds(0, 50)
SIZE = 8
SPEC = Spec(inputs=(Latent(size=SIZE),), output=Image(height=4, width=4, channels=1))
RANDOM = np.random.default_rng(0)


def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * RANDOM.standard_normal(shape)).astype(np.float32)


def generator(first: NDArray[np.float32], second: NDArray[np.float32]) -> bytes:
    """z [batch, 8] -> product -> ReLU -> product -> tanh -> pictures."""
    nodes = [
        helper.make_node("MatMul", ["z", "first"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["positive"]),
        helper.make_node("Gemm", ["positive", "second", "bias"], ["last"]),
        helper.make_node("Reshape", ["last", "shape"], ["picture"]),
        helper.make_node("Tanh", ["picture"], ["image_float"]),
        helper.make_node("Mul", ["image_float", "half_range"], ["scaled"]),
        helper.make_node("Add", ["scaled", "half_range"], ["moved"]),
        helper.make_node("Round", ["moved"], ["rounded"]),
        helper.make_node("Transpose", ["rounded"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["turned"], ["image"], to=TensorProto.UINT8),
    ]
    constants = {
        "first": first,
        "second": second,
        "bias": np.linspace(-0.2, 0.2, 16, dtype=np.float32),
        "shape": np.array([-1, 1, 4, 4], np.int64),
        "half_range": np.float32(127.5).reshape(()),
    }
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", SIZE])],
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 4, 4, 1]),
            helper.make_tensor_value_info("image_float", TensorProto.FLOAT, ["batch", 1, 4, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


PLAIN = generator(normal(SIZE, 64, scale=0.3), normal(64, 16, scale=0.1))


@pytest.fixture(scope="module")
def digits():
    return int8(DIGITS.graph(), DIGITS.manifest.spec)


def test_the_bundled_digits_pass_on_every_engine_that_has_no_fault_told(digits) -> None:
    assert digits.precision == "int8"
    passing = [figures for figures in digits.figures.values() if not figures.fault]
    assert passing
    for figures in passing:
        assert figures.samples >= 256
        assert figures.psnr_db >= figures.worst_db >= 38
    assert len(digits.kept) < digits.of


def test_the_graph_is_valid_takes_and_gives_what_its_spec_says_and_is_smaller(digits) -> None:
    from ganrt.onnx_header import read_onnx_header

    onnx.checker.check_model(onnx.load_from_string(digits.graph), full_check=True)
    header = read_onnx_header(digits.graph, "int8")
    DIGITS.manifest.spec.check_ports(header.inputs, header.outputs, "int8")
    assert len(digits.graph) < len(DIGITS.graph())  # whose weights are float16


def test_pixels_are_rounded_once(digits) -> None:
    nodes = {name: node for node in onnx.load_from_string(digits.graph).graph.node for name in node.output}
    kinds, node = [], nodes["image"]
    while node.output[0] != "image_float":
        kinds.append(node.op_type)
        node = nodes[node.input[0]]
    assert kinds in (["Transpose", "QuantizeLinear", "Add"], ["Reshape", "QuantizeLinear", "Add"])


def test_a_small_generator_is_quantized_as_a_whole() -> None:
    found = int8(PLAIN, SPEC)
    assert found.kept == ()
    assert found.of >= 2
    weights = {weight.data_type for weight in onnx.load_from_string(found.graph).graph.initializer}
    assert TensorProto.INT8 in weights


def test_the_form_that_is_fastest_in_8_bits_is_lowered() -> None:
    first, second = normal(SIZE, 64, scale=0.3), normal(64, 16, scale=0.1)
    idle = normal(SIZE, 4096, scale=0.3)  # columns that nothing takes: the same function in 65 times the operations
    large = generator(np.hstack((first, idle)), np.vstack((second, np.zeros((4096, 16), np.float32))))
    small = generator(first, second)
    assert len(int8(large, SPEC, forms={"folded": small}).graph) < len(small)
    assert len(int8(small, SPEC, forms={"measured": large}).graph) < len(small)


def test_what_passes_the_default_gate_may_be_taken_unasked_and_nothing_else_may() -> None:
    passing = int8(PLAIN, SPEC, bound=FP16)
    assert passing.automatic
    assert all(shortfall(figures, FP16) <= 1 for figures in passing.figures.values() if not figures.fault)
    rough = int8(PLAIN, SPEC, bound=INT8)
    assert rough.automatic == any(shortfall(figures, FP16) <= 1 for figures in rough.figures.values())


def test_a_graph_that_is_mostly_float32_is_still_held_to_the_gate_of_int8() -> None:
    plain = _prepared(DIGITS.graph())
    made, _ = quantized(plain, [DIGITS_DRAWN], RECIPES[0], [])
    graph = Quantized(made, plain)
    last = [name for name in graph.operations if graph.kinds[name].startswith("Conv")][-1]
    with closing(session(graph.without(set(graph.operations) - {last}), "openvino", "int8")) as opened:
        assert opened.info.precision == "int8"


def test_the_same_graph_comes_out_twice() -> None:
    assert int8(PLAIN, SPEC).graph == int8(PLAIN, SPEC).graph


def test_what_breaks_the_gate_is_set_back_to_float32() -> None:
    first = normal(SIZE, 64, scale=0.3)
    first[:, 0] *= 2000  # one column takes all of the range, so 8 bits leave nothing of the others
    second = normal(64, 16, scale=0.1)
    second[0] /= 2000
    found = int8(generator(first, second), SPEC, bound=Bound(psnr_db=30.0, within_one=0.0))
    assert found.kept == ("Gemm 'last'",)
    assert all(figures.worst_db >= 30 for figures in found.figures.values() if not figures.fault)


def test_an_operation_goes_back_to_float32_with_those_that_only_move_what_it_takes() -> None:
    model = onnx.load_from_string(generator(normal(SIZE, 32), normal(64, 16)))
    last = next(node for node in model.graph.node if node.output[0] == "last")
    last.input[0] = "joined"
    index = list(model.graph.node).index(last)
    model.graph.node.insert(index, helper.make_node("Concat", ["positive", "positive"], ["joined"], axis=1))
    plain = _prepared(model.SerializeToString())
    made, _ = quantized(plain, [{"z": normal(50, SIZE)}], RECIPES[0], [])
    graph = Quantized(made, plain)
    assert graph.groups()["last"] == {"joined", "last"}
    assert set().union(*graph.groups().values()) == set(graph.operations)
    left = onnx.load_from_string(graph.without(graph.groups()["last"])).graph
    assert [node.input[0] for node in left.node if node.op_type == "QuantizeLinear"] == ["z"]


def test_with_everything_set_back_it_is_the_float32_graph() -> None:
    plain = _prepared(PLAIN)
    made, _ = quantized(plain, [{"z": normal(50, SIZE)}], RECIPES[0], [])
    graph = Quantized(made, plain)
    feeds = [{"z": normal(9, SIZE)}]
    (before,), (after,) = (outputs_of(one, feeds, ["image_float"]) for one in (PLAIN, graph.without(graph.operations)))
    np.testing.assert_allclose(after["image_float"], before["image_float"], atol=1e-6)
    kinds = {node.op_type for node in onnx.load_from_string(graph.without(graph.operations)).graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}


def test_a_gate_that_nothing_passes_names_the_operations_and_how_far_off_they_are() -> None:
    with pytest.raises(FidelityError, match=r"No int8 graph .* dB are needed.* alone in 8 bits: \w+ '.*dB\)"):
        int8(PLAIN, SPEC, bound=Bound(psnr_db=120.0, within_one=0.0), patience_s=2.0)


def test_weights_that_give_no_numbers_are_refused_in_a_sentence() -> None:
    bad = normal(SIZE, 64)
    bad[0, 0] = np.nan
    with pytest.raises(FidelityError, match=r"'image_float' is not finite"):
        int8(generator(bad, normal(64, 16)), SPEC)


def test_a_calibration_that_meets_no_numbers_says_where() -> None:
    with pytest.raises(FidelityError, match="The calibration gives no range for 'z'"):
        quantized(_prepared(PLAIN), [{"z": np.full((4, SIZE), np.nan, np.float32)}], RECIPES[1], [])
    with pytest.raises(FidelityError, match=r"The calibration gives no range for '(wide|positive)'"):
        quantized(_prepared(PLAIN), [{"z": np.full((4, SIZE), 3e38, np.float32)}], RECIPES[1], [])


def test_a_signal_cannot_be_drawn_and_must_be_given() -> None:
    spec = Spec(inputs=(Signal(name="z", kind="tensor", shape=(SIZE,)),), output=Image(height=4, width=4, channels=1))
    with pytest.raises(ArgumentError, match=r"takes a signal .* give references"):
        int8(PLAIN, spec)


def test_without_nncf_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "nncf" or name.startswith("nncf.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ganrt\[int8\]'"):
        int8(PLAIN, SPEC)


_WATCHED = """
import sys

seen = []
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")


def watch(event, _):
    if event.startswith("socket.") or event in STARTS:
        seen.append(event)
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise OSError("a test sends nothing")  # also in children that NNCF's own import forks


sys.addaudithook(watch)
from pathlib import Path
{before}
import msgspec
from ganrt.spec import Spec
from ganrt_export.precision import int8
del seen[:]
graph, spec = Path(sys.argv[1]).read_bytes(), msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Spec)
print(len(int8(graph, spec).graph), [event for event in seen if event != "socket.gethostname"])
"""


@pytest.mark.parametrize("before", ["", "import nncf"], ids=["NNCF not loaded yet", "NNCF loaded by the program"])
def test_nothing_is_reported_to_anyone(before: str, tmp_path: Path) -> None:
    """In a process of its own, since NNCF keeps still under pytest and in CI by itself."""
    import msgspec

    graph, spec, home = tmp_path / "g.onnx", tmp_path / "spec.json", tmp_path / "home"
    graph.write_bytes(PLAIN)
    spec.write_bytes(msgspec.json.encode(SPEC))
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI", "ORT_DISABLE_TELEMETRY")}
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED.format(before=before), str(graph), str(spec)],
        env={**kept, "HOME": str(home), "ORT_DISABLE_TELEMETRY": "1"} if before else {**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    size, _, events = done.stdout.strip().splitlines()[-1].partition(" ")
    assert int(size) > 1000
    assert events == "[]"
    assert done.stdout.count("\n") == 1  # no progress bars
    if not before:  # what reporters keep in the home folder
        assert not [path for path in home.rglob("*") if "openvino" in path.name or "onnxruntime" in path.name]
