"""A checkpoint file -> the generator's tensors by name. What a file is shows in its bytes, never in its name.

    zip with data.pkl     torch.save          torch.load(weights_only=True), mapped and not copied
    torch's magic number  torch.save, 2019    torch.load(weights_only=True)
    length, then JSON     safetensors
    zip of .npy members   numpy.savez         allow_pickle=False

A TorchScript archive, a tar and any other pickle are programs more than data: refused with a sentence.
Inside, the generator is found by the names that training scripts give it; an EMA copy comes before raw weights.
"""

from __future__ import annotations

import argparse
import itertools
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from ganrt.errors import CheckpointError, legible

__all__ = ["State", "check_finite", "find_state", "fold_norms", "read_checkpoint", "read_state"]

_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_ADVICE = "save only the weights where it was trained: torch.save(generator.state_dict(), 'generator.pt')"
_KINDS = ".pt, .pth or .ckpt of PyTorch, .safetensors, or .npz"
_MOST_INFLATED = 4 << 30  # bytes of one .npz, uncompressed, unless its file is at least a tenth of that
_MOST_HEADER = 100_000_000  # bytes of JSON that safetensors allows
_SPARE = 64 << 20  # bytes of a tensor that repeats its numbers, such as an expanded one


class State(NamedTuple):
    """`tensors` by the generator's own names; `source_text` tells a user which part of the checkpoint they are."""

    tensors: dict[str, Tensor]
    source_text: str


def read_state(path: Path, key: str | None = None) -> State:
    """The generator's tensors in a checkpoint file, on the CPU and as they were saved, norms not folded.

    `key` names the part of the checkpoint to take, such as "g_ema" or "state_dict.generator".
    Raises CheckpointError as `read_checkpoint` and `find_state` do.
    """
    return State(*find_state(read_checkpoint(path), key))


