"""The cache: keys, whole entries or none, least recently used out first."""

import os
from pathlib import Path

import pytest

from ganrt import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANRT_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_what_is_written_is_read():
    assert cache.read("choices/x") is None
    assert cache.write("choices/x", b"data")
    assert cache.read("choices/x") == b"data"


def test_a_key_depends_on_every_fact_and_on_nothing_else():
    assert cache.key(a=1, b="x") == cache.key(b="x", a=1)
    assert len({cache.key(a=1), cache.key(a=2), cache.key(b=1), cache.key(a="1"), cache.key()}) == 5


def test_a_write_that_fails_leaves_the_old_entry_and_no_other_file(own_cache, monkeypatch):
    cache.write("x", b"old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert not cache.write("x", b"new")
    assert cache.read("x") == b"old"
    assert [path.name for path in own_cache.iterdir()] == ["x"]


def test_the_least_recently_used_go_first():
    for index, name in enumerate("abc"):
        cache.write(name, b"12345678")
        os.utime(cache.folder() / name, (index, index))
    cache.read("a")  # used now
    cache.prune(16)
    assert cache.read("a") is not None
    assert cache.read("b") is None
    assert cache.read("c") is not None


def test_clear_leaves_nothing():
    cache.write("a", b"1")
    assert cache.size() == 1
    cache.clear()
    assert cache.size() == 0


def test_a_lock_is_held_by_one_at_a_time():
    from filelock import FileLock, Timeout

    with cache.lock("engines/x"), pytest.raises(Timeout):
        FileLock(cache.folder() / "engines/x.lock").acquire(timeout=0.05)


def test_the_folder_is_the_platforms_unless_one_is_named(monkeypatch):
    monkeypatch.delenv("GANRT_CACHE_DIR")
    assert cache.folder().name == "ganrt"
    assert Path.home() in cache.folder().parents
