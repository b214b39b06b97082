"""Where samples go: which writer serves which target, and what it leaves there."""

import csv
import tracemalloc

import numpy as np
import pytest
from PIL import Image as Picture

from ganrt import ArgumentError, OutputError
from ganrt.media import choose_writer, write_array, write_table
from ganrt.spec import Audio, Image, Table

DIGITS = Image(height=28, width=28, channels=1)
SOUND = Audio(length=400, sample_rate=8000)
PEOPLE = Table(columns=("age", "height, cm"))


def pictures(n):
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28, 1), dtype=np.uint8)


def write(writer, samples, batch=3):
    with writer.open() as append:
        for at in range(0, len(samples), batch):
            append(samples[at : at + batch])
    return writer.path


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_without_a_target_pictures_go_into_one_named_after_the_generator(tmp_path):
    assert write(choose_writer(None, DIGITS, 10, name="digits"), pictures(10)).name == "digits.png"
    with Picture.open("digits.png") as read:
        assert read.size == (4 * 84 + 3 * 2, 3 * 84 + 2 * 2)
    assert names(tmp_path) == ["digits.png"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "/", "a\x1b[31mb", "", "CON:x"])
def test_a_strangers_name_never_leaves_the_folder(tmp_path, name):
    path = write(choose_writer(None, DIGITS, 1, name=name), pictures(1))
    assert path.parent.resolve() == tmp_path
    assert path.name.isprintable()


def test_a_target_that_ends_in_a_slash_is_a_folder_of_a_file_each(tmp_path):
    some = pictures(5)
    write(choose_writer("out/deep/", DIGITS, 5, name="digits", seed=7, start=10), some)
    assert names(tmp_path / "out" / "deep") == [f"digits-seed7-{index:06}.png" for index in range(10, 15)]
    with Picture.open("out/deep/digits-seed7-000012.png") as read:
        assert np.array_equal(np.asarray(read), some[2, ..., 0])  # as the generator made it, not enlarged


def test_so_is_a_folder_that_is_there_and_what_it_holds_stays(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    write(choose_writer("out", DIGITS, 1, name="digits", format="webp"), pictures(1))
    assert names(tmp_path / "out") == ["digits-seed0-000000.webp", "mine.txt"]


def test_files_say_their_label_taken_in_turn_by_index(tmp_path):
    write(choose_writer("out/", DIGITS, 4, name="digits", start=1, labels=[3, "a/b"]), pictures(4))
    assert names(tmp_path / "out") == [
        "digits-seed0-label3-000002.png",
        "digits-seed0-label3-000004.png",
        "digits-seed0-labela-b-000001.png",
        "digits-seed0-labela-b-000003.png",
    ]


def test_names_sort_in_the_order_of_the_samples_beyond_a_million(tmp_path):
    write(choose_writer("out/", DIGITS, 3, name="d", start=999_999), pictures(3))
    assert names(tmp_path / "out") == ["d-seed0-0999999.png", "d-seed0-1000000.png", "d-seed0-1000001.png"]


def test_npy_holds_all_samples_in_one_array():
    some = pictures(7)
    write(choose_writer("all.npy", DIGITS, 7, name="digits"), some)
    read = np.load("all.npy", mmap_mode="r", allow_pickle=False)
    assert read.dtype == np.uint8
    assert np.array_equal(read, some)


def test_npz_holds_them_and_what_belongs_to_them():
    some = pictures(7)
    write(choose_writer("all.npz", DIGITS, 7, name="digits", beside=lambda: {"label": np.arange(7)}), some)
    with np.load("all.npz", allow_pickle=False) as read:
        assert set(read) == {"samples", "label"}
        assert np.array_equal(read["samples"], some)
        assert np.array_equal(read["label"], np.arange(7))


def test_arrays_in_a_folder_are_one_file(tmp_path):
    path = write(choose_writer("out/", DIGITS, 4, name="digits", seed=3, format="npy"), pictures(4))
    assert path == choose_writer("out/", DIGITS, 4, name="digits", seed=3, format="npy").path
    assert names(tmp_path / "out") == ["digits-seed3.npy"]


@pytest.mark.parametrize("name", ["big.npy", "big.npz", "big/"])
def test_many_samples_are_written_in_little_memory(name):
    batch = pictures(100)
    batches = 20 if name.endswith("/") else 300
    tracemalloc.start()
    try:
        with choose_writer(name, DIGITS, batches * 100, name="digits").open() as append:
            for _ in range(batches):
                append(batch)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # the arrays alone are 23 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_an_array_file_that_got_fewer_samples_than_promised_is_not_left_behind(tmp_path, name):
    with pytest.raises(ArgumentError, match="A file of 5 samples got 3"):
        write(choose_writer(name, DIGITS, 5, name="digits"), pictures(3))
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.gif"])
def test_a_failure_half_way_leaves_nothing_and_keeps_what_was_there(tmp_path, name):
    (tmp_path / name).write_text("the old one")

    def fail_half_way():
        with choose_writer(name, DIGITS, 9, name="digits", fps=10).open() as append:
            append(pictures(3))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "the old one"


def test_a_film_is_a_format_only_where_there_is_time(tmp_path):
    assert write(choose_writer(None, DIGITS, 6, name="walk", fps=10), pictures(6)).name == "walk.gif"
    with pytest.raises(ArgumentError, match="cannot be written as 'gif'"):
        choose_writer("a.gif", DIGITS, 6, name="digits")


def test_one_sound_is_a_file_and_several_are_a_folder(tmp_path):
    soundfile = pytest.importorskip("soundfile", exc_type=ImportError)
    sounds = np.zeros((2, 1, 400), np.float32)
    write(choose_writer(None, SOUND, 1, name="tones"), sounds[:1])
    write(choose_writer(None, SOUND, 2, name="tones"), sounds)
    assert names(tmp_path) == ["tones", "tones.wav"]
    assert names(tmp_path / "tones") == ["tones-seed0-000000.wav", "tones-seed0-000001.wav"]
    assert soundfile.info("tones/tones-seed0-000001.wav").frames == 400
    with pytest.raises(ArgumentError, match="holds one sound, not 2; give a folder instead, ending in /"):
        choose_writer("all.wav", SOUND, 2, name="tones")


def test_a_table_is_csv_and_its_numbers_read_back_the_same(tmp_path):
    rows = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32) * 1e-3
    write(choose_writer(None, PEOPLE, 10, name="people"), rows)
    write(choose_writer("out/", PEOPLE, 10, name="people"), rows)
    write_table("same.csv", rows, PEOPLE.columns)
    lines = list(csv.reader((tmp_path / "people.csv").read_text().splitlines()))
    assert lines[0] == ["age", "height, cm"]
    assert np.array_equal(np.array(lines[1:], np.float32), rows)
    assert (tmp_path / "out" / "people-seed0.csv").read_bytes() == (tmp_path / "same.csv").read_bytes()


