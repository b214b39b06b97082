"""Batch norms and constant scales fold into linear layers, near and far, and only where that is the same function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_case import Build, assert_near, operations, rewrite, run
from torch.nn import functional as F

from ganrt_export.optimize.fold_affine import fold_affine

SEEDS = st.integers(0, 2**32 - 1)


class Draw:
    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.chance.standard_normal(shape).astype(np.float32)

    def norm(self, channels: int) -> tuple[np.ndarray, ...]:
        """Gain, bias, mean, variance."""
        variance = self.chance.uniform(0.1, 2, channels).astype(np.float32)
        return self(channels), self(channels), self(channels), variance


def normed(x: torch.Tensor, norm: tuple[np.ndarray, ...], epsilon: float = 1e-5) -> torch.Tensor:
    gain, bias, mean, variance = (torch.from_numpy(one).double() for one in norm)
    return F.batch_norm(x, mean, variance, gain, bias, eps=epsilon)


def double(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).double()


@st.composite
def layers(draw):
    """A linear layer of [n, 4 or 6, ...], the channels it gives, and its reference in float64."""
    number = Draw(draw(SEEDS))
    kind = draw(st.sampled_from(["Conv", "ConvTranspose", "Gemm", "MatMul"]))
    groups = draw(st.sampled_from([1, 2])) if "Conv" in kind else 1
    outputs, given_, bias = 6, 4, draw(st.booleans())
    batch, b = draw(st.integers(1, 3)), number(outputs)
    match kind:
        case "Conv":
            x, w = number(batch, given_, 5, 4), number(outputs, given_ // groups, 3, 2)
            attributes = {"group": groups, "pads": [1, 0, 1, 1], "strides": draw(st.sampled_from([[1, 1], [2, 1]]))}
            padded = F.pad(double(x), (0, 1, 1, 1))
            y = F.conv2d(padded, double(w), stride=attributes["strides"], groups=groups)
        case "ConvTranspose":
            x, w = number(batch, given_, 3), number(given_, outputs // groups, 4)
            attributes = {"group": groups, "pads": [1, 1], "strides": [2]}
            y = F.conv_transpose1d(double(x), double(w), stride=2, padding=1, groups=groups)
        case "Gemm":
            x, w = number(batch, given_), number(given_, outputs)
            alpha, beta, turned = (
                draw(st.sampled_from([1.0, 0.5])),
                draw(st.sampled_from([1.0, 2.0])),
                draw(st.booleans()),
            )
            y = alpha * double(x) @ double(w)
            attributes = {"alpha": alpha, "beta": beta, "transB": int(turned)}
            if bias:
                y = y + beta * double(b)
            w = np.ascontiguousarray(w.T) if turned else w
        case _:
            x, w, bias, attributes = number(batch, given_), number(given_, outputs), False, {}
            y = double(x) @ double(w)
    if bias and "Conv" in kind:
        y = y + double(b).reshape(-1, *[1] * (y.ndim - 2))
    build = Build(x=["n", *x.shape[1:]])
    last = build(kind, "x", w, *([b] if bias else []), **attributes)
    return build, last, x, y, kind, number


@settings(max_examples=150)
@given(
    layer=layers(), chain=st.lists(st.sampled_from(["norm", "Mul", "Add", "Sub", "Div", "from", "scale"]), max_size=3)
)
def test_what_follows_a_layer_folds_into_it(layer, chain: list[str]) -> None:
    build, last, x, y, kind, number = layer
    if kind == "MatMul":  # which has no bias to take a shift
        chain = [one for one in chain if one in ("Mul", "Div", "scale")]
    spread = [-1, *[1] * (y.ndim - 2)]
    for one in chain:
        array = number(6).reshape(spread)
        match one:
            case "norm":
                norm = number.norm(6)
                last, y = build("BatchNormalization", last, *norm, epsilon=1e-3), normed(y, norm, 1e-3)
            case "scale":
                last, y = build("Mul", np.float32(0.37), last), y * np.float32(0.37)
            case "from":
                last, y = build("Sub", array, last), double(array) - y
            case "Div":
                array = np.abs(array) + np.float32(0.5)
                last, y = build("Div", last, array), y / double(array)
            case _:
                operation = {"Mul": torch.mul, "Add": torch.add, "Sub": torch.sub}[one]
                last, y = build(one, last, array), operation(y, double(array))
    build("Identity", last, name="y")
    made, applied = rewrite(build.bytes("y"), fold_affine)
    assert applied == len(chain)
    assert operations(made) == {kind: 1, "Identity": 1}
    assert_near(run(made, {"x": x})[0], y)


@given(seed=SEEDS, way=st.sampled_from(["channels", "turned", "flat"]))
def test_a_norm_behind_a_reshaped_linear_layer_folds(seed: int, way: str) -> None:
    number = Draw(seed)
    x, w, b, norm = number(3, 5), number(5, 4 * 6), number(24), number.norm(4)
    build = Build(x=["n", 5])
    rows = build("Gemm", "x", w, b)
    y = double(x) @ double(w) + double(b)
    if way == "channels":
        last, y = build("Reshape", rows, np.array([-1, 4, 2, 3])), y.reshape(3, 4, 2, 3)
    elif way == "turned":
        places = build("Reshape", rows, np.array([-1, 2, 3, 4]))
        last, y = build("Transpose", places, perm=[0, 3, 1, 2]), y.reshape(3, 2, 3, 4).permute(0, 3, 1, 2)
    else:
        last, y = build("Reshape", rows, np.array([-1, 4, 6])), y.reshape(3, 4, 6)
    build("BatchNormalization", last, *norm, name="y")
    made, applied = rewrite(build.bytes("y"), fold_affine)
    assert applied == 1
    assert "BatchNormalization" not in operations(made)
    assert_near(run(made, {"x": x})[0], normed(y, norm))


def doubled(build: Build, value: str, **how: str) -> str:
    how = how or {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return build("Resize", value, "", np.array([1, 1, 2, 2], np.float32), **how)


@given(
    seed=SEEDS, between=st.sampled_from(["nearest", "linear", "shuffle", "columns", "pad", "noise", "style", "none"])
)
def test_a_scale_passes_what_it_commutes_with_and_leaky_relu(seed: int, between: str) -> None:
    """Conv, something, leaky ReLU, scale (positive, by channel where that fits): as in StyleGAN."""
    number = Draw(seed)
    x, w, b = number(2, 3, 4, 4), number(8, 3, 3, 3), number(8)
    build = Build(x=["n", 3, 4, 4])
    last = build("Conv", "x", w, b, pads=[1] * 4)
    match between:
        case "nearest":
            last = doubled(build, last)
        case "linear":
            last = doubled(build, last, mode="linear", coordinate_transformation_mode="half_pixel")
        case "shuffle" | "columns":
            last = build("DepthToSpace", last, blocksize=2, mode="CRD" if between == "columns" else "DCR")
        case "pad":
            last = build("Pad", last, np.array([0, 0, 1, 1, 0, 0, 2, 2]), mode="reflect")
        case "noise":
            last = build("Add", last, number(1, 1, 4, 4))
        case "style":
            style = build("ReduceMean", "x", np.array([1, 2, 3]), keepdims=1)
            last = build("Mul", last, style)
    channels = {"shuffle": 2, "columns": 2}.get(between, 8)
    gain = np.abs(number(channels, 1, 1)) + np.float32(0.1) if between != "noise" else np.float32(2**0.5)
    build("Mul", build("LeakyRelu", last, alpha=0.2), gain, name="y")
    data = build.bytes("y")
    made, applied = rewrite(data, fold_affine)
    assert applied == 1
    assert operations(data) - operations(made) == {"Mul": 1}
    assert_near(run(made, {"x": x})[0], run(data, {"x": x})[0])


@given(seed=SEEDS, kind=st.sampled_from(["Conv", "ConvTranspose", "Gemm"]), through=st.sampled_from(["", "relu", "up"]))
def test_a_scale_without_a_layer_before_it_folds_into_the_one_behind(seed: int, kind: str, through: str) -> None:
    number = Draw(seed)
    x = number(2, 4) if kind == "Gemm" else number(2, 4, 3, 3)
    s = np.abs(number(4).reshape([-1, *[1] * (x.ndim - 2)])) + np.float32(0.1)
    build = Build(x=["n", *x.shape[1:]])
    last = build("Mul", "x", s)
    if through == "relu":
        last = build("Relu", last)
    elif through == "up" and kind != "Gemm":
        last = doubled(build, last)
    if kind == "Gemm":
        build("Gemm", last, number(4, 5), number(5), name="y")
    else:
        w = number(6, 2, 3, 3) if kind == "Conv" else number(4, 3, 3, 3)
        build(kind, last, w, number(6), name="y", pads=[1] * 4, group=2)
    data = build.bytes("y")
    made, applied = rewrite(data, fold_affine)
    assert applied == 1
    assert "Mul" not in operations(made)
    assert_near(run(made, {"x": x})[0], run(data, {"x": x})[0])


@given(seed=SEEDS, pads=st.sampled_from([0, 1]))
def test_a_shift_folds_forwards_only_where_nothing_is_padded(seed: int, pads: int) -> None:
    number = Draw(seed)
    x, norm = number(2, 4, 3, 3), number.norm(4)
    build = Build(x=["n", 4, 3, 3])
    build("Conv", build("BatchNormalization", "x", *norm), number(6, 4, 3, 3), name="y", pads=[pads] * 4)
    data = build.bytes("y")
    made, applied = rewrite(data, fold_affine)
    assert applied == (pads == 0)
    assert_near(run(made, {"x": x})[0], run(data, {"x": x})[0])


def unfolded(build: Build, *outputs: str) -> None:
    data = build.bytes(*outputs)
    made, applied = rewrite(data, fold_affine)
    assert applied == 0
    assert operations(made) == operations(data)


def test_nothing_folds_into_a_layer_that_others_see() -> None:
    number = Draw(0)
    build = Build(x=["n", 3, 4, 4])
    conv = build("Conv", "x", number(5, 3, 1, 1), name="seen")
    build("Mul", conv, np.float32(2), name="y")
    unfolded(build, "y", "seen")

    build = Build(x=["n", 3, 4, 4])
    conv = build("Conv", "x", number(5, 3, 1, 1))
    build("Add", build("Mul", conv, np.float32(2)), build("Relu", conv), name="y")
    unfolded(build, "y")


@pytest.mark.parametrize("gain", [-2.0, 0.0])
def test_only_a_positive_scale_passes_a_relu(gain: float) -> None:
    number = Draw(0)
    build = Build(x=["n", 3, 4, 4])
    rectified = build("Relu", build("Conv", "x", number(5, 3, 1, 1)))
    build("Mul", rectified, np.float32(gain), name="y")
    unfolded(build, "y")


def test_a_shift_does_not_pass_a_relu_nor_zeros_around_a_picture() -> None:
    number = Draw(0)
    for operation, attributes in (("Relu", {}), ("Pad", {"mode": "constant"})):
        build = Build(x=["n", 3, 4, 4])
        more = [np.array([0, 0, 1, 1, 0, 0, 1, 1])] if operation == "Pad" else []
        middle = build(operation, build("Conv", "x", number(5, 3, 1, 1)), *more, **attributes)
        build("Add", middle, number(5, 1, 1), name="y")
        unfolded(build, "y")


def test_what_varies_over_the_picture_or_is_no_constant_stays() -> None:
    number = Draw(0)
    build = Build(x=["n", 3, 4, 4], s=["n", 5, 1, 1])
    conv = build("Conv", "x", number(5, 3, 1, 1))
    build("Mul", build("Mul", conv, number(4, 4)), "s", name="y")
    unfolded(build, "y")


def test_a_small_epsilon_is_no_zero() -> None:
    build = Build(x=["n", 3])
    squares = build("Gemm", build("Mul", "x", "x"), np.zeros((3, 3), np.float32))
    build("Sqrt", build("Add", squares, np.float32(1e-8)), name="y")
    made, applied = rewrite(build.bytes("y"), fold_affine)
    assert applied == 1
    np.testing.assert_allclose(run(made, {"x": np.ones((1, 3), np.float32)})[0], 1e-4, rtol=1e-4)


def test_a_weight_that_two_layers_share_changes_for_one_of_them() -> None:
    number = Draw(0)
    build = Build(x=["n", 3, 4, 4])
    shared = build.weight(number(3, 3, 3, 3))
    first = build("Mul", build("Conv", "x", shared, pads=[1] * 4), np.float32(3))
    build("Conv", build("Tanh", first), shared, name="y", pads=[1] * 4)
    data, x = build.bytes("y"), number(2, 3, 4, 4)
    made, applied = rewrite(data, fold_affine)
    assert applied == 1
    assert_near(run(made, {"x": x})[0], run(data, {"x": x})[0])


def test_weights_behind_a_cast_and_a_product_are_seen_through() -> None:
    """float16 weights, an equalised learning rate."""
    number = Draw(0)
    build = Build(x=["n", 3, 4, 4])
    w = build("Mul", build("Cast", number(5, 3, 3, 3).astype(np.float16), to=1), np.float32(0.1))
    build("BatchNormalization", build("Conv", "x", w, pads=[1] * 4), *number.norm(5), name="y")
    data, x = build.bytes("y"), number(2, 3, 4, 4)
    made, applied = rewrite(data, fold_affine)
    assert applied == 1
    assert operations(made) == {"Conv": 1}
    assert_near(run(made, {"x": x})[0], run(data, {"x": x})[0])
