"""A bundle on disk: open, check every digest, read members, write and then rename.

A bundle is a directory, or the same as one uncompressed zip `name.ganrt`. It holds manifest.json and exactly the files
that the manifest lists. Reading one never executes anything, never leaves the bundle, and never reads more than the
manifest announced. A plain .onnx file opens as a bundle of one graph.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import struct
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec

from .errors import (
    BundleError,
    BundleNotFound,
    IntegrityError,
    ManifestError,
    NotABundle,
    OutputError,
    SpecError,
    UnsafeMember,
    legible,
)
from .manifest import FORMAT, FileEntry, Manifest, Precision, decode, encode
from .onnx_header import OnnxHeader, read_onnx_header
from .spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Bundle", "bundled_names", "write_bundle"]

MANIFEST = "manifest.json"
METADATA_SPEC = "ganrt.spec"  # the key under which a plain .onnx carries its spec as JSON
_MAX_MANIFEST = 16 << 20
_MAX_MEMBERS = 10_000
_MAX_DIRECTORY = 4 << 20  # of a zip: 10,000 members with names of 300 bytes
_MAX_ONNX = 1 << 31  # protobuf's own limit
_MAX_NAME = 255
_SHIPPED = Path(__file__).parent / "bundles"


class Bundle:
    """A checked bundle: its manifest, and its members by name.

    Opening checks the manifest and that the members are exactly the listed ones, at their sizes; `read` checks the
    digest of what it reads; `verify` checks them all.
    """

    def __init__(self, path: Path, manifest: Manifest, members: _Members) -> None:
        self.path, self.manifest, self._members = path, manifest, members

    def __repr__(self) -> str:
        return f"<Bundle '{self.manifest.name}' at {self.path}>"

    @staticmethod
    def open(source: str | os.PathLike[str], *, spec: Spec | None = None) -> Bundle:
        """Opens a bundled name ("digits"), a directory, a .ganrt file, or a plain .onnx file.

        `spec` describes a plain .onnx that does not carry its spec; a bundle has its own. A bundled name goes before a
        file of the same name: write ./digits for the file. Raises a BundleError that says what is wrong.
        """
        if spec is not None and not isinstance(spec, Spec):
            raise SpecError(f"The spec argument is a {type(spec).__name__}; give a ganrt.Spec.")
        path = _locate(source)
        try:
            if not (path.is_dir() or path.is_file()):
                raise NotABundle(f"{path} is neither a file nor a folder, so it is not a bundle.")
            if path.is_file() and path.suffix.lower() == ".onnx":
                return _open_onnx(path, spec)
            members: _Members = _Directory(path) if path.is_dir() else _Zip(path)
            manifest = _read_manifest(path, members)
        except OSError as problem:
            raise BundleError(f"{path} cannot be read: {problem.strerror or problem}.") from problem
        if spec is not None:
            raise SpecError(f"{path} has a spec of its own; leave out the spec argument.")
        return Bundle(path, manifest, members)

    def read(self, member: str) -> bytes:
        """The bytes of a member, after its size and digest are found right; raises IntegrityError otherwise."""
        entry = self.manifest.files.get(member)
        if entry is None:
            raise IntegrityError(f"{self.path} lists no member '{legible(member)}'.")
        try:
            data = self._members.read(member, entry.size)
        except OSError as problem:
            raise BundleError(f"{self.path}: '{member}' cannot be read: {problem.strerror or problem}.") from problem
        found = hashlib.sha256(data).hexdigest()
        if len(data) != entry.size or found != entry.sha256:
            raise IntegrityError(
                f"{self.path}: '{member}' has been changed or damaged: its SHA-256 is {found[:12]}..., the manifest "
                f"says {entry.sha256[:12]}.... Get the bundle again."
            )
        return data

    def graph(self, precision: Precision = "fp32") -> bytes:
        """The ONNX bytes of one precision, held to the spec and refused when they point outside the bundle.

        Of a generator of two graphs it is the second, which takes what `mapping` gives.
        """
        member = self.manifest.graphs.get(precision)
        if member is None:
            have = ", ".join(self.manifest.graphs)
            raise BundleError(f"{self.path} holds no {precision} graph; it has: {have}.")
        return self._graph(member, precision)

    def form(self, name: str) -> bytes:
        """The ONNX bytes of another form of the fp32 graph, under the same checks."""
        member = self.manifest.forms.get(name)
        if member is None:
            have = ", ".join(self.manifest.forms) or "none"
            raise BundleError(f"{self.path} holds no form '{name}' of its graph; it has: {have}.")
        return self._graph(member, "fp32")

    def _graph(self, member: str, precision: Precision) -> bytes:
        data, header = self._onnx(member)
        inputs, source = header.inputs, f"{self.path}: '{member}'"
        if precision in self.manifest.mappings:
            _, first = self._onnx(self.manifest.mappings[precision])
            if {(port.name, port.dtype) for port in first.outputs} != {(port.name, port.dtype) for port in inputs}:
                raise SpecError(f"{source} does not take what '{self.manifest.mappings[precision]}' gives.")
            inputs = first.inputs
        self.manifest.spec.check_ports(inputs, header.outputs, source)
        return data

    def mapping(self, precision: Precision = "fp32") -> bytes | None:
        """The first of two graphs, from the inputs to w, or None when there is but one."""
        member = self.manifest.mappings.get(precision)
        return None if member is None else self._onnx(member)[0]

    def _onnx(self, member: str) -> tuple[bytes, OnnxHeader]:
        data, source = self.read(member), f"{self.path}: '{member}'"
        header = read_onnx_header(data, source)
        if header.external_data:
            raise UnsafeMember(f"{source} keeps weights in files outside the bundle; export it with weights inside.")
        return data, header

    @cached_property
    def goldens(self) -> NDArray[Any] | None:
        """The reference outputs, [goldens, ...] of the raw output's type, or None when the bundle has none."""
        goldens = self.manifest.goldens
        if goldens is None:
            return None
        dtype = self.manifest.spec.output_ports()[-1].dtype
        return _read_npy(self.read(goldens.file), f"{self.path}: '{goldens.file}'", dtype)

    @cached_property
    def golden_inputs(self) -> dict[str, NDArray[np.generic]]:
        """The inputs of the goldens by name, [goldens, ...], where a graph takes a signal; empty otherwise."""
        goldens = self.manifest.goldens
        if goldens is None or not goldens.inputs:
            return {}
        arrays = {}
        for port in self.manifest.spec.input_ports():
            if port.name not in goldens.inputs:
                raise IntegrityError(f"{self.path}: the goldens lack the input '{port.name}'.")
            member = goldens.inputs[port.name]
            array = _read_npy(self.read(member), f"{self.path}: '{member}'", port.dtype)
            fits = len(array.shape) == len(port.shape) and all(
                size in (None, found) for size, found in zip(port.shape, array.shape, strict=True)
            )
            if not fits or len(array) != len(goldens.samples):
                raise IntegrityError(f"{self.path}: '{member}' has shape {array.shape}, which the spec does not allow.")
            arrays[port.name] = array
        return arrays

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: with the digests it lists, the identity of the whole bundle."""
        return hashlib.sha256(encode(self.manifest)).hexdigest()

    def verify(self) -> None:
        """Reads every member and holds it to its digest, every graph to the spec; raises the first fault."""
        for member in self.manifest.files:
            self.read(member)
        for precision in self.manifest.graphs:
            self.graph(precision)
        goldens, _ = self.goldens, self.golden_inputs
        if goldens is not None and self.manifest.goldens is not None:
            wanted = (len(self.manifest.goldens.samples), *self.manifest.spec.output_ports()[-1].shape[1:])
            rank = len(wanted) == goldens.ndim
            shape = tuple(b if a is None else a for a, b in zip(wanted, goldens.shape, strict=True)) if rank else wanted
            if goldens.shape != shape:
                raise IntegrityError(f"{self.path}: the goldens have shape {goldens.shape}, the manifest says {shape}.")
            if not -math.inf < float(goldens.min()) <= float(goldens.max()) < math.inf:
                raise IntegrityError(f"{self.path}: the goldens hold a value that is not finite.")


def bundled_names() -> tuple[str, ...]:
    """The generators that ship inside ganrt."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.ganrt")))


