"""Pictures as people have them: folders, arrays, films, pairs; what is skipped, and what is refused in one sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ganrt.errors import DataError
from ganrt.media import write_video
from ganrt_export.training.datasets import PictureFiles, Pictures, folder, open_pairs, open_pictures

REAL = Path(os.environ.get("GANRT_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def save(path: Path, pixels: NDArray[np.uint8], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path, **options)
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Grey, coloured, transparent, paletted, of 16 bits; of several sizes and formats, in two folders of classes."""
    source = tmp_path / "mixed"
    save(source / "cat" / "grey.png", noise(40, 50, 1))
    save(source / "cat" / "colour.jpg", noise(33, 64))
    save(source / "cat" / "clear.webp", noise(32, 32, 4))
    Image.fromarray(noise(64, 64)).quantize(16).save(source / "cat" / "palette.gif")
    save(source / "dog" / "upright.bmp", noise(90, 45))
    Image.fromarray((noise(48, 48, 1)[..., 0].astype(np.uint16)) << 8).save(source / "cat" / "deep.png")
    save(source / "dog" / "CAPITALS.PNG", noise(32, 32))
    return source


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_and_colour_become_squares_of_one_kind(mixed: Path, channels: int) -> None:
    data = open_pictures(mixed, size=32, channels=channels)
    (images,) = data[list(range(len(data)))]
    assert images.shape == (7, channels, 32, 32)
    assert -1 <= float(images.min()) < -0.5 < 0.5 < float(images.max()) <= 1
    assert (data.facts["name"], data.facts["images"]) == ("mixed", 7)
    assert not data.notes


def test_labels_are_the_names_of_the_folders(mixed: Path) -> None:
    data = open_pictures(mixed, size=32, channels=3, labelled=True)
    _, labels = data[list(range(len(data)))]
    assert data.names == ("cat", "dog")
    assert labels.tolist() == [0, 0, 0, 0, 0, 1, 1]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.integers(8, 40), st.integers(8, 40), st.sampled_from([1, 3]))
def test_the_square_in_the_middle_is_kept(tmp_path: Path, height: int, width: int, channels: int) -> None:
    pixels = noise(height, width, channels)
    side = min(height, width)
    source = tmp_path / f"{height}x{width}x{channels}"
    for name in ("a", "b"):
        save(source / f"{name}.png", pixels)
    images = open_pictures(source, size=side, channels=channels)[[0]][0]
    top, left = (height - side) // 2, (width - side) // 2
    found = (images[0].numpy().transpose(1, 2, 0) + 1) * 127.5
    exact = (height - side) % 2 == 0 and (width - side) % 2 == 0  # else the middle lies between two pixels
    if exact:
        np.testing.assert_allclose(found, pixels[top : top + side, left : left + side], atol=1e-3)
    assert found.shape == (side, side, channels)


