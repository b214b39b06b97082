"""Nearest upsampling and convolution, and transposed convolution, in each of their forms: the same function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_case import Build, assert_near, operations, rewrite, run
from torch.nn import functional as F

from ganrt_export.optimize.enlarge import enlarge, layers
from ganrt_export.optimize.repeats import name_repeats
from ganrt_export.optimize.upsampling import FORMS


def numbers(chance: np.random.Generator, *shape: int) -> np.ndarray:
    return chance.standard_normal(shape).astype(np.float32)


@st.composite
def repeated_convs(draw):
    """Upsampling by whole numbers, then a convolution of any taps, padding and groups: the graph and its reference."""
    rank = draw(st.integers(1, 3))
    same = draw(st.booleans())
    ratio = st.integers(2, 3)
    ratios = [draw(ratio)] * rank if same else [draw(st.integers(1, 3)) for _ in range(rank)]
    taps = [draw(st.integers(1, 5 if rank < 3 else 3)) for _ in range(rank)]
    pads = [draw(st.integers(0, k - 1)) for k in taps] + [draw(st.integers(0, k - 1)) for k in taps]
    sizes = [draw(st.integers(max(1, -(-k // r)), 5)) for k, r in zip(taps, ratios, strict=True)]
    groups, inner, outer = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    bias, batch = draw(st.booleans()), draw(st.integers(1, 3))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = numbers(chance, batch, groups * inner, *sizes)
    w, b = numbers(chance, groups * outer, inner, *taps), numbers(chance, groups * outer) if bias else None

    build = Build(x=["n", groups * inner, *sizes])
    way = draw(
        st.sampled_from(
            [
                {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
                {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"},
            ]
        )
    )
    up = build("Resize", "x", "", np.array([1, 1, *ratios], np.float32), mode="nearest", **way)
    build("Conv", up, w, *([] if b is None else [b]), name="y", kernel_shape=taps, pads=pads, group=groups)

    large = torch.from_numpy(x).double()
    for axis, r in enumerate(ratios, start=2):
        large = large.repeat_interleave(r, axis)
    around = [size for axis in reversed(range(rank)) for size in (pads[axis], pads[rank + axis])]
    conv = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    shift = None if b is None else torch.from_numpy(b).double()
    expected = conv(F.pad(large, around), torch.from_numpy(w).double(), shift, groups=groups)
    return build.bytes("y"), x, expected.numpy()


@settings(max_examples=120)
@given(case=repeated_convs())
def test_every_form_of_upsampling_and_convolution_is_the_same_function_borders_included(case) -> None:
    data, x, expected = case
    assert_near(run(data, {"x": x})[0], expected)
    possible: list[str] = []
    rewrite(data, name_repeats, lambda graph: possible.extend(*(one.possible() for one in layers(graph))) or 1)
    assert possible[0] == "transposed"
    for form in possible:
        made, applied = rewrite(data, name_repeats, lambda graph, form=form: enlarge(graph, lambda _: form))
        assert applied == 1
        assert "Resize" not in operations(made)
        assert_near(run(made, {"x": x})[0], expected)


@st.composite
def transposed_convs(draw):
    rank = draw(st.integers(1, 2))
    stride = draw(st.integers(2, 4))
    taps = [draw(st.integers(1, 7)) for _ in range(rank)]
    more = [draw(st.integers(0, stride - 1)) for _ in range(rank)]
    front = [draw(st.integers(0, k - 1)) for k in taps]
    rear = [draw(st.integers(0, k - 1 + extra)) for k, extra in zip(taps, more, strict=True)]
    sizes = [
        draw(st.integers(max(1, -(-(p + q + 1 - k - extra) // stride) + 1), 6))
        for p, q, k, extra in zip(front, rear, taps, more, strict=True)
    ]
    groups, inner, outer = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    bias, batch = draw(st.booleans()), draw(st.integers(1, 3))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = numbers(chance, batch, groups * inner, *sizes)
    w, b = numbers(chance, groups * inner, outer, *taps), numbers(chance, groups * outer) if bias else None
    build = Build(x=["n", groups * inner, *sizes])
    build(
        "ConvTranspose", "x", w, *([] if b is None else [b]), name="y", kernel_shape=taps, strides=[stride] * rank,
        pads=[*front, *rear], output_padding=more, group=groups,
    )  # fmt: skip
    whole = (F.conv_transpose1d, F.conv_transpose2d)[rank - 1](
        torch.from_numpy(x).double(), torch.from_numpy(w).double(), stride=stride, groups=groups
    )
    cuts = [(p, k, q - extra) for p, k, q, extra in zip(front, taps, rear, more, strict=True)]
    for axis, (p, _, q) in enumerate(cuts, start=2):
        whole = whole.narrow(axis, p, whole.shape[axis] - p)
        whole = whole.narrow(axis, 0, whole.shape[axis] - q) if q >= 0 else _longer(whole, axis, -q)
    shift = 0 if b is None else torch.from_numpy(b).double().reshape(-1, *[1] * rank)
    fits = all(q >= 0 for _, _, q in cuts)
    return build.bytes("y"), x, (whole + shift).numpy(), fits


def _longer(x: torch.Tensor, axis: int, count: int) -> torch.Tensor:
    shape = list(x.shape)
    shape[axis] = count
    return torch.cat([x, torch.zeros(shape, dtype=x.dtype)], axis)


@settings(max_examples=120)
@given(case=transposed_convs())
def test_every_form_of_a_transposed_convolution_is_the_same_function(case) -> None:
    data, x, expected, fits = case
    assert_near(run(data, {"x": x})[0], expected)
    for form in ("phases", "shuffled", "woven"):
        made, applied = rewrite(data, lambda graph, form=form: enlarge(graph, lambda _: form))
        if not fits:
            assert applied == 0  # more is asked for than the kernels reach
        if applied:
            assert "ConvTranspose" not in operations(made)
            assert_near(run(made, {"x": x})[0], expected)


@st.composite
def narrow_convs(draw):
    """A convolution to one to four channels, of known sizes or, where it keeps them, of any."""
    rank = draw(st.integers(1, 2))
    taps = [draw(st.integers(1, 7)) for _ in range(rank)]
    pads = [draw(st.integers(0, k - 1)) for k in taps]
    open_ = draw(st.booleans())
    rear = [k - 1 - p if open_ else draw(st.integers(0, k - 1)) for k, p in zip(taps, pads, strict=True)]
    sizes = [draw(st.integers(max(1, k - p - q), 19)) for k, p, q in zip(taps, pads, rear, strict=True)]
    inner, outer = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    bias, batch = draw(st.booleans()), draw(st.integers(1, 3))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = numbers(chance, batch, inner, *sizes)
    w, b = numbers(chance, outer, inner, *taps), numbers(chance, outer) if bias else None
    build = Build(x=["n", inner, *([f"s{axis}" for axis in range(rank)] if open_ else sizes)])
    build("Conv", "x", w, *([] if b is None else [b]), name="y", kernel_shape=taps, pads=[*pads, *rear])
    around = [size for axis in reversed(range(rank)) for size in (pads[axis], rear[axis])]
    conv, shift = (F.conv1d, F.conv2d)[rank - 1], None if b is None else torch.from_numpy(b).double()
    expected = conv(F.pad(torch.from_numpy(x).double(), around), torch.from_numpy(w).double(), shift)
    return build.bytes("y"), x, expected.numpy(), max(taps) > 1


@settings(max_examples=120)
@given(case=narrow_convs())
def test_every_form_of_a_convolution_to_few_channels_is_the_same_function(case) -> None:
    data, x, expected, wide = case
    for form in ("transposed", "blocks") if wide else ("transposed",):
        made, applied = rewrite(data, lambda graph, form=form: enlarge(graph, lambda _: form))
        assert applied == 1
        assert ("ConvTranspose" in operations(made)) == (form == "transposed")
        assert_near(run(made, {"x": x})[0], expected)


def test_a_convolution_to_more_channels_with_groups_or_strides_is_none_to_few() -> None:
    for outer, conv in ((5, {}), (4, {"group": 2}), (3, {"strides": [2, 2]}), (3, {"dilations": [2, 2]})):
        build = Build(x=["n", 4, 8, 8])
        build("Conv", "x", np.ones((outer, 4 // conv.get("group", 1), 3, 3), np.float32), name="y", **conv)
        assert rewrite(build.bytes("y"), lambda graph: enlarge(graph, lambda _: "transposed"))[1] == 0


def square(form: str, transposed: bool) -> tuple[bytes, int]:
    chance = np.random.default_rng(0)
    build = Build(x=["n", 4, 5, 5])
    if transposed:
        build("ConvTranspose", "x", numbers(chance, 4, 3, 4, 4), name="y", strides=[2, 2], pads=[1] * 4)
    else:
        up = build("Resize", "x", "", np.array([1, 1, 2, 2], np.float32), mode="nearest",
                   coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
        build("Conv", up, numbers(chance, 3, 4, 3, 3), name="y", pads=[1] * 4)
    return rewrite(build.bytes("y"), lambda graph: enlarge(graph, lambda _: form))


@pytest.mark.parametrize("transposed", [False, True])
def test_the_usual_sizes_have_all_forms(transposed: bool) -> None:
    for form, expected in {
        "transposed": {"ConvTranspose": 1},
        "phases": {"Conv": 1, "DepthToSpace": 1, "Slice": 1},
        "shuffled": {"Conv": 1, "DepthToSpace": 1},
        "woven": {"Conv": 1, "Reshape": 3, "Transpose": 2, "Slice": 1},
    }.items():
        if not (transposed and form == "transposed"):
            assert operations(square(form, transposed)[0]) == expected
    assert set(FORMS) == {"transposed", "phases", "shuffled", "woven", "blocks"}


@pytest.mark.parametrize(
    ("resize", "conv"),
    [
        ({}, {"strides": [2, 2]}),
        ({}, {"dilations": [2, 2]}),
        ({}, {"pads": [3, 0, 0, 0]}),
        ({"mode": "linear", "nearest_mode": "floor"}, {}),
        ({"nearest_mode": "ceil"}, {}),
        ({"coordinate_transformation_mode": "align_corners"}, {}),
    ],
)
def test_what_does_not_fit_stays_untouched(resize: dict, conv: dict) -> None:
    build = Build(x=["n", 2, 6, 6])
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", **resize}
    up = build("Resize", "x", "", np.array([1, 1, 2, 2], np.float32), **how)
    build("Conv", up, np.ones((5, 2, 3, 3), np.float32), name="y", **conv)
    data = build.bytes("y")
    made, applied = rewrite(data, name_repeats, lambda graph: enlarge(graph, lambda _: "transposed"))
    assert applied == 0
    assert operations(made) == operations(data)


def test_an_activation_comes_before_the_pixels_are_spread() -> None:
    chance = np.random.default_rng(0)
    build = Build(x=["n", 4, 5, 5])
    conv = build("ConvTranspose", "x", numbers(chance, 4, 3, 4, 4), strides=[2, 2], pads=[1] * 4)
    build("Tanh", conv, name="y")
    data = build.bytes("y")
    made, _ = rewrite(data, lambda graph: enlarge(graph, lambda _: "phases"))
    assert list(operations(made)) == ["Conv", "Tanh", "DepthToSpace", "Slice"]
    x = numbers(chance, 2, 4, 5, 5)
    assert_near(run(made, {"x": x})[0], run(data, {"x": x})[0])


def test_a_layer_whose_weights_come_from_outside_stays() -> None:
    build = Build(x=["n", 2, 4, 4], w=[2, 3, 4, 4])
    build("ConvTranspose", "x", "w", name="y", strides=[2, 2], pads=[1] * 4)
    _, applied = rewrite(build.bytes("y"), lambda graph: enlarge(graph, lambda _: "phases"))
    assert applied == 0
