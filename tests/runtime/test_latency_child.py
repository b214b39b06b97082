"""A process that is timed turn by turn: what it hands over, when it stops, and what is said when it dies."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import msgspec
import pytest

from ganrt import ArgumentError, BackendError
from ganrt.latency import child as module
from ganrt.latency.child import Child, alternate

WORKER = """
import os, sys, time
from ganrt.errors import ArgumentError
from ganrt.latency.child import Turns
from tests_of_turns import Wanted, Done

turns = Turns()
wanted = turns.request(Wanted)

def work():
    made = []
    try:
        turns.tell("begins")
        for turn in range(wanted.turns):
            turns.take()
            print("an engine prints this", flush=True)
            made.append(time.monotonic())
        exec(wanted.then)
    except KeyboardInterrupt:
        pass
    return Done(made)

turns.end(work)
"""
SHARED = """
import msgspec

class Wanted(msgspec.Struct):
    turns: int
    then: str = ""

class Done(msgspec.Struct):
    at: list[float]
"""


class Wanted(msgspec.Struct):
    turns: int
    then: str = ""


class Done(msgspec.Struct):
    at: list[float]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a worker; every one is gone at the end."""
    (tmp_path / "tests_of_turns.py").write_text(SHARED)
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    with ExitStack() as opened:

        def one(turns=3, then="", tell=lambda _: None, command=(sys.executable, "-P", str(tmp_path / "worker.py"))):
            return opened.enter_context(Child(command, Wanted(turns, then), tell))

        yield one


def test_it_gets_its_turns_and_hands_over_its_result(start):
    heard = []
    child = start(turns=3, tell=heard.append)
    given = 0
    while child.asks():
        child.go()
        given += 1
    assert (given, len(child.result(Done).at), heard) == (3, 3, ["begins"])


def test_two_take_turns_and_neither_is_always_first(start):
    one, other = start(turns=6), start(turns=6)
    alternate([one, other])
    mine, theirs = one.result(Done).at, other.result(Done).at
    firsts = [a <= b for a, b in zip(mine, theirs, strict=True)]
    assert all(max(a, b) <= min(c, d) for a, b, c, d in zip(mine, theirs, mine[1:], theirs[1:], strict=False))
    assert {*firsts[::2]} | {*firsts[1::2]} == {True, False}


def test_the_longer_of_two_comes_to_its_end(start):
    one, other = start(turns=2), start(turns=9)
    alternate([one, other])
    assert (len(one.result(Done).at), len(other.result(Done).at)) == (2, 9)


@pytest.mark.parametrize(
    "interrupt",
    [lambda said: None, lambda said: said.readline(), lambda said: said.read(5)],
    ids=["between turns", "a question was read and forgotten", "the beginning of a line was lost"],
)
def test_stopped_it_hands_over_what_it_has(start, interrupt):
    child = start(turns=100)
    for _ in range(4):
        assert child.asks()
        child.go()
    interrupt(child._process.stdout)
    assert child.stop()
    assert len(child.result(Done).at) == 4


def test_one_that_does_not_stop_is_ended_and_leaves_nothing(start, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.2)
    child = start(turns=1, then="time.sleep(60)")
    assert child.asks()
    child.go()
    began = time.monotonic()
    assert not child.stop()
    assert time.monotonic() - began < 30
    with pytest.raises(BackendError, match="was ended by signal 9"):
        child.result(Done)


def test_what_is_no_answer_ends_it_in_one_sentence(start):
    child = start(command=(sys.executable, "-c", "print('{'); input(); input()"))
    assert not child.asks()
    with pytest.raises(BackendError, match="The process that was measured was ended by signal 9"):
        child.result(Done)


def test_what_it_raises_is_raised_here(start):
    child = start(then="raise ArgumentError('batch is 0; give 1.')")
    alternate([child])
    with pytest.raises(ArgumentError, match=r"^batch is 0; give 1\.$"):
        child.result(Done)


@pytest.mark.parametrize(
    ("then", "sentence"),
    [
        ("os.kill(os.getpid(), 11)", "was ended by signal 11: an engine prints this"),
        ("sys.exit('out of luck')", "ended with 1: out of luck"),
        ("{}['key']", "ended with 1: KeyError: 'key'"),
    ],
)
def test_its_death_is_one_sentence(start, then, sentence):
    child = start(then=then)
    alternate([child])
    assert not child.stop()
    with pytest.raises(BackendError, match=f"^The process that was measured {sentence}$"):
        child.result(Done)


def test_what_is_no_program_is_one_sentence(start):
    with pytest.raises(BackendError, match="could not be started: No such file"):
        start(command=("/no/such/python",))
    with pytest.raises(BackendError, match="needs a Python of its own"):
        start(command=("",))


def test_it_ends_when_its_parent_is_gone(tmp_path):
    """A parent that is killed outright leaves no process behind."""
    (tmp_path / "tests_of_turns.py").write_text(SHARED)
    (tmp_path / "worker.py").write_text(WORKER)
    parent = f"""
import sys, time
sys.path.insert(0, {str(tmp_path)!r})
from tests_of_turns import Wanted
from ganrt.latency.child import Child
child = Child((sys.executable, "-P", {str(tmp_path / "worker.py")!r}), Wanted(9), print)
child.asks()
print(child._process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "begins\n"
        pid = int(running.stdout.readline())
        running.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("it is still there")