def test_a_photo_is_turned_as_its_camera_was(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me clockwise by 90 degrees"
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", pixels, exif=exif)
    image = open_pictures(tmp_path, size=16, channels=1)[[0]][0][0, 0]
    assert float(image[:, 8:].mean()) > 0.9  # bright on the right
    assert float(image[:, :8].mean()) < -0.9


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", np.zeros((8, 8, 4), np.uint8))
    assert float(open_pictures(tmp_path, size=8, channels=3)[[0]][0].min()) == 1


def test_what_cannot_be_used_is_skipped_counted_and_named(mixed: Path) -> None:
    (mixed / "cat" / "broken.png").write_bytes(b"not a picture")
    cut = save(mixed / "dog" / "cut.jpg", noise(64, 64))
    cut.write_bytes(cut.read_bytes()[:900])
    for number in range(7):
        save(mixed / "dog" / f"small{number}.png", noise(10, 40))
    (mixed / "notes.txt").write_text("no picture, and none is expected")
    save(mixed / "stray.png", noise(40, 40))
    data = open_pictures(mixed, size=32, channels=3, labelled=True)
    assert len(data) == 7
    (note,) = data.notes
    assert "2 damaged (broken.png, cut.jpg)" in note
    assert "7 smaller than 32 x 32 (small0.png, small1.png, small2.png, small3.png, small4.png and 2 more)" in note
    assert "1 in no class's folder (stray.png)" in note
    assert len(open_pictures(mixed, size=32, channels=3)) == 8  # without labels the stray one counts


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda path: None, "holds no pictures; looked for .bmp, .gif, .jpeg"),
        (lambda path: save(path / "one.png", noise(40, 40)), "too few usable pictures to learn from, 1 of 1"),
        (
            lambda path: [save(path / f"{n}.png", noise(20, 20)) for n in range(3)],
            "too few usable pictures to learn from, 0 of 3; skipped 3 smaller than 32 x 32 (0.png, 1.png, 2.png)",
        ),
    ],
    ids=["empty", "one picture", "all too small"],
)
def test_a_folder_without_enough_is_refused(tmp_path: Path, build, sentence: str) -> None:  # type: ignore[no-untyped-def]
    build(tmp_path)
    with pytest.raises(DataError) as caught:
        open_pictures(tmp_path, size=32, channels=3)
    assert sentence in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_labels_that_are_missing_are_asked_for_with_an_example(mixed: Path) -> None:
    shutil.rmtree(mixed / "dog")
    with pytest.raises(DataError, match=r"of the class 'cat'; put those of each class in a folder .*: mixed/cat/1.png"):
        open_pictures(mixed, size=32, channels=3, labelled=True)
    with pytest.raises(DataError, match=r"0 of 5; skipped 5 in no class's folder"):
        open_pictures(mixed / "cat", size=32, channels=3, labelled=True)


@pytest.mark.parametrize("name", ["nowhere", "notes.txt", "film.mp4"])
def test_what_is_no_set_of_pictures_is_refused(tmp_path: Path, name: str) -> None:
    if name != "nowhere":
        (tmp_path / name).write_text("words")
    with pytest.raises(DataError, match=f"{name} (does not exist|holds no pictures|cannot be decoded as a film)"):
        open_pictures(tmp_path / name, size=32, channels=3)


def test_more_pictures_than_memory_may_hold_are_decoded_when_asked_for(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = open_pictures(mixed, size=32, channels=3, labelled=True)
    monkeypatch.setattr(folder, "MEMORY", 1_000)
    files = open_pictures(mixed, size=32, channels=3, labelled=True)
    assert isinstance(kept, Pictures)
    assert isinstance(files, PictureFiles)
    assert (files.decodes, kept.decodes) == (True, False)
    for one, other in zip(kept[[4, 0]], files[[4, 0]], strict=True):
        assert (one == other).all()
    assert files.names == kept.names


# Arrays


def npz(path: Path, **arrays: NDArray[np.generic]) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_the_arrays_of_medmnist_are_read_by_part(tmp_path: Path) -> None:
    file = npz(
        tmp_path / "medical.npz",
        train_images=noise(5, 28, 28).reshape(5, 28, 28),
        train_labels=np.array([[3], [1], [3], [1], [1]], np.uint8),
        test_images=noise(2, 28, 28),
        test_labels=np.array([[1], [3]], np.uint8),
    )
    data = open_pictures(file, size=28, channels=1, labelled=True)
    images, labels = data[[0, 1]]
    assert images.shape == (2, 1, 28, 28)
    assert labels.tolist() == [1, 0]
    assert data.names == ("1", "3")
    assert len(open_pictures(file, size=28, channels=1, part="test")) == 2


def test_words_are_labels_too_and_colour_is_kept_or_made(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 16, 3), np.uint8)
    file = npz(tmp_path / "faces.npz", images=pixels, labels=np.array(["b", "a", "b"]))
    data = open_pictures(file, size=16, channels=3, labelled=True)
    assert data.names == ("a", "b")
    assert data[[0, 1]][1].tolist() == [1, 0]
    np.testing.assert_allclose((data[[2]][0][0].numpy() + 1) * 127.5, pixels[2, 2:18].transpose(2, 0, 1), atol=1e-3)
    assert open_pictures(file, size=8, channels=1)[[0]][0].shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("arrays", "labelled", "sentence"),
    [
        ({"images": np.zeros((4, 8, 8), np.uint8)}, True, "has no 'labels' beside 'images'"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.zeros(3, int)}, True, "must be one class a picture"),
        ({"images": np.zeros((4, 8, 8))}, False, r"'images' is float64 \[4, 8, 8\]; pictures are uint8"),
        ({"x": np.zeros(3), "y": np.zeros(3)}, False, "has no array 'train_images' or 'images'; it has x, y"),
        ({"images": np.zeros((4, 8, 8, 7), np.uint8)}, False, "has 7 channels, last"),
        ({"images": np.zeros((4, 6, 8), np.uint8)}, False, "8 x 6, smaller than 8 x 8; ask for --size 6 or less"),
        ({"images": np.array([{}, {}])}, False, "cannot be read as an .npz"),
    ],
    ids=["no labels", "fewer labels", "floats", "other names", "seven channels", "too small", "pickled"],
)
def test_arrays_that_are_no_pictures_are_refused(
    tmp_path: Path, arrays: dict[str, NDArray[np.generic]], labelled: bool, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        open_pictures(npz(tmp_path / "a.npz", **arrays), size=8, channels=1, labelled=labelled)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", b"words"])
def test_a_damaged_npz_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"a.npz cannot be read as an .npz"):
        open_pictures(file, size=8, channels=1)


