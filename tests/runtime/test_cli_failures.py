"""What goes wrong is one sentence on stderr, with the exit code that scripts rely on, and leaves nothing behind."""

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from ganrt import Generator
from ganrt.cli import main

GANRT = [sys.executable, "-m", "ganrt"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("sampel digits", 2, "No such command 'sampel'. Did you mean 'sample'? See: ganrt --help"),
        ("sample", 2, "Missing argument 'NAME_OR_FILE'. See: ganrt sample --help"),
        ("sample digits --frob", 2, "No such option: --frob. See: ganrt sample --help"),
        ("sample digits -n many", 2, "See: ganrt sample --help"),
        ("sample digits -n 1.5", 2, "See: ganrt sample --help"),
        ("sample digits -n 0", 2, "n is 0"),
        ("sample digits -n -3", 2, "n is -3"),
        ("sample digits --seed -1", 2, "seed is -1; it must be from 0 to 18446744073709551615."),
        ("sample digits --seed 18446744073709551616", 2, "seed is 18446744073709551616"),
        ("sample digits --start -1", 2, "start is -1"),
        ("sample digits --label 10", 2, "There is no label 10; this generator knows 0 to 9"),
        ("sample digits --label ten", 2, "There is no label 'ten'; this generator knows 0 to 9"),
        ("sample digits --label 0-10", 2, "The labels 0-10 are not a range of 0 to 9."),
        ("sample digits --label 7-3", 2, "The labels 7-3 are not a range of 0 to 9."),
        ("sample digits --label 3,", 2, "There is no label ''"),
        ("sample digits --truncation 99", 2, "truncation is 99"),
        ("sample digits --truncation nan", 2, "truncation is nan"),
        ("sample digits --code c=1", 2, "This generator takes no code; leave it out."),
        ("sample digits --code c=", 2, "The code '' is not a number, nor numbers with commas between."),
        ("sample digits --code 1 --code 2", 2, "The code '1' has no name; write it as NAME=1."),
        ("sample digits --backend cuda", 2, "There is no backend 'cuda'"),
        ("sample digits --precision fp8", 2, "There is no precision 'fp8'"),
        ("sample digits --threads 0", 2, "threads is 0"),
        ("sample digits -o a.tiff", 2, "cannot be written as 'tiff'; choose one of png, jpg"),
        ("sample digits -o a", 2, "'a' does not say what to write"),
        ("sample digits --columns 0", 2, "columns is 0; it must be at least 1."),
        ("sample digits --scale -1", 2, "scale is -1; it must be at least 1."),
        ("sample digits -n 9000000 -o a.png", 2, "write them into a folder instead."),
        ("interpolate digits --seeds 3", 2, "at least two seeds"),
        ("interpolate digits --seeds 3,x", 2, "The seeds '3,x' are not whole numbers with commas between"),
        ("interpolate digits --frames 1", 2, "frames is 1"),
        ("interpolate digits --fps 0", 2, "fps is 0"),
        ("interpolate digits --fps 100", 2, "a .gif shows at most 50"),
        ("interpolate digits -o a.avi", 2, "cannot be written as 'avi'"),
        ("sample dogits", 1, "Did you mean 'digits'?"),
        ("sample nothing.ganrt", 1, "There is no file"),
        ("sample text.ganrt", 1, "text.ganrt is not a bundle, or is cut short"),
        ("info cut.ganrt", 1, "cut.ganrt"),
        ("verify cut.ganrt", 1, "cut.ganrt"),
        ("info empty", 1, "empty is not a bundle: it has no manifest.json."),
        ("sample digits -o nowhere/a.png", 1, "Make the folder nowhere first."),
        ("sample digits -o text.ganrt/", 1, "A file is in the way; choose another name."),
        ("sample digits -o text.ganrt/a.png", 1, "A file is in the way; choose another name."),
        (f"sample digits -o {'x' * 300}.png", 1, "Choose a shorter name."),
    ],
)
def test_a_wrong_command_is_one_sentence_and_writes_nothing(command, code, sentence, tmp_path, capfd, tiny_bundle_path):
    (tmp_path / "text.ganrt").write_text("no bundle")
    (tmp_path / "cut.ganrt").write_bytes(tiny_bundle_path.read_bytes()[:-100])
    (tmp_path / "empty").mkdir()
    before = files(tmp_path)
    assert main(command.split()) == code
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err
    assert files(tmp_path) == before


def test_a_label_for_an_unconditional_generator_is_refused(capfd, tiny_bundles):
    for label in ("3", "all", "0-9", "cat"):
        assert main(["sample", str(tiny_bundles["uniform"]), "--label", label]) == 2
        assert "This generator is unconditional: it takes no label; leave it out." in capfd.readouterr().err


def test_what_nobody_expected_is_one_sentence_too_and_debug_shows_where(capfd, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("the first line\nand a second")

    monkeypatch.setattr(Generator, "load", broken)
    assert main(["sample", "digits"]) == 1
    assert capfd.readouterr().err == (
        "Error: Something unexpected went wrong (RuntimeError: the first line and a second). "
        "Run the same command with --debug to see where.\n"
    )
    for command in (["--debug", "sample", "digits"], ["sample", "digits", "--debug"]):
        assert main(command) == 1
        shown = capfd.readouterr().err
        assert "Traceback" in shown
        assert "in broken" in shown
        assert shown.endswith("Error: Something unexpected went wrong (RuntimeError: the first line and a second).\n")


def test_debug_shows_the_cause_of_an_explained_failure(capfd, tmp_path):
    (tmp_path / "a.ganrt").write_text("no bundle")
    assert main(["info", "a.ganrt", "--debug"]) == 1
    shown = capfd.readouterr().err
    assert "NotABundle" in shown
    assert "a.ganrt is not a bundle" in shown.splitlines()[-1]


def test_too_little_memory_is_said(capfd, monkeypatch):
    def greedy(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(Generator, "load", greedy)
    assert main(["sample", "digits"]) == 1
    assert "not enough memory" in capfd.readouterr().err


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [*GANRT, "sample", "digits", "-n", "2000", "-o", "all.npy"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1
    assert done.stderr == "Error: all.npy could not be written: File too large. Make room, or write to another disk.\n"
    assert files(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("command", [["info", "digits"], ["info", "digits", "--json"], ["--help"]])
def test_a_full_disk_behind_stdout_is_said(command):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([*GANRT, *command], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "Error: The output could not be written: No space left on device.\n"


@pytest.mark.parametrize("command", [["info", "digits"], ["info", "digits", "--json"], ["--help"]])
def test_a_reader_that_leaves_is_no_fault_to_speak_of(command):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*GANRT, *command], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("stop", "code", "said"),
    [(signal.SIGINT, 130, "Interrupted; nothing half-written was left.\n"), (signal.SIGTERM, 143, "")],
)
@pytest.mark.parametrize("target", ["all.npz", "out/"])
def test_a_stop_in_the_middle_leaves_nothing_half_written(tmp_path, stop, code, said, target):
    child = subprocess.Popen(
        [*GANRT, "sample", "digits", "-n", "5000000", "-o", target], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(files(tmp_path)) < (20 if target == "out/" else 1) and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(stop)
    assert child.communicate(timeout=60)[1] == said
    assert child.returncode == code
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.name.startswith("digits-seed0-") for path in left)
    for path in left:
        with Image.open(path) as picture:
            assert np.asarray(picture).shape == (28, 28)
    assert bool(left) == (target == "out/")
