"""NVlabs network pickles (StyleGAN2-ADA, StyleGAN3 and what reuses their format) as data: nothing in them is executed.

Such a file pickles a dict of live modules (G, D, G_ema). Each module asks `torch_utils.persistence` to run the Python
source that travels in the file; here that request becomes a `Record` and the source is never looked at:

    meta = {type: "class", version, module_src, class_name, state}      state = the instance's __dict__
    -> Record(class_name, args, kwargs, tensors, children, attributes)

Why no `pickle.Unpickler`, not even one with its own find_class: BUILD lets a file set attributes of whatever find_class
gives out, one LONG_BINPUT makes it fill gigabytes of memo, and a deep tuple as a key overflows the C stack. So
`pickletools` splits the file into opcodes, and a machine without any callable on its stack reads those. Every name is
looked up in one table of this file; a name that is not there ends the reading. Memory and time are bounded by the size
of the file.
"""

from __future__ import annotations

import io
import mmap
import pickletools
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from ganrt.errors import CheckpointError, legible

__all__ = ["Record", "read_records"]

_MOST_OPCODES = 2_000_000  # a StyleGAN3 at 1024 pixels has under a tenth
_MOST_DEPTH, _MOST_SIZE = 64, 100_000  # modules inside modules, and modules with their tensors, shared ones recounted
_MOST_NUMBER = 1 << 48  # of a size, stride or offset
_SPARE = 16 << 20  # bytes of structure that even the smallest file may ask for
_ENTRY = 100  # bytes that an entry of a container takes, about

_Call: TypeAlias = Callable[..., object]
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Record:
    """One pickled module: what it was called with, and what it holds.

    `class_name` is the class as its source named it; `args` and `kwargs` are those of its constructor (of modules of
    torch.nn there are none). `tensors` are its own parameters and persistent buffers, `children` its modules by name.
    `attributes` are its public ones that are plain numbers, texts, arrays or lists of them: they also tell defaults.
    """

    class_name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)
    children: dict[str, Record] = field(repr=False)
    attributes: dict[str, Any] = field(default_factory=dict, repr=False)
    _size: int = field(default=1, repr=False)
    _depth: int = field(default=1, repr=False)

    def state_dict(self) -> dict[str, Tensor]:
        """What `torch.nn.Module.state_dict` would give: dotted names, own tensors before those of children."""
        state = dict(self.tensors)
        for name, child in self.children.items():
            state.update({f"{name}.{key}": tensor for key, tensor in child.state_dict().items()})
        return state


