"""Precision, recall and the Frechet distance, where their values are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganrt_export.training.metrics import frechet_distance, precision_recall


def cloud(seed: int, count: int = 200, features: int = 5, centre: float = 0.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(count, features)) + centre).astype(np.float32)


def test_a_set_against_itself_has_precision_and_recall_1_and_distance_0() -> None:
    real = cloud(0)
    assert precision_recall(real, real) == (1, 1)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)


def test_sets_far_apart_have_precision_and_recall_0() -> None:
    assert precision_recall(cloud(0), cloud(1, centre=100)) == (0, 0)


def test_one_good_image_again_and_again_is_precise_and_recalls_nothing() -> None:
    real = cloud(0)
    assert precision_recall(real, np.repeat(real[:1], 50, axis=0)) == (1, pytest.approx(0, abs=1 / 200))


def test_noise_around_real_images_recalls_much_and_is_less_precise() -> None:
    real = cloud(0)
    noisy = np.concatenate([real[:100], cloud(1, count=100, centre=50)])
    precision, recall = precision_recall(real, noisy)
    assert precision == pytest.approx(0.5)
    assert recall > 0.9


def test_precision_and_recall_are_those_of_the_paper_word_for_word() -> None:
    real, generated = cloud(2, count=60), cloud(3, count=40, centre=0.5)

    def inside(points: NDArray[np.float32], centres: NDArray[np.float32]) -> float:
        found = 0
        radii = [sorted(float(np.linalg.norm(c - other)) for other in centres)[3] for c in centres]
        for point in points:
            found += any(float(np.linalg.norm(point - c)) <= r for c, r in zip(centres, radii, strict=True))
        return found / len(points)

    expected = inside(generated, real), inside(real, generated)
    assert precision_recall(real, generated, k=3) == pytest.approx(expected)


def test_large_sets_are_compared_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = cloud(4), cloud(5, centre=0.3)
    whole = precision_recall(real, generated)
    monkeypatch.setattr("ganrt_export.training.metrics._ROWS", 7)
    assert precision_recall(real, generated) == whole


@given(st.integers(0, 2**32), st.integers(1, 6), st.floats(-3, 3))
def test_precision_one_way_is_recall_the_other_way(seed: int, features: int, centre: float) -> None:
    a, b = cloud(seed, 30, features), cloud(seed + 1, 40, features, centre)
    assert precision_recall(a, b) == precision_recall(b, a)[::-1]


def test_the_frechet_distance_of_a_shift_is_its_square() -> None:
    real = cloud(6)
    assert frechet_distance(real, real + np.float32(2)) == pytest.approx(5 * 4, rel=1e-5)


def test_the_frechet_distance_of_a_scaling_is_that_of_its_standard_deviations() -> None:
    real = cloud(7)
    real -= real.mean(axis=0)
    expected = np.trace(np.cov(real.astype(np.float64), rowvar=False)) * (3 - 1) ** 2
    assert frechet_distance(real, 3 * real) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 2**32))
def test_the_frechet_distance_is_symmetric_and_not_negative(seed: int) -> None:
    a, b = cloud(seed, 40, 3), cloud(seed + 1, 50, 3, 0.5)
    there, back = frechet_distance(a, b), frechet_distance(b, a)
    assert there == pytest.approx(back, rel=1e-6, abs=1e-9)
    assert there >= 0


def test_features_that_are_always_zero_do_no_harm() -> None:
    real = np.hstack([cloud(8), np.zeros((200, 3), np.float32)])
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
