"""The roofline: graphs that compute what they say, and rates that were measured and not made up."""

import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrt.backends import available, open_session
from ganrt.backends.base import Graph, Options
from ganrt.latency import roofline
from ganrt.latency.gemm_graph import conv_model, matmul_model
from ganrt.latency.roofline import Arithmetic, Roof, measure_roof

QUICK = {"trial": 0.02, "span": 1 << 22}


@pytest.fixture(scope="module")
def roof():
    return measure_roof(1, **QUICK)


def test_every_engine_here_and_numpy_are_tried(roof):
    tried = " ".join(one.how for one in roof.arithmetic)
    assert "numpy" in tried
    for name in filter(available, roofline.ENGINES):
        assert {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[name] in tried
    assert roof.notes == []


def test_the_rates_are_those_of_a_processor(roof):
    assert all(0.1 < one.gflops < 1e5 for one in roof.arithmetic)
    assert [one.within for one in roof.copying] == ["cache", "memory"]
    assert all(0.05 < one.gigabytes < 1e5 for one in roof.copying)
    assert roof.copying[1].span == QUICK["span"]
    assert "matrix product" in roof.gemm().how or "convolution" in roof.gemm().how


def test_a_row_is_held_to_the_faster_of_its_own_precision_and_fp32():
    made = Roof(1, [Arithmetic(100, "a"), Arithmetic(80, "b"), Arithmetic(200, "c", "bf16")], [])
    assert made.gemm().how == "a"
    assert made.gemm("bf16").how == "c"
    assert made.gemm("int8").how == "a"
    slower = Roof(1, [Arithmetic(100, "a"), Arithmetic(50, "c", "bf16")], [])
    assert slower.gemm("bf16").how == "a"
    assert Roof(1, [], []).gemm() is None


def test_where_numpy_cannot_be_measured_it_says_why(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(roofline, "ENGINES", ())
    found = measure_roof(1, **QUICK)
    assert (found.arithmetic, found.copying) == ([], [])
    assert found.notes == ["numpy was not measured: this program is not run by a Python of its own"]


def test_a_child_that_fails_is_no_failure_of_the_report(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(roofline, "ENGINES", ())
    assert measure_roof(1, **QUICK).notes[0].startswith("numpy was not measured: ")


models = st.one_of(
    st.builds(matmul_model, st.integers(1, 40)), st.builds(conv_model, st.integers(1, 9), st.integers(3, 20))
)


@given(models)
@settings(max_examples=30)
def test_the_graphs_are_valid_onnx_and_take_the_work_they_say(made):
    data, given_, shape, adds = made
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    (node,) = model.graph.node
    (weight,) = model.graph.initializer
    assert adds == np.prod(shape) * np.prod(weight.dims[:1] if node.op_type == "MatMul" else weight.dims[1:])
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == list(given_)
    assert [size.dim_value for size in model.graph.output[0].type.tensor_type.shape.dim] == list(shape)


@pytest.mark.parametrize("engine", roofline.ENGINES)
@pytest.mark.parametrize("made", [matmul_model(48), conv_model(6, 10)], ids=["matrix product", "convolution"])
def test_the_engines_compute_them(engine, made):
    if not available(engine):
        pytest.skip(f"{engine} is not installed")
    data, given_, shape, _ = made
    weight = onnx.numpy_helper.to_array(onnx.load_from_string(data).graph.initializer[0]).astype(np.float64)
    x = np.random.default_rng(0).normal(size=given_).astype(np.float32)
    y = np.empty(shape, np.float32)
    session = open_session(engine, Graph(data, "d", "fp32"), Options(1))
    session.run({"x": x}, {"y": y})
    session.close()
    if len(given_) == 2:
        expected = x @ weight
    else:
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
        expected = np.einsum("nchwij,kcij->nkhw", windows, weight)
    np.testing.assert_allclose(y, expected, atol=1e-4)