def read_records(path: Path) -> dict[str, Record]:
    """The modules of an NVlabs pickle by the name they were saved under, such as "G", "D" and "G_ema".

    Anything else in the file's dict is left out. Raises CheckpointError when the file is missing, damaged or no such
    pickle, and, naming it, when the pickle asks for any class or function that these networks do not need.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:1] != b"\x80":
                what = "a zip, as torch.save writes it" if data[:2] == b"PK" else "no pickle at all"
                raise CheckpointError(f"'{legible(path)}' is not an NVlabs network pickle: it is {what}.")
            loaded = _Modules(path, len(data)).read(data)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # mmap raises ValueError for an empty file
        raise CheckpointError(f"'{legible(path)}' cannot be read: {_reason(path, error)}.") from error
    records = {}
    if isinstance(loaded, dict):
        records = {name: value for name, value in loaded.items() if isinstance(value, Record)}
    if not records or not all(isinstance(name, str) for name in records):
        raise CheckpointError(f"'{legible(path)}' is a pickle without networks; an NVlabs one has G, D and G_ema.")
    return records


def _reason(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "it is a folder"
    if not path.exists():
        return "there is no such file"
    return "it is empty" if isinstance(error, ValueError) else legible(getattr(error, "strerror", None) or error)


@dataclass(frozen=True, eq=False)
class _Name:
    """A class or function that the pickle asked for, by name only."""

    dotted: str


@dataclass(eq=False)
class _Blank:
    """An object between its NEWOBJ or REDUCE and its BUILD; `places` are the memo entries to fill in then."""

    finish: Callable[[object], object]
    places: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Storage:
    """The decoded numbers of one storage, [n]."""

    flat: Tensor


class _Damaged(Exception):
    """The pickle says something that no pickler writes."""


class _Machine:
    """The pickle machine over plain containers. `calls`: what REDUCE may do, `values`: what a name stands for."""

    def __init__(
        self,
        calls: Mapping[str, _Call],
        values: Mapping[str, object],
        create: Callable[[str], object | None],
        refuse: Callable[[str], NoReturn],
        persistent: _Call | None = None,
    ) -> None:
        self._calls, self._values, self._create, self._refuse = calls, values, create, refuse
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO | mmap.mmap, most: int) -> object:
        """The object that the next pickle of `stream` describes, of at most `most` opcodes."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
            if count > most:
                raise _Damaged(f"it has more than {most} opcodes")
            if opcode.name == "STOP":
                return self._stack.pop()
            self._step(opcode.name, argument)
        raise _Damaged("it does not stop")

    def _step(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        match opcode:
            case "MEMOIZE":
                self._remember(len(self._memo))
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self._remember(argument)
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self._memo[argument])
            case "MARK":
                self._marks.append(stack)
                self._stack = []
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_TUPLE" | "EMPTY_SET":
                stack.append({"EMPTY_LIST": [], "EMPTY_DICT": {}, "EMPTY_TUPLE": (), "EMPTY_SET": set()}[opcode])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._gather(int(opcode[-1]))
            case "TUPLE" | "LIST" | "DICT" | "FROZENSET":
                items = self._since_mark()
                made = {"TUPLE": tuple, "LIST": list, "DICT": _pairs, "FROZENSET": _as_set}[opcode]
                self._stack.append(made(items))  # type: ignore[operator]
            case "APPEND" | "APPENDS":
                items = self._since_mark() if opcode == "APPENDS" else [stack.pop()]
                _expect(self._stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._since_mark() if opcode == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _expect(self._stack[-1], dict).update(_pairs(items))
            case "ADDITEMS":
                items = self._since_mark()
                _expect(self._stack[-1], set).update(_as_set(items))
            case "GLOBAL":
                self._name(str(argument).replace(" ", ".", 1))
            case "STACK_GLOBAL":
                name, module = _expect(stack.pop(), str), _expect(stack.pop(), str)
                self._name(f"{module}.{name}")
            case "REDUCE" | "NEWOBJ":
                arguments, name = _expect(stack.pop(), tuple), _expect(stack.pop(), _Name).dotted
                stack.append(self._call(name, arguments, opcode))
            case "BUILD":
                self._build(stack.pop())
            case "BINPERSID" if self._persistent is not None:
                stack.append(self._persistent(stack.pop()))
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._since_mark()
            case "DUP":
                stack.append(stack[-1])
            case "PROTO" | "FRAME":
                pass
            case _ if opcode in _LITERALS:
                stack.append(argument)
            case _:
                raise _Damaged(f"it uses the opcode {opcode}")

    def _remember(self, index: int) -> None:
        top = self._memo[index] = self._stack[-1]
        if isinstance(top, _Blank):
            top.places.append(index)

    def _gather(self, count: int) -> None:
        if len(self._stack) < count:
            raise _Damaged("its stack is empty")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _name(self, dotted: str) -> None:
        dotted = re.sub(r"^__builtin__\.", "builtins.", dotted)  # what protocol 2 calls it
        if dotted in self._values:
            self._stack.append(self._values[dotted])
        elif dotted in self._calls or self._create(dotted) is not None:
            self._stack.append(_Name(dotted))
        else:
            self._refuse(dotted)

    def _call(self, name: str, arguments: tuple[Any, ...], opcode: str) -> object:
        if opcode == "REDUCE" and name in self._calls:
            return self._calls[name](*arguments)
        made = self._create(name)
        if made is None or arguments:
            raise _Damaged(f"it makes a '{legible(name, 80)}' in a way of its own")
        return made

    def _build(self, state: object) -> None:
        target = self._stack[-1]
        if isinstance(target, _Blank):
            self._stack[-1] = made = target.finish(state)
            for index in target.places:
                self._memo[index] = made
        elif type(target) is not dict:  # attributes of a dict, such as a state dict's versions, say nothing here
            raise _Damaged(f"it sets attributes of a {_word(type(target))}")


_LITERALS = frozenset(  # opcodes that push a number, text or bytes written beside them
    code.name
    for code in pickletools.opcodes
    if code.arg and not code.stack_before and code.stack_after and code.stack_after != [pickletools.anyobject]
)


class _Modules:
    """What the names in an NVlabs pickle mean, and how much of it one file may ask for."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._left = path, size + _SPARE

    def read(self, data: mmap.mmap) -> object:
        calls: dict[str, _Call] = {
            "torch_utils.persistence._reconstruct_persistent_obj": self._persistent_object,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor_of_dtype,
            "torch._utils._rebuild_parameter": _parameter,
            "torch._utils._rebuild_parameter_with_state": _parameter,
            "torch.storage._load_from_bytes": self._storage,
            "torch.Size": self._size,
            "torch.device": _device,
            "builtins.set": self._set,
            "_codecs.encode": self._bytes,
            "numpy.dtype": _dtype,
        }
        for numpy in ("numpy.core", "numpy._core"):
            calls[f"{numpy}.multiarray.scalar"] = _scalar
            calls[f"{numpy}.multiarray._reconstruct"] = self._array
            calls[f"{numpy}.numeric._frombuffer"] = self._array_of_buffer
        machine = _Machine(calls, {**_DTYPES, "numpy.ndarray": _NDARRAY}, self._create, self._refuse)
        return self._guarded(lambda: machine.run(data, _MOST_OPCODES))

    def _guarded(self, work: Callable[[], object]) -> object:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd escapes in a damaged text
                return work()
        except CheckpointError:
            raise
        except Exception as error:
            reason = f" ({legible(error, 120)})" if isinstance(error, _Damaged) else ""
            raise CheckpointError(f"'{legible(self._path)}' is cut short, damaged or forged{reason}.") from error

    def _refuse(self, dotted: str) -> NoReturn:
        if dotted.startswith("dnnlib.tflib."):
            fault = "is a TensorFlow network; only the PyTorch pickles can be read"
        else:
            fault = f"asks for '{legible(dotted, 120)}', which its networks do not need; nothing of it was run"
        raise CheckpointError(f"'{legible(self._path)}' {fault}.")

    def _spend(self, amount: int) -> None:
        """Counts bytes made from bytes of the file, which it can name again and again."""
        self._left -= amount
        if self._left < 0:
            raise _Damaged("it unfolds to more than its size")

    def _create(self, dotted: str) -> object | None:
        if dotted in ("collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict"):
            return {}
        if dotted.startswith("torch.nn.modules."):
            return _Blank(lambda state: self._record(dotted.rpartition(".")[2], state))
        return None

    def _persistent_object(self, argument: object) -> Record:
        meta = _expect(argument, dict)
        if meta.get("type") != "class":
            raise _Damaged("a persistent object is no class")
        return self._record(_expect(meta.get("class_name"), str), meta.get("state"))

    def _record(self, class_name: str, argument: object) -> Record:
        state = _expect(argument, dict)
        parameters, buffers, modules = (
            _expect(state.get(key, {}), dict) for key in ("_parameters", "_buffers", "_modules")
        )
        passing = _expect(state.get("_non_persistent_buffers_set", set()), set)
        self._spend(_ENTRY * (len(state) + len(parameters) + len(buffers) + len(modules)))
        own = [*parameters.items(), *(item for item in buffers.items() if item[0] not in passing)]
        tensors = {_part(name): _expect(value, Tensor) for name, value in own if value is not None}
        children = {_part(name): _expect(value, Record) for name, value in modules.items() if value is not None}
        size = 1 + len(tensors) + sum(child._size for child in children.values())
        depth = 1 + max((child._depth for child in children.values()), default=0)
        if size > _MOST_SIZE or depth > _MOST_DEPTH:
            raise _Damaged("it has more modules inside modules than any network")
        arguments, keywords = state.get("_init_args", ()), state.get("_init_kwargs", {})
        for value in (arguments, keywords):
            if not self._is_plain(value):
                raise _Damaged(f"a '{legible(class_name, 80)}' was called with more than plain values")
        attributes = {
            key: value
            for key, value in state.items()
            if isinstance(key, str) and not key.startswith("_") and self._is_plain(value)
        }
        return Record(
            class_name, _expect(arguments, tuple), _expect(keywords, dict), tensors, children, attributes, size, depth
        )

    def _is_plain(self, value: object) -> bool:
        """Numbers, texts, arrays and containers of them, no deeper than 32."""
        waiting = [(value, 0)]
        while waiting:
            one, depth = waiting.pop()
            self._spend(_ENTRY)
            if isinstance(one, (list, tuple, set, dict)) and depth < 32:
                self._spend(_ENTRY * len(one))
                parts: Iterable[object] = [*one, *one.values()] if isinstance(one, dict) else one
                waiting.extend((part, depth + 1) for part in parts)
            elif not (one is None or isinstance(one, _PLAIN)):
                return False
        return True

    def _storage(self, payload: object) -> _Storage:
        """A storage as torch.save wrote it before there were zips: five pickles, a count, and the numbers.

        magic, protocol, machine, ("storage", type, key, device, count, None), [key], int64 count, little endian data
        """
        data = _expect(payload, bytes)
        self._spend(len(data))
        stream = io.BytesIO(data)

        def pickled() -> object:
            return _Machine({}, _STORAGES, lambda _: None, self._refuse, persistent=_storage_id).run(stream, 100)

        if pickled() != _MAGIC or pickled() != 1001:
            raise _Damaged("a storage has no magic number")
        machine = _expect(pickled(), dict)
        if machine.get("little_endian", True) is not True:
            raise _Damaged("a storage is big endian")
        key, dtype, count = _expect(pickled(), tuple)
        keys = pickled()
        rest = stream.tell() + 8
        if keys != [key] or int.from_bytes(data[rest - 8 : rest], "little") != count:
            raise _Damaged("a storage contradicts itself")
        return _Storage(_flat(data[rest:], dtype, count))

    def _tensor(
        self, storage: object, offset: object, size: object, stride: object, *rest: object, dtype: object = None
    ) -> Tensor:
        """torch's own rebuild, but checked; `rest` is requires_grad, hooks and flags, of which only flags matter."""
        flat = _expect(storage, _Storage).flat
        if isinstance(dtype, torch.dtype):
            flat = flat.view(dtype)
        sizes, strides = _numbers(size), _numbers(stride)
        start = _numbers((offset,))[0]
        if len(sizes) != len(strides) or len(sizes) > 16 or len(rest) > 3 or (len(rest) == 3 and rest[2]):
            raise _Damaged("a tensor is of an unknown kind")
        count, end = 1, start
        for length, step in zip(sizes, strides, strict=True):
            count *= length
            end += max(length - 1, 0) * step
        if count and (end >= flat.numel() or count > max(flat.numel(), 1 << 20)):
            raise _Damaged("a tensor is larger than its storage")
        return flat.as_strided(sizes, strides, start) if count else flat.new_empty(sizes)

    def _tensor_of_dtype(self, *arguments: object) -> Tensor:
        storage, offset, size, stride, requires_grad, hooks, dtype, *flags = arguments
        _expect(dtype, torch.dtype)
        return self._tensor(storage, offset, size, stride, requires_grad, hooks, *flags, dtype=dtype)

    def _array(self, kind: object, shape: object, code: object) -> _Blank:
        if kind is not _NDARRAY:
            raise _Damaged("an array is of an unknown kind")

        def finish(state: object) -> object:
            *_, sizes, dtype, fortran, data = _expect(state, tuple)
            return self._array_of_buffer(data, dtype, sizes, "F" if fortran else "C")

        return _Blank(finish)

    def _array_of_buffer(self, data: object, dtype: object, shape: object, order: object) -> object:
        if not isinstance(data, (bytes, bytearray)) or not isinstance(dtype, np.dtype) or order not in ("C", "F"):
            raise _Damaged("an array is of an unknown kind")
        self._spend(len(data))
        flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
        return flat.reshape(_numbers(shape), order="C" if order == "C" else "F").astype(dtype.newbyteorder("="))

    def _size(self, sizes: object) -> torch.Size:
        numbers = _numbers(sizes)
        self._spend(_ENTRY * len(numbers))
        return torch.Size(numbers)

    def _set(self, items: object) -> set[Any]:
        self._spend(_ENTRY * len(_expect(items, list)))
        return _as_set(_expect(items, list))

    def _bytes(self, text: object, encoding: object) -> bytes:
        """How protocol 2 writes bytes."""
        self._spend(len(_expect(text, str)))
        if encoding != "latin1":
            raise _Damaged("bytes are encoded in an unknown way")
        return _expect(text, str).encode("latin1")


def _expect(value: object, kind: type[_T]) -> _T:
    """`value`, which must be of exactly this type."""
    if type(value) is not kind:
        raise _Damaged(f"a {_word(type(value))} stands where a {_word(kind)} belongs")
    return value


def _word(kind: type) -> str:
    return kind.__name__.lstrip("_").lower()


def _key(value: object) -> object:
    """A key of a dict or set: small and flat, so that hashing it is safe and fast."""
    if not (isinstance(value, (str, bytes)) or value is None or (isinstance(value, int) and abs(value) < 1 << 31)):
        raise _Damaged(f"a {_word(type(value))} is a key")
    return value


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(map(_key, items[::2]), items[1::2], strict=True))


