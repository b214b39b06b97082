"""ncnn, beyond what the contracts ask of every engine: each operation as ONNX Runtime computes it, or refused."""

import hashlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ganrt import BackendError, Generator
from ganrt.backends import available, open_session
from ganrt.backends._ncnn_network import _number
from ganrt.backends.base import Graph, Options

pytestmark = pytest.mark.skipif(not available("ncnn"), reason=available("ncnn").reason)

TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

small = st.integers(1, 7)
channels = st.sampled_from([1, 2, 3, 4, 5, 8, 12, 16, 17, 32])


node = helper.make_node


def model(nodes, inputs, outputs, weights=(), opset=20):
    """The bytes of an ONNX model; `inputs` and `outputs` are name -> shape, or (type, shape)."""

    def port(name, about):
        kind, shape = about if isinstance(about, tuple) else ("float32", about)
        return helper.make_tensor_value_info(name, TYPES[kind], shape)

    ports = [[port(name, about) for name, about in side.items()] for side in (inputs, outputs)]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()]
    graph = helper.make_graph(nodes, "g", *ports, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()


def opened(data, engine="ncnn", threads=1, streams=1):
    options = Options(threads=threads, streams=streams)
    return open_session(engine, Graph(data, hashlib.sha256(data).hexdigest(), "fp32"), options)


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def same(data, feeds, outputs=("y",), tolerance=2e-4):
    """ncnn gives what ONNX Runtime gives, and leaves its inputs alone."""
    before = {name: array.copy() for name, array in feeds.items()}
    expected = opened(data, "onnxruntime").evaluate(feeds, outputs)
    found = opened(data).evaluate(feeds, outputs)
    for name in outputs:
        assert found[name].shape == expected[name].shape
        assert found[name].dtype == expected[name].dtype
        scale = max(1.0, float(np.abs(expected[name]).max()))
        assert np.abs(found[name].astype(float) - expected[name]).max() <= tolerance * scale, name
    assert all((feeds[name] == array).all() for name, array in before.items())


@st.composite
def convolutions(draw):
    """A Conv or ConvTranspose over time or a picture, with an activation behind it or none."""
    axes, transposed = draw(st.sampled_from([1, 2, 2])), draw(st.booleans())
    group = draw(st.sampled_from([1, 1, 1, 2, 4]))
    taken, made = draw(channels) * group, draw(channels) * group
    kernel, strides, dilations = ([draw(st.integers(1, most)) for _ in range(axes)] for most in (5, 3, 2))
    size = [draw(st.integers(4, 11)) for _ in range(axes)]
    reach = [dilation * (one - 1) + 1 for one, dilation in zip(kernel, dilations, strict=True)]
    pads = [draw(st.integers(0, 2)) for _ in range(2 * axes)]
    extra = {}
    for axis in range(axes):
        total = pads[axis] + pads[axis + axes]
        if transposed:
            shortest = (size[axis] - 1) * strides[axis] + reach[axis]
            while pads[axis] + pads[axis + axes] >= shortest:
                pads[axis] = pads[axis + axes] = 0
        elif size[axis] + total < reach[axis]:
            size[axis] = reach[axis]
    if transposed:
        extra["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in strides]
    shape = (taken, made // group, *kernel) if transposed else (made, taken // group, *kernel)
    seed = draw(st.integers(0, 99))
    weights = {"w": numbers(seed, *shape) / np.float32(np.sqrt(taken * np.prod(kernel)))}
    if draw(st.booleans()):
        weights["b"] = numbers(seed + 1, made)
    node = helper.make_node(
        "ConvTranspose" if transposed else "Conv", ["x", *weights], ["y"],
        group=group, strides=strides, dilations=dilations, pads=pads, **extra,
    )  # fmt: skip
    nodes = [node]
    behind = draw(st.sampled_from([None, "Relu", "LeakyRelu"]))
    if behind:
        node.output[0] = "c"
        nodes.append(helper.make_node(behind, ["c"], ["y"], **({"alpha": 0.3} if behind == "LeakyRelu" else {})))
    data = model(nodes, {"x": ["n", taken, *size]}, {"y": ["n", made, *[None] * axes]}, weights)
    return data, {"x": numbers(seed + 2, draw(st.integers(1, 3)), taken, *size)}


@FEW
@given(convolutions())
def test_every_convolution_is_what_onnx_says(case):
    same(*case)


@FEW
@given(st.integers(0, 99), channels, channels, st.booleans(), st.booleans(), st.sampled_from(["Relu", "Tanh", None]))
def test_every_product_with_a_matrix_is_what_onnx_says(seed, taken, made, bias, transposed, behind):
    weights = {"w": numbers(seed, *((made, taken) if transposed else (taken, made)))}
    weights |= {"b": numbers(seed + 1, made)} if bias else {}
    nodes = [helper.make_node("Gemm", ["x", *weights], ["y"], transB=int(transposed))]
    if behind:
        nodes[0].output[0] = "c"
        nodes.append(helper.make_node(behind, ["c"], ["y"]))
    same(model(nodes, {"x": ["n", taken]}, {"y": ["n", made]}, weights), {"x": numbers(seed + 2, 2, taken)})


SHAPED = {  # operations that keep the shape: node, constants for c channels, whether the input must be positive
    "Relu": ({}, lambda c, s: {}),
    "LeakyRelu": ({"alpha": 0.2}, lambda c, s: {}),
    "Elu": ({"alpha": 0.7}, lambda c, s: {}),
    "Tanh": ({}, lambda c, s: {}),
    "Sigmoid": ({}, lambda c, s: {}),
    "Abs": ({}, lambda c, s: {}),
    "Neg": ({}, lambda c, s: {}),
    "Floor": ({}, lambda c, s: {}),
    "Ceil": ({}, lambda c, s: {}),
    "Round": ({}, lambda c, s: {}),
    "Exp": ({}, lambda c, s: {}),
    "Sin": ({}, lambda c, s: {}),
    "Cos": ({}, lambda c, s: {}),
    "PRelu": ({}, lambda c, s: {"a": numbers(s, c, *[1] * 2)}),
    "Clip": ({}, lambda c, s: {"a": np.float32(-0.5), "b": np.float32(0.25)}),
    "BatchNormalization": (
        {"epsilon": 1e-3},
        lambda c, s: {
            "a": numbers(s, c), "b": numbers(s + 1, c), "c": numbers(s + 2, c), "d": np.abs(numbers(s + 3, c)) + 0.5
        },
    ),
    "InstanceNormalization": ({"epsilon": 1e-3}, lambda c, s: {"a": numbers(s, c), "b": numbers(s + 1, c)}),
}  # fmt: skip


@pytest.mark.parametrize("operation", SHAPED)
@settings(FEW, max_examples=12)
@given(st.integers(0, 99), channels, small, small)
def test_every_operation_that_keeps_the_shape_is_what_onnx_says(operation, seed, width, high, wide):
    attributes, constants = SHAPED[operation]
    high, wide = high + 1, wide + 1
    weights = constants(width, seed)
    node = helper.make_node(operation, ["x", *weights], ["y"], **attributes)
    shape = ["n", width, high, wide]
    same(
        model([node], {"x": shape}, {"y": shape}, weights),
        {"x": numbers(seed + 9, 2, width, high, wide)},
        tolerance=1e-3,
    )


@settings(FEW, max_examples=12)
@given(st.integers(0, 99), st.sampled_from(["Sqrt", "Log", "Reciprocal"]), channels)
def test_every_operation_on_positive_numbers_is_what_onnx_says(seed, operation, width):
    node = helper.make_node(operation, ["x"], ["y"])
    data = model([node], {"x": ["n", width]}, {"y": ["n", width]})
    same(data, {"x": np.abs(numbers(seed, 3, width)) + 0.1})


def test_halves_are_rounded_to_even():
    data = model([helper.make_node("Round", ["x"], ["y"])], {"x": ["n", 37]}, {"y": ["n", 37]})
    halves = (np.arange(37, dtype=np.float32) - 18) / 2
    assert (opened(data).evaluate({"x": halves[None]}, ["y"])["y"] == np.rint(halves)).all()


@st.composite
def arithmetic(draw):
    """A tensor and a constant, or two tensors, each axis of either perhaps a single row."""
    rank, seed = draw(st.integers(1, 3)), draw(st.integers(0, 99))
    whole = [draw(channels), *[draw(small) for _ in range(rank - 1)]]
    one, other = ([draw(st.sampled_from([size, size, 1])) for size in whole] for _ in range(2))
    operation = draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
    inputs, weights = {"x": ["n", *one]}, {}
    feeds = {"x": np.abs(numbers(seed, 2, *one)) + np.float32(0.5)}
    held = np.abs(numbers(seed + 1, *(other if draw(st.booleans()) else [1, *other]))) + np.float32(0.5)
    if draw(st.booleans()):
        weights["a"] = np.float32(1.5) if draw(st.booleans()) else held
    else:
        inputs["a"] = ["n", *other]
        feeds["a"] = np.abs(numbers(seed + 1, 2, *other)) + np.float32(0.5)
    nodes = [node(operation, draw(st.permutations(["x", "a"])), ["y"])]
    return model(nodes, inputs, {"y": ["n", *[None] * rank]}, weights), feeds


@FEW
@given(arithmetic())
def test_arithmetic_between_tensors_and_constants_of_fitting_shapes_is_what_onnx_says(case):
    same(*case)


@FEW
@given(st.integers(0, 99), channels, small, small, st.sampled_from(["Tile", "Expand"]), st.integers(0, 3), small)
def test_repeating_along_an_axis_is_what_onnx_says(seed, width, high, wide, operation, axis, count):
    shape, repeats = [width, high, wide], [1, 1, 1, 1]
    if axis:
        repeats[axis] = count
        shape[axis - 1] = 1 if operation == "Expand" else shape[axis - 1]
    data = model([node(operation, ["x", "r"], ["y"])], {"x": ["n", *shape]}, {"y": ["n", None, None, None]},
                 {"r": np.array(repeats)})  # fmt: skip
    same(data, {"x": numbers(seed, 2, *shape)})


@FEW
@given(st.integers(0, 99), st.lists(small, min_size=1, max_size=3), st.sets(st.integers(1, 3), min_size=1),
       st.booleans())  # fmt: skip
def test_means_are_what_onnx_says(seed, shape, axes, kept):
    axes = sorted({axis for axis in axes if axis <= len(shape)} or {1})
    kept = kept or len(axes) == len(shape)
    rank = len(shape) if kept else len(shape) - len(axes)
    data = model([node("ReduceMean", ["x", "a"], ["y"], keepdims=int(kept))], {"x": ["n", *shape]},
                 {"y": ["n", *[None] * rank]}, {"a": np.array(axes)})  # fmt: skip
    same(data, {"x": numbers(seed, 2, *shape)})


@FEW
@given(st.integers(0, 99), channels, small, small, st.sampled_from(["reshape", "flatten", "crop", "concat", "blocks"]))
def test_every_change_of_shape_is_what_onnx_says(seed, width, high, wide, change):
    weights, shape = {}, [width, high, wide]
    if change == "reshape":
        weights = {"s": np.array([-1, high * width, wide])}
        nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    elif change == "flatten":
        weights = {"s": np.array([0, -1, 1, 1])}
        nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Reshape", ["f", "s"], ["y"])]
    elif change == "crop":
        wide += 2
        shape[2] = wide
        weights = {"s": np.array([0, 1]), "e": np.array([2**62, -1]), "a": np.array([-2, 3])}
        nodes = [helper.make_node("Slice", ["x", "s", "e", "a"], ["y"])]
    elif change == "concat":
        nodes = [
            helper.make_node("Tanh", ["x"], ["t"]),
            helper.make_node("Concat", ["x", "t", "x"], ["y"], axis=seed % 3 + 1),
        ]
    else:
        shape[0] = width * 4
        nodes = [helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode=["CRD", "DCR"][seed % 2])]
    rank = 3 if change == "reshape" else 4
    same(
        model(nodes, {"x": ["n", *shape]}, {"y": ["n", *[None] * (rank - 1)]}, weights), {"x": numbers(seed, 2, *shape)}
    )


@FEW
@given(st.integers(0, 99), channels, small, small, st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2]),
       st.sampled_from([("nearest", "asymmetric", "floor"), ("nearest", "half_pixel", "round_prefer_floor"),
                        ("linear", "half_pixel", "floor"), ("linear", "pytorch_half_pixel", "floor")]))  # fmt: skip