def write_bundle(path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Writes a bundle whole or not at all: a zip when `path` ends in .ganrt, a directory otherwise.

    `manifest.files` is filled in from `files`. An existing .ganrt is replaced; an existing directory is an error.
    Equal arguments give equal bytes. What would not verify is not written. Returns the bundle, opened.
    """
    target = Path(path)
    entries = {name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()}
    try:
        manifest = msgspec.structs.replace(manifest, format=FORMAT, files=entries)
    except ValueError as problem:
        raise ManifestError(f"{target} cannot be written: {problem}.") from problem
    contents = {MANIFEST: encode(manifest), **{name: files[name] for name in sorted(files) if name != MANIFEST}}
    members = _Memory(contents)
    Bundle(target, _read_manifest(target, members), members).verify()
    write = _write_zip if target.suffix.lower() == ".ganrt" else _write_directory
    try:
        write(target, contents)
    except OSError as problem:
        raise OutputError(f"{target} could not be written: {problem.strerror or problem}.") from problem
    return Bundle.open(target)


class _Members(Protocol):
    """Where members come from; `sizes` lists what is really there."""

    def sizes(self) -> dict[str, int]: ...

    def read(self, name: str, limit: int) -> bytes:
        """At most `limit` bytes and one more, so that a larger file shows."""
        ...


class _Memory:
    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents

    def sizes(self) -> dict[str, int]:
        return {name: len(data) for name, data in self._contents.items()}

    def read(self, name: str, limit: int) -> bytes:
        return self._contents[name]


class _File:
    """A plain .onnx: one member, wherever a link may lead."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> dict[str, int]:
        return {self._path.name: self._path.stat().st_size}

    def read(self, name: str, limit: int) -> bytes:
        with self._path.open("rb") as file:
            return _read_at_most(file, limit)


class _Directory:
    def __init__(self, root: Path) -> None:
        self._root = root

    def sizes(self) -> dict[str, int]:
        if not os.path.lexists(self._root / MANIFEST):  # before a walk through somebody's home
            return {}
        found: dict[str, int] = {}
        for folder, folders, files in os.walk(self._root, onerror=_raise, followlinks=False):
            for name in [*folders, *files]:
                path = Path(folder) / name
                member = path.relative_to(self._root).as_posix()
                mode = path.lstat()
                _check_name(member, self._root)
                if stat.S_ISLNK(mode.st_mode):
                    raise UnsafeMember(f"{self._root}: '{member}' is a link; a bundle holds plain files only.")
                if stat.S_ISREG(mode.st_mode):
                    found[member] = mode.st_size
                elif not stat.S_ISDIR(mode.st_mode):
                    raise UnsafeMember(f"{self._root}: '{member}' is not a plain file.")
            if len(found) > _MAX_MEMBERS:
                raise NotABundle(f"{self._root} holds more than {_MAX_MEMBERS} files; it is not a bundle.")
        return found

    def read(self, name: str, limit: int) -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self._root / name, flags), "rb") as file:
            return _read_at_most(file, limit)