def _as_set(items: Iterable[Any]) -> set[Any]:
    return set(map(_key, items))


def _part(name: object) -> str:
    """One part of a dotted name."""
    if not isinstance(name, str) or not name or "." in name:
        raise _Damaged("a part of a module has no name")
    return name


def _numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)):
        values = (values,)
    if not all(type(value) is int and 0 <= value < _MOST_NUMBER for value in values):
        raise _Damaged("a size is no number")
    return tuple(values)


def _parameter(tensor: object, *_: object) -> Tensor:
    return _expect(tensor, Tensor)


def _device(kind: object, index: object = None) -> torch.device:
    name = _expect(kind, str)
    return torch.device(name) if index is None else torch.device(name, _expect(index, int))


def _dtype(code: object, *_: object) -> _Blank:
    if not re.fullmatch(r"[biufc]\d{1,2}", _expect(code, str)):
        raise _Damaged(f"an array is of type '{legible(code, 20)}'")
    plain = np.dtype(_expect(code, str))

    def finish(state: object) -> object:
        order = _expect(state, tuple)[1]
        return plain.newbyteorder(order) if order in ("<", ">") else plain

    return _Blank(finish)


def _scalar(dtype: object, data: object) -> object:
    if not isinstance(dtype, np.dtype) or len(_expect(data, bytes)) != dtype.itemsize:
        raise _Damaged("a number is of an unknown kind")
    return np.frombuffer(_expect(data, bytes), dtype)[0].item()


