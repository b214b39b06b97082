"""Repetitions, pointwise work, convolutions of one pixel, the way to uint8: each on small graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from rewrite_case import Build, assert_near, operations, rewrite, run
from torch.nn import functional as F

from ganrt_export.optimize.enlarge import enlarge
from ganrt_export.optimize.pixels import shorten_pixels
from ganrt_export.optimize.point_gemm import point_to_gemm
from ganrt_export.optimize.pointwise import commute_pointwise
from ganrt_export.optimize.repeats import name_repeats

SEEDS = st.integers(0, 2**32 - 1)
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def resized(build: Build, value: str, down: int, across: int, **how: str) -> str:
    return build("Resize", value, "", np.array([1, 1, down, across], np.float32), **(how or NEAREST))


def interleaved(build: Build, value: str, axis: int, times: int, shape: list[int]) -> str:
    """As the exporter writes `repeat_interleave`."""
    apart = build("Unsqueeze", value, np.array([axis + 1]))
    wide = build("Expand", apart, np.array([times if at == axis + 1 else 1 for at in range(5)]))
    return build("Reshape", wide, np.array([-1, *shape]))


# --------------------------------------------------------------------------------------------------------- repeats


@given(seed=SEEDS, down=st.integers(1, 3), across=st.integers(2, 3), h=st.integers(1, 3), w=st.integers(1, 3))
def test_repeat_interleave_is_one_resize(seed: int, down: int, across: int, h: int, w: int) -> None:
    build = Build(x=["n", 2, h, w])
    tall = interleaved(build, "x", 2, down, [2, h * down, w])
    build("Relu", interleaved(build, tall, 3, across, [2, h * down, w * across]), name="y")
    x = numbers(seed, 2, 2, h, w)
    made, _ = rewrite(build.bytes("y"), name_repeats)
    assert operations(made) == {"Resize": 1, "Relu": 1}
    expected = np.maximum(x.repeat(down, 2).repeat(across, 3), 0)
    np.testing.assert_array_equal(run(made, {"x": x})[0], expected)


@given(seed=SEEDS, down=st.integers(1, 3), across=st.integers(1, 3))
def test_reshape_expand_reshape_is_one_resize(seed: int, down: int, across: int) -> None:
    build = Build(x=["n", 2, 3, 4])
    apart = build("Reshape", "x", np.array([-1, 2, 3, 1, 4, 1]))
    wide = build("Tile", apart, np.array([1, 1, 1, down, 1, across]))
    build("Reshape", wide, np.array([-1, 2, 3 * down, 4 * across]), name="y")
    x = numbers(seed, 2, 2, 3, 4)
    made, applied = rewrite(build.bytes("y"), name_repeats)
    assert (applied, operations(made)) == (1, {"Resize": 1})
    np.testing.assert_array_equal(run(made, {"x": x})[0], x.repeat(down, 2).repeat(across, 3))


def test_tiling_a_whole_picture_is_no_repetition_of_pixels() -> None:
    build = Build(x=["n", 2, 3, 4])
    apart = build("Reshape", "x", np.array([-1, 2, 1, 3, 4]))
    build("Reshape", build("Tile", apart, np.array([1, 1, 2, 1, 1])), np.array([-1, 2, 6, 4]), name="y")
    assert rewrite(build.bytes("y"), name_repeats)[1] == 0


def test_sizes_computed_at_run_time_become_scales_where_they_are_known() -> None:
    build = Build(x=["n", 2, 3, 4])
    batch = build("Shape", "x", start=0, end=2)
    build("Resize", "x", "", "", build("Concat", batch, np.array([6, 12]), axis=0), name="y", **NEAREST)
    data, x = build.bytes("y"), numbers(0, 3, 2, 3, 4)
    made, applied = rewrite(data, name_repeats)
    assert (applied, operations(made)) == (1, {"Resize": 1})
    np.testing.assert_array_equal(run(made, {"x": x})[0], run(data, {"x": x})[0])


@pytest.mark.parametrize("target", [(5, 12), (2, 4)])
def test_other_sizes_stay_as_they_are(target: tuple[int, int]) -> None:
    build = Build(x=["n", 2, 3, 4])
    batch = build("Shape", "x", start=0, end=2)
    build("Resize", "x", "", "", build("Concat", batch, np.array(target), axis=0), name="y", **NEAREST)
    assert rewrite(build.bytes("y"), name_repeats)[1] == 0


# ------------------------------------------------------------------------------------------------------- pointwise


@given(seed=SEEDS, how=st.sampled_from([NEAREST, LINEAR]), bias=st.booleans(), shared=st.booleans())
def test_a_1x1_convolution_comes_before_the_picture_grows(seed: int, how: dict, bias: bool, shared: bool) -> None:
    build = Build(x=["n", 4, 3, 5])
    large = resized(build, "x", 2, 3, **how)
    w, b = numbers(seed, 6, 2, 1, 1), [numbers(seed + 1, 6)] if bias else []
    build("Conv", large, w, *b, name="y", group=2)
    outputs = ["y"]
    if shared:
        outputs.append(build("ReduceMean", large, np.array([1]), name="other"))
    data, x = build.bytes(*outputs), numbers(seed, 2, 4, 3, 5)
    made, applied = rewrite(data, commute_pointwise)
    assert applied == 1
    for found, expected in zip(run(made, {"x": x}), run(data, {"x": x}), strict=True):
        assert_near(found, expected)
    assert shared or next(iter(operations(made))) == "Conv"


@given(seed=SEEDS, operation=st.sampled_from(["Relu", "Tanh", "Mul", "Add", "style", "norm"]))
def test_elementwise_work_comes_before_pixels_are_repeated(seed: int, operation: str) -> None:
    build = Build(x=["n", 3, 2, 2])
    large = resized(build, "x", 2, 2)
    match operation:
        case "Mul" | "Add":
            last = build(operation, large, numbers(seed, 3, 1, 1))
        case "style":
            last = build("Mul", build("ReduceMean", "x", np.array([2, 3]), keepdims=1), large)
        case "norm":
            last = build("BatchNormalization", large, *[np.abs(numbers(seed + i, 3)) for i in range(4)])
        case _:
            last = build(operation, large)
    build("Conv", last, numbers(seed, 4, 3, 3, 3), name="y", pads=[1] * 4)
    data, x = build.bytes("y"), numbers(seed, 2, 3, 2, 2)
    made, applied = rewrite(data, commute_pointwise)
    assert applied == 1
    assert [*operations(made)][-2:] == ["Resize", "Conv"]
    np.testing.assert_array_equal(run(made, {"x": x})[0], run(data, {"x": x})[0])
    made, applied = rewrite(made, lambda graph: enlarge(graph, lambda _: "transposed"))
    assert applied == 1
    assert_near(run(made, {"x": x})[0], run(data, {"x": x})[0])


def test_noise_that_differs_from_pixel_to_pixel_stays_behind_the_upsampling() -> None:
    build = Build(x=["n", 3, 2, 2])
    build("Add", resized(build, "x", 2, 2), numbers(0, 1, 1, 4, 4), name="y")
    assert rewrite(build.bytes("y"), commute_pointwise)[1] == 0


def test_a_3x3_convolution_stays_behind_an_interpolation() -> None:
    build = Build(x=["n", 3, 2, 2])
    build("Conv", resized(build, "x", 2, 2, **LINEAR), numbers(0, 4, 3, 3, 3), name="y")
    assert rewrite(build.bytes("y"), commute_pointwise)[1] == 0


# ------------------------------------------------------------------------------------------------------ point_gemm


@st.composite
def points(draw):
    transposed, bias, rank = draw(st.booleans()), draw(st.booleans()), draw(st.integers(1, 2))
    taps = [draw(st.integers(1, 5)) for _ in range(rank)]
    strides, dilations = ([draw(st.integers(1, 2)) for _ in range(rank)] for _ in range(2))
    reach = [d * (k - 1) + 1 for k, d in zip(taps, dilations, strict=True)]
    if transposed:
        pads = [draw(st.integers(0, (n - 1) // 2)) for n in reach]
    else:
        pads = [draw(st.integers(n // 2, n + 1)) for n in reach]
    return transposed, bias, taps, strides, dilations, pads, draw(SEEDS)


@given(case=points(), flat=st.sampled_from(["", "Reshape", "Unsqueeze"]))
def test_a_convolution_of_one_pixel_is_a_matrix_product(case, flat: str) -> None:
    transposed, bias, taps, strides, dilations, pads, seed = case
    rank = len(taps)
    w, b = numbers(seed, *((3, 4) if transposed else (4, 3)), *taps), numbers(seed + 1, 4)
    x = numbers(seed + 2, 2, 3)
    if flat:
        build = Build(x=["n", 3])
        more = np.array([-1, 3, *[1] * rank]) if flat == "Reshape" else np.arange(2, 2 + rank)
        point = build(flat, "x", more)
    else:
        build, point = Build(x=["n", 3, *[1] * rank]), "x"
        x = x.reshape(2, 3, *[1] * rank)
    attributes = {"strides": strides, "dilations": dilations, "pads": pads * 2, "kernel_shape": taps}
    build("ConvTranspose" if transposed else "Conv", point, w, *([b] if bias else []), name="y", **attributes)
    made, applied = rewrite(build.bytes("y"), point_to_gemm)
    assert applied == 1
    assert operations(made)["Gemm"] == 1
    assert operations(made)["Reshape"] == (1 if flat else 2)
    convolve = ((F.conv1d, F.conv2d), (F.conv_transpose1d, F.conv_transpose2d))[transposed][rank - 1]
    expected = convolve(
        torch.from_numpy(x.reshape(2, 3, *[1] * rank)).double(), torch.from_numpy(w).double(),
        torch.from_numpy(b).double() if bias else None, stride=strides, dilation=dilations, padding=pads,
    )  # fmt: skip
    assert_near(run(made, {"x": x})[0], expected)


def test_a_grouped_convolution_of_one_pixel_stays() -> None:
    build = Build(x=["n", 4, 1, 1])
    build("ConvTranspose", "x", numbers(0, 4, 2, 4, 4), name="y", group=2)
    assert rewrite(build.bytes("y"), point_to_gemm)[1] == 0


# ---------------------------------------------------------------------------------------------------------- pixels


def tail(build: Build, raw: str, scale: float, offset: float) -> bytes:
    steps = build("Round", build("Add", build("Mul", raw, np.float32(scale)), np.float32(offset)))
    clipped = build("Clip", steps, np.float32(0), np.float32(255))
    build("Cast", build("Transpose", clipped, perm=[0, 2, 3, 1]), name="image", to=TensorProto.UINT8)
    return build.bytes("image", raw, types={"image": TensorProto.UINT8})


@given(seed=SEEDS, bounded=st.sampled_from(["Tanh", "Sigmoid", ""]), channels=st.sampled_from([1, 3]))
def test_pixels_stay_the_same_to_the_bit(seed: int, bounded: str, channels: int) -> None:
    build = Build(x=["n", channels, 4, 5])
    raw = build(bounded or "Identity", "x", name="raw")
    scale, offset = (255.0, 0.0) if bounded == "Sigmoid" else (127.5, 127.5)
    data = tail(build, raw, scale, offset)
    x = 4 * numbers(seed, 3, channels, 4, 5)
    made, applied = rewrite(data, shorten_pixels)
    assert applied == bool(bounded) + (channels == 1) + (offset == 0)
    for found, expected in zip(run(made, {"x": x}), run(data, {"x": x}), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [*operations(made)][-1] == "Cast"
    assert ("Clip" in operations(made)) == (not bounded)
    assert ("Transpose" in operations(made)) == (channels > 1)


def test_every_float32_tanh_gives_the_same_pixel_without_the_clip() -> None:
    """Around each of the 255 places where a rounding could turn."""
    edges = (np.arange(256, dtype=np.float64) - 127.5 + np.array([[-0.5], [0.0], [0.5]])) / 127.5
    near = np.concatenate([np.clip(edges, -1, 1).astype(np.float32).ravel()] * 3)
    near[768:1536], near[1536:] = np.nextafter(near[768:1536], 2), np.nextafter(near[1536:], -2)
    x = np.arctanh(np.clip(near.astype(np.float64), -1 + 1e-9, 1 - 1e-9)).astype(np.float32)
    x = np.concatenate([x, [-np.inf, np.inf, -88, 88, 0, -0.0]]).astype(np.float32).reshape(1, 1, 1, -1)
    build = Build(x=["n", 1, 1, x.shape[-1]])
    data = tail(build, build("Tanh", "x", name="raw"), 127.5, 127.5)
    made, _ = rewrite(data, shorten_pixels)
    np.testing.assert_array_equal(run(made, {"x": x})[0], run(data, {"x": x})[0])


def test_a_range_that_leaves_0_to_255_keeps_its_clip() -> None:
    build = Build(x=["n", 3, 4, 5])
    raw = build("Mul", build("Tanh", "x"), np.float32(1.1), name="raw")
    made, applied = rewrite(tail(build, raw, 127.5, 127.5), shorten_pixels)
    assert applied == 0
    assert "Clip" in operations(made)