# Films and pairs


def test_a_film_is_its_frames(tmp_path: Path) -> None:
    frames = np.repeat(np.arange(0, 240, 20, dtype=np.uint8), 32 * 48 * 3).reshape(12, 32, 48, 3)
    write_video(tmp_path / "film.mp4", frames, scale=1)
    images = open_pictures(tmp_path / "film.mp4", size=32, channels=1)[list(range(12))][0]
    assert images.shape == (12, 1, 32, 32)
    np.testing.assert_allclose((images.mean(dim=(1, 2, 3)).numpy() + 1) * 127.5, np.arange(0, 240, 20), atol=4)
    with pytest.raises(DataError, match="48 x 32, smaller than 64 x 64"):
        open_pictures(tmp_path / "film.mp4", size=64, channels=3)


@pytest.mark.parametrize("names", [("input", "target"), ("A", "B")])
def test_pairs_are_pictures_of_one_name(tmp_path: Path, names: tuple[str, str]) -> None:
    for number in range(3):
        save(tmp_path / names[0] / f"{number}.png", noise(32, 32, 1, seed=number))
        save(tmp_path / names[1] / f"{number}.jpg", noise(32, 32, 3, seed=number))
    save(tmp_path / names[0] / "alone.png", noise(32, 32, 1))
    save(tmp_path / names[0] / "small.png", noise(8, 8, 1))
    save(tmp_path / names[1] / "small.png", noise(32, 32))
    pairs = open_pairs(tmp_path, size=32, channels=(1, 3))
    inputs, targets = pairs[[2, 0]]
    assert (inputs.shape, targets.shape) == ((2, 1, 32, 32), (2, 3, 32, 32))
    np.testing.assert_allclose((inputs[0, 0].numpy() + 1) * 127.5, noise(32, 32, 1, seed=2)[..., 0], atol=1e-3)
    assert pairs.notes == ["Skipped 1 without a partner (alone.png); 1 smaller than 32 x 32 (small.png)."]


def test_pairs_without_their_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no folders 'input' and 'target'"):
        open_pairs(tmp_path, size=32)


# Real data, where they are


@pytest.mark.skipif(not REAL.is_dir(), reason="set GANRT_TEST_DATA to a folder of real photos, faces and x-rays")
def test_real_photos_faces_and_x_rays_are_read() -> None:
    photos = open_pictures(REAL / "kodak", size=128, channels=3)
    assert (len(photos), photos[[0]][0].shape) == (24, (1, 3, 128, 128))
    faces = open_pictures(REAL / "faces64-lfw.npz", size=64, channels=1, labelled=True)
    assert (len(faces), faces.names) == (5_593, ("female", "male"))
    chests = open_pictures(REAL / "chest-xray28-pneumonia.npz", size=28, channels=1, labelled=True, part="val")
    assert (len(chests), chests.names) == (524, ("0", "1"))