def _storage_id(value: object) -> tuple[str, torch.dtype, int]:
    kind, dtype, key, _, count, view = _expect(value, tuple)
    if kind != "storage" or not isinstance(dtype, torch.dtype) or view is not None:
        raise _Damaged("a storage is of an unknown kind")
    return _expect(key, str), dtype, _numbers(count)[0]


def _flat(data: bytes, dtype: torch.dtype, count: int) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise _Damaged("a storage is shorter or longer than it says")
    if not count:
        return torch.empty(0, dtype=dtype)
    if dtype is torch.bool:  # a bool of neither 0 nor 1 would be undefined
        return torch.frombuffer(bytearray(data), dtype=torch.uint8) != 0
    flat = torch.frombuffer(bytearray(data), dtype=dtype)
    if sys.byteorder == "big":
        flat.untyped_storage().byteswap(dtype)  # type: ignore[no-untyped-call]
    return flat


_MAGIC = 0x1950A86A20F9469CFC6C
_NDARRAY = _Name("numpy.ndarray")
_PLAIN = (bool, int, float, str, bytes, bytearray, np.ndarray, Tensor, torch.Size, torch.device, torch.dtype)
_DTYPES: Mapping[str, object] = {
    f"torch.{name}": dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)
}
_STORAGES: Mapping[str, object] = {
    f"{module}.{name}Storage": dtype
    for module in ("torch", "torch.cuda")
    for name, dtype in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexFloat": torch.complex64,
        "ComplexDouble": torch.complex128,
    }.items()
} | {"torch.storage.UntypedStorage": torch.uint8}