# Reading


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Everything in a checkpoint file, tensors on the CPU: a state dict, or dicts of them and of what else was saved.

    Runs nothing of the file. Raises CheckpointError, one sentence, when it is missing, empty, damaged or of another
    kind, and when its pickle asks for a class or function, which it names.
    """
    try:
        if path.is_dir():
            raise CheckpointError(f"'{legible(path)}' is a folder; name the checkpoint file in it.")
        if not path.exists():
            raise CheckpointError(f"There is no checkpoint '{legible(path)}'.")
        if not path.is_file():
            raise CheckpointError(f"'{legible(path)}' is no regular file.")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"'{legible(path)}' cannot be read: {legible(error.strerror)}.") from error
    if not head:
        raise CheckpointError(f"'{legible(path)}' is empty.")
    loaded = _reader(path, head)(path)
    if not isinstance(loaded, Mapping):
        what = f"a {type(loaded).__name__}"
        raise CheckpointError(f"'{legible(path)}' holds {what}, not tensors by name; {_ADVICE}.")
    return dict(loaded)


def _reader(path: Path, head: bytes) -> Callable[[Path], object]:
    if head.startswith(b"PK\x03\x04"):
        return _read_zip
    if _LEGACY_MAGIC in head[:32]:
        return _read_legacy
    if head[257:262] == b"ustar":
        raise CheckpointError(f"'{legible(path)}' is a tar, which can only be read by running it; {_ADVICE}.")
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= _MOST_HEADER:
        return _read_safetensors
    _refuse_pickle(path, head)
    raise CheckpointError(f"'{legible(path)}' is not a checkpoint of a known kind ({_KINDS}).")


def _read_zip(path: Path) -> object:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"'{legible(path)}' is cut short or damaged; fetch it again.") from error
    names = {member.filename.rpartition("/")[2] for member in members}
    inflated, stored = (sum(getattr(member, key) for member in members) for key in ("file_size", "compress_size"))
    if "constants.pkl" in names:
        raise CheckpointError(f"'{legible(path)}' is TorchScript, a program and not only weights; {_ADVICE}.")
    if "data.pkl" in names:
        if inflated > stored:
            raise CheckpointError(
                f"'{legible(path)}' was compressed after torch.save wrote it; unpack and save it anew."
            )
        return _read_torch(path, mapped=path.suffix != ".safetensors")
    if members and all(name.endswith(".npy") for name in names):
        if inflated > max(_MOST_INFLATED, 10 * stored):
            raise CheckpointError(f"'{legible(path)}' unpacks to {inflated >> 30} GiB, more than any generator has.")
        return _read_arrays(path)
    raise CheckpointError(f"'{legible(path)}' is a zip, but not a checkpoint of a known kind ({_KINDS}).")


def _read_legacy(path: Path) -> object:
    return _read_torch(path, mapped=False)


def _read_torch(path: Path, *, mapped: bool) -> object:
    try:
        # The Namespace of a script's arguments is data: an object with a __dict__ and nothing to call.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            if mapped:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # noqa: TID251 (the one loader)
            with path.open("rb") as file:  # given a path, torch would go by its suffix
                return torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:
        asked = re.search(r"GLOBAL (\S+) (?:was not|whose)", str(error))
        if asked is None:
            protocol = ", or not in torch's own pickle protocol" if "Unsupported operand" in str(error) else ""
            raise CheckpointError(f"'{legible(path)}' is cut short or damaged{protocol}; fetch it again.") from error
        _refuse_request(path, f"'{legible(asked[1], 120)}'", error)


def _read_safetensors(path: Path) -> object:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        raise CheckpointError(f"'{legible(path)}' is no whole safetensors file: {legible(error, 120)}.") from error


def _read_arrays(path: Path) -> object:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}
        return {name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) for name, array in numbers.items()}
    except Exception as error:
        if "allow_pickle" in str(error):
            _refuse_request(path, "Python objects", error)
        raise CheckpointError(f"'{legible(path)}' is cut short or damaged; fetch it again.") from error


def _refuse_request(path: Path, what: str, error: Exception | None = None) -> NoReturn:
    fault = f"asks for {what}, and reading a checkpoint must not run code"
    raise CheckpointError(f"'{legible(path)}' {fault}; {_ADVICE}.") from error


def _refuse_pickle(path: Path, head: bytes) -> None:
    """Raises CheckpointError when the file is a bare pickle, which is not read; the first thing it asks for is told."""
    marked = head[0] == 0x80 and head[1:2] <= b"\x05"
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes in what may be no pickle at all
        asked, whole = _first_name(file, to_the_end=not marked)
    if not (marked or whole):
        return
    if asked == "torch_utils.persistence._reconstruct_persistent_obj" or b"torch_utils.persistence" in head:
        raise CheckpointError(f"'{legible(path)}' is an NVlabs network pickle; only a StyleGAN family reads it.")
    if asked is not None:
        _refuse_request(path, f"'{legible(asked, 120)}'")
    raise CheckpointError(f"'{legible(path)}' is a bare pickle and not a checkpoint ({_KINDS}); {_ADVICE}.")


def _first_name(file: BinaryIO, *, to_the_end: bool) -> tuple[str | None, bool]:
    """The class or function that a pickle asks for first, without asking; and whether it was seen to be whole.

    Without a protocol mark, only the end tells a pickle from a text that begins with the letter of an opcode.
    """
    asked, texts = None, [""]
    try:
        for opcode, argument, _ in itertools.islice(pickletools.genops(file), 100_000):
            if asked is None and opcode.name in ("GLOBAL", "INST"):
                asked = str(argument).replace(" ", ".", 1)
            elif asked is None and opcode.name == "STACK_GLOBAL":
                asked = ".".join(texts[-2:])
            elif isinstance(argument, str):
                texts.append(argument)
            if opcode.name == "STOP" or (asked is not None and not to_the_end):
                return asked, opcode.name == "STOP"
    except (ValueError, OverflowError, MemoryError, AssertionError):
        pass
    return asked, False


# Finding the generator

_GENERATOR = {"g", "gen", "generator", "generators"}
_DISCRIMINATOR = {"d", "dis", "disc", "discriminator", "discriminators", "critic", "mpd", "msd", "mrd"}
_OTHER = {"optim", "optimizer", "optimizers", "optimiser", "opt", "scheduler", "schedulers", "sched", "scaler"}
_OTHER |= {"callbacks", "loops", "hparams"}  # their tensors are no network's
_EMA = {"ema", "shadow", "avg", "averaged"}
_WORDS = {"net", "network", "networks", "model", "models", "module", "state", "dict", "statedict", "params", "gan"}
_WORDS |= {"parameters", "weights", "checkpoint", "ckpt"} | _EMA
_STANDING = {"generator": 2, "neutral": 1, "unknown": 0}
_MOST_NESTED = 6


class _Candidate(NamedTuple):
    """One state dict in the checkpoint; `removed` are the prefixes that its keys lost."""

    name: str
    tensors: dict[str, Tensor]
    role: str
    ema: bool
    removed: tuple[str, ...]

    @property
    def text(self) -> str:
        count = len(self.tensors)
        return f"{legible(repr(self.name), 80)} ({count} tensor{'s' if count > 1 else ''})"


def find_state(loaded: Mapping[str, Any], key: str | None = None) -> tuple[dict[str, Tensor], str]:
    """The generator's state dict in what a checkpoint holds, and a text that says which part of it that is.

    Looks through the usual wrappings: {"g_ema": ...}, {"state_dict": {"generator.conv.weight": ...}} and so on, and
    strips `module.` (DataParallel) and `_orig_mod.` (torch.compile). Names of a generator come before plain ones such
    as "params", those before unknown ones; an EMA copy comes before raw weights.
    Raises CheckpointError when there is none, only a discriminator, or more than one of equal standing, and lists them.
    """
    if key is not None:
        chosen, why = _named(loaded, key), ""
    else:
        chosen, why = _choose(list(_candidates(loaded, (), "neutral", False, set())), loaded)
    tensors = {name: _dense(name, tensor) for name, tensor in chosen.tensors.items()}
    place = f"'{legible(chosen.name, 80)}' of the checkpoint" if chosen.name else "the checkpoint's own tensors"
    stripped = f", without the prefix {', '.join(map(repr, chosen.removed))}" if chosen.removed else ""
    return tensors, f"{place}{why}{stripped}"


def _choose(found: list[_Candidate], loaded: Mapping[str, Any]) -> tuple[_Candidate, str]:
    critics = [one for one in found if one.role == "discriminator"]
    others = [one for one in found if one.role != "discriminator"]
    if not others and critics:
        raise CheckpointError(
            f"The checkpoint holds only a discriminator, {critics[0].text}; the generator is elsewhere."
        )
    if not others:
        names = legible(", ".join(map(str, itertools.islice(loaded, 8))) or "nothing")
        raise CheckpointError(f"The checkpoint holds no tensors by name; it has: {names}.")
    most = max(_STANDING[one.role] for one in others)
    best, rest = ([one for one in others if (_STANDING[one.role] == most) == wanted] for wanted in (True, False))
    # "ema" beside "generator" is the generator's copy when it has the same tensors
    best += [one for one in rest if one.ema and any(one.tensors.keys() == raw.tensors.keys() for raw in best)]
    copies = [one for one in best if one.ema]
    left = copies or best
    if len(left) > 1:
        listing = ", ".join(one.text for one in left[:8]) + (", ..." if len(left) > 8 else "")
        raise CheckpointError(f"The checkpoint holds {len(left)} networks: {listing}; pick one with --key NAME.")
    raw = [legible(repr(one.name), 80) for one in best if not one.ema]
    return left[0], f" (the EMA copy, preferred to {' and '.join(raw)})" if copies and raw else ""


def _candidates(
    loaded: Mapping[Any, Any], path: tuple[str, ...], role: str, ema: bool, seen: set[int]
) -> Iterator[_Candidate]:
    """Every state dict in `loaded`, which lies at `path`; optimizers left out, each dict looked at once."""
    if id(loaded) in seen or len(path) > _MOST_NESTED:
        return
    seen.add(id(loaded))
    tensors = _tensors(loaded)
    found: list[_Candidate] = []
    if not any("." in name for name in tensors):  # beside networks, loose tensors are statistics such as latent_avg
        for name, part in loaded.items():
            if isinstance(name, str) and isinstance(part, Mapping) and (kind := _role(name)) != "other":
                inner = role if kind == "neutral" else kind
                found += _candidates(part, (*path, name), inner, ema or _is_ema(name), seen)
    if found:
        yield from found
    elif tensors:
        yield from _split(tensors, path, role, ema)


def _split(tensors: dict[str, Tensor], path: tuple[str, ...], role: str, ema: bool) -> Iterator[_Candidate]:
    """One state dict, or the networks of a whole training module, which their first prefix tells apart."""
    whole = _unwrap(_Candidate(".".join(path), tensors, role, ema, ()))
    roles = {head: _role(head) for head in dict.fromkeys(name.partition(".")[0] for name in whole.tensors)}
    generators = [head for head, kind in roles.items() if kind == "generator" and head not in whole.tensors]
    critics = [head for head, kind in roles.items() if kind == "discriminator" and head not in whole.tensors]
    # a lone "g." or "gen." beside other modules is a layer of theirs
    sure = critics or len(generators) == len(roles) or any(head not in ("g", "gen") for head in generators)
    if generators and sure:
        for head in [*generators, *critics]:
            yield _unwrap(_below(whole, head)._replace(role=roles[head], ema=ema or _is_ema(head)))
    elif len(critics) == len(roles):
        yield whole._replace(role="discriminator", name=critics[0])
    else:
        yield whole


def _below(whole: _Candidate, head: str) -> _Candidate:
    """The part of a state dict under a prefix."""
    prefix = f"{head}."
    tensors = {name.removeprefix(prefix): value for name, value in whole.tensors.items() if name.startswith(prefix)}
    name = f"{whole.name}.{head}" if whole.name else head
    return _Candidate(name, tensors, whole.role, whole.ema, (*whole.removed, prefix))


def _unwrap(one: _Candidate) -> _Candidate:
    """Without what DataParallel, torch.compile and AveragedModel put before the names."""
    tensors, removed = one.tensors, one.removed
    while True:
        inside = [name for name in tensors if name != "n_averaged"]  # the counter of torch's AveragedModel
        if inside and all(name.startswith("module.") for name in inside):
            tensors = {name.removeprefix("module."): tensors[name] for name in inside}
            removed = (*removed, "module.")
            continue
        compiled = {re.sub(r"(^|\.)_orig_mod\.", r"\1", name): value for name, value in tensors.items()}
        if compiled.keys() == tensors.keys() or len(compiled) < len(tensors):
            return one._replace(tensors=tensors, removed=removed)
        tensors, removed = compiled, (*removed, "_orig_mod.")


def _named(loaded: Mapping[str, Any], key: str) -> _Candidate:
    """The part that `key` names: a key, keys joined by dots, or a prefix of names."""
    found = next(_at(loaded, key), None)
    if isinstance(found, Mapping):
        tensors = _tensors(found)
        whole = _unwrap(_Candidate(key, tensors, "generator", False, ()))
        if tensors and not any(isinstance(part, Mapping) for part in found.values()):
            return whole
        inner = [one for one in _candidates(found, (key,), "neutral", False, set()) if one.role != "discriminator"]
        if inner:
            return _choose(inner, found)[0]
    others = ", ".join(one.text for one in itertools.islice(_candidates(loaded, (), "neutral", False, set()), 8))
    raise CheckpointError(f"The checkpoint has no network '{legible(key, 80)}'; it has: {others or 'none at all'}.")


def _at(loaded: Mapping[Any, Any], key: str) -> Iterator[object]:
    if key in loaded:
        yield loaded[key]
    parts = key.split(".")[:_MOST_NESTED]
    for cut in range(1, len(parts)):
        inner = loaded.get(".".join(parts[:cut]))
        if isinstance(inner, Mapping):
            yield from _at(inner, key.split(".", cut)[cut])
    whole = _unwrap(_Candidate("", _tensors(loaded), "", False, ()))
    if below := _below(whole, key).tensors:
        yield below


def _tensors(loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in loaded.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _words(name: str) -> list[str]:
    """ "netG_state_dict" -> net, g, state, dict"""
    return [word.lower() for word in re.split(r"[_\-. ]+|(?<=[a-z])(?=[A-Z])", name) if word]


def _role(name: str) -> str:
    """What a key says of its network: generator, discriminator, other (an optimizer), neutral or unknown."""
    words = _words(name)
    if _OTHER.intersection(words):
        return "other"
    said = [word for word in words if word not in _WORDS]
    if not said:
        return "neutral"
    if any(len(word) > 3 for word in said[1:]):  # "g_mapping" is a part of a generator; "G_A2B" is one
        return "unknown"
    return "generator" if said[0] in _GENERATOR else "discriminator" if said[0] in _DISCRIMINATOR else "unknown"


def _is_ema(name: str) -> bool:
    return not _EMA.isdisjoint(_words(name))


def _dense(name: str, tensor: Tensor) -> Tensor:
    """A plain tensor; a view whose numbers lie crooked in a mapped file is copied."""
    tensor = tensor.detach()
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        raise CheckpointError(f"The checkpoint's '{legible(name, 80)}' is not a plain tensor with all its numbers.")
    size = tensor.numel() * tensor.element_size()
    if size > max(tensor.untyped_storage().nbytes(), _SPARE):
        raise CheckpointError(f"The checkpoint's '{legible(name, 80)}' claims {size} bytes and does not have them.")
    return tensor.clone() if tensor.data_ptr() % tensor.element_size() else tensor


# What the tensors say


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError naming the first tensor that holds a NaN or an infinity."""
    for name, tensor in state.items():
        if tensor.is_floating_point() or tensor.is_complex():
            values = tensor.float() if tensor.element_size() == 1 else tensor  # float8 has no isfinite
            bad = int(tensor.numel() - torch.isfinite(values).sum())
            if bad:
                what = f"{bad} of its {tensor.numel()} values are NaN or infinite"
                raise CheckpointError(f"The checkpoint's '{legible(name, 80)}' is not usable: {what}.")


