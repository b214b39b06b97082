"""The judge and its figures: kept, replaced, and right where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganrt.errors import TrainingError
from ganrt_export.training.datasets import LabelledImages
from ganrt_export.training.judge import Classifier, JudgeSettings, features, judge, recognised, train_classifier
from ganrt_export.training.quality import assess, rounded

FEW = JudgeSettings(epochs=15, batch=32, ema_decay=0.9)
NAMES = ("left", "right", "both")


def bars(count: int, seed: int) -> LabelledImages:
    """Images with a bright bar on the left, on the right, or on both sides: easy to learn, each a little different."""
    draws = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    images = draws.integers(0, 60, (count, 28, 28), np.uint8)
    images[labels != 1, 4:24, 4:8] += 150
    images[labels != 0, 4:24, 20:24] += 150
    return LabelledImages(images, labels)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return train_classifier(bars(320, 0), FEW)


def test_a_judge_learns_what_it_is_shown(classifier: Classifier) -> None:
    unseen = bars(90, 1)
    assert recognised(classifier, features(classifier, unseen.images), unseen.labels).mean() > 0.95


def test_features_do_not_depend_on_how_many_are_asked_for(classifier: Classifier) -> None:
    images = bars(600, 2).images
    whole = features(classifier, images)
    assert whole.shape == (600, 128)
    assert whole.dtype == np.float32
    assert whole.min() >= 0
    np.testing.assert_allclose(whole[590:], features(classifier, images[590:]), rtol=1e-4, atol=1e-4)


def test_the_same_seed_is_the_same_judge() -> None:
    settings = JudgeSettings(epochs=1, batch=32)
    one, same = (train_classifier(bars(64, 0), settings).state_dict() for _ in range(2))
    other = train_classifier(bars(64, 0), JudgeSettings(epochs=1, batch=32, seed=1)).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["score.weight"], other["score.weight"])


def test_a_kept_judge_is_not_trained_again(tmp_path: Path) -> None:
    data, settings = bars(64, 0), JudgeSettings(epochs=1, batch=32)
    first = judge(tmp_path, data, settings)
    again = judge(tmp_path, data, settings, on_step=lambda step, steps: pytest.fail("it was kept"))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not again.training


@pytest.mark.parametrize("change", ["settings", "data", "damage"])
def test_a_judge_of_other_data_or_settings_or_a_damaged_one_is_replaced(tmp_path: Path, change: str) -> None:
    data, settings = bars(64, 0), JudgeSettings(epochs=1, batch=32)
    judge(tmp_path, data, settings)
    if change == "settings":
        settings = JudgeSettings(epochs=2, batch=32)
    elif change == "data":
        data = bars(64, 1)
    else:
        (tmp_path / "judge.safetensors").write_bytes(b"\x10")
    steps: list[int] = []
    judge(tmp_path, data, settings, on_step=lambda step, total: steps.append(total))
    assert steps == [2 * settings.epochs] * (2 * settings.epochs)
    assert [path.name for path in tmp_path.iterdir()] == ["judge.safetensors"]


def test_one_image_left_over_from_the_batches_does_no_harm() -> None:
    steps: list[int] = []
    train_classifier(bars(33, 0), JudgeSettings(epochs=1, batch=16), lambda step, total: steps.append(total))
    assert steps == [2, 2]


def test_a_judge_that_diverges_says_so() -> None:
    with pytest.raises(TrainingError, match=r"The judge diverged at step \d"):
        train_classifier(bars(64, 0), JudgeSettings(epochs=4, batch=16, learning_rate=float("inf")))


def test_real_images_as_samples_are_perfect(classifier: Classifier) -> None:
    held_out, training = bars(90, 3), bars(300, 0)

    def draw(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        of_class = [np.flatnonzero(held_out.labels == label) for label in range(3)]
        taken = [0, 0, 0]
        images = []
        for label in labels:
            images.append(held_out.images[of_class[label][taken[label] % 30]])
            taken[label] += 1
        return np.stack(images)

    quality = assess(draw, classifier, training, held_out, NAMES, per_class=40)
    assert quality.samples == 120
    assert quality.accuracy > 0.95
    assert (quality.precision, quality.recall) == (1, 1)
    assert quality.frechet_distance == pytest.approx(0, abs=1e-3)
    assert quality.real_frechet_distance > quality.frechet_distance
    assert all((one.precision, one.recall) == (1, 1) for one in quality.classes.values())
    assert list(quality.classes) == list(NAMES)


def test_one_image_a_class_is_known_and_recalls_next_to_nothing(classifier: Classifier) -> None:
    held_out, training = bars(90, 4), bars(300, 0)
    quality = assess(lambda labels: held_out.images[labels], classifier, training, held_out, NAMES, per_class=30)
    assert quality.accuracy > 0.95
    assert quality.recall < 0.1
    assert all(one.recall < 0.1 for one in quality.classes.values())


def test_a_class_that_is_always_another_is_the_worst(classifier: Classifier) -> None:
    held_out, training = bars(90, 5), bars(300, 0)

    def draw(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        return held_out.images[np.where(labels == 1, 0, labels)]  # left where right was asked

    quality = assess(draw, classifier, training, held_out, NAMES, per_class=30)
    assert (quality.worst_class, quality.worst_accuracy) == ("right", 0)
    assert quality.accuracy == pytest.approx(2 / 3, abs=0.05)


def test_the_figures_in_a_manifest_are_plain_and_short(classifier: Classifier) -> None:
    held_out = bars(90, 6)
    quality = assess(lambda labels: held_out.images[labels], classifier, bars(300, 0), held_out, NAMES, per_class=30)
    figures = rounded(quality)
    assert figures["classes"]["left"]["recall"] == round(quality.classes["left"].recall, 4)
    assert type(figures["accuracy"]) is float
