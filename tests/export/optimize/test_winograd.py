"""Wide convolutions as Winograd's products: the same function, where that is faster, in a file as small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_case import ROUNDING, Build, assert_near, operations, rewrite, run
from torch.nn import functional as F

from ganrt_export.optimize import forms
from ganrt_export.optimize import operations as counted
from ganrt_export.optimize.winograd import TILE, matrices, winograd

SUMS = 4 * ROUNDING  # what is read off are differences of larger numbers


def numbers(chance: np.random.Generator, *shape: int) -> np.ndarray:
    return chance.standard_normal(shape).astype(np.float32)


def convolution(given_: int, out: int, size: int, taps: int = 3, *, groups: int = 1) -> bytes:
    """One that keeps its size, with random weights."""
    chance, build = np.random.default_rng(0), Build(x=["n", given_, size, size])
    weight = numbers(chance, out, given_ // groups, taps, taps)
    build("Conv", "x", weight, name="y", pads=[taps // 2] * 4, group=groups)
    return build.bytes("y")


@st.composite
def convolutions(draw):
    """Any padding and size, tiles cut at the end or not: the graph, its input and its reference."""
    taps = draw(st.integers(2, 3))
    pads = [draw(st.integers(0, 3)) for _ in range(4)]
    height, width = (draw(st.integers(max(1, taps - pads[axis] - pads[axis + 2]), 11)) for axis in (0, 1))
    given_, out, batch, biased = (draw(st.integers(1, most)) for most in (4, 4, 3, 2))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x, w, b = (
        numbers(chance, batch, given_, height, width),
        numbers(chance, out, given_, taps, taps),
        numbers(chance, out),
    )
    build = Build(x=["n", given_, height, width])
    build("Conv", "x", w, *([b] if biased > 1 else []), name="y", pads=pads)
    padded = F.pad(torch.from_numpy(x).double(), (pads[1], pads[3], pads[0], pads[2]))
    shift = torch.from_numpy(b).double() if biased > 1 else None
    return build.bytes("y"), x, F.conv2d(padded, torch.from_numpy(w).double(), shift).numpy()


@settings(max_examples=120)
@given(case=convolutions())
def test_it_is_the_same_convolution_at_every_size_and_padding(case) -> None:
    data, x, expected = case
    made, applied = rewrite(data, lambda graph: len(winograd(graph, lambda _: 1)))
    assert applied == 1
    assert operations(made)["DepthToSpace"] == 1
    assert_near(run(made, {"x": x})[0], expected, SUMS)


@given(taps=st.integers(1, 5), seed=st.integers(0, 1 << 30))
def test_six_products_give_all_results_of_a_tile(taps: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    tile, weight = chance.standard_normal(TILE), chance.standard_normal(taps)
    read, evaluate, spread = matrices(taps)
    found = read @ ((evaluate @ weight) * (spread @ tile))
    np.testing.assert_allclose(found, np.correlate(tile, weight, "valid"), atol=1e-12)


@pytest.mark.parametrize(
    ("data", "changed"),
    [
        (convolution(256, 256, 32), 1),
        (convolution(512, 512, 16), 1),
        (convolution(64, 64, 64), 0),
        (convolution(256, 256, 4), 0),
        (convolution(256, 256, 32, groups=2), 0),
        (convolution(256, 256, 32, 1), 0),
        (convolution(256, 256, 32, 5), 0),
    ],
    ids=["256 channels", "512 channels", "64 channels", "few pixels", "groups", "1 x 1", "5 x 5"],
)
def test_it_applies_to_wide_layers_of_enough_pixels(data: bytes, changed: int) -> None:
    _, applied = rewrite(data, lambda graph: len(winograd(graph)))
    assert applied == changed


def test_a_wide_layer_is_a_form_of_its_own_with_half_the_multiplications_in_a_file_as_small() -> None:
    data = convolution(256, 256, 32)
    form = forms(data, "count")["winograd"].data
    assert counted(form).multiply_adds < 0.6 * counted(data).multiply_adds
    assert len(form) < 1.05 * len(data)
    x = numbers(np.random.default_rng(1), 2, 256, 32, 32)
    assert_near(run(form, {"x": x})[0], run(data, {"x": x})[0], SUMS)


def test_sizes_that_may_change_are_left_alone() -> None:
    build = Build(x=["n", 256, "height", "width"])
    build("Conv", "x", numbers(np.random.default_rng(0), 256, 256, 3, 3), name="y", pads=[1] * 4)
    _, applied = rewrite(build.bytes("y"), lambda graph: len(winograd(graph)))
    assert applied == 0


def test_where_little_of_a_graph_is_wide_it_has_no_such_form_by_count() -> None:
    chance, build = np.random.default_rng(0), Build(x=["n", 256, 16, 16])
    value = build("Conv", "x", numbers(chance, 256, 256, 3, 3), pads=[1] * 4)
    for _ in range(8):
        value = build("Conv", value, numbers(chance, 256, 256, 5, 5), pads=[2] * 4)
    build("Identity", value, name="y")
    assert "winograd" not in forms(build.bytes("y"), "count")