def test_enlarging_is_what_onnx_says(seed, width, high, wide, factor, other, how):
    high, wide = high + 1, wide + 1
    mode, where, rounding = how
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode=where,
                            nearest_mode=rounding)  # fmt: skip
    weights = {"s": np.array([1, 1, factor, other], np.float32)}
    data = model([node], {"x": ["n", width, "h", "w"]}, {"y": ["n", width, "h2", "w2"]}, weights)
    same(data, {"x": numbers(seed, 2, width, high, wide)})


@FEW
@given(st.integers(0, 99), channels, small, small, st.lists(st.integers(0, 3), min_size=4, max_size=4),
       st.sampled_from(["constant", "edge", "reflect"]))  # fmt: skip
def test_padding_is_what_onnx_says(seed, width, high, wide, pads, mode):
    high, wide = high + 3, wide + 3
    weights = {"p": np.array([0, 0, *pads[:2], 0, 0, *pads[2:]])}
    if mode == "constant":
        weights["v"] = np.float32(0.5)
    node = helper.make_node("Pad", ["x", *weights], ["y"], mode=mode)
    data = model([node], {"x": ["n", width, high, wide]}, {"y": ["n", width, None, None]}, weights)
    same(data, {"x": numbers(seed, 2, width, high, wide)})


