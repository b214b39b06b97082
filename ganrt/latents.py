"""Draws: the random inputs of a generator.

Sample i of seed s is a pure function of (s, i): no batch size, engine, process or machine changes it.

Random bits come from Philox-4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") with
key = (seed, CRC-32 of the input's name) and a fixed number of counter steps a sample. The bits become floats here and
not in `numpy.random.Generator`, whose streams may change between numpy versions and take a varying number of bits.
"""

from __future__ import annotations

import math
import reprlib
import threading
import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError
from .manifest import Golden
from .spec import Code, Label, Latent, Signal, Spec

__all__ = ["MAX_SEED", "Choice", "Draws", "draw", "draw_code", "draw_label", "slerp", "together", "walk"]

MAX_SEED = 2**64 - 1
_MAX_INDEX = 2**53  # keeps every counter, and n itself, exact in a float as well
_MAX_FRAMES = 1_000_000  # of a walk, which is drawn at once
_WORDS = 4  # 64-bit words a Philox counter step gives

Choice: TypeAlias = int | str | Sequence[int | str]
_Range: TypeAlias = tuple[int, int, int]  # seed, start, count
K = TypeVar("K", bound=Hashable)


def draw(latent: Latent, seed: int, start: int, count: int, truncation: float | None = None) -> NDArray[np.float32]:
    """Latents of samples `start` .. `start + count - 1`.

    `truncation`: redraw until no magnitude exceeds it (on top of the latent's own threshold, if it has one).
    Returns float32 [count, latent.size] in the latent's distribution. Raises ArgumentError when `seed` is not in
    0 .. 2**64 - 1, `start` or `count` is negative, or `truncation` is not above 0.

    >>> z = Latent(size=64)
    >>> bool((draw(z, 7, 0, 8)[4:] == draw(z, 7, 4, 4)).all())
    True
    """
    check_range(seed, start, count)
    if truncation is not None and not truncation > 0:
        raise ArgumentError(f"truncation is {_shown(truncation)}; it must be above 0.")
    return _latents(latent, [(seed, start, count)], truncation)


def draw_label(label: Label, seed: int, start: int, count: int) -> NDArray[np.int64]:
    """Class indices, int64 [count], every class as likely as the other."""
    check_range(seed, start, count)
    return _labels_drawn(label, [(seed, start, count)])


def draw_code(code: Code, seed: int, start: int, count: int) -> NDArray[np.float32]:
    """Codes, float32 [count, code.size]: one-hot rows, or uniform over code.low .. code.high."""
    check_range(seed, start, count)
    return _codes_drawn(code, [(seed, start, count)])


