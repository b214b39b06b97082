"""Distances between sets of features: closed forms, laws, the papers word for word, and other implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganrt_export.evaluation.estimate import Estimate, groups_of, jackknife, mean
from ganrt_export.evaluation.frechet import frechet, frechet_distance
from ganrt_export.evaluation.kernel import kernel_distance
from ganrt_export.evaluation.manifold import density_coverage, precision_recall
from ganrt_export.evaluation.neighbours import nearest

Features = NDArray[np.float32]


def cloud(seed: int, count: int = 200, features: int = 5, centre: float = 0.0) -> Features:
    return (np.random.default_rng(seed).normal(size=(count, features)) + centre).astype(np.float32)


def correlated(seed: int, count: int, features: int) -> Features:
    """Not negative and not independent, as the features of a network are."""
    mix = np.random.default_rng(99).normal(size=(features, features))
    return np.maximum(cloud(seed, count, features) @ mix, 0).astype(np.float32)


def values(pair: tuple[Estimate, Estimate]) -> tuple[float, float]:
    return pair[0].value, pair[1].value


# How sure a figure is


@given(st.integers(20, 500), st.integers(2, 20))
def test_groups_hold_every_row_once_and_are_as_large_as_each_other(count: int, groups: int) -> None:
    parts = groups_of(count, groups)
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_the_jackknife_of_a_mean_is_its_standard_error_and_has_no_bias() -> None:
    numbers = np.random.default_rng(0).normal(size=50)
    without = [float(np.delete(numbers, i).mean()) for i in range(50)]
    error, bias = jackknife(without, float(numbers.mean()))
    assert error == pytest.approx(numbers.std(ddof=1) / 50**0.5)
    assert error == pytest.approx(mean(numbers).error)
    assert bias == pytest.approx(0, abs=1e-12)


def test_the_jackknife_finds_the_bias_of_a_variance_that_divides_by_n() -> None:
    numbers = np.random.default_rng(1).normal(size=30)
    without = [float(np.delete(numbers, i).var()) for i in range(30)]
    assert numbers.var() - jackknife(without, float(numbers.var()))[1] == pytest.approx(numbers.var(ddof=1))


# Nearest neighbours


def test_the_nearest_are_those_of_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    points, centres = cloud(0, 50), cloud(1, 70)
    distances = np.linalg.norm(points[:, None].astype(np.float64) - centres, axis=2)
    whole = nearest(points, centres, 4)
    np.testing.assert_array_equal(whole.indices, np.argsort(distances, axis=1)[:, :4])
    np.testing.assert_allclose(whole.distances, np.sort(distances, axis=1)[:, :4], rtol=1e-12)
    monkeypatch.setattr("ganrt_export.evaluation.neighbours._ROWS", 7)
    monkeypatch.setattr("ganrt_export.evaluation.neighbours._COLUMNS", 9)
    np.testing.assert_array_equal(nearest(points, centres, 4).indices, whole.indices)


def test_equal_features_are_at_distance_0_however_far_from_the_origin() -> None:
    far = cloud(0, 30) + np.float32(1e4)
    assert (nearest(far, far).distances == 0).all()


# The Frechet distance


def test_a_set_against_itself_is_at_distance_0() -> None:
    assert frechet_distance(cloud(0), cloud(0)) == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 2**32), st.floats(-20, 20), st.integers(1, 6))
def test_the_frechet_distance_of_a_shift_is_its_square_in_each_feature(seed: int, by: float, features: int) -> None:
    real = cloud(seed, 60, features)
    assert frechet_distance(real, real + np.float32(by)) == pytest.approx(features * by**2, rel=1e-4, abs=1e-6)


def test_the_frechet_distance_of_a_scaling_is_that_of_its_standard_deviations() -> None:
    real = cloud(7)
    real -= real.mean(axis=0)
    expected = np.trace(np.cov(real.astype(np.float64), rowvar=False)) * (3 - 1) ** 2
    assert frechet_distance(real, 3 * real) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 2**32))
def test_the_frechet_distance_is_symmetric_not_negative_and_blind_to_order(seed: int) -> None:
    a, b = cloud(seed, 40, 3), cloud(seed + 1, 50, 3, 0.5)
    there, back = frechet_distance(a, b), frechet_distance(b, a)
    assert there == pytest.approx(back, rel=1e-6, abs=1e-9)
    assert there >= 0
    assert frechet_distance(a[::-1], np.roll(b, 7, axis=0)) == pytest.approx(there, rel=1e-9, abs=1e-9)


def test_features_that_are_always_zero_do_no_harm() -> None:
    real = np.hstack([cloud(8), np.zeros((200, 3), np.float32)])
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)


def test_fewer_rows_than_features_give_a_number() -> None:
    assert frechet_distance(cloud(0, 20, 64), cloud(1, 20, 64)) > 0


def test_the_frechet_distance_is_the_formula_with_scipys_matrix_root() -> None:
    from scipy.linalg import sqrtm

    a, b = correlated(0, 300, 12), correlated(1, 250, 12) * np.float32(1.3)
    first, second = (np.cov(some.astype(np.float64), rowvar=False) for some in (a, b))
    apart = np.square(a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)).sum()
    expected = apart + np.trace(first) + np.trace(second) - 2 * np.trace(sqrtm(first @ second).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-7)


def test_without_its_bias_the_frechet_distance_of_equal_distributions_is_0_within_its_error() -> None:
    found = [frechet(correlated(2 * i, 150, 20), correlated(2 * i + 1, 200, 20)) for i in range(12)]
    plain, unbiased = (np.array([getattr(one, name).value for one in found]) for name in ("distance", "unbiased"))
    assert plain.min() > 3 * plain.std()  # far from 0, and so of another size of sets
    assert abs(unbiased.mean()) < 3 * unbiased.std() / 12**0.5
    errors = np.array([one.distance.error for one in found])
    assert 0.6 < errors.mean() / plain.std() < 2.5


def test_without_its_bias_the_frechet_distance_does_not_depend_on_how_many() -> None:
    few, many = (frechet(correlated(0, n, 16), correlated(1, n, 16) * np.float32(1.2)) for n in (200, 6_000))
    assert few.distance.value > 1.3 * many.distance.value
    assert few.unbiased.error is not None
    assert abs(few.unbiased.value - many.unbiased.value) < 3 * few.unbiased.error


# The kernel distance


def test_the_kernel_distance_is_the_unbiased_estimate_over_all_pairs_word_for_word() -> None:
    from sklearn.metrics.pairwise import polynomial_kernel

    a, b = correlated(0, 60, 7).astype(np.float64), correlated(1, 45, 7).astype(np.float64)
    xx, yy, xy = (polynomial_kernel(one, other, degree=3, coef0=1) for one, other in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    expected = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * xy.mean()
    assert kernel_distance(a.astype(np.float32), b.astype(np.float32)).value == pytest.approx(expected, rel=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_the_kernel_distance_is_blind_to_order_and_symmetric(seed: int) -> None:
    a, b = cloud(seed, 40, 3), cloud(seed + 1, 50, 3, 0.5)
    there = kernel_distance(a, b).value
    assert kernel_distance(a[::-1], np.roll(b, 9, axis=0)).value == pytest.approx(there, rel=1e-9, abs=1e-12)
    assert kernel_distance(b, a).value == pytest.approx(there, rel=1e-9, abs=1e-12)


def test_the_kernel_distance_of_equal_distributions_is_0_on_average_for_few_and_for_many() -> None:
    for n in (25, 120):
        found = [kernel_distance(correlated(2 * i, n, 10), correlated(2 * i + 1, 2 * n, 10)) for i in range(30)]
        estimates = np.array([one.value for one in found])
        assert abs(estimates.mean()) < 3 * estimates.std() / 30**0.5
        assert (estimates < 0).any()
        assert 0.6 < np.mean([one.error for one in found]) / estimates.std() < 2.5


def test_the_error_of_the_kernel_distance_covers_a_real_difference() -> None:
    true = kernel_distance(correlated(0, 4_000, 6), correlated(1, 4_000, 6) * np.float32(1.15)).value
    found = [
        kernel_distance(correlated(2 * i, 200, 6), correlated(2 * i + 1, 200, 6) * np.float32(1.15))
        for i in range(2, 22)
    ]
    within = [abs(one.value - true) < 2 * (one.error or 0) for one in found]
    assert sum(within) >= 16


# Precision, recall, density, coverage


def test_a_set_against_itself_has_1_of_everything() -> None:
    real = cloud(0)
    assert values(precision_recall(real, real)) == (1, 1)
    assert values(density_coverage(real, real)) == (1, 1)


def test_sets_far_apart_have_0_of_everything() -> None:
    assert values(precision_recall(cloud(0), cloud(1, centre=100))) == (0, 0)
    assert values(density_coverage(cloud(0), cloud(1, centre=100))) == (0, 0)


def test_one_good_picture_again_and_again_is_precise_and_covers_nothing() -> None:
    real = cloud(0)
    collapsed = np.repeat(real[:1], 50, axis=0)
    assert values(precision_recall(real, collapsed)) == (1, pytest.approx(0, abs=1 / 200))
    assert density_coverage(real, collapsed)[1].value < 0.1


def test_noise_around_real_pictures_recalls_much_and_is_less_precise() -> None:
    real = cloud(0)
    noisy = np.concatenate([real[:100], cloud(1, count=100, centre=50)])
    precision, recall = values(precision_recall(real, noisy))
    assert precision == pytest.approx(0.5)
    assert recall > 0.9


def test_equal_distributions_have_a_density_of_1_and_the_coverage_that_naeem_et_al_derive() -> None:
    density, coverage = density_coverage(cloud(0, 1_500), cloud(1, 1_500), k=5)
    assert density.value == pytest.approx(1, abs=0.06)
    assert coverage.value == pytest.approx(1 - 2**-5, abs=0.02)


def test_precision_and_recall_are_those_of_the_paper_word_for_word() -> None:
    real, generated = cloud(2, count=60), cloud(3, count=40, centre=0.5)

    def inside(points: Features, centres: Features) -> float:
        found = 0
        radii = [sorted(float(np.linalg.norm(c - other)) for other in centres)[3] for c in centres]
        for point in points:
            found += any(float(np.linalg.norm(point - c)) <= r for c, r in zip(centres, radii, strict=True))
        return found / len(points)

    expected = inside(generated, real), inside(real, generated)
    assert values(precision_recall(real, generated, k=3)) == pytest.approx(expected)


@given(st.integers(0, 2**32), st.integers(1, 6), st.floats(-3, 3))
def test_precision_one_way_is_recall_the_other_way(seed: int, features: int, centre: float) -> None:
    a, b = cloud(seed, 30, features), cloud(seed + 1, 40, features, centre)
    assert values(precision_recall(a, b)) == values(precision_recall(b, a))[::-1]


@given(st.integers(0, 2**32), st.floats(0.1, 100))
def test_none_of_them_depends_on_order_or_scale(seed: int, scale: float) -> None:
    a, b = cloud(seed, 40, 3), cloud(seed + 1, 40, 3, 0.5)
    moved_a, moved_b = a[::-1] * np.float32(scale), np.roll(b, 11, axis=0) * np.float32(scale)
    for measure in (precision_recall, density_coverage):
        assert values(measure(moved_a, moved_b)) == pytest.approx(values(measure(a, b)), abs=1 / 30)


def test_large_sets_are_compared_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = cloud(4), cloud(5, centre=0.3)
    whole = precision_recall(real, generated), density_coverage(real, generated)
    monkeypatch.setattr("ganrt_export.evaluation.neighbours._ROWS", 7)
    monkeypatch.setattr("ganrt_export.evaluation.neighbours._COLUMNS", 11)
    assert (precision_recall(real, generated), density_coverage(real, generated)) == whole


# Other implementations


def test_all_four_are_those_of_naeem_et_als_own_package() -> None:
    prdc = pytest.importorskip("prdc", reason="prdc, Naeem et al.'s own implementation, is not installed")
    real, generated = correlated(0, 300, 8), correlated(1, 280, 8) * np.float32(1.1)
    ours = values(precision_recall(real, generated, k=5)) + values(density_coverage(real, generated, k=5))
    theirs = prdc.compute_prdc(real_features=real, fake_features=generated, nearest_k=5)
    assert ours == pytest.approx(tuple(theirs[name] for name in ("precision", "recall", "density", "coverage")))


def flat_pictures(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 120 + 60 * seed, (200, 3, 2, 2), np.uint8)


@pytest.mark.filterwarnings("ignore")  # torchmetrics warns of its own memory
def test_frechet_and_kernel_distance_are_those_of_torchmetrics() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid", reason="torchmetrics is not installed")
    kid = pytest.importorskip("torchmetrics.image.kid", reason="torchmetrics is not installed")
    import torch

    class Pixels(torch.nn.Module):
        num_features = 12

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures.flatten(1).double() / 64

    first, second = flat_pictures(0), flat_pictures(1)
    a, b = ((pictures.reshape(200, 12) / np.float32(64)).astype(np.float32) for pictures in (first, second))
    theirs: Any = fid.FrechetInceptionDistance(feature=Pixels(), input_img_size=(3, 2, 2))
    kernel: Any = kid.KernelInceptionDistance(feature=Pixels(), subsets=1, subset_size=200)
    for metric in (theirs.set_dtype(torch.float64), kernel):
        metric.update(torch.from_numpy(first), real=True)
        metric.update(torch.from_numpy(second), real=False)
    assert frechet_distance(a, b) == pytest.approx(float(theirs.compute()), rel=1e-6)
    assert kernel_distance(a, b).value == pytest.approx(float(kernel.compute()[0]), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_all_are_those_of_torch_fidelity() -> None:
    try:
        from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
        from torch_fidelity.metric_kid import kid_features_to_metric
        from torch_fidelity.metric_prc import prc_features_to_metric
    except (ImportError, RuntimeError) as problem:  # RuntimeError: a torchvision of another PyTorch
        pytest.skip(f"torch-fidelity cannot be loaded: {problem}")
    import torch

    real, generated = correlated(0, 300, 8), correlated(1, 300, 8) * np.float32(1.2)
    a, b = (torch.from_numpy(some) for some in (generated, real))
    statistics = [fid_features_to_statistics(some.double()) for some in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet_distance(real, generated) == pytest.approx(theirs, rel=1e-6)
    theirs = kid_features_to_metric(a.double(), b.double(), kid_subsets=1, kid_subset_size=300, verbose=False)
    assert kernel_distance(real, generated).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    theirs = prc_features_to_metric(a, b, prc_neighborhood=3, prc_batch_size=100, save_cpu_ram=False, verbose=False)
    assert values(precision_recall(real, generated)) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)
