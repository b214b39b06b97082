"""The progress bar: on a terminal, after two seconds, and nowhere else."""

import os
import pty
import subprocess
import sys

import pytest

CODE = """
import time
from ganrt.cli.terminal import waiting
with waiting("digits", 10) as advance:
    for _ in range(10):
        time.sleep({seconds} / 10)
        advance(1)
"""


def watched(seconds):
    """What a terminal behind stderr receives from work that takes this long."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", CODE.format(seconds=seconds)], stderr=theirs)
    os.close(theirs)
    received = b""
    try:
        while chunk := os.read(ours, 4096):
            received += chunk
    except OSError:  # Linux says so when the other end has closed
        pass
    os.close(ours)
    assert child.wait(timeout=60) == 0
    return received.decode()


@pytest.mark.parametrize(("seconds", "shown"), [(0.5, False), (3.0, True)])
def test_a_bar_appears_when_it_takes_longer_than_two_seconds(seconds, shown):
    received = watched(seconds)
    assert ("digits" in received and "/10" in received) == shown
    assert shown or received == ""


def test_where_nobody_watches_there_is_no_bar():
    done = subprocess.run([sys.executable, "-c", CODE.format(seconds=2.5)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