def fold_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with every weight norm and spectral norm replaced by the plain weight that eval mode computes.

    Weight norm (Salimans and Kingma 2016, arXiv:1602.07868):    w = g v / |v|, each slice of g's one long dimension
    Spectral norm (Miyato et al. 2018, arXiv:1802.05957):        w = W / (u^T W v), W as a matrix with u's rows
    in the form of torch.nn.utils (weight_g, weight_v; weight_orig, weight_u, weight_v) and of its parametrizations.
    Raises CheckpointError when a part is missing or of another shape, or a parametrization is another one.
    """
    folded: dict[str, Tensor] = {}
    done: set[str] = set()
    for key in state:
        if key in done:
            continue
        norm = _norm_of(key, state)
        if norm is None:
            folded[key] = state[key]
            continue
        parts = [state.get(part) for part in norm.parts]
        missing = [part for part, tensor in zip(norm.parts, parts, strict=True) if tensor is None]
        if missing:
            raise CheckpointError(f"The checkpoint has '{legible(key, 80)}' without its '{legible(missing[0], 80)}'.")
        try:
            folded[norm.plain] = norm.compute(*parts).detach()
        except (RuntimeError, ValueError, IndexError) as error:
            raise CheckpointError(f"The parts of '{legible(norm.plain, 80)}' do not fit each other.") from error
        done.update(norm.parts)
    return folded


class _Norm(NamedTuple):
    plain: str
    parts: tuple[str, ...]
    compute: Callable[..., Tensor]


def _norm_of(key: str, state: Mapping[str, Tensor]) -> _Norm | None:
    """The norm that `key` is a part of, if any."""
    if match := re.fullmatch(r"((?:.*\.)?)parametrizations\.(\w+)\.(.+)", key):
        prefix, name, part = match.groups()
        base, plain = f"{prefix}parametrizations.{name}", prefix + name
        if part in ("original0", "original1") and not _more(base, state, {"original0", "original1"}):
            return _Norm(plain, (f"{base}.original0", f"{base}.original1"), _weight_norm)
        if part in ("original", "0._u", "0._v") and not _more(base, state, {"original", "0._u", "0._v"}):
            return _Norm(plain, (f"{base}.original", f"{base}.0._u", f"{base}.0._v"), _spectral_norm)
        raise CheckpointError(
            f"'{legible(key, 80)}' is neither weight norm nor spectral norm; remove it before saving."
        )
    if match := re.fullmatch(r"(.*?\bweight\w*?)_(g|v|u|orig)", key):
        base = match[1]
        if f"{base}_orig" in state:
            if f"{base}_v" not in state and base in state:  # of torch before 1.0, which saved what it computed
                return _Norm(base, (f"{base}_orig", f"{base}_u", base), lambda orig, u, plain: plain)
            return _Norm(base, (f"{base}_orig", f"{base}_u", f"{base}_v"), _spectral_norm)
        if f"{base}_g" in state and f"{base}_v" in state:
            return _Norm(base, (f"{base}_g", f"{base}_v"), _weight_norm)
    return None


def _more(base: str, state: Mapping[str, Tensor], known: set[str]) -> bool:
    """Is there another parametrization on top?"""
    return any(key.startswith(f"{base}.") and key.removeprefix(f"{base}.") not in known for key in state)


def _weight_norm(g: Tensor, v: Tensor) -> Tensor:
    """g's only long dimension is the one that is kept; a g of one number is the norm of all of v."""
    dims = [
        dim
        for dim in range(v.ndim)
        if g.shape == torch.Size(v.shape[dim] if other == dim else 1 for other in range(v.ndim))
    ]
    if not dims and g.ndim:
        raise ValueError("g is not a slice of v")
    weight: Tensor = torch._weight_norm(v, g, dims[0] if dims else -1)
    return weight


def _spectral_norm(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """u is as long as the dimension that the matrix keeps: 0, or 1 of a transposed convolution."""
    matrices = [
        weight.permute(dim, *(other for other in range(weight.ndim) if other != dim)).reshape(weight.shape[dim], -1)
        for dim in range(weight.ndim)
        if u.shape == weight.shape[dim : dim + 1] and v.numel() * u.numel() == weight.numel()
    ]
    if not matrices:
        raise ValueError("u and v are not vectors of the weight")
    # Square weights fit both ways: in the right one, u and v are near a pair of singular vectors.
    matrix = matrices[0] if len(matrices) == 1 else max(matrices, key=lambda one: _agreement(one, u, v))
    return weight / torch.dot(u, torch.mv(matrix, v))


def _agreement(matrix: Tensor, u: Tensor, v: Tensor) -> float:
    left, right = F.cosine_similarity(u, matrix @ v, dim=0), F.cosine_similarity(v, matrix.T @ u, dim=0)
    return float(torch.maximum(left, right))