@pytest.mark.parametrize(
    ("target", "output", "options", "sentence"),
    [
        ("x", DIGITS, {}, "'x' does not say what to write: end it in .png, or in / for a folder."),
        ("x.wav", DIGITS, {}, "cannot be written as 'wav'; choose one of png, jpg, jpeg, webp, npy, npz"),
        ("x.png", SOUND, {}, "cannot be written as 'png'; choose one of wav, flac, npy, npz"),
        ("x.png", PEOPLE, {}, "cannot be written as 'png'; choose one of csv, npy, npz"),
        ("x.png", DIGITS, {"format": "jpg"}, "'x.png' and the format 'jpg' disagree; leave one out."),
        ("x/", DIGITS, {"format": "bmp"}, "cannot be written as 'bmp'"),
        ("x.webp", DIGITS, {"columns": 1, "scale": 6}, "holds at most 16383 pixels a side"),
        ("x/", DIGITS, {"scale": 0}, "scale is 0; it must be at least 1."),
        ("x.gif", DIGITS, {"fps": 99.0}, "a .gif shows at most 50"),
        ("x.mp4", DIGITS, {"fps": 30.0, "scale": 999}, "at most 8192 a side"),
    ],
)
def test_what_does_not_go_together_is_said_before_any_sample_is_made(target, output, options, sentence):
    with pytest.raises(ArgumentError) as caught:
        choose_writer(target, output, 100, name="digits", **options)
    assert sentence in str(caught.value)


def test_write_array_is_npy_alone(tmp_path):
    write_array("a.npy", pictures(2))
    assert np.array_equal(np.load("a.npy"), pictures(2))
    with pytest.raises(ArgumentError, match=r"as \.npy, not '\.npz'"):
        write_array("a.npz", pictures(2))


def test_a_folder_that_is_missing_is_found_before_the_work(tmp_path):
    with pytest.raises(OutputError, match="Make the folder nowhere first"):
        choose_writer("nowhere/a.png", DIGITS, 1, name="digits").open().__enter__()
