"""What the engines' own profilers tell, read right: every operation, none twice, and the work in them."""

import hashlib
from contextlib import ExitStack
from math import prod

import msgspec
import numpy as np
import onnx
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ganrt import Bundle, Generator
from ganrt.backends import available, open_session
from ganrt.backends.base import Graph, Options
from ganrt.backends.profile import NodeTime, Trace, profile
from ganrt.bundle import write_bundle
from ganrt.errors import BackendUnavailable, NotABundle
from ganrt.latency.gemm_graph import matmul_model
from ganrt.latency.operations import Traced, multiply_adds, operations
from ganrt.latency.profiling import profile as profile_subject
from ganrt.latency.subject import Subject, engine_calls
from ganrt.latency.work import work
from ganrt.onnx_header import count_weights

SPEC = tiny.SPECS["conditional"]
ENGINES = [pytest.param(name, marks=pytest.mark.skipif(not available(name), reason="not installed"))
           for name in ("onnxruntime", "openvino")]  # fmt: skip


def graph_of(model):
    data = model.SerializeToString()
    return Graph(data, hashlib.sha256(data).hexdigest(), "fp32")


def model_of(nodes, inputs, outputs, constants=()):
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items()]
        for ports in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *values, [numpy_helper.from_array(a, n) for n, a in dict(constants).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def arrays_of_tiny(count):
    """Inputs and outputs of a batch."""
    draws = np.random.default_rng(0)
    inputs = {"z": draws.normal(size=(count, 8)).astype(np.float32), "label": draws.integers(0, 10, count)}
    port = SPEC.output_ports()[0]
    return inputs, {port.name: np.empty((count, *port.shape[1:]), port.dtype)}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_profiler_tells_every_operation_of_every_call(engine):
    references = arrays_of_tiny(3)
    trace = profile(engine, graph_of(tiny.model(SPEC)), Options(1), *references, 0.05)
    assert len(trace.calls) == len(trace.call_ms) >= 1
    assert trace.profiled >= 2
    kinds = {node.operation for node in trace.calls[0]}
    assert kinds & {"MatMul", "FusedMatMul", "FullyConnected", "Gemm"}, kinds
    assert engine != "onnxruntime" or "Tanh" in kinds  # OpenVINO fuses it
    assert all([node.name for node in call] == [node.name for node in trace.calls[0]] for call in trace.calls)
    for call, took in zip(trace.calls, trace.call_ms, strict=True):
        assert 0 <= sum(node.ms for node in call) <= took * 1.05 + 0.05  # microseconds are whole numbers


@pytest.mark.parametrize("engine", ENGINES)
def test_in_streams_the_profiler_tells_of_one_part_and_of_each_operation_once(engine):
    weights = {name: np.full((512, 512), 1 / 512, np.float32) for name in "abc"}
    nodes = [helper.make_node("MatMul", [one, name], [made]) for one, name, made in ("xau", "ubv", "vcy")]
    graph = graph_of(model_of(nodes, {"x": ["n", 512]}, {"y": ["n", 512]}, weights))
    x = np.ones((2048, 512), np.float32)  # ten milliseconds and more, so that the parts do run side by side
    alone = profile(engine, graph, Options(1), {"x": x[:1024]}, {"y": np.empty_like(x[:1024])}, 0.05)
    parts = profile(engine, graph, Options(2, streams=2), {"x": x}, {"y": np.empty_like(x)}, 0.05)
    assert parts.profiled >= 2
    for call, took in zip(parts.calls, parts.call_ms, strict=True):
        assert [node.operation for node in call] == [node.operation for node in alone.calls[0]]
        assert [node.outputs for node in call] == [node.outputs for node in alone.calls[0]]
        assert [node.moved for node in call] == [node.moved for node in alone.calls[0]]
        assert sum(node.ms for node in call) <= took * 1.7 + 0.05  # twice as much, were each told of twice


@pytest.fixture
def in_streams(tiny_bundle_path):
    """What samples are made of on two cores, in so many streams."""
    bundle = Bundle.open(tiny_bundle_path)
    with ExitStack() as opened:
        generator = opened.enter_context(Generator.load(tiny_bundle_path, backend="onnxruntime", precision="fp32"))

        def make(streams, size):
            session = open_session("onnxruntime", Graph.of(bundle, "fp32"), Options(2, streams=streams))
            opened.callback(session.close)
            return Subject(bundle, generator.sample, generator.run, [("plain", size, session)])

        yield make


def test_a_profile_in_streams_is_of_the_same_work(in_streams):
    whole, parts = (profile_subject(in_streams(streams, 8), 8, seconds=0.02, seed=0) for streams in (1, 2))
    assert (whole.operations.streams, parts.operations.streams) == (1, 2)
    assert parts.operations.moved == whole.operations.moved > 0
    assert {one.operation: one.count for one in parts.operations.kinds} == {
        one.operation: one.count for one in whole.operations.kinds
    }


@pytest.mark.parametrize(
    ("size", "said"), [(8, "2 threads in 2 streams"), (2, "2 threads in 2 streams"), (1, "1 thread")]
)
def test_what_ran_in_streams_is_told_with_the_cores_that_it_had(in_streams, size, said):
    """A single sample has but one part, which has the cores of one stream."""
    (call,) = engine_calls(in_streams(2, size))
    assert call.how == f"fp32 plain, {said}"


@pytest.mark.skipif(not available("openvino"), reason="not installed")
def test_the_slow_first_calls_of_openvino_are_not_in_its_means():
    size = 256
    data, *_ = matmul_model(size)
    x, y = np.ones((size, size), np.float32), np.empty((size, size), np.float32)
    trace = profile("openvino", Graph(data, "d", "fp32"), Options(1), {"x": x}, {"y": y}, 0.2)
    assert trace.profiled > 10
    assert 0 < sum(node.ms for node in trace.calls[0]) <= trace.call_ms[0] * 1.05 + 0.01


def test_an_engine_without_a_profiler_says_so():
    with pytest.raises(BackendUnavailable, match="mnn does not tell the times of its operations"):
        profile("mnn", graph_of(tiny.model(SPEC)), Options(1), {}, {}, 0.1)


def test_a_loop_is_not_counted_twice():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("MatMul", ["v", "m"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64]),
        ],
    )
    loop = helper.make_node("Loop", ["times", "", "x"], ["y"], body=body)
    constants = {"times": np.array(40), "m": np.eye(64, dtype=np.float32)}
    model = model_of([loop], {"x": [64, 64]}, {"y": [64, 64]}, constants)
    onnx.checker.check_model(model, full_check=True)
    x = np.ones((64, 64), np.float32)
    trace = profile("onnxruntime", graph_of(model), Options(1), {"x": x}, {"y": np.empty_like(x)}, 0.0, as_written=True)
    for call, took in zip(trace.calls, trace.call_ms, strict=True):
        assert sum(node.operation == "MatMul" for node in call) == 40
        assert sum(node.ms for node in call) <= took + 0.05
    assert multiply_adds(trace.calls[0]) == 40 * 64**3
    kinds = {kind.operation: kind for kind in operations("ort", [Traced(trace)]).kinds}
    assert kinds["MatMul"].count == 1  # one node, which runs forty times


