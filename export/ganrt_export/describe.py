"""A spec from short texts, as people type it: `--latent normal:128 --label classes:10 --output image`.

    latent      KIND:SIZE            normal:128, uniform:100, truncated_normal:120
    label       classes:N            classes:10, classes:10:one_hot, or names: cat,dog,owl
    code        categorical:N, continuous:N[:LOW:HIGH]
    truncation  LOW:HIGH             a threshold on the latents, applied outside the graph
    signal      KIND:SIZExSIZE...    image:3xANYxANY, mel:80xANY, mask:1x64x64, audio:1xANY
    output      image[:LOW:HIGH], audio:RATE, table[:NAME,NAME...], tensor

Sizes of the output are read off the module. Each text may start with NAME= to name the tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ganrt import spec as specs
from ganrt.errors import ArgumentError, SpecError
from ganrt.spec import Audio, Code, Image, Input, Label, Latent, Output, Signal, Table, Truncation

__all__ = ["read_code", "read_label", "read_latent", "read_output", "read_signal", "read_truncation"]


def read_latent(text: str) -> Latent:
    """
    >>> read_latent("noise=uniform:100")
    Latent(size=100, name='noise', distribution='uniform', threshold=2.0)
    """
    name, words = _split(text, "z")
    if len(words) != 2 or words[0] not in ("normal", "uniform", "truncated_normal"):
        raise ArgumentError(f"The latent '{text}' is not KIND:SIZE, such as normal:128, uniform:100.")
    return Latent(size=_whole(words[1], text), name=name, distribution=words[0])  # type: ignore[arg-type]


def read_label(text: str) -> Label:
    """
    >>> read_label("classes:10").classes, read_label("cat,dog,owl").names
    (10, ('cat', 'dog', 'owl'))
    """
    name, words = _split(text, "label")
    encoding = "one_hot" if words[-1] == "one_hot" and len(words) > 1 else "index"
    words = words[:-1] if encoding == "one_hot" else words
    if words[0] == "classes" and len(words) == 2:
        return Label(classes=_whole(words[1], text), name=name, encoding=encoding)  # type: ignore[arg-type]
    names = tuple(one.strip() for one in words[0].split(","))
    if len(words) != 1 or not all(names):
        raise ArgumentError(f"The label '{text}' is not classes:N, nor the names of the classes with commas between.")
    return Label(classes=len(names), names=names, name=name, encoding=encoding)  # type: ignore[arg-type]


def read_code(text: str) -> Code:
    """
    >>> read_code("tilt=continuous:2").low
    -1.0
    """
    name, words = _split(text, "code")
    if words[0] == "categorical" and len(words) == 2:
        return Code(size=_whole(words[1], text), name=name)
    if words[0] == "continuous" and len(words) in (2, 4):
        low, high = (_number(word, text) for word in words[2:]) if len(words) == 4 else (-1.0, 1.0)
        return Code(size=_whole(words[1], text), name=name, kind="continuous", low=low, high=high)
    raise ArgumentError(f"The code '{text}' is not categorical:N, nor continuous:N or continuous:N:LOW:HIGH.")


def read_truncation(text: str) -> Truncation:
    """
    >>> read_truncation("0.3:4").maximum
    4.0
    """
    name, words = _split(text, "truncation")
    if len(words) != 2:
        raise ArgumentError(f"The truncation '{text}' is not LOW:HIGH, such as 0.3:4.")
    return Truncation(minimum=_number(words[0], text), maximum=_number(words[1], text), name=name)


def read_signal(text: str) -> Signal:
    """
    >>> read_signal("image:3xANYxANY").shape
    (3, None, None)
    """
    name, words = _split(text, "")
    kinds = ("image", "audio", "mel", "mask", "tensor")
    if len(words) != 2 or words[0] not in kinds:
        raise ArgumentError(
            f"The signal '{text}' is not KIND:SIZExSIZE, such as image:3xANYxANY; kinds: {', '.join(kinds)}."
        )
    shape = tuple(None if size.lower() == "any" else _whole(size, text) for size in words[1].lower().split("x"))
    return Signal(name=name or words[0], kind=words[0], shape=shape)  # type: ignore[arg-type]


def read_output(
    text: str | None, given: Sequence[Tensor], inputs: Sequence[Input]
) -> tuple[Output, tuple[specs.Tensor, ...]]:
    """The output that `text` describes, with the sizes of what the module gave; and what else it gave.

    Without a text: pictures for [batch, 1 to 4, height, width], numbers otherwise.
    """
    name, words = _split(text or ("image" if given[0].ndim == 4 and given[0].shape[1] <= 4 else "tensor"), "")
    sizes: list[int | None] = list(given[0].shape[1:])
    for part in inputs:  # a size that an input leaves open, the output may follow
        if isinstance(part, Signal) and None in part.shape:
            sizes = [sizes[0], *([None] * (len(sizes) - 1))] if sizes else sizes
    also = tuple(
        specs.Tensor(shape=tuple(tensor.shape[1:]), raw=f"output_{index}", dtype=_dtype(tensor))  # type: ignore[arg-type]
        for index, tensor in enumerate(given[1:], start=1)
    )
    shown = f"[batch, {', '.join(map(str, given[0].shape[1:]))}]"
    match words:
        case ["image", *ends] if len(ends) in (0, 2):
            if len(sizes) != 3 or not isinstance(sizes[0], int) or sizes[0] > 4:
                raise SpecError(
                    f"The output is no picture: the module gives {shown}, a picture is [batch, 1 to 4, height, width]."
                )
            low, high = (_number(word, words[0]) for word in ends) if ends else (-1.0, 1.0)
            return Image(
                height=sizes[1], width=sizes[2], channels=sizes[0], low=low, high=high, name=name or "image"
            ), also
        case ["audio", rate]:
            if len(sizes) != 2 or not isinstance(sizes[0], int):
                raise SpecError(
                    f"The output is no sound: the module gives {shown}, a sound is [batch, channels, length]."
                )
            return Audio(
                length=sizes[1], channels=sizes[0], sample_rate=_whole(rate, text or ""), raw=name or "audio"
            ), also
        case ["table", *rest] if len(rest) <= 1:
            if len(sizes) != 1 or not isinstance(sizes[0], int):
                raise SpecError(f"The output is no table: the module gives {shown}, a table is [batch, columns].")
            columns = tuple(rest[0].split(",")) if rest else tuple(f"column_{index}" for index in range(sizes[0]))
            return Table(columns=columns, raw=name or "table"), also
        case ["tensor"]:
            return specs.Tensor(shape=tuple(sizes), raw=name or "output", dtype=_dtype(given[0])), also  # type: ignore[arg-type]
    raise ArgumentError(f"The output '{text}' is not image, image:LOW:HIGH, audio:RATE, table or tensor.")


def _split(text: str, default: str) -> tuple[str, list[str]]:
    name, equals, rest = text.rpartition("=")
    return (name if equals else default), rest.split(":")


def _whole(word: str, text: str) -> int:
    if not (word.isascii() and word.isdecimal() and 0 < int(word) < 1 << 24):
        raise ArgumentError(f"'{word}' in '{text}' is not a whole number above 0.")
    return int(word)


def _number(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError as problem:
        raise ArgumentError(f"'{word}' in '{text}' is not a number.") from problem


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
