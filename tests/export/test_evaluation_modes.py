"""Modes: clusters that are really there, and the classes and clusters that a generator misses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganrt_export.evaluation.clusters import cluster_of, kmeans
from ganrt_export.evaluation.modes import classes, clusters

NAMES = ("cat", "dog", "owl")


def heaps(count: int, seed: int, kinds: int = 6) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points in heaps far apart, and which heap each is in."""
    middles = 20 * np.random.default_rng(0).normal(size=(kinds, 4))
    draws = np.random.default_rng(seed)
    kind = draws.integers(0, kinds, count)
    return (middles[kind] + draws.normal(size=(count, 4))).astype(np.float32), kind


def test_clusters_are_the_heaps_that_are_there() -> None:
    points, kind = heaps(600, 1)
    found = cluster_of(points, kmeans(points, 6))
    assert len({(one, other) for one, other in zip(found.tolist(), kind.tolist(), strict=True)}) == 6


def test_clusters_are_as_tight_as_those_of_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    points = np.random.default_rng(3).normal(size=(800, 5)).astype(np.float32)
    centres = kmeans(points, 12)
    mine = np.square(points - centres[cluster_of(points, centres)]).sum()
    assert mine < 1.05 * KMeans(12, n_init=1, random_state=0).fit(points).inertia_


def test_the_same_points_make_the_same_clusters() -> None:
    points, _ = heaps(300, 2)
    np.testing.assert_array_equal(kmeans(points, 9), kmeans(points, 9))


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 1_000))
def test_any_points_can_be_clustered_equal_ones_too(count: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 2, (12, 2)).astype(np.float32)
    centres = kmeans(points, count)
    assert centres.shape == (count, 2)
    assert np.isfinite(centres).all()


def test_of_many_points_some_are_enough_to_find_the_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganrt_export.evaluation.clusters._MOST_ROWS", 200)
    points, kind = heaps(2_000, 4)
    found = cluster_of(points, kmeans(points, 6))
    assert len({(one, other) for one, other in zip(found.tolist(), kind.tolist(), strict=True)}) == 6


def test_samples_of_the_same_distribution_hit_every_cluster_and_few_differ() -> None:
    draws = np.random.default_rng(0)
    shares = draws.dirichlet(np.full(50, 5.0))
    different = []
    for _ in range(20):
        training, held_out, samples = (draws.choice(50, n, p=shares) for n in (5_000, 2_000, 2_000))
        found = clusters(samples, training, held_out, 50)
        assert (found.hit, found.real_hit, found.of) == (50, 50, 50)
        different.append(found.different)
    assert np.mean(different) == pytest.approx(0.05 * 50, abs=1.0)


def test_a_generator_of_half_the_clusters_misses_the_other_half() -> None:
    draws = np.random.default_rng(1)
    training, held_out = draws.integers(0, 40, 4_000), draws.integers(0, 40, 2_000)
    found = clusters(draws.integers(0, 20, 2_000), training, held_out, 40)
    assert (found.hit, found.real_hit) == (20, 40)
    assert found.different == 40  # those that are missed, and those that are drawn twice as often


def test_a_stray_sample_does_not_make_a_cluster_hit() -> None:
    training = np.arange(4_000) % 4
    samples = np.concatenate([np.arange(999) % 3, [3]])
    assert clusters(samples, training, training[:1_000], 4).hit == 3


def test_classes_are_counted_recognised_and_compared_with_the_data() -> None:
    real = np.array([0, 0, 1, 1, 2, 2, 0, 1, 2, 0])
    asked = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    taken = np.array([0, 0, 0, 1, 1, 0, 2, 2, 2, 2])
    found = classes(NAMES, taken, asked, real, np.where(np.arange(10) == 9, 1, real))
    assert (found.hit, found.of) == (3, 3)
    assert found.shares == {"cat": 0.4, "dog": 0.2, "owl": 0.4}
    assert found.real_shares == {"cat": 0.4, "dog": 0.3, "owl": 0.3}
    assert found.classifier.value == 0.9
    assert found.accuracy is not None
    assert found.accuracy.value == 0.9
    assert {name: one.value for name, one in found.accuracies.items()} == pytest.approx(
        {"cat": 1, "dog": 2 / 3, "owl": 1}
    )


def test_a_class_that_is_nearly_never_drawn_is_missed_and_one_that_the_data_lack_is_none() -> None:
    real = np.arange(1_000) % 2
    taken = np.concatenate([np.zeros(970, np.int64), np.ones(30, np.int64)])
    found = classes(NAMES, taken, None, real, real)
    assert (found.hit, found.of) == (1, 2)
    assert found.accuracy is None
    assert found.accuracies == {}
