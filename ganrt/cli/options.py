"""Arguments that several commands share, and the reading of labels and codes."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

import typer

from ..errors import ArgumentError
from ..spec import Label

__all__ = [
    "HOW",
    "WHAT",
    "WHERE",
    "Backend",
    "Codes",
    "Form",
    "Json",
    "Precision",
    "Source",
    "Threads",
    "Truncation",
    "read_codes",
    "read_labels",
]

# the panels of --help
WHAT, WHERE, HOW = "What to draw", "Where it goes", "How it runs"

Source: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="NAME_OR_FILE",
        help="A generator that ships with ganrt ('digits'), or a .ganrt file, a bundle's folder, an .onnx file.",
        show_default=False,
    ),
]
Codes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--code",
        metavar="NAME=VALUE",
        help="An InfoGAN code, e.g. c=2 or tilt=0.5; drawn if left out.",
        rich_help_panel=WHAT,
    ),
]
Truncation: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="NUMBER", help="Smaller is more typical and less varied.", rich_help_panel=WHAT),
]
Backend: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="ENGINE", help="auto (the fastest here), onnxruntime, openvino, ncnn or mnn.", rich_help_panel=HOW
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Cores that the engine may use; all usable ones by default.", rich_help_panel=HOW),
]
Precision: TypeAlias = Annotated[
    str, typer.Option(metavar="KIND", help="auto, fp32, fp16, int8 or bf16: what it computes in.", rich_help_panel=HOW)
]
Form: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="auto, plain, or another form of the graph that `ganrt info` lists.", rich_help_panel=HOW
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def read_labels(text: str | None, part: Label | None) -> list[int | str]:
    """The labels that `text` lists: indices, names, ranges such as 0-9, all; empty when there is none.

    >>> read_labels("0-2,7", Label(classes=10))
    [0, 1, 2, 7]
    """
    if text is None:
        return []
    if part is None or text in part.names:
        return [text]  # an unconditional generator says itself that it takes none
    if text == "all":
        return list(part.names or range(part.classes))
    labels: list[int | str] = []
    for word in (word.strip() for word in text.split(",")):
        bounds = re.fullmatch(r"(\d{1,9})-(\d{1,9})", word)
        if word in part.names or not bounds:
            labels.append(int(word) if re.fullmatch(r"\d{1,9}", word) and word not in part.names else word)
            continue
        first, last = int(bounds[1]), int(bounds[2])
        if not first <= last < part.classes:
            raise ArgumentError(f"The labels {word} are not a range of 0 to {part.classes - 1}.")
        labels.extend(range(first, last + 1))
    return labels


def read_codes(texts: list[str] | None) -> dict[str, object] | object | None:
    """The codes that the texts give: by name, or a single one without.

    >>> read_codes(["c=2", "tilt=0.5"]), read_codes(["3"])
    ({'c': 2, 'tilt': 0.5}, 3)
    """
    if not texts:
        return None
    named = [text.rpartition("=") for text in texts]
    if len(named) == 1 and not named[0][1]:
        return _numbers(texts[0])
    for name, _, value in named:
        if not name:
            raise ArgumentError(f"The code '{value}' has no name; write it as NAME={value}.")
    return {name: _numbers(value) for name, _, value in named}


def _numbers(text: str) -> object:
    try:
        values = [float(word) if re.search(r"[.eEn]", word) else int(word) for word in text.split(",")]
    except ValueError as problem:
        raise ArgumentError(f"The code '{text}' is not a number, nor numbers with commas between.") from problem
    return values[0] if len(values) == 1 else values
