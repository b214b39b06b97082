"""The command line as a stranger types it: files that appear, lines that are printed."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ganrt import Generator, __version__
from ganrt.cli import main
from ganrt.latents import draw_label


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ganrt(capfd):
    """Runs a command in this process; returns what it printed on stdout, and asserts that all went well."""

    def run(*words):
        assert main(words) == 0
        printed = capfd.readouterr()
        assert printed.err == ""
        return printed.out

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_first_command_leaves_a_grid_of_64_digits(tmp_path):
    done = subprocess.run([sys.executable, "-m", "ganrt", "sample", "digits"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"digits\.png: 64 samples, seed 0, \w+ fp32, [\d.]+ ms a sample\n", done.stdout)
    assert names(tmp_path) == ["digits.png"]
    assert read("digits.png").shape == (8 * 56 + 7 * 2, 8 * 56 + 7 * 2)


def test_a_picture_of_one_sample_is_that_sample_enlarged(ganrt):
    assert "1 sample, seed 7" in ganrt("sample", "digits", "-n", "1", "--seed", "7", "-o", "one.png", "--scale", "2")
    with Generator.load("digits") as digits:
        expected = digits.sample(1, seed=7)[0, ..., 0]
    assert np.array_equal(read("one.png")[::2, ::2], expected)


def test_labels_taken_in_turn_fill_a_column_each(ganrt):
    ganrt("sample", "digits", "-n", "30", "--label", "0-9", "-o", "all.npy")
    ganrt("sample", "digits", "-n", "30", "--label", "all", "-o", "all.png", "--scale", "1")
    samples = np.load("all.npy")
    with Generator.load("digits") as digits:
        expected = digits.sample(30, label=list(range(10)) * 3)
    assert np.array_equal(samples, expected)
    assert read("all.png").shape == (3 * 30 - 2, 10 * 30 - 2)


def test_where_a_run_is_cut_changes_nothing(ganrt):
    ganrt("sample", "digits", "-n", "15", "--label", "three,5,0-1", "-o", "whole.npy")
    ganrt("sample", "digits", "-n", "8", "--start", "7", "--label", "three,5,0-1", "-o", "rest.npy")
    assert np.abs(np.load("whole.npy")[7:].astype(np.int16) - np.load("rest.npy")).max() <= 1


def test_a_folder_gets_a_file_each_named_after_seed_label_and_index(ganrt, tmp_path):
    ganrt("sample", "digits", "-n", "3", "--seed", "7", "--start", "12", "--label", "3", "-o", "out/")
    assert names(tmp_path / "out") == [f"digits-seed7-label3-{index:06}.png" for index in (12, 13, 14)]
    assert read("out/digits-seed7-label3-000012.png").shape == (28, 28)
    ganrt("sample", "digits", "-n", "2", "-o", "out", "--format", "jpg")
    assert "digits-seed0-000001.jpg" in names(tmp_path / "out")


@pytest.mark.parametrize(("option", "fixed"), [((), None), (("--label", "4"), 4)])
def test_an_npz_says_what_each_sample_is(ganrt, option, fixed):
    ganrt("sample", "digits", "-n", "20", "--seed", "5", "--start", "3", "-o", "some.npz", *option)
    with Generator.load("digits") as digits, np.load("some.npz", allow_pickle=False) as arrays:
        drawn = draw_label(digits.spec.label, 5, 3, 20)
        assert arrays["label"].tolist() == (drawn.tolist() if fixed is None else [fixed] * 20)
        assert arrays["seed"] == 5
        assert arrays["index"].tolist() == list(range(3, 23))
        again = digits.sample(20, seed=int(arrays["seed"]), start=3, label=arrays["label"])
        assert np.abs(arrays["samples"].astype(np.int16) - again).max() <= 1


def test_an_existing_picture_is_replaced(ganrt):
    ganrt("sample", "digits", "-n", "1", "--seed", "1", "-o", "a.png")
    first = read("a.png")
    ganrt("sample", "digits", "-n", "1", "--seed", "2", "-o", "a.png")
    assert not np.array_equal(first, read("a.png"))


def test_json_tells_what_was_done(ganrt):
    told = json.loads(ganrt("sample", "digits", "-n", "4", "--backend", "onnxruntime", "-o", "a.png", "--json"))
    spent = told.pop("sampling_s")
    assert told.pop("ms_per_sample") == pytest.approx(spent * 250)
    assert told == {"path": "a.png", "n": 4, "seed": 0, "start": 0, "backend": "onnxruntime", "precision": "fp32"}


@pytest.mark.parametrize(
    ("options", "call"),
    [
        (["--code", "category=2", "--code", "style=0.5,-1"], {"category": 2, "style": [0.5, -1]}),
        (["--code", "style=-2,2"], {"style": [-2, 2]}),
        ([], None),
    ],
)
def test_infogan_codes_are_given_by_name(ganrt, tiny_bundles, options, call):
    path = str(tiny_bundles["infogan"])
    ganrt("sample", path, "-n", "4", "-o", "a.npy", *options)
    with Generator.load(path) as generator:
        assert np.abs(np.load("a.npy").astype(np.int16) - generator.sample(4, code=call)).max() <= 1


def test_a_single_code_needs_no_name_where_there_is_one():
    from ganrt.cli.options import read_codes

    assert read_codes(["3"]) == 3
    assert read_codes(["-0.5"]) == -0.5
    assert read_codes(None) is None


def test_truncation_reaches_the_generator(ganrt, tiny_bundles):
    path = str(tiny_bundles["psi"])
    ganrt("sample", path, "-n", "4", "--truncation", "-1", "-o", "a.npy")
    with Generator.load(path) as generator:
        assert np.abs(np.load("a.npy").astype(np.int16) - generator.sample(4, truncation=-1)).max() <= 1


def test_sounds_are_wav_and_tables_are_csv(ganrt, tiny_bundles, tmp_path):
    pytest.importorskip("soundfile", exc_type=ImportError)
    ganrt("sample", str(tiny_bundles["audio"]), "-n", "1")
    ganrt("sample", str(tiny_bundles["audio"]), "-n", "2")
    ganrt("sample", str(tiny_bundles["table"]), "-n", "5")
    assert names(tmp_path) == ["tiny-audio", "tiny-audio.wav", "tiny-table.csv"]
    assert names(tmp_path / "tiny-audio") == ["tiny-audio-seed0-000000.wav", "tiny-audio-seed0-000001.wav"]
    assert (tmp_path / "tiny-table.csv").read_text().splitlines()[0] == "age,height,income"


def test_colour_pictures_and_named_one_hot_labels(ganrt, tiny_bundles, tmp_path):
    ganrt("sample", str(tiny_bundles["one_hot"]), "-n", "2", "--label", "owl,cat", "-o", "out/")
    assert names(tmp_path / "out") == [
        "tiny-one_hot-seed0-labelcat-000001.png",
        "tiny-one_hot-seed0-labelowl-000000.png",
    ]
    assert read("out/tiny-one_hot-seed0-labelcat-000001.png").shape == (3, 4, 3)


def test_a_walk_is_a_film_by_default(ganrt, tmp_path):
    said = ganrt("interpolate", "digits", "--seeds", "3,11,5", "--frames", "20", "--label", "7")
    assert re.fullmatch(r"digits-walk\.gif: 20 frames, seeds 3 to 11 to 5, \w+ fp32\n", said)
    with Image.open("digits-walk.gif") as film, Generator.load("digits") as digits:
        assert film.size == (308, 308)
        first = np.asarray(film.convert("L"))[::11, ::11]
        assert np.abs(first.astype(np.int16) - digits.sample(1, seed=3, label=7)[0, ..., 0]).max() <= 1


def test_a_walk_is_also_an_mp4_a_strip_an_array_or_a_folder(ganrt, tmp_path):
    av = pytest.importorskip("av", exc_type=ImportError)
    for target in ("walk.mp4", "walk.png", "walk.npy", "walk/"):
        ganrt("interpolate", "digits", "--frames", "12", "--fps", "24", "--scale", "2", "-o", target)
    with av.open("walk.mp4") as film:
        assert (film.streams.video[0].frames, film.streams.video[0].average_rate) == (12, 24)
        assert film.streams.video[0].width == 56
    assert read("walk.png").shape == (56, 12 * 58 - 2)
    assert np.load("walk.npy").shape == (12, 28, 28, 1)
    assert len(names(tmp_path / "walk")) == 12


def test_a_walk_through_sounds_is_no_film(ganrt, tiny_bundles, tmp_path):
    ganrt("interpolate", str(tiny_bundles["table"]), "--frames", "5")
    assert names(tmp_path) == ["tiny-table-walk.csv"]


@pytest.mark.parametrize("command", [(), ("sample",), ("interpolate",), ("info",), ("verify",), ("doctor",)])
def test_every_help_explains_itself_and_fits_80_columns(command, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == 0
    text = capfd.readouterr().out
    assert f"Usage: {' '.join(['ganrt', *command])}" in text
    assert max(map(len, text.splitlines())) <= 80
    assert ("Examples:" in text) or command in ((), ("doctor",))


def test_the_bare_command_is_its_help(capfd):
    assert main([]) == 0
    assert "ganrt sample digits" in capfd.readouterr().out


def test_version(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"ganrt {__version__}\n"


def test_help_loads_no_engine_no_numpy_and_no_build_side():
    code = (
        "import sys; from ganrt.cli import main; main(['--help']); "
        "loaded = {name.partition('.')[0] for name in sys.modules}; "
        "sys.exit(str(loaded & {'numpy', 'PIL', 'onnxruntime', 'openvino', 'ganrt_export', 'torch', 'onnx'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "set()\n"
    assert "train" in done.stdout
