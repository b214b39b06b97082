"""A file appears whole or not at all: full disks, interrupts and forbidden places, for real."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganrt import OutputError
from ganrt.media.atomic import Replacement, make_folder, write_bytes

SLOW_WRITE = """
import numpy as np, time
from ganrt.media import choose_writer
from ganrt.spec import Image
with choose_writer({name!r}, Image(height=28, width=28, channels=1), 10**5, name="digits").open() as append:
    while True:
        append(np.zeros((10, 28, 28, 1), np.uint8))
        time.sleep(0.001)
"""
LARGE_WRITE = """
import numpy as np
from ganrt import OutputError
from ganrt.media import choose_writer
from ganrt.spec import Image
samples = np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), dtype=np.uint8)
try:
    with choose_writer({name!r}, Image(height=28, width=28, channels=1), 100, name="digits", fps=10).open() as append:
        append(samples)
except OutputError as problem:
    print(problem)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_gets_the_usual_permissions(tmp_path):
    path = tmp_path / "a.bin"
    path.write_text("old")
    mask = os.umask(0o027)
    try:
        write_bytes(path, b"new")
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.gif", "a.mp4"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-c", LARGE_WRITE.format(name=name)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.stderr == ""
    assert done.stdout == f"{name} could not be written: File too large. Make room, or write to another disk.\n"
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz"])
def test_an_interrupt_leaves_nothing(tmp_path, name):
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITE.format(name=name)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not names(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert names(tmp_path), "it never began"
    child.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in child.communicate(timeout=60)[1]
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_forbidden_folder_says_so(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"Permission denied. Choose a place that you may write to\."):
        write_bytes(tmp_path / "a.bin", b"")


def test_what_is_in_the_way_is_said(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path, sentence in (
        (tmp_path / "nowhere" / "a.bin", f"Make the folder {tmp_path / 'nowhere'} first."),
        (tmp_path / "file" / "a.bin", "A file is in the way; choose another name."),
        (tmp_path / "folder", "It is a folder. Choose another name, or end it with / to put files inside."),
        (tmp_path / ("x" * 300), "Choose a shorter name."),
    ):
        with pytest.raises(OutputError) as caught:
            write_bytes(path, b"")
        assert str(caught.value).endswith(sentence)
    with pytest.raises(OutputError, match="A file is in the way"):
        make_folder(tmp_path / "file" / "deeper")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("moment", ["while it is opened", "before the block"])
def test_ctrl_c_at_the_door_leaves_nothing(tmp_path, monkeypatch, moment):
    def opened_and_stopped(path, mode):
        path.touch()
        raise KeyboardInterrupt

    if moment == "while it is opened":
        monkeypatch.setattr(Path, "open", opened_and_stopped)
        with pytest.raises(KeyboardInterrupt), Replacement(tmp_path / "a.bin"):
            pass
    else:
        file = Replacement(tmp_path / "a.bin")
        file.__enter__()
        del file
    assert names(tmp_path) == []