def labelled():
    """A row of a table for each label, beside the latent."""
    nodes = [
        helper.make_node("Gather", ["table", "label"], ["row"]),
        helper.make_node("Concat", ["z", "row"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "w"], ["y"]),
    ]
    weights = {"table": numbers(0, 10, 6), "w": numbers(1, 10, 5)}
    return model(nodes, {"z": ["n", 4], "label": ("int64", ["n"])}, {"y": ["n", 5]}, weights)


def test_labels_take_their_rows():
    same(labelled(), {"z": numbers(2, 10, 4), "label": np.arange(10)})


def pictures():
    """Open sizes, two outputs, one of them the other as pixels: 3x3 convolutions twice as large."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["a", "slope"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["c"], ["raw"], blocksize=2, mode="CRD"),
        helper.make_node("Mul", ["raw", "scale"], ["d"]),
        helper.make_node("Round", ["d"], ["e"]),
        helper.make_node("Clip", ["e", "least", "most"], ["f"]),
        helper.make_node("Transpose", ["f"], ["g"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["g"], ["pixels"], to=TensorProto.UINT8),
    ]
    weights = {"w": numbers(0, 16, 3, 3, 3) / 5, "slope": np.full((16, 1, 1), 0.2, np.float32),
               "v": numbers(1, 12, 16, 3, 3) / 12, "scale": np.float32(127), "least": np.float32(0),
               "most": np.float32(255)}  # fmt: skip
    outputs = {"pixels": ("uint8", ["n", "h2", "w2", 3]), "raw": ["n", 3, "h2", "w2"]}
    return model(nodes, {"x": ["n", 3, "h", "w"]}, outputs, weights)


def test_a_picture_of_any_size_is_computed_and_several_outputs_are_one_pass():
    data = pictures()
    for size in ((5, 7), (8, 8), (33, 16), (64, 64), (5, 7), (1, 1), (128, 3), (9, 200)):
        same(data, {"x": np.abs(numbers(3, 2, 3, *size))}, ("pixels", "raw"), tolerance=5e-3)  # a step of 255


def test_sizes_of_a_picture_share_one_loaded_network():
    session = opened(pictures())
    for side in range(4, 12):
        session.evaluate({"x": numbers(0, 1, 3, side, side)}, ["raw"])
    assert len(session._layouts) <= 4
    assert len({id(layout.net) for layout in session._layouts.values()}) == 1


def test_threads_with_pictures_of_different_sizes_do_not_meet():
    session, faults = opened(pictures(), threads=2, streams=2), []
    given_ = {side: numbers(side, 3, 3, side, side) for side in range(3, 11)}
    right = {side: opened(pictures()).evaluate({"x": array}, ["raw"])["raw"] for side, array in given_.items()}

    def work(side):
        for _ in range(20):
            found = session.evaluate({"x": given_[side]}, ["raw"])["raw"]
            if np.abs(found - right[side]).max() > 1e-5:
                faults.append(side)

    threads = [threading.Thread(target=work, args=(side,)) for side in given_]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


REFUSED = {
    "an operation": ([node("Erf", ["x"], ["y"])], {}, "does not translate the operation Erf"),
    "an order of axes": (
        [node("Transpose", ["x"], ["t"], perm=[0, 2, 1, 3]), node("Relu", ["t"], ["y"])],
        {},
        "this Relu for it (it follows a Transpose)",
    ),
    "a type within": (
        [node("Cast", ["x"], ["t"], to=TensorProto.INT64), node("Abs", ["t"], ["y"])],
        {},
        "this Cast for it (its result is computed with)",
    ),
    "samples mixed": (
        [node("Reshape", ["x", "s"], ["y"])],
        {"s": np.array([1, -1, 4, 4])},
        "does not keep the samples apart",
    ),
    "samples mixed in a sum": ([node("Concat", ["x", "x"], ["y"], axis=0)], {}, "do not fit"),
    "a size that does not come out": (
        [node("Reshape", ["x", "s"], ["y"])],
        {"s": np.array([-1, 5])},
        "[4, 4, 4] becomes [5]",
    ),
    "channels that do not fit": (
        [node("Conv", ["x", "w"], ["y"])],
        {"w": np.ones((2, 3, 1, 1), np.float32)},
        "3 channels meet 4",
    ),
    "a kernel beyond the picture": (
        [node("Conv", ["x", "w"], ["y"])],
        {"w": np.ones((2, 4, 5, 5), np.float32)},
        "nothing would be left of",
    ),
    "weights of another type": (
        [node("Conv", ["x", "w"], ["y"])],
        {"w": np.ones((2, 4, 1, 1), np.float16)},
        "its weights are float16",
    ),
    "a part of a pixel": (
        [node("Resize", ["x", "", "s"], ["y"])],
        {"s": np.array([1, 1, 1.5, 2], np.float32)},
        "by whole numbers",
    ),
    "mirrored beyond its edge": (
        [node("Pad", ["x", "p"], ["y"], mode="reflect")],
        {"p": np.array([0, 0, 4, 0, 0, 0, 0, 0])},
        "mirrors more than there is",
    ),
    "a crop of nothing": (
        [node("Slice", ["x", "s", "e", "a"], ["y"])],
        {"s": np.array([3]), "e": np.array([2]), "a": np.array([2])},
        "nothing would be left of",
    ),
    "numbers that are computed": (
        [node("Relu", ["x"], ["r"]), node("Conv", ["x", "r"], ["y"])],
        {},
        "it takes numbers that are computed",
    ),
    "an output without an input": (
        [node("Identity", ["c"], ["y"])],
        {"c": np.ones((1, 4, 4, 4), np.float32)},
        "does not depend on its inputs",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_translated_exactly_is_refused_in_one_sentence(what):
    nodes, weights, sentence = REFUSED[what]
    data = model(nodes, {"x": ["n", 4, 4, 4]}, {"y": ["n", *[None] * (len(weights.get("s", [0] * 4)) - 1)]}, weights)
    with pytest.raises(BackendError, match=r"ncnn cannot use this graph: ") as caught:
        opened(data)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_old_opset_is_refused():
    data = model([helper.make_node("Relu", ["x"], ["y"])], {"x": ["n", 4]}, {"y": ["n", 4]}, opset=11)
    with pytest.raises(BackendError, match="opset 11, and opsets from 13 on are translated"):
        opened(data)


WRONG = {
    "another type": ({"x": np.zeros((1, 3, 4, 4))}, "'x' is float64"),
    "another shape": ({"x": np.zeros((1, 2, 4, 4), np.float32)}, r"'x' is float32 \[1, 2, 4, 4\]"),
    "a view": ({"x": np.zeros((1, 4, 4, 3), np.float32).transpose(0, 3, 1, 2)}, "is not contiguous"),
    "another name": ({"z": np.zeros((1, 3, 4, 4), np.float32)}, "the inputs are z"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_array_that_is_not_what_the_graph_takes_is_refused_and_the_next_call_works(what):
    feeds, sentence = WRONG[what]
    session = opened(pictures())
    with pytest.raises(BackendError, match=sentence):
        session.evaluate(feeds, ["raw"])
    with pytest.raises(BackendError, match="the output 'raw' is float32"):
        session.run({"x": np.zeros((1, 3, 4, 4), np.float32)}, {"raw": np.empty((1, 3, 7, 8), np.float32)})
    assert session.evaluate({"x": np.zeros((1, 3, 4, 4), np.float32)}, ["raw"])["raw"].shape == (1, 3, 8, 8)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_is_written_in_the_15_characters_that_are_read(value):
    assert len(_number(value)) <= 15
    assert np.float32(_number(value)) == np.float32(value)


def test_nothing_is_printed():
    code = "from ganrt import Generator; Generator.load('digits', backend='ncnn').sample(3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_bundled_digits_are_the_same():
    alone, other = (Generator.load("digits", backend=name) for name in ("ncnn", "onnxruntime"))
    for count in (1, 2, 9, 64):
        found, expected = (one.sample(count, seed=5).astype(int) for one in (alone, other))
        assert np.abs(found - expected).max() <= 1
