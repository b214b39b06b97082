"""What TensorRT says when it refuses a graph, as one sentence: the node, what is wrong with it, what to change.

The parser names the node; the builder writes into its log, where the node's name stands among much else. Both mix in
places of their own source and CUDA's complaints about a missing driver, which building does not need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ganrt.errors import legible

__all__ = ["Refusal", "sentence"]

_ELSEWHERE = "serve this graph with ONNX Runtime or OpenVINO, which need no engine"
_CALL = re.compile(r"^I?[A-Z]\w*::\w+: Error Code \d+: [\w ]+? \((.*)\)$", re.DOTALL)
_NOISE = (
    re.compile(r"In \w+ at /_src/\S+"),
    re.compile(r"\[\w+\.cpp:+\w*:?\d*:?[^\]]*\]"),  # [pass.cpp:337: check_turing_op_compatibility]
    re.compile(r"Assertion failed: \w+: "),
    re.compile(r"\(\s*\)"),
)


class Refusal(NamedTuple):
    """`text` as TensorRT wrote it; `node` and `operator` where it named them."""

    text: str
    node: str = ""
    operator: str = ""


# what is looked for in the text -> what is wrong, what to change; {node} is "the Conv 'x'"
_KNOWN = (
    (
        r"Plugin not found|No importer registered",
        "has no such operation: {node}",
        f"write the module without it and export again, or {_ELSEWHERE}",
    ),
    (
        r"FP32 GEMM is not supported",
        "multiplies no float32 matrices on Turing, compute capability 7.5, as {node} does",
        "leave 7.5 out of --capability, or build from a graph whose matrices are float16",
    ),
    (
        r"does not support UINT8 types for intermediate",
        "takes uint8 only from a Cast that is the last operation of the graph, not in its middle as {node} gives it",
        "export the generator again with ganrt, which puts the Cast last",
    ),
    (
        r"must have same input types|first input has type",
        "does not mix types, and {node} takes two kinds of numbers",
        "cast one of its inputs, so that both are float16 or both float32, and export again",
    ),
    (
        r"(?i)bfloat16|bf16",
        "cannot compute {node} in bfloat16",
        "build from an fp32 or fp16 graph",
    ),
    (
        r"(?i)out ?of ?memory|bad_alloc|insufficient memory|failed to allocate",
        "ran out of memory while building {node}",
        "build a smaller largest batch (--profile 1:4:8) or size, one precision at a time",
    ),
    (
        r"Failed to parse the ONNX model|MODEL_DESERIALIZE_FAILED",
        "cannot read the graph as ONNX",
        "export the bundle again",
    ),
    (
        r"(?i)could not find any implementation",
        "has no kernel for {node} at these sizes on these GPUs",
        f"try another --capability, --precision or --profile, or {_ELSEWHERE}",
    ),
)


def sentence(engine: str, source: str, refusals: Iterable[Refusal], nodes: Iterable[tuple[str, str]] = ()) -> str:
    """Why `engine` built nothing of `source`, from what it said, the most telling first; chooses the first it knows.

    `nodes`: name and operation of every node, to find the one that a text is about where the parser does not say.
    """
    told = [refusal for refusal in refusals if not _about_the_driver(refusal.text)] or [Refusal("it gave no reason")]
    known = {name: operator for name, operator in nodes if name}
    for refusal in told:
        for pattern, wrong, change in _KNOWN:
            if re.search(pattern, refusal.text):
                return f"{engine} {wrong.format(node=_node(refusal, known))} (in {source}). What to do: {change}."
    refusal = told[0]
    return (
        f"{engine} cannot build {_node(refusal, known)} (in {source}): {_cleaned(refusal.text)}. "
        f"What to do: change that operation and export again, or {_ELSEWHERE}."
    )


def _node(refusal: Refusal, known: dict[str, str]) -> str:
    name = refusal.node or _named_in(refusal.text, known)
    operator = refusal.operator or known.get(name, "")
    if not name:
        return f"an operation {legible(operator, 60)}" if operator else "one of its operations"
    return f"the {legible(operator, 60) or 'operation'} '{legible(name, 120)}'"


def _named_in(text: str, known: dict[str, str]) -> str:
    """The longest name of a node that stands in `text` as a word of its own, or before a suffix of TensorRT's."""
    found = [name for name in known if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w./-]*[\w/-])", text)]
    found = found or [
        name for name in known if re.search(rf"(?<![\w./-]){re.escape(name)}_(output|before|after)", text)
    ]
    return max(found, key=len, default="")


def _about_the_driver(text: str) -> bool:
    """Without a GPU CUDA complains on the way to every real error."""
    return "cudaError 35" in text and "\n" not in text.strip() and "Error Code 1: Cuda Runtime" in text


def _cleaned(text: str) -> str:
    """The first telling line, without the places in TensorRT's own source."""
    lines = [line for line in text.strip().splitlines() if line.strip() and not _about_the_driver(line)]
    line = lines[-1] if len(lines) > 1 and lines[0].startswith("Invalid Node") else (lines or ["it gave no reason"])[0]
    call = _CALL.match(line.strip())
    line = call[1] if call else line
    if line.startswith("Myelin ("):
        line = line.removeprefix("Myelin (").removesuffix(")")
    for noise in _NOISE:
        line = noise.sub("", line)
    return legible(" ".join(line.split()).strip(" .:()"), 240)
