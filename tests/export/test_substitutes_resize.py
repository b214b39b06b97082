"""Resizing and adaptive pooling: PyTorch's own indices and weights, in PyTorch and in a graph."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from substitute_case import assert_exported, assert_same, numbers
from torch import Tensor, nn

from ganrt_export.substitutes import Substitutes

side = st.integers(1, 24)
factor = st.one_of(st.floats(0.3, 3.5), st.sampled_from([0.5, 2.0, 2.2, 1.5, 1 / 3]))
sizes = st.one_of(
    st.tuples(st.just("size"), st.tuples(side, side)), st.tuples(st.just("scale_factor"), st.tuples(factor, factor))
)


def picture(batch: int, height: int = 7, width: int = 11) -> tuple[Tensor]:
    return (numbers(batch, 3, height, width, seed=batch),)


def wider(batch: int) -> tuple[Tensor]:
    return picture(batch, 7 + batch, 11 + 2 * batch)


@given(height=side, width=side, wanted=sizes, mode=st.sampled_from(["nearest", "nearest-exact"]), again=st.booleans())
def test_nearest_neighbours_are_pytorchs(height: int, width: int, wanted, mode: str, again: bool) -> None:
    how, value = wanted
    assume(how == "size" or (int(height * value[0]) > 0 and int(width * value[1]) > 0))
    options = {how: value, "mode": mode, "recompute_scale_factor": (again and how == "scale_factor") or None}
    assert_same(lambda x: F.interpolate(x, **options), numbers(1, 2, height, width), tolerance=0)


@given(length=st.integers(1, 60), size=st.integers(1, 140), mode=st.sampled_from(["nearest", "nearest-exact", "area"]))
def test_a_signal_is_resized_as_pytorch_does(length: int, size: int, mode: str) -> None:
    assert_same(lambda x: F.interpolate(x, size=size, mode=mode), numbers(1, 1, length))


@given(
    height=side, width=st.integers(2, 24), wanted=sizes, mode=st.sampled_from(["bilinear", "bicubic"]),
    aligned=st.booleans(),
)  # fmt: skip
def test_antialiasing_has_pytorchs_weights(height: int, width: int, wanted, mode: str, aligned: bool) -> None:
    how, value = wanted
    new = value if how == "size" else (int(height * value[0]), int(width * value[1]))
    assume(new[0] > 0 and new[1] > 1)  # PyTorch itself is wrong for pictures one pixel wide
    assert_same(
        lambda x: F.interpolate(x, **{how: value}, mode=mode, antialias=True, align_corners=aligned),
        numbers(1, 2, height, width),
    )


@given(height=side, width=side, new=st.tuples(side, st.one_of(st.none(), side)))
def test_adaptive_pooling_has_pytorchs_windows(height: int, width: int, new) -> None:
    x = numbers(2, 3, height, width)
    assert_same(lambda x: F.adaptive_avg_pool2d(x, new), x)
    assert_same(lambda x: F.adaptive_max_pool2d(x, new), x, tolerance=0)
    assert_same(lambda x: F.adaptive_avg_pool1d(x, new[0]), x[0])
    assert_same(lambda x: F.adaptive_avg_pool3d(x, (2, *new)), x)
    assert_same(lambda x: F.adaptive_max_pool3d(x, (2, *new)), x)


@pytest.mark.parametrize(
    "options", [{"mode": "nearest"}, {"size": 4, "mode": "cubic"}, {"size": (2, 2, 2)}, {"scale_factor": 0.1}]
)
def test_what_pytorch_refuses_is_refused(options) -> None:
    with Substitutes(), pytest.raises((ValueError, RuntimeError, NotImplementedError)):
        F.interpolate(numbers(1, 1, 3, 3), **options)


STATIC = {
    "nearest up": lambda x: F.interpolate(x, size=(10, 82), mode="nearest"),
    "nearest by 2": lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
    "a module": nn.Upsample(scale_factor=(1.7, 0.6), mode="nearest"),
    "nearest-exact": lambda x: F.interpolate(x, size=(29, 31), mode="nearest-exact"),
    "antialias by a factor": lambda x: F.interpolate(x, scale_factor=(2.3, 0.6), mode="bilinear", antialias=True),
    "area": lambda x: F.interpolate(x, size=(3, 4), mode="area"),
    "average": nn.AdaptiveAvgPool2d((3, 4)),
    "maximum": nn.AdaptiveMaxPool2d((5, None)),
    "bilinear": lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
}
DYNAMIC = {
    "nearest": lambda x: F.interpolate(x, size=(10, 13), mode="nearest"),
    "nearest by 1.7": lambda x: F.interpolate(x, scale_factor=1.7, mode="nearest"),
    "nearest-exact by 2": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "as large as another": lambda x: F.interpolate(x, size=(x.shape[2] * 2 + 1, x.shape[3] + 3), mode="nearest"),
    "antialias": lambda x: F.interpolate(x, size=(4, 5), mode="bicubic", antialias=True, align_corners=True),
    "area": lambda x: F.interpolate(x, size=(3, 4), mode="area"),
    "average": lambda x: F.adaptive_avg_pool2d(x, (2, None)),
    "maximum": lambda x: F.adaptive_max_pool2d(x, 3),
}


@pytest.mark.parametrize("name", STATIC)
def test_a_graph_of_known_sizes_resizes_so_at_every_batch(name: str) -> None:
    operations = assert_exported(STATIC[name], picture, opset=18 if name == "area" else 20)
    assert "GatherND" not in operations
    assert ("Resize" in operations) == (name in ("nearest by 2", "bilinear"))


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_graph_of_unknown_sizes_resizes_so_at_every_size(name: str) -> None:
    assert_exported(DYNAMIC[name], wider, axes=(0, 2, 3))


def test_three_dimensions() -> None:
    assert_exported(lambda x: F.adaptive_avg_pool3d(x, (2, 3, 2)), lambda batch: (numbers(batch, 2, 4, 5, 6),))


def test_half_a_million_pixels_take_no_dense_product_for_nearest() -> None:
    with torch.no_grad():
        assert_same(lambda x: F.interpolate(x, size=(700, 900), mode="nearest"), numbers(1, 1, 512, 512), tolerance=0)