def slerp(first: NDArray[np.float32], last: NDArray[np.float32], fractions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Points on the great circle between two latents (Shoemake 1985), float32 [len(fractions), size].

    `first` and `last` are float32 [size]; a fraction of 0 gives `first` and of 1 gives `last`, to the bit. The length
    runs evenly between the two lengths, so that every point is as likely a normal latent as the ends.
    """
    a, b, t = first.astype(np.float64), last.astype(np.float64), fractions[:, None]
    length_a, length_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    cosine = float(a @ b) / (length_a * length_b) if length_a and length_b else 1.0
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < 1e-6:  # parallel or opposite: no great circle is singled out
        points = (1 - t) * a + t * b
    else:
        direction = np.sin((1 - t) * angle) * (a / length_a) + np.sin(t * angle) * (b / length_b)
        points = direction / math.sin(angle) * ((1 - t) * length_a + t * length_b)
    rounded = points.astype(np.float32)
    rounded[fractions == 0], rounded[fractions == 1] = first, last
    return rounded


class Draws:
    """The inputs of one call: arguments checked once, arrays drawn piece by piece.

    `label` and each code are fixed (an index, a name, or one for every sample of the call) or, when None, drawn.
    Raises ArgumentError for anything that the spec does not allow, before any sample is made.
    """

    __slots__ = ("codes", "count", "labels", "seed", "spec", "start", "threshold", "truncation")

    def __init__(
        self,
        spec: Spec,
        seed: int,
        start: int,
        count: int,
        *,
        label: Choice | None = None,
        code: Mapping[str, Any] | Any = None,
        truncation: float | None = None,
    ) -> None:
        check_range(seed, start, count)
        if spec.signals:
            raise ArgumentError(
                f"This generator takes a signal ('{spec.signals[0].name}', {spec.signals[0].kind}), so it cannot "
                "sample from latents alone."
            )
        self.spec, self.seed, self.start, self.count = spec, int(seed), int(start), int(count)
        self.truncation = _truncation(spec, truncation)
        self.labels = _labels(spec.label, label, self.count)
        self.codes = _codes(spec, code, self.count)
        how = spec.truncation.how if spec.truncation else None
        self.threshold = self.truncation if how == "threshold" else None

    @classmethod
    def of(cls, spec: Spec, golden: Golden) -> Draws:
        """The one sample that a golden stands for."""
        return cls(spec, golden.seed, golden.index, 1, label=golden.label, truncation=golden.truncation)

    def feeds(self, offset: int, count: int) -> dict[str, NDArray[Any]]:
        """The graph's inputs for samples `offset` .. `offset + count - 1` of this call, by name."""
        return _feeds([(self, offset, count)])


def together(calls: Sequence[Draws]) -> dict[str, NDArray[Any]]:
    """The graph's inputs for every sample of several calls of one spec, call after call: what `feeds` gives, as one.

    >>> from ganrt.spec import Image, Latent, Spec
    >>> spec = Spec(inputs=(Latent(size=8),), output=Image(height=1, width=1, channels=1))
    >>> mixed = together([Draws(spec, 7, 0, 2), Draws(spec, 3, 5, 1)])["z"]
    >>> bool((mixed[2:] == draw(Latent(size=8), 3, 5, 1)).all())
    True
    """
    return _feeds([(call, 0, call.count) for call in calls])


def walk(
    spec: Spec,
    seeds: Sequence[int],
    frames: int,
    *,
    label: Choice | None = None,
    code: Mapping[str, Any] | Any = None,
    truncation: float | None = None,
) -> dict[str, NDArray[Any]]:
    """The graph's inputs for `frames` steps from sample 0 of the first seed to sample 0 of the last, through all.

    Latents turn on the sphere (`slerp`), uniform ones and continuous codes move in a straight line; a label or a
    category cannot move, so what is not given is the first seed's.
    Raises ArgumentError for fewer than two seeds or two frames, and for what `Draws` refuses.
    """
    if len(seeds) < 2:
        raise ArgumentError("A walk needs at least two seeds to go between.")
    if isinstance(frames, bool) or not isinstance(frames, (int, np.integer)) or not 2 <= frames <= _MAX_FRAMES:
        raise ArgumentError(f"frames is {_shown(frames)}; a walk has from 2 to {_MAX_FRAMES:,}.")
    ends = [Draws(spec, seed, 0, 1, label=label, code=code, truncation=truncation).feeds(0, 1) for seed in seeds]
    position = np.linspace(0, len(seeds) - 1, frames)
    leg = np.minimum(position.astype(np.int64), len(seeds) - 2)
    arrays: dict[str, NDArray[Any]] = {}
    for part in spec.inputs:
        if part.name not in ends[0]:
            continue
        straight = isinstance(part, Code) and part.kind == "continuous"
        if not (straight or isinstance(part, Latent)):
            arrays[part.name] = np.repeat(ends[0][part.name], frames, axis=0)
            continue
        move = _line if straight or (isinstance(part, Latent) and part.distribution == "uniform") else slerp
        arrays[part.name] = np.concatenate(
            [
                move(ends[i][part.name][0], ends[i + 1][part.name][0], position[leg == i] - i)
                for i in range(len(seeds) - 1)
            ]
        )
    return arrays


def _line(first: NDArray[np.float32], last: NDArray[np.float32], fractions: NDArray[np.float64]) -> NDArray[np.float32]:
    t = fractions[:, None]
    return ((1 - t) * first + t * last).astype(np.float32)


def check_range(seed: int, start: int, count: int) -> None:
    """Raises ArgumentError unless seed, start and count are whole numbers in range."""
    whole = type(seed) is type(start) is type(count) is int
    if whole and 0 <= seed <= MAX_SEED and start >= 0 <= count and start + count <= _MAX_INDEX:
        return  # as nearly always
    for name, value, highest in (("seed", seed, MAX_SEED), ("start", start, _MAX_INDEX), ("n", count, _MAX_INDEX)):
        if type(value) is not int and (isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer))):
            raise ArgumentError(f"{name} must be a whole number, not {_shown(value)}.")
        if not 0 <= value <= highest:
            raise ArgumentError(f"{name} is {_shown(value)}; it must be from 0 to {highest}.")
    if int(start) + int(count) > _MAX_INDEX:
        raise ArgumentError(f"start + n is {int(start) + int(count)}; samples are numbered up to {_MAX_INDEX}.")


