"""What this machine found out and can forget: choices measured here, engines built here.

An entry is a file under a key that names everything it depends on, so a stale entry is never found, only never used
again. Writes go to a temporary name and are renamed; a lock keeps two processes from doing the same long work. A cache
that cannot be written never fails a call: the work is then done again next time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

__all__ = ["clear", "folder", "key", "lock", "prune", "read", "size", "write"]

_LIMIT = 4 << 30  # bytes; the least recently used entries go first


def folder() -> Path:
    """$GANRT_CACHE_DIR, or the user's cache directory of this platform."""
    chosen = os.environ.get("GANRT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("ganrt", appauthor=False)


def key(**facts: object) -> str:
    """A name for the entry that depends on exactly these facts: strings, numbers, tuples, None."""
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()[:40]


def read(name: str) -> bytes | None:
    """The entry, or None."""
    path = folder() / name
    try:
        data = path.read_bytes()
        os.utime(path)  # used just now
    except OSError:
        return None
    return data


def write(name: str, data: bytes) -> bool:
    """Keeps an entry; False when this cache cannot be written."""
    import tempfile  # with what it needs, 3 ms

    path = folder() / name
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        return False
    return True


@contextmanager
def lock(name: str) -> Iterator[None]:
    """One process at a time for long work on an entry; no lock where the cache cannot be written."""
    from filelock import FileLock  # 50 ms

    path = folder() / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path)
        held.acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        held.release()


def size() -> int:
    """Bytes that the cache holds."""
    return sum(status.st_size for _, status in _entries())


def prune(limit: int = _LIMIT) -> None:
    """Drops the least recently used entries until the cache holds at most `limit` bytes."""
    entries = sorted(_entries(), key=lambda entry: entry[1].st_mtime, reverse=True)
    total = 0
    for path, status in entries:
        total += status.st_size
        if total > limit:
            path.unlink(missing_ok=True)


def clear() -> None:
    """Drops everything."""
    prune(0)


def _entries() -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder().rglob("*"):
        try:
            if path.is_file() and path.suffix != ".lock":
                found.append((path, path.stat()))
        except OSError:
            continue  # another process dropped it
    return found
