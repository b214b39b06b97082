"""NNCF, called quietly: a float32 ONNX graph and calibration batches in, a graph with QuantizeLinear pairs out.

NNCF reports every call to its makers through `openvino_telemetry` unless it runs under their own CI or in pytest. Here
it is imported as if that package were missing, and where a program imported it before, its reporter is set aside for
the call: nothing of ours opens a socket. ONNX Runtime, which NNCF calibrates with, reports as well unless it is told
not to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ganrt.errors import ExportError, FidelityError, MissingExtra

from ..trace import quiet
from .samples import Feeds, outputs_of

__all__ = ["RECIPES", "Recipe", "quantized", "silent"]

_REPORTER = "openvino_telemetry"


class Recipe(NamedTuple):
    """How NNCF quantizes.

    `ranges`: "HISTOGRAM" those of the smallest squared error, "MEAN_MINMAX" the mean of the extremes of each batch.

    `asymmetric`: activations with a zero point. `corrected`: biases corrected layer after layer, each on what the
    quantized layers before it give, instead of all at once.
    """

    ranges: str
    asymmetric: bool
    corrected: bool

    def __str__(self) -> str:
        zero = "asymmetric" if self.asymmetric else "symmetric"
        biases = "in turn" if self.corrected else "at once"
        return f"{self.ranges.lower().replace('_', ' ')} ranges, {zero}, biases {biases}"


RECIPES = (
    Recipe("HISTOGRAM", asymmetric=False, corrected=False),
    Recipe("MEAN_MINMAX", asymmetric=False, corrected=False),
    Recipe("HISTOGRAM", asymmetric=True, corrected=True),
)


def quantized(
    model: onnx.ModelProto, feeds: Sequence[Feeds], recipe: Recipe, ignored: Sequence[str]
) -> tuple[onnx.ModelProto, Recipe]:
    """The graph with its operations quantized to 8 bits but those named in `ignored`, and the recipe that was used.

    Biases are corrected at once where NNCF cannot cut the graph to correct them in turn. `model` stays as it is.
    Raises MissingExtra without NNCF, FidelityError when the calibration gives ranges that are no numbers, ExportError
    when NNCF cannot quantize the graph.
    """
    with silent() as nncf, quiet():
        problem: Exception | None = None
        for corrected in (True, False) if recipe.corrected else (False,):
            used = recipe._replace(corrected=corrected)
            try:
                made = _call(nncf, model, feeds, used, ignored)
            except Exception as failed:  # noqa: BLE001  it raises what it likes
                problem = failed
                continue
            _check_scales(made)
            return made, used
    _check_finite(model, feeds)
    lines = [line for line in str(problem).splitlines() if line.strip()]
    raise ExportError(
        f"NNCF cannot quantize this graph: {lines[0].rstrip('.') if lines else type(problem).__name__}."
    ) from problem


def _call(
    nncf: Any, model: onnx.ModelProto, feeds: Sequence[Feeds], recipe: Recipe, ignored: Sequence[str]
) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made: onnx.ModelProto = nncf.quantize(
        copy,
        nncf.Dataset([dict(batch) for batch in feeds]),
        subset_size=len(feeds),
        preset=nncf.QuantizationPreset.MIXED if recipe.asymmetric else nncf.QuantizationPreset.PERFORMANCE,
        fast_bias_correction=not recipe.corrected,
        ignored_scope=nncf.IgnoredScope(names=list(ignored), validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=_ranges(recipe.ranges)
        ),
    )
    return made


def _ranges(name: str) -> Any:
    return getattr(import_module("nncf.quantization.range_estimator").RangeEstimatorParametersSet, name)


@contextmanager
def silent() -> Iterator[Any]:
    """NNCF without its reporter. Raises MissingExtra."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    known, missing = sys.modules.get(_REPORTER), _REPORTER not in sys.modules
    sys.modules[_REPORTER] = None  # type: ignore[assignment]  # importing it fails, which NNCF provides for
    try:
        with quiet():
            nncf: Any = import_module("nncf")
            decorator: Any = import_module("nncf.telemetry.decorator")
    except ImportError as problem:
        raise MissingExtra(
            f"INT8 needs NNCF, which cannot be loaded ({problem}). Install it: pip install 'ganrt[int8]'"
        ) from problem
    finally:
        if missing:
            del sys.modules[_REPORTER]
        else:
            sys.modules[_REPORTER] = known  # type: ignore[assignment]
    reporter, decorator.telemetry = decorator.telemetry, _Nobody()
    try:
        yield nncf
    finally:
        decorator.telemetry = reporter


class _Nobody:
    """Takes reports and tells no one."""

    def start_session(self, *_: Any, **__: Any) -> None: ...

    def send_event(self, *_: Any, **__: Any) -> None: ...

    def end_session(self, *_: Any, **__: Any) -> None: ...


def _check_scales(model: onnx.ModelProto) -> None:
    """Raises FidelityError when a range is not a number: the calibration met values that are not finite."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        scale = weights.get(node.input[1]) if node.op_type == "QuantizeLinear" else None
        if scale is not None and not np.isfinite(numpy_helper.to_array(scale)).all():
            raise _not_finite(node.input[0])


def _check_finite(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> None:
    """Raises FidelityError naming the first tensor of the graph that is not finite for the calibration."""
    for name, array in ((name, array) for batch in feeds for name, array in batch.items()):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _not_finite(name)
    inside = onnx.ModelProto()
    inside.CopyFrom(model)
    floats = {one.name for one in model.graph.value_info if one.type.tensor_type.elem_type == TensorProto.FLOAT}
    names = [name for node in model.graph.node for name in node.output if name in floats]
    inside.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    for batch in feeds:
        (found,) = outputs_of(inside.SerializeToString(), [batch], names)
        bad = next((name for name in names if not np.isfinite(found[name]).all()), None)
        if bad is not None:
            raise _not_finite(bad)


def _not_finite(name: str) -> FidelityError:
    return FidelityError(
        f"The calibration gives no range for '{name}': its values are not all finite for this generator's inputs; look "
        "at the weights, or at the example inputs."
    )