def test_two_graphs_are_profiled_one_after_the_other():
    a, b = np.ones((4, 6), np.float32), np.ones((6, 5), np.float32)
    mapping = helper.make_node("MatMul", ["z", "a"], ["w"], name="m")
    synthesis = helper.make_node("MatMul", ["w", "b"], ["y"], name="s")
    first = model_of([mapping], {"z": ["n", 4]}, {"w": ["n", 6]}, {"a": a})
    second = model_of([synthesis], {"w": ["n", 6]}, {"y": ["n", 5]}, {"b": b})
    graph = Graph(second.SerializeToString(), "d", "fp32", first.SerializeToString())
    z, y = np.ones((3, 4), np.float32), np.empty((3, 5), np.float32)
    trace = profile("onnxruntime", graph, Options(1), {"z": z}, {"y": y}, 0.0, as_written=True)
    assert [node.name for node in trace.calls[0]] == ["mapping: m", "s"]
    assert multiply_adds(trace.calls[0]) == 3 * (4 * 6 + 6 * 5)
    assert (y == 24).all()


sizes = st.integers(1, 4)


@given(batch=sizes, given_=sizes, made=sizes, kernel=st.integers(1, 3), groups=sizes, extent=st.integers(3, 6))
def test_a_convolution_takes_a_multiply_add_for_each_weight_at_each_place(batch, given_, made, kernel, groups, extent):
    places = (extent - kernel + 1) ** 2
    shapes = ((batch, given_ * groups, extent, extent), (made * groups, given_, kernel, kernel))
    node = NodeTime("c", "Conv", "", 1.0, shapes, ((batch, made * groups, extent - kernel + 1, extent - kernel + 1),))
    assert multiply_adds([node]) == batch * places * made * groups * given_ * kernel**2


