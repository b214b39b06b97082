"""One file, whole or not at all.

The bytes go to a temporary name in the same folder (a rename is atomic only within a file system) and take the
target's name at the end. Whatever goes wrong before that, Ctrl-C included, the temporary is removed.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ..errors import OutputError

__all__ = ["Replacement", "make_folder", "write_bytes"]


class Replacement:
    """A file that becomes `path` when its `with` block ends well, and nothing otherwise.

    It is written to and positioned as any binary file, so zipfile can use it. Its own faults, and only those, are
    OutputErrors that say what to do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.parent / f".{path.name[:100]}.{secrets.token_hex(6)}.tmp"
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            with _explained(self.path):
                if self.path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "It is a folder")
                self._file = self._temporary.open("xb")
        except BaseException:  # Ctrl-C between the file and its name here
            self._remove()
            raise
        return self

    def __del__(self) -> None:
        if "_file" in self.__dict__:  # else Ctrl-C came in __init__
            self._remove()  # Ctrl-C between __enter__ and the block, where no __exit__ follows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with _explained(self.path):
                    self._open.close()
                    os.replace(self._temporary, self.path)
        finally:
            self._remove()

    def _remove(self) -> None:
        """The temporary closed and gone; after the rename there is none."""
        with suppress(OSError):  # closing flushes, and so fails again on a full disk
            if self._file is not None:
                self._file.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def write(self, data: bytes | memoryview) -> int:
        with _explained(self.path):
            return self._open.write(data)

    def flush(self) -> None:
        with _explained(self.path):
            self._open.flush()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _explained(self.path):
            return self._open.seek(offset, whence)

    def tell(self) -> int:
        return self._open.tell()

    @property
    def _open(self) -> BinaryIO:
        assert self._file is not None, "used outside its with block"
        return self._file


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Writes `data` to `path`, replacing what was there. Raises OutputError."""
    with Replacement(path) as file:
        file.write(data)


def make_folder(path: Path) -> None:
    """Makes a folder and the folders above it; one that exists is fine. Raises OutputError."""
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise OutputError(_explain(path, problem)) from problem


def _explain(path: Path, problem: OSError) -> str:
    match problem.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            advice = "Make room, or write to another disk."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            advice = "Choose a place that you may write to."
        case errno.ENOENT if not path.parent.exists():
            advice = f"Make the folder {path.parent} first."
        case errno.ENOTDIR | errno.EEXIST:
            advice = "A file is in the way; choose another name."
        case errno.EISDIR:
            advice = "Choose another name, or end it with / to put files inside."
        case errno.ENAMETOOLONG:
            advice = "Choose a shorter name."
        case _:
            advice = "Choose another place."
    return f"{path} could not be written: {problem.strerror or problem}. {advice}"
