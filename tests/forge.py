"""Bundles that ganrt would not write: manifests that say anything, and zips written byte by byte (PKWARE APPNOTE 4.3).

The defaults tell the truth, so that each test lies about one thing only.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import tiny

from ganrt.manifest import encode

__all__ = ["Member", "as_directory", "as_zip", "contents", "members", "raw_zip", "with_graph"]


def contents(
    files: dict[str, bytes] | None = None,
    edit: Callable[[dict[str, Any]], object] | None = None,
    *,
    of: str = "conditional",
) -> dict[str, bytes]:
    """The members of a tiny bundle, with `files` added or replaced and every digest right; `edit` then changes the
    manifest's JSON in place."""
    made = tiny.make(of)
    held = {**made.files, **(files or {})}
    manifest = json.loads(encode(made.manifest))
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in held.items()
    }
    if edit is not None:
        edit(manifest)
    return {"manifest.json": json.dumps(manifest, indent=2).encode(), **held}


def with_graph(change: Callable[[onnx.ModelProto], object], *, of: str = "conditional") -> dict[str, bytes]:
    """The members of a tiny bundle whose graph was changed in place; every digest right."""
    model = onnx.load_model_from_string(tiny.make(of).files[tiny.GRAPH])
    change(model)
    return contents({tiny.GRAPH: model.SerializeToString()}, of=of)


def as_zip(folder: Path, held: dict[str, bytes] | bytes, name: str = "hostile.ganrt") -> Path:
    path = folder / name
    path.write_bytes(held if isinstance(held, bytes) else raw_zip(members(held)))
    return path


def as_directory(folder: Path, held: dict[str, bytes], name: str = "hostile") -> Path:
    root = folder / name
    for member, data in held.items():
        path = root / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


@dataclass(frozen=True)
class Member:
    """One member. `local_*` is what its local header says where that is to differ from the directory."""

    name: bytes
    data: bytes
    size: int | None = None  # claimed; None is the truth
    packed: int | None = None  # claimed compressed size; None is `size`
    offset: int | None = None  # claimed place of the local header; None is the truth
    flags: int = 0x800  # names are UTF-8
    method: int = 0  # stored
    mode: int = 0o100644
    extra: bytes = b""
    local_name: bytes | None = None

    def but(self, **changes: Any) -> "Member":
        return replace(self, **changes)


def members(held: dict[str, bytes]) -> list[Member]:
    return [Member(name.encode(), data) for name, data in held.items()]


def raw_zip(
    listed: list[Member],
    *,
    before: bytes = b"",
    between: bytes = b"",
    after_members: bytes = b"",
    before_end: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    directory_size: int | None = None,
    directory_offset: int | None = None,
) -> bytes:
    """The zip of these members, with stray bytes where asked for and the end record's claims as given."""
    body, directory = bytearray(before), bytearray()
    for number, member in enumerate(listed):
        if number:
            body += between
        size = len(member.data) if member.size is None else member.size
        packed = size if member.packed is None else member.packed
        offset = len(body) if member.offset is None else member.offset
        local_name = member.name if member.local_name is None else member.local_name
        fields = (member.flags, member.method, 0, 0x21, zlib.crc32(member.data), packed, size)
        body += struct.pack("<4s5H3L2H", b"PK\3\4", 20, *fields, len(local_name), 0) + local_name + member.data
        directory += struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\1\2", 0x0314, 20, *fields),
            *(len(member.name), len(member.extra), 0, 0, 0, member.mode << 16, offset),
        )
        directory += member.name + member.extra
    body += after_members
    end = struct.pack(
        "<4s4H2LH",
        b"PK\5\6",
        *(0, 0),
        *(2 * (len(listed) if count is None else count,)),
        len(directory) if directory_size is None else directory_size,
        len(body) if directory_offset is None else directory_offset,
        len(comment),
    )
    return bytes(body) + bytes(directory) + before_end + end + comment