class _Zip:
    """An uncompressed zip, read by offset: nothing is ever inflated.

    Its members follow each other from the first byte to the directory, and nothing comes after that: a file that is
    also something else, or whose members share bytes, is refused.
    """

    def __init__(self, path: Path) -> None:
        import zipfile

        self._path = path
        self._offsets: dict[str, tuple[int, int]] = {}
        with path.open("rb") as file:
            _check_end(file, path)
            try:
                with zipfile.ZipFile(file) as archive:
                    infos, directory = archive.infolist(), archive.start_dir
            except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as problem:
                raise NotABundle(f"{path} is not a bundle, or is damaged: {problem}.") from problem
            if len(infos) > _MAX_MEMBERS:
                raise NotABundle(f"{path} holds more than {_MAX_MEMBERS} files; it is not a bundle.")
            end = 0
            for info in sorted(infos, key=lambda info: info.header_offset):
                _check_name(info.orig_filename, path)
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise UnsafeMember(f"{path}: '{info.filename}' is a link; a bundle holds plain files only.")
                if info.filename in self._offsets:
                    raise UnsafeMember(f"{path} holds '{info.filename}' twice.")
                if info.flag_bits & 0x1 or info.compress_type != zipfile.ZIP_STORED:
                    raise UnsafeMember(f"{path}: '{info.filename}' is compressed or encrypted; bundles are plain.")
                if info.header_offset != end:
                    raise NotABundle(f"{path} is damaged: there are stray or shared bytes before '{info.filename}'.")
                start = _data_offset(file, info.header_offset, info.filename, path)
                end = start + info.file_size
                if info.compress_size != info.file_size or end > directory:
                    raise IntegrityError(
                        f"{path}: '{info.filename}' claims {info.file_size} bytes, more than the file can hold."
                    )
                self._offsets[info.filename] = (start, info.file_size)
            if end != directory:
                raise NotABundle(f"{path} is damaged: there are stray bytes after its last member.")

    def sizes(self) -> dict[str, int]:
        return {name: size for name, (_, size) in self._offsets.items()}

    def read(self, name: str, limit: int) -> bytes:
        offset, size = self._offsets[name]
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(min(size, limit + 1))