def _shown(value: object) -> str:
    """A value as it stands in a message: short, and a numpy number as a number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    return reprlib.repr(value)


_Part: TypeAlias = tuple[Draws, int, int]  # samples of one call: offset and count


def _feeds(parts: Sequence[_Part]) -> dict[str, NDArray[Any]]:
    """The graph's inputs for all parts, one after the other, by name."""
    arrays: dict[str, NDArray[Any]] = {}
    for one in parts[0][0].spec.inputs:
        match one:
            case Latent():
                arrays[one.name] = _in_order(parts, _threshold, partial(_latent_rows, one))
            case Label():
                arrays[one.name] = _encode(one, _given_or_drawn(parts, _labels_given, partial(_labels_drawn, one)))
            case Code():
                arrays[one.name] = _given_or_drawn(parts, partial(_code_given, one.name), partial(_codes_drawn, one))
            case Signal():
                pass  # refused by Draws
            case _ if one.how == "graph":
                values = [np.full((count, 1), call.truncation, np.float32) for call, _, count in parts]
                arrays[one.name] = values[0] if len(values) == 1 else np.concatenate(values)
    return arrays


def _threshold(call: Draws) -> float | None:
    return call.threshold


def _labels_given(call: Draws) -> NDArray[np.int64] | None:
    return call.labels


def _code_given(name: str, call: Draws) -> NDArray[np.float32] | None:
    return call.codes.get(name)


def _latent_rows(latent: Latent, threshold: float | None, parts: Sequence[_Part]) -> NDArray[np.float32]:
    return _latents(latent, _ranges(parts), threshold)


def _in_order(
    parts: Sequence[_Part], key: Callable[[Draws], K], make: Callable[[K, Sequence[_Part]], NDArray[Any]]
) -> NDArray[Any]:
    """Rows of all parts in their order, where `make` gives those of all parts of one key at once."""
    if len(parts) == 1:
        return make(key(parts[0][0]), parts)
    groups: dict[K, list[int]] = {}
    for index, (call, _, _) in enumerate(parts):
        groups.setdefault(key(call), []).append(index)
    if len(groups) == 1:
        return make(next(iter(groups)), parts)
    counts = np.array([count for _, _, count in parts])
    starts = np.cumsum(counts) - counts
    made = np.concatenate([make(which, [parts[index] for index in group]) for which, group in groups.items()])
    rows = [np.arange(starts[index], starts[index] + counts[index]) for group in groups.values() for index in group]
    ordered = np.empty_like(made)
    ordered[np.concatenate(rows)] = made
    return ordered


def _given_or_drawn(
    parts: Sequence[_Part],
    given: Callable[[Draws], NDArray[Any] | None],
    drawn: Callable[[Sequence[_Range]], NDArray[Any]],
) -> NDArray[Any]:
    """Rows that the call fixes, or else drawn ones."""

    def make(fixed: bool, some: Sequence[_Part]) -> NDArray[Any]:
        if not fixed:
            return drawn(_ranges(some))
        rows = [_rows(values, offset, count) for call, offset, count in some if (values := given(call)) is not None]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    return _in_order(parts, lambda call: given(call) is not None, make)


def _ranges(parts: Sequence[_Part]) -> list[_Range]:
    return [(call.seed, call.start + offset, count) for call, offset, count in parts]


def _latents(latent: Latent, ranges: Sequence[_Range], truncation: float | None) -> NDArray[np.float32]:
    threshold = latent.threshold if latent.distribution == "truncated_normal" else math.inf
    if truncation is not None:
        threshold = min(threshold, truncation)
    if latent.distribution == "uniform":
        return _uniform(_bits(latent.name, ranges, latent.size), latent.size, -1.0, 1.0)
    if math.isfinite(threshold):
        return _truncated_normal(_bits(latent.name, ranges, 2 * latent.size)[:, : latent.size], threshold)
    return np.ascontiguousarray(_normal(_bits(latent.name, ranges, latent.size))[:, : latent.size])


def _labels_drawn(label: Label, ranges: Sequence[_Range]) -> NDArray[np.int64]:
    return _below(_bits(label.name, ranges, 2)[:, 0], label.classes)


