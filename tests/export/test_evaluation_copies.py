"""Copies: of each other and of the training pictures. What is a copy and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganrt_export.evaluation.copies import COPYING, Memorising, Seen, memorising, repetition
from ganrt_export.evaluation.neighbours import nearest

Features = NDArray[np.float32]


def cloud(seed: int, count: int = 400, features: int = 6) -> Features:
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def of(samples: Features, training: Features, held_out: Features, cells: int = 1) -> Memorising:
    """In cells by the sign and size of the first feature."""
    to_training = [nearest(some, training).distances[:, 0] for some in (samples, held_out)]
    edges = np.quantile(training[:, 0], np.linspace(0, 1, cells + 1)[1:-1])
    return memorising(*to_training, *(np.digitize(some[:, 0], edges) for some in (samples, held_out)))


# Memorising


def test_fresh_samples_are_as_far_from_the_training_pictures_as_held_out_ones() -> None:
    scores = [of(cloud(3 * i), cloud(3 * i + 1), cloud(3 * i + 2)) for i in range(20)]
    assert np.mean([one.farther for one in scores]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([one.ratio or 0 for one in scores]) == pytest.approx(1, abs=0.03)
    assert np.std([one.c_t or 0 for one in scores]) == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_copies_are_nearer_and_surely_so(noise: float) -> None:
    training = cloud(0)
    found = of(training[:300] + noise * cloud(5, 300), training, cloud(1))
    assert found.c_t is not None
    assert found.c_t < 3 * COPYING
    assert found.farther < 0.1
    assert found.ratio is not None
    assert found.ratio < 0.4


def test_blurred_or_odd_samples_are_farther() -> None:
    found = of(cloud(2) * 2, cloud(0), cloud(1))
    assert found.c_t is not None
    assert found.c_t > 5
    assert found.farther > 0.6


def test_the_statistic_is_that_of_meehan_et_al_word_for_word() -> None:
    from scipy.stats import mannwhitneyu

    training, held_out, samples = cloud(0, 500), cloud(1, 300), cloud(2, 200) * np.float32(0.9)
    edges = np.quantile(training[:, 0], [0.25, 0.5, 0.75])
    sample_cells, held_out_cells = (np.digitize(some[:, 0], edges) for some in (samples, held_out))
    mine, theirs = (nearest(some, training).distances[:, 0] for some in (samples, held_out))
    total = 0.0
    for cell in range(4):
        a, b = mine[sample_cells == cell], theirs[held_out_cells == cell]
        n, m = len(a), len(b)
        z = (mannwhitneyu(a, b).statistic - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5
        total += z * m / len(held_out)
    assert memorising(mine, theirs, sample_cells, held_out_cells).c_t == pytest.approx(total)


@given(st.lists(st.integers(0, 4), min_size=20, max_size=40), st.lists(st.integers(0, 4), min_size=20, max_size=40))
def test_ties_count_for_half_and_take_from_the_deviation(a: list[int], b: list[int]) -> None:
    from scipy.stats import mannwhitneyu

    first, second = np.array(a, np.float64), np.array(b, np.float64)
    one_cell = np.zeros(len(a), np.int64), np.zeros(len(b), np.int64)
    found = memorising(first, second, *one_cell)
    assert found.farther == pytest.approx(mannwhitneyu(first, second).statistic / (len(a) * len(b)))
    if len({*a, *b}) > 1:
        p = mannwhitneyu(first, second, method="asymptotic", use_continuity=False).pvalue
        from statistics import NormalDist

        assert found.c_t is not None
        assert 2 * NormalDist().cdf(-abs(found.c_t)) == pytest.approx(p, abs=1e-9)


def test_cells_with_few_samples_say_nothing() -> None:
    few = memorising(np.ones(19), np.ones(50), np.zeros(19, np.int64), np.zeros(50, np.int64))
    assert (few.c_t, few.cells) == (None, 0)


def test_held_out_pictures_that_were_trained_on_leave_no_ratio() -> None:
    training = cloud(0)
    assert of(cloud(1), training, training[:100]).ratio is None


# Repetition


def pictures(*numbers: int) -> NDArray[np.uint8]:
    return np.stack([np.full((2, 2, 1), number, np.uint8) for number in numbers])


def seen(*numbers: int) -> Seen:
    counted = Seen()
    for start in range(0, len(numbers), 3):
        counted.add(pictures(*numbers[start : start + 3]))
    return counted


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_pictures_are_counted_by_their_pixels_however_they_come(numbers: list[int]) -> None:
    counted = seen(*numbers)
    assert (counted.total, counted.distinct) == (len(numbers), len(set(numbers)))
    assert counted.most == max(numbers.count(one) for one in numbers)
    assert [one for one, new in zip(numbers, counted.new, strict=True) if new] == list(dict.fromkeys(numbers))


def test_samples_of_the_same_distribution_repeat_themselves_as_real_pictures_do() -> None:
    found = repetition(cloud(0, 1_000), cloud(1, 1_000), cloud(2, 1_000), seen(*range(100)))
    assert found.near.value == pytest.approx(0.01, abs=0.015)
    assert found.real_near.value == pytest.approx(0.01, abs=0.015)


def test_samples_around_a_few_pictures_are_near_another_though_no_two_are_equal() -> None:
    few = np.repeat(cloud(0, 10), 100, axis=0) + np.float32(0.01) * cloud(3, 1_000)
    found = repetition(few, cloud(1, 1_000), cloud(2, 1_000), seen(*range(100)))
    assert found.near.value > 0.99
    assert found.distinct == found.of == 100
