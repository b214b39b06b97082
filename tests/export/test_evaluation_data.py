"""The real pictures: which parts a source has, its classes, and what is said of a source that will not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from albums import NAMES, SIZE, bars, write_idx
from numpy.typing import NDArray
from PIL import Image as Pillow

from ganrt.errors import ArgumentError, DataError
from ganrt.spec import Image
from ganrt_export.evaluation.data import Part, RealPictures, check_image, open_data

GREY, COLOUR = (Image(height=SIZE, width=SIZE, channels=channels) for channels in (1, 3))


def folder_of(path: Path, count: int = 30, seed: int = 0, size: int = SIZE, *, flat: bool = False) -> Path:
    """A folder of PNGs, one folder for each class or all in one."""
    images, labels = bars(count, seed)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = path if flat else path / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(image).resize((size, size), Pillow.Resampling.NEAREST).save(folder / f"{index:03}.png")
    return path


def all_of(part: Part) -> NDArray[np.uint8]:
    return part.pixels(0, len(part))


def as_set(pictures: NDArray[np.uint8]) -> set[bytes]:
    return {picture.tobytes() for picture in pictures}


def test_mnists_files_give_both_parts_to_the_pixel_with_their_classes(tmp_path: Path) -> None:
    (train, train_labels), (test, test_labels) = bars(40, 0), bars(25, 1)
    write_idx(tmp_path, train, train_labels)
    write_idx(tmp_path, test, test_labels, "t10k")
    real = open_data(tmp_path, None, GREY)
    assert (len(real.training), len(real.held_out), real.unseen) == (40, 25, True)
    assert as_set(all_of(real.training)) == as_set(train[..., None])
    assert as_set(all_of(real.held_out)) == as_set(test[..., None])
    assert real.notes == ()
    by_picture = {picture.tobytes(): label for picture, label in zip(test, test_labels, strict=True)}
    assert real.held_out.labels is not None
    assert [by_picture[one.tobytes()] for one in all_of(real.held_out)] == real.held_out.labels.tolist()


def test_an_npz_gives_its_test_part_or_else_its_val_part(tmp_path: Path) -> None:
    train, held, other = (bars(count, seed)[0] for count, seed in ((30, 0), (20, 1), (25, 2)))
    for name, parts in (
        ("test", {"train_images": train, "test_images": held, "val_images": other}),
        ("val", {"train_images": train, "val_images": held}),
    ):
        np.savez(tmp_path / f"{name}.npz", **parts)
        real = open_data(tmp_path / f"{name}.npz", None, GREY)
        assert real.unseen
        assert as_set(all_of(real.held_out)) == as_set(held[..., None])


def test_a_folder_of_train_and_test_gives_both_with_the_classes_inside(tmp_path: Path) -> None:
    folder_of(tmp_path / "train", 30, 0)
    folder_of(tmp_path / "test", 21, 1)
    real = open_data(tmp_path, None, GREY)
    assert (len(real.training), len(real.held_out), real.unseen) == (30, 21, True)
    assert sorted(real.names) == sorted(NAMES)


def test_pictures_without_parts_are_split_in_two_and_that_is_said(tmp_path: Path) -> None:
    real = open_data(folder_of(tmp_path / "all", 31), None, GREY)
    assert (len(real.training), len(real.held_out), real.unseen) == (16, 15, False)
    both = as_set(all_of(real.training)), as_set(all_of(real.held_out))
    assert not both[0] & both[1]
    assert "split in two at random" in real.notes[0]
    assert "--held-out" in real.notes[0]


def test_held_out_pictures_may_be_elsewhere_and_their_classes_are_matched_by_name(tmp_path: Path) -> None:
    folder_of(tmp_path / "known", 30, 0)
    folder_of(tmp_path / "others", 30, 1)
    for picture in (tmp_path / "others" / "both").iterdir():
        picture.unlink()
    real = open_data(tmp_path / "known", tmp_path / "others", GREY)
    assert real.unseen
    assert real.held_out.labels is not None
    named = {real.names[label] for label in real.held_out.labels.tolist()}
    assert named == {"left", "right"}


def test_held_out_pictures_of_an_unknown_class_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path / "known", 30, 0)
    folder_of(tmp_path / "others", 30, 1)
    (tmp_path / "others" / "both").rename(tmp_path / "others" / "neither")
    with pytest.raises(DataError, match="have the class 'neither', the training pictures do not"):
        open_data(tmp_path / "known", tmp_path / "others", GREY)


def test_pictures_without_classes_have_none(tmp_path: Path) -> None:
    real = open_data(folder_of(tmp_path / "flat", flat=True), None, GREY)
    assert real.names == ()
    assert real.training.labels is None


def test_pictures_in_order_of_class_come_mixed_and_the_same_way_each_time(tmp_path: Path) -> None:
    images, labels = bars(60, 0)
    order = np.argsort(labels, kind="stable")
    write_idx(tmp_path, images[order], labels[order])
    write_idx(tmp_path, images[order], labels[order], "t10k")
    first, again = (open_data(tmp_path, None, GREY).training for _ in range(2))
    assert first.labels is not None
    assert len(set(first.labels[:20].tolist())) == 3
    np.testing.assert_array_equal(all_of(first), all_of(again))


def test_pictures_of_another_size_are_resized_and_that_is_said(tmp_path: Path) -> None:
    real = open_data(folder_of(tmp_path / "large", size=3 * SIZE), None, GREY)
    assert all_of(real.training).shape[1:] == (SIZE, SIZE, 1)
    assert "36 to 36 pixels a side" in real.notes[0]
    assert "resized to 12 x 12 (Lanczos)" in real.notes[0]
    np.savez(tmp_path / "large.npz", images=np.zeros((30, 24, 30), np.uint8))
    assert "24 to 30 pixels a side" in open_data(tmp_path / "large.npz", None, GREY).notes[0]


def test_grey_pictures_are_made_coloured_for_a_generator_of_colour(tmp_path: Path) -> None:
    pictures = all_of(open_data(folder_of(tmp_path / "grey"), None, COLOUR).training)
    assert pictures.shape[-1] == 3
    assert (pictures[..., 0] == pictures[..., 2]).all()


def test_more_pictures_than_fit_are_read_when_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "many")
    kept = open_data(folder, None, GREY)
    monkeypatch.setattr("ganrt_export.training.datasets.folder.MEMORY", 1)
    read = open_data(folder, None, GREY)
    np.testing.assert_array_equal(all_of(read.training), all_of(kept.training))


def test_the_first_of_a_part_are_part_of_it(tmp_path: Path) -> None:
    part = open_data(folder_of(tmp_path / "all"), None, GREY).training
    few = part.at_most(5)
    np.testing.assert_array_equal(all_of(few), part.pixels(0, 5))
    assert part.labels is not None
    assert few.labels is not None
    assert few.labels.tolist() == part.labels[:5].tolist()
    np.testing.assert_array_equal(part.chosen(np.array([4, 0])), part.pixels(0, 5)[[4, 0]])


def nothing(folder: Path) -> Path:
    return folder / "nothing"


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def small(folder: Path) -> Path:
    return folder_of(folder / "small", size=SIZE // 2)


def small_arrays(folder: Path) -> Path:
    np.savez(folder / "small.npz", images=np.zeros((30, 6, 6), np.uint8))
    return folder / "small.npz"


def damaged(folder: Path) -> Path:
    (folder / "damaged.npz").write_bytes(b"PK\x03\x04 and no more")
    return folder / "damaged.npz"


def text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("no pictures")
    return folder / "notes.txt"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (nothing, "nothing does not exist; give a folder of pictures"),
        (empty, "empty holds no pictures"),
        (small, "too few usable pictures .* smaller than 12 x 12"),
        (small_arrays, "its pictures are 6 x 6, smaller than 12 x 12"),
        (damaged, "damaged.npz cannot be read as an .npz"),
        (text, "notes.txt holds no pictures"),
    ],
)
def test_a_source_that_will_not_do_is_one_sentence(tmp_path: Path, make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(DataError, match=sentence):
        open_data(make(tmp_path), None, GREY)


@pytest.mark.parametrize("image", [Image(6, 5, 1), Image(8, 8, 4), Image(None, None, 3)])
def test_pictures_that_are_not_squares_in_grey_or_colour_cannot_be_judged(image: Image) -> None:
    with pytest.raises(ArgumentError, match=r"only squares in grey \(1\) or colour \(3\) can be judged"):
        check_image("odd", image)


def test_real_pictures_say_where_they_are_from(tmp_path: Path) -> None:
    real: RealPictures = open_data(folder_of(tmp_path / "all"), None, GREY)
    assert real.facts["name"] == "all"
    assert len(real.facts["sha256"]) == 64