def _check_end(file: IO[bytes], path: Path) -> None:
    """A zip ends with a record of 22 bytes, which is held to reason before the directory it announces is read.

    The zip64 form, which could announce another, is for files of 4 GiB and more.
    """
    total = file.seek(0, os.SEEK_END)
    file.seek(max(0, total - 42))
    tail = file.read()
    if tail[-22:-18] != b"PK\x05\x06":
        raise NotABundle(f"{path} is not a bundle, or is cut short: it does not end as a zip file does.")
    if int.from_bytes(tail[-10:-6], "little") > _MAX_DIRECTORY or (tail[:4] == b"PK\x06\x07" and total < 1 << 32):
        raise NotABundle(f"{path} is not a bundle: its directory claims a size that a bundle cannot have.")


def _read_at_most(file: IO[bytes], limit: int) -> bytes:
    """At most `limit` bytes and one more; a large limit allocates nothing that the file does not have."""
    return file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)


def _raise(problem: OSError) -> None:
    raise problem


def _data_offset(file: IO[bytes], header: int, name: str, path: Path) -> int:
    """Where a member's bytes begin: after its local header, which must agree with the directory on the name."""
    file.seek(header)
    local = file.read(30)
    name_size, extra_size = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
    if local[:4] != b"PK\x03\x04" or file.read(name_size) != name.encode():
        raise NotABundle(f"{path} is damaged: its directory and its member '{name}' disagree.")
    return header + 30 + name_size + extra_size