def _codes_drawn(code: Code, ranges: Sequence[_Range]) -> NDArray[np.float32]:
    if code.kind == "categorical":
        return _one_hot(_below(_bits(code.name, ranges, 2)[:, 0], code.size), code.size)
    return _uniform(_bits(code.name, ranges, code.size), code.size, code.low, code.high)


_philox = threading.local()
_FRESH = {"bit_generator": "Philox", "buffer": (0,) * _WORDS, "buffer_pos": _WORDS, "has_uint32": 0, "uinteger": 0}


def _bits(name: str, ranges: Sequence[_Range], halves: int) -> NDArray[np.uint64]:
    """Random words, uint64 [samples, steps * 4]: enough for `halves` 32-bit numbers a sample."""
    steps = -(-halves // (2 * _WORDS))
    try:
        generator = _philox.generator
    except AttributeError:  # the first draw of this thread
        generator = _philox.generator = np.random.Philox(key=0)
    key, counter = [0, zlib.crc32(name.encode())], [0, 0, 0, 0]
    state = {**_FRESH, "state": {"key": key, "counter": counter}}  # read faster from lists than from arrays
    words: list[NDArray[np.uint64]] = []
    for seed, start, count in ranges:
        first = int(start) * steps
        key[0], counter[0], counter[1] = int(seed), first & MAX_SEED, first >> 64
        generator.state = state  # a twentieth of the cost of a new Philox
        words.append(generator.random_raw(count * steps * _WORDS))
    return (words[0] if len(words) == 1 else np.concatenate(words)).reshape(-1, steps * _WORDS)


def _normal(bits: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Two normals from the halves of each word (Box and Muller 1958), in float64 and then rounded."""
    halves = bits.view(np.uint32)
    radius = halves[:, 0::2] + 0.5
    np.log(np.multiply(radius, 2.0**-32, out=radius), out=radius)
    np.sqrt(np.multiply(radius, -2.0, out=radius), out=radius)
    angle = halves[:, 1::2] * (math.tau * 2.0**-32)
    normal = np.empty(halves.shape, np.float32)
    np.multiply(radius, np.cos(angle), out=normal[:, 0::2], casting="same_kind")
    np.multiply(radius, np.sin(angle), out=normal[:, 1::2], casting="same_kind")
    return normal


def _uniform(bits: NDArray[np.uint64], size: int, low: float, high: float) -> NDArray[np.float32]:
    halves = bits.view(np.uint32)[:, :size]
    return (low + (high - low) * (halves + 0.5) * 2.0**-32).astype(np.float32)


def _truncated_normal(bits: NDArray[np.uint64], threshold: float) -> NDArray[np.float32]:
    """Redrawing until |z| <= threshold has this distribution; the inverse gives it in one step, from fixed bits."""
    inside = math.erf(threshold / math.sqrt(2))  # P(|z| <= threshold)
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52  # exact, and never 0 or 1
    return np.clip(_inverse_normal(0.5 + (uniform - 0.5) * inside), -threshold, threshold).astype(np.float32)


# Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution", PPND16: about 1e-16 relative.
_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def _inverse_normal(p: NDArray[np.float64]) -> NDArray[np.float64]:
    q = p - 0.5
    near = 0.180625 - q * q
    result: NDArray[np.float64] = q * _rational(_CENTRE, near)
    outside = near < 0
    if outside.any():
        r = np.sqrt(-np.log(np.minimum(p, 1 - p)[outside]))
        far = np.where(r <= 5, _rational(_MIDDLE, r - 1.6), _rational(_TAIL, r - 5))
        result[outside] = np.copysign(far, q[outside])
    return result


def _rational(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: NDArray[np.float64]) -> NDArray[np.float64]:
    above, below = (np.polyval(part, x) for part in coefficients)
    quotient: NDArray[np.float64] = above / below
    return quotient


def _below(words: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Whole numbers in 0 .. limit - 1; limit is at most 2**24, so the bias is below 2**-29."""
    return ((words >> np.uint64(11)).astype(np.float64) * (limit * 2.0**-53)).astype(np.int64)


def _one_hot(indices: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    rows = np.zeros((len(indices), size), np.float32)
    rows[np.arange(len(indices)), indices] = 1
    return rows


def _encode(label: Label, indices: NDArray[np.int64]) -> NDArray[Any]:
    return indices if label.encoding == "index" else _one_hot(indices, label.classes)


def _rows(values: NDArray[Any], offset: int, count: int) -> NDArray[Any]:
    """One row for all samples, or a row each."""
    if len(values) == 1:
        return values if count == 1 else np.repeat(values, count, axis=0)
    return np.ascontiguousarray(values[offset : offset + count])


def _truncation(spec: Spec, value: float | None) -> float | None:
    part = spec.truncation
    if value is None:
        return part.default if part else None
    if part is None:
        raise ArgumentError("This generator takes no truncation; leave it out.")
    number = not isinstance(value, bool) and isinstance(value, (int, float, np.integer, np.floating))
    if not number or not part.minimum <= value <= part.maximum:
        raise ArgumentError(
            f"truncation is {_shown(value)}; this generator takes {part.minimum:g} to {part.maximum:g}."
        )
    return float(value)


def _labels(part: Label | None, chosen: object, count: int) -> NDArray[np.int64] | None:
    if chosen is None:
        return None
    if part is None:
        raise ArgumentError("This generator is unconditional: it takes no label; leave it out.")
    if isinstance(chosen, np.ndarray) and chosen.ndim == 0:
        chosen = chosen.item()
    if isinstance(chosen, (list, tuple, range, np.ndarray)):
        if len(chosen) != count:
            raise ArgumentError(
                f"label holds {len(chosen)} labels for {count} samples; give one, or one for each sample."
            )
        return np.array([_label(part, one) for one in chosen], np.int64)
    return np.array([_label(part, chosen)], np.int64)


def _label(part: Label, chosen: object) -> int:
    if isinstance(chosen, str):
        if chosen in part.names:
            return part.names.index(chosen)
        if not (chosen.isdecimal() and chosen.isascii() and len(chosen) < 20):
            raise ArgumentError(f"There is no label {_shown(chosen)}; this generator knows {_known(part)}.")
        chosen = int(chosen)
    if isinstance(chosen, (int, np.integer)) and not isinstance(chosen, bool) and 0 <= chosen < part.classes:
        return int(chosen)
    raise ArgumentError(f"There is no label {_shown(chosen)}; this generator knows {_known(part)}.")


def _known(part: Label) -> str:
    indices = f"0 to {part.classes - 1}"
    if not part.names:
        return indices
    return f"{indices}, or by name: {', '.join(part.names[:12])}{', ...' if len(part.names) > 12 else ''}"


def _codes(spec: Spec, chosen: Mapping[str, Any] | Any, count: int) -> dict[str, NDArray[np.float32]]:
    if chosen is None:
        return {}
    parts = {part.name: part for part in spec.codes}
    if not parts:
        raise ArgumentError("This generator takes no code; leave it out.")
    if not isinstance(chosen, Mapping):
        if len(parts) > 1:
            raise ArgumentError(f"This generator has several codes; name them: code={{'{next(iter(parts))}': ...}}.")
        chosen = {next(iter(parts)): chosen}
    for name in chosen:
        if name not in parts:
            raise ArgumentError(f"There is no code {_shown(name)}; this generator has {', '.join(parts)}.")
    return {name: _code(parts[name], value, count) for name, value in chosen.items() if value is not None}


def _code(part: Code, value: Any, count: int) -> NDArray[np.float32]:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"it is {_shown(value)}")
        if part.kind == "categorical":
            if array.dtype.kind == "f" or array.ndim > 1 or not ((array >= 0) & (array < part.size)).all():
                raise ValueError(f"it takes a category from 0 to {part.size - 1}, or one for each sample")
            rows = _one_hot(np.atleast_1d(array).astype(np.int64), part.size)
        else:
            if part.size == 1 and array.ndim == 1:
                array = array[:, None]  # one number for each sample
            array = np.atleast_2d(array)
            if array.ndim != 2 or array.shape[1] != part.size:
                raise ValueError(f"it takes {part.size} numbers, or a row of {part.size} for each sample")
            if not ((array >= part.low) & (array <= part.high)).all():
                raise ValueError(f"it runs from {part.low:g} to {part.high:g}")
            rows = array.astype(np.float32)
        if len(rows) not in (1, count):
            raise ValueError(f"it has {len(rows)} rows for {count} samples")
    except (TypeError, ValueError) as problem:
        raise ArgumentError(f"The code '{part.name}' cannot be used: {problem}.") from problem
    return rows
