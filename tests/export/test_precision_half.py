"""float16 behind its gate: what passes, what stays float32 and why, what is refused."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganrt import ArgumentError, Bundle, FidelityError
from ganrt.latents import Draws
from ganrt.manifest import Bound
from ganrt.spec import Audio, Image, Latent, Signal, Spec, Truncation
from ganrt_export.fidelity import Pair
from ganrt_export.goldens import choose_goldens
from ganrt_export.precision import FP16, half, light
from ganrt_export.precision.gate import Figures, Judge, shortfall
from ganrt_export.precision.ranges import overflowing
from ganrt_export.precision.samples import outputs_of, prepare

DIGITS = Bundle.open("digits")
SIZE = 8
SPEC = Spec(inputs=(Latent(size=SIZE),), output=Image(height=4, width=4, channels=1))
RANDOM = np.random.default_rng(0)


def generator(*nodes: onnx.NodeProto, **constants: NDArray) -> bytes:
    """z [batch, 8] -> these operations, the last of them 'last' [batch, 16] -> tanh -> pictures."""
    half_range = np.float32(127.5).reshape(())
    tail = [
        helper.make_node("Reshape", ["last", "shape"], ["picture"]),
        helper.make_node("Tanh", ["picture"], ["image_float"]),
        helper.make_node("Mul", ["image_float", "half_range"], ["scaled"]),
        helper.make_node("Add", ["scaled", "half_range"], ["moved"]),
        helper.make_node("Round", ["moved"], ["rounded"]),
        helper.make_node("Transpose", ["rounded"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["turned"], ["image"], to=TensorProto.UINT8),
    ]
    weights = {"shape": np.array([-1, 1, 4, 4], np.int64), "half_range": half_range, **constants}
    for node in (*nodes, *tail):
        node.name = node.output[0]
    made = helper.make_graph(
        [*nodes, *tail],
        "g",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", SIZE])],
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 4, 4, 1]),
            helper.make_tensor_value_info("image_float", TensorProto.FLOAT, ["batch", 1, 4, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * RANDOM.standard_normal(shape)).astype(np.float32)


NORM = generator(  # a norm by hand, of what is large: x / sqrt(mean(x^2))
    helper.make_node("MatMul", ["z", "w"], ["large"]),
    helper.make_node("Mul", ["large", "large"], ["square"]),
    helper.make_node("ReduceMean", ["square", "axes"], ["mean"]),
    helper.make_node("Sqrt", ["mean"], ["root"]),
    helper.make_node("Div", ["large", "root"], ["last"]),
    w=normal(SIZE, 16, scale=300),
    axes=np.array([1], np.int64),
)
PLAIN = generator(helper.make_node("MatMul", ["z", "w"], ["last"]), w=normal(SIZE, 16, scale=0.3))


@pytest.fixture(scope="module")
def digits():
    return half(DIGITS.graph(), DIGITS.manifest.spec)


def test_the_bundled_digits_pass_as_a_whole_in_float16(digits) -> None:
    assert digits.kept == ()
    assert digits.precision == "fp16"
    assert digits.of > 10
    for figures in digits.figures.values():
        assert figures.fault or shortfall(figures, FP16) <= 1
    assert digits.figures["emulated"].samples >= 256
    assert digits.figures["onnxruntime"].psnr_db >= 50
    assert digits.figures["emulated"].within_one >= 0.995


def test_the_graph_is_half_as_large_as_float32(digits) -> None:
    model = onnx.load_from_string(digits.graph)
    numbers = sum(int(np.prod(weight.dims)) for weight in model.graph.initializer if weight.data_type == 10)
    assert len(digits.graph) < 2 * numbers + 10_000


def test_the_graph_takes_and_gives_what_its_spec_says(digits) -> None:
    from ganrt.onnx_header import read_onnx_header

    header = read_onnx_header(digits.graph, "fp16")
    DIGITS.manifest.spec.check_ports(header.inputs, header.outputs, "fp16")


@pytest.mark.parametrize("name", ["digits", "norm"])
def test_tensorrt_rtx_parses_and_builds_the_strongly_typed_graph(digits, name: str) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'ganrt[rtx]'")
    graph = digits.graph if name == "digits" else half(NORM, SPEC).graph
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse(graph), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for tensor in (network.get_input(i) for i in range(network.num_inputs)):
        rest = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (1, *rest), (8, *rest), (64, *rest))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(network, config) is not None


def test_what_would_overflow_stays_float32_and_the_rest_does_not() -> None:
    found = half(NORM, SPEC)
    assert "Mul 'square'" in found.kept
    assert len(found.kept) < found.of / 2
    assert found.figures["emulated"].psnr_db >= 50


def test_a_sum_that_overflows_on_its_way_to_a_small_result_is_seen() -> None:
    w = np.zeros((2 * SIZE, 16), np.float32)
    w[:SIZE], w[SIZE:] = 30_000, -30_000
    nodes = [
        helper.make_node("Concat", ["z", "z"], ["twice"], axis=1),
        helper.make_node("MatMul", ["twice", "w"], ["nothing"]),
        helper.make_node("MatMul", ["z", "v"], ["something"]),
        helper.make_node("Add", ["nothing", "something"], ["last"]),
    ]
    data = generator(*nodes, w=w, v=normal(SIZE, 16, scale=0.3))
    feeds = [Draws(SPEC, 0, 0, 50).feeds(0, 50)]
    (values,) = outputs_of(data, feeds, ["image_float"])
    assert np.abs(values["image_float"]).max() <= 1
    found = overflowing(data, ("twice", "nothing", "something", "last"), feeds)
    assert set(found) == {"nothing"}
    assert found["nothing"] > 65_504
    assert "MatMul 'nothing'" in half(data, SPEC).kept


def test_an_epsilon_that_float16_would_make_zero_stays() -> None:
    data = generator(
        helper.make_node("MatMul", ["z", "w"], ["small"]),
        helper.make_node("Add", ["small", "epsilon"], ["last"]),
        w=normal(SIZE, 16),
        epsilon=np.float32(1e-8).reshape(()),
    )
    assert half(data, SPEC).kept == ("Add 'last'",)


def test_an_operation_that_breaks_the_gate_without_overflow_is_found_and_it_alone_stays() -> None:
    nodes = [
        helper.make_node("MatMul", ["z", "w"], ["phase"]),
        helper.make_node("Add", ["phase", "turns"], ["far"]),  # 2000 + x in float16 has no fractions
        helper.make_node("Sub", ["far", "turns"], ["near"]),
        helper.make_node("Relu", ["near"], ["positive"]),
        helper.make_node("Mul", ["positive", "gain"], ["last"]),
    ]
    data = generator(
        *nodes,
        w=normal(SIZE, 16, scale=0.3),
        turns=np.full((), 2000, np.float32),
        gain=np.full((), 0.9, np.float32),
    )
    assert set(half(data, SPEC).kept) <= {"Add 'far'", "Sub 'near'"}
    assert "Add 'far'" in half(data, SPEC).kept


def test_a_gate_that_nothing_passes_names_the_operations_and_how_far_off_they_are() -> None:
    with pytest.raises(FidelityError, match=r"No fp16 graph .* dB are needed.* alone in float16: \w+ '.*dB\)"):
        half(PLAIN, SPEC, bound=Bound(psnr_db=190.0))


def test_weights_that_give_no_numbers_are_told_from_a_gate_that_fails() -> None:
    bad = normal(SIZE, 16)
    bad[0, 0] = np.nan
    with pytest.raises(FidelityError, match=r"float32 graph's own output 'image_float' is not finite"):
        half(generator(helper.make_node("MatMul", ["z", "w"], ["last"]), w=bad), SPEC)


def test_a_signal_cannot_be_drawn_and_must_be_given() -> None:
    spec = Spec(inputs=(Signal(name="z", kind="tensor", shape=(SIZE,)),), output=Image(height=4, width=4, channels=1))
    with pytest.raises(ArgumentError, match=r"takes a signal .* give references"):
        half(PLAIN, spec)
    feeds = [{"z": normal(count, SIZE)} for count in (1, 2, 3)]
    answers = outputs_of(PLAIN, feeds, ["image_float"])
    pairs = [Pair(taken, (given["image_float"],)) for taken, given in zip(feeds, answers, strict=True)]
    assert half(PLAIN, spec, pairs).figures["emulated"].samples == 6
    with pytest.raises(ArgumentError, match="references are empty"):
        half(PLAIN, spec, [])


def test_the_samples_are_the_specs_own_at_every_batch_and_both_ends_of_truncation() -> None:
    spec = Spec(
        inputs=(Latent(size=SIZE), Truncation(minimum=0.1, maximum=2.0)),
        output=Image(height=4, width=4, channels=1),
    )
    samples = prepare(PLAIN, spec)
    goldens = choose_goldens(spec)
    sizes = [len(pair.outputs[0]) for pair in samples.judged]
    assert sum(sizes) == 256 + len(goldens)
    assert {1, 2, 3, 8, 50} <= set(sizes)
    largest = [float(np.abs(pair.inputs["z"]).max()) for pair in samples.judged if len(pair.outputs[0]) >= 8]
    assert min(largest) <= 0.1
    assert max(largest) > 2.5  # the default is not truncated
    assert sum(len(batch["z"]) for batch in samples.calibration) == 300
    assert not np.array_equal(samples.calibration[0]["z"][0], samples.judged[0].inputs["z"][0])
    for golden, z in zip(goldens, samples.judged[-1].inputs["z"], strict=True):
        np.testing.assert_array_equal(z, Draws.of(spec, golden).feeds(0, 1)["z"][0])


JUDGE = Judge(SPEC, prepare(PLAIN, SPEC).judged)


def exact(inputs, outputs):
    return outputs_of(PLAIN, [inputs], outputs)[0]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda raw: raw * np.nan, "is not finite"),
        (lambda raw: np.zeros_like(raw), "one flat value"),
        (lambda raw: np.broadcast_to(JUDGE.pairs[0].outputs[0], raw.shape), "different inputs give the same output"),
        (lambda raw: raw[:, :, :2], "where float32 gives"),
    ],
    ids=["NaN", "flat", "repeated", "another shape"],
)
def test_what_is_no_picture_of_its_inputs_never_passes(spoil, fault: str) -> None:
    def run(inputs, outputs):
        found = exact(inputs, outputs)
        return {**found, "image_float": np.ascontiguousarray(spoil(found["image_float"]))}

    figures = JUDGE.of(run, "spoilt")
    assert fault in figures.fault
    assert shortfall(figures, Bound(psnr_db=0.0, within_one=0.0)) == np.inf


@pytest.mark.parametrize("times", [0.8, 1.3, 2.0])
def test_how_far_off_pixels_are_is_told_as_a_ratio_of_powers(times: float) -> None:
    """A normal error of which 99.5 % is within one step, and one `times` as large."""
    normal = NormalDist(sigma=times / NormalDist().inv_cdf(0.9975))
    within = normal.cdf(1) - normal.cdf(-1)
    figures = Figures("any", 256, 0.0, psnr_db=80.0, worst_db=80.0, within_one=within)
    assert shortfall(figures, FP16) == pytest.approx(times**2)


def test_one_bad_sample_among_256_does_not_hide_in_the_mean() -> None:
    target = JUDGE.pairs[4].inputs["z"][7]

    def run(inputs, outputs):
        found = exact(inputs, outputs)
        raw = found["image_float"].copy()
        raw[(inputs["z"] == target).all(axis=1)] += np.float32(0.01)
        return {**found, "image_float": raw}

    figures = JUDGE.of(run, "one off")
    assert figures.psnr_db > 60
    assert figures.worst_db == pytest.approx(10 * np.log10(4 / 0.01**2), abs=0.1)
    assert shortfall(figures, FP16) > 1
    hardest = JUDGE.hardest(3, run)
    assert hardest.samples == 3
    assert any((row == target).all() for row in hardest.pairs[0].inputs["z"])


def test_the_hardest_samples_of_several_sizes_are_picked_out_of_their_batches() -> None:
    random = np.random.default_rng(0)
    spec = Spec(
        inputs=(Signal(name="image", kind="image", shape=(1, None, None)),),
        output=Image(height=None, width=None, channels=1, name="made", raw="made_float", low=0.0, high=1.0),
    )
    given = [random.random((batch, 1, side, side), np.float32) for batch, side in ((3, 4), (2, 5), (4, 4))]
    judge = Judge(spec, [Pair({"image": one}, (one,)) for one in given])
    targets = [given[0][2], given[1][0], given[2][3]]

    def run(inputs, outputs):
        found = inputs["image"].copy()
        for row, picture in enumerate(inputs["image"]):
            found[row] += 0.1 if any(np.array_equal(picture, one) for one in targets) else 0.0
        return {"made_float": found}

    hardest = judge.hardest(3, run)
    assert {pair.inputs["image"].shape for pair in hardest.pairs} == {(2, 1, 4, 4), (1, 1, 5, 5)}
    chosen = [picture for pair in hardest.pairs for picture in pair.inputs["image"]]
    assert all(any(np.array_equal(picture, one) for picture in chosen) for one in targets)


def test_light_weights_are_float16_in_the_file_and_float32_in_every_operation() -> None:
    data = generator(
        helper.make_node("MatMul", ["z", "v"], ["wide"]),
        helper.make_node("MatMul", ["wide", "w"], ["last"]),
        v=normal(SIZE, 200, scale=0.3),
        w=normal(200, 16, scale=0.1),
    )
    found = light(data, SPEC)
    assert found.precision == "fp32"
    assert len(found.graph) < 0.65 * len(data)
    assert found.figures["onnxruntime"].psnr_db > 60
    stored = {weight.name: weight.data_type for weight in onnx.load_from_string(found.graph).graph.initializer}
    assert stored["w.half"] == stored["v.half"] == TensorProto.FLOAT16


def test_a_weight_beyond_float16_stays_in_a_light_graph() -> None:
    v, back = normal(SIZE, 200, scale=0.3), normal(200, 16, scale=0.1)
    data = generator(
        helper.make_node("MatMul", ["z", "v"], ["wide"]),
        helper.make_node("MatMul", ["wide", "w"], ["large"]),
        helper.make_node("Mul", ["large", "less"], ["last"]),
        v=v,
        w=back * np.float32(1e7),
        less=np.full((), 1e-7, np.float32),
    )
    assert light(data, SPEC).kept == ("weight 'w'",)


def test_sounds_of_any_length_are_judged_by_their_examples() -> None:
    spec = Spec(inputs=(Signal(name="mel", kind="mel", shape=(2, None)),), output=Audio(length=None, sample_rate=8000))
    nodes = [helper.make_node("Conv", ["mel", "w"], ["c"], pads=[2, 2]), helper.make_node("Tanh", ["c"], ["audio"])]
    for node in nodes:
        node.name = node.output[0]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", 2, "length"])],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 1, "length"])],
        [numpy_helper.from_array(normal(1, 2, 5), "w")],
    )
    data = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    feeds = [{"mel": normal(count, 2, length)} for count, length in ((1, 30), (2, 17), (3, 40))]
    answers = outputs_of(data, feeds, ["audio"])
    pairs = [Pair(taken, (given["audio"],)) for taken, given in zip(feeds, answers, strict=True)]
    assert half(data, spec, pairs).kept == ()


def test_of_two_graphs_the_second_is_lowered_and_fed_with_what_the_first_makes() -> None:
    first = helper.make_graph(
        [helper.make_node("MatMul", ["z", "m"], ["w"], name="w")],
        "mapping",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", SIZE])],
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["batch", SIZE])],
        [numpy_helper.from_array(normal(SIZE, SIZE), "m")],
    )
    mapping = helper.make_model(first, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    second = onnx.load_from_string(PLAIN)
    second.graph.initializer[-1].name = "weight"  # 'w' is the input now
    second.graph.input[0].name = "w"
    second.graph.node[0].input[:] = ["w", "weight"]
    found = half(second.SerializeToString(), SPEC, mapping=mapping)
    assert found.figures["emulated"].samples == 256 + len(choose_goldens(SPEC))
    assert found.kept == ()
    assert [one.name for one in onnx.load_from_string(found.graph).graph.input] == ["w"]