def _locate(source: str | os.PathLike[str]) -> Path:
    if not isinstance(source, (str, os.PathLike)):
        raise BundleNotFound(f"A bundle is given by a path or a bundled name, not by {source!r}.")
    text = os.fsdecode(source)
    if isinstance(source, str) and text in bundled_names():
        return _SHIPPED / f"{text}.ganrt"
    path = Path(text)
    try:
        if text and path.exists():
            return path
    except (OSError, ValueError):  # a name too long, or with a zero byte: no such file either
        pass
    bundled = bundled_names()
    from difflib import get_close_matches

    close = get_close_matches(text, bundled, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else f" Bundled generators: {', '.join(bundled) or 'none'}."
    raise BundleNotFound(f"There is no file, folder or bundled generator {text!r:.300}.{hint}")


def _read_manifest(path: Path, members: _Members) -> Manifest:
    sizes = members.sizes()
    if MANIFEST not in sizes:
        raise NotABundle(f"{path} is not a bundle: it has no {MANIFEST}.")
    if sizes[MANIFEST] > _MAX_MANIFEST:
        raise ManifestError(f"{path}: {MANIFEST} is larger than {_MAX_MANIFEST >> 20} MiB.")
    manifest = decode(members.read(MANIFEST, _MAX_MANIFEST), str(path))
    for name in manifest.files:
        _check_name(name, path)
        if name == MANIFEST:
            raise ManifestError(f"{path}: {MANIFEST} lists itself.")
    for name, entry in manifest.files.items():
        if name not in sizes:
            raise IntegrityError(f"{path} lacks '{name}', which its manifest lists. Get the bundle again.")
        if sizes[name] != entry.size:
            raise IntegrityError(
                f"{path}: '{name}' is {sizes[name]} bytes long, the manifest says {entry.size}. Get the bundle again."
            )
    for name in sizes:
        if name != MANIFEST and name not in manifest.files:
            raise IntegrityError(
                f"{path} holds '{name}', which its manifest does not list; it may have been tampered with."
            )
    return manifest


def _check_name(name: str, path: Path) -> None:
    """Raises UnsafeMember unless `name` is a plain path below the bundle, on every system."""
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and name.isprintable() and not set(name) & set("\\:")
    if not plain or not parts or ".." in parts:
        raise UnsafeMember(
            f"{path}: the member name '{legible(name)}' is not a plain path inside the bundle; it is refused."
        )
    if len(name) > _MAX_NAME:
        raise UnsafeMember(f"{path}: a member name of {len(name)} characters is refused; {_MAX_NAME} is the longest.")


def _open_onnx(path: Path, spec: Spec | None) -> Bundle:
    if path.stat().st_size > _MAX_ONNX:
        raise NotABundle(f"{path} is larger than {_MAX_ONNX >> 30} GiB, which no ONNX file can be.")
    data = path.read_bytes()
    header = read_onnx_header(data, str(path))
    if spec is None:
        text = header.metadata.get(METADATA_SPEC)
        if text is None:
            raise SpecError(
                f"{path} does not say what its inputs mean. In Python, Generator.load takes spec=...; for the "
                "command line make it a bundle: ganrt export model.onnx. Its inputs are: "
                f"{legible(', '.join(port.name for port in header.inputs) or 'none')}."
            )
        try:
            spec = msgspec.json.decode(text, type=Spec)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise SpecError(f"{path} carries a spec that is not valid: {legible(problem)}.") from problem
    entry = FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    manifest = Manifest(
        format=FORMAT,
        name=path.stem[:100] or "onnx",
        family="onnx",
        spec=spec,
        graphs={"fp32": path.name},
        files={path.name: entry},
    )
    return Bundle(path, manifest, _File(path))


_NPY = rb"\x93NUMPY\x01\x00..\{'descr': '(%b)', 'fortran_order': False, 'shape': \(([0-9, ]{1,100})\), \} *\n"


def _read_npy(data: bytes, source: str, dtype: str = "float32") -> NDArray[Any]:
    """A .npy member as numpy writes it, read-only: its header is not evaluated, its numbers are not copied."""
    import numpy as np

    kind = np.dtype(dtype).newbyteorder("<")
    match = re.match(_NPY % re.escape(kind.str.encode()), data, re.DOTALL)
    if match is None:
        raise IntegrityError(f"{source} is not a .npy file of {dtype} numbers in C order.")
    shape, start = tuple(int(size) for size in re.findall(rb"\d+", match[2])), match.end()
    size = kind.itemsize * math.prod(shape)
    if start != 10 + int.from_bytes(data[8:10], "little") or size != len(data) - start:
        raise IntegrityError(f"{source} holds {len(data) - start} bytes of numbers, its header says {dtype} {shape}.")
    return np.frombuffer(data, kind, offset=start).reshape(shape)


def _write_zip(target: Path, contents: Mapping[str, bytes]) -> None:
    import zipfile

    temporary = _temporary(target)
    try:
        with temporary.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, data in contents.items():
                    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # equal contents, equal bytes
                    info.create_system, info.external_attr = 3, 0o644 << 16
                    archive.writestr(info, data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_directory(target: Path, contents: Mapping[str, bytes]) -> None:
    if target.exists():
        raise OutputError(f"{target} exists already; remove it or choose another name.")
    import shutil

    temporary = _temporary(target)
    try:
        temporary.mkdir()
        for name, data in contents.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _temporary(target: Path) -> Path:
    """A new name beside the target. What is made there plainly gets the permissions that the user's files have."""
    return target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