@given(rows=sizes, inner=sizes, columns=sizes, turned=st.booleans(), batch=st.lists(sizes, max_size=2))
def test_a_matrix_product_takes_one_for_each_of_the_three_indices(rows, inner, columns, turned, batch):
    left = (inner, rows) if turned else (rows, inner)
    gemm = NodeTime("g", "Gemm", "", 1.0, (left, (inner, columns)), ((rows, columns),))
    assert multiply_adds([gemm]) == rows * inner * columns
    product = NodeTime("m", "MatMul", "", 1.0, ((*batch, rows, inner), (inner, columns)), ((*batch, rows, columns),))
    assert multiply_adds([product]) == prod(batch) * rows * inner * columns


def test_kinds_and_nodes_come_slowest_first_and_add_up():
    def node(name, kind, ms):
        return NodeTime(name, kind, "", ms, None, None, 10)

    calls = [[node("a", "Conv", 1.0), node("b", "Relu", 0.5), node("c", "Conv", x)] for x in (2.0, 4.0, 3.0)]
    found = operations("engine", [Traced(Trace(calls, [6.0, 6.0, 6.0], 3), times=2)])
    assert [(kind.operation, kind.count, kind.ms) for kind in found.kinds] == [("Conv", 2, 8.0), ("Relu", 1, 1.0)]
    assert [node.name for node in found.nodes] == ["c", "a", "b"]
    assert (found.inside_ms, found.call_ms, found.moved, found.calls) == (9.0, 12.0, 60, 3)


def test_a_node_that_a_call_does_not_tell_of_took_nothing_there():
    node = NodeTime("a", "Add", "", 0.001)
    found = operations("engine", [Traced(Trace([[node], [], []], [1.0, 1.0, 1.0], 3))])
    assert found.nodes[0].ms == 0.0


def test_the_work_of_a_graph_is_counted_where_the_bundle_does_not_tell(tiny_bundle_path):
    bundle = Bundle.open(tiny_bundle_path)
    with Generator.load(tiny_bundle_path, backend="onnxruntime") as generator:
        found = generator.profile(4, seconds=0.02).work
    shapes = [matrix.shape for name, matrix in tiny.weights(SPEC).items() if name != "embedding"]
    assert found.multiply_adds == sum(rows * columns for rows, columns in shapes)
    assert found.counted == "a run"
    numbers = count_weights(bundle.graph("fp32"), "tiny")
    assert found.weights == 4 * numbers
    assert found.carried == 8 * 4 + 8 + 6 * 5


def test_the_count_of_the_bundle_is_believed_where_it_has_one(tmp_path):
    made = tiny.make("conditional")
    told = {"operations": {"fp32": {"multiply_adds": 12345, "nodes": 9}}}
    write_bundle(tmp_path / "t.ganrt", msgspec.structs.replace(made.manifest, provenance=told), made.files)
    bundle = Bundle.open(tmp_path / "t.ganrt")
    inputs, outputs = arrays_of_tiny(1)
    found = work(bundle, "fp32", "plain", inputs, outputs)
    assert (found.multiply_adds, found.counted) == (12345, "the bundle")


@pytest.mark.parametrize("told", [3, {"fp32": 3}, *({"fp32": {"multiply_adds": one}} for one in ("many", -1, True))])
def test_a_count_that_is_none_is_not_believed(tmp_path, told):
    made = tiny.make("conditional")
    write_bundle(
        tmp_path / "t.ganrt", msgspec.structs.replace(made.manifest, provenance={"operations": told}), made.files
    )
    found = work(Bundle.open(tmp_path / "t.ganrt"), "fp32", "plain", *arrays_of_tiny(1))
    assert found.counted == "a run"


@given(st.lists(st.lists(st.integers(0, 300), max_size=3), max_size=4))
def test_weights_are_counted_by_their_extents(shapes):
    graph = onnx.GraphProto(name="g")
    for at, shape in enumerate(shapes):
        graph.initializer.append(onnx.TensorProto(name=f"w{at}", dims=shape, data_type=1))
    model = onnx.ModelProto(ir_version=8, graph=graph)
    assert count_weights(model.SerializeToString(), "it") == sum(prod(shape) for shape in shapes)


def test_what_is_no_model_has_no_weights_to_count():
    with pytest.raises(NotABundle, match="it is not an ONNX model"):
        count_weights(b"\xff" * 20, "it")
