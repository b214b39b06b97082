"""Runs on the GPU machine: every graph of every bundle in a folder, held to FP32 on the CPU and timed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from ganrt.bundle import Bundle
from ganrt.latents import Draws
from ganrt.spec import Image, Signal, Spec

Arrays = dict[str, NDArray[Any]]
SAMPLES, BATCHES, EXTENT = 256, (1, 8, 64), 64
_SECONDS, _WARM = 0.4, 10
_TORCH = {"float32": torch.float32, "float16": torch.float16, "int64": torch.int64, "uint8": torch.uint8}


def inputs(spec: Spec, count: int) -> Arrays:
    """`count` samples of seed 0; signals, which have no distribution, uniform in 0 .. 1."""
    chance = np.random.default_rng(7)
    feeds = Draws(spec, 0, 0, count).feeds(0, count) if any(not isinstance(p, Signal) for p in spec.inputs) else {}
    for part in spec.signals:
        shape = [count, *(EXTENT if size is None else size for size in part.shape)]
        feeds[part.name] = chance.random(shape, np.float32)
    return feeds


class Cuda:
    """ONNX Runtime's CUDA provider; nothing may fall back to the CPU. Arrays lie on the device."""

    def __init__(self, graph: bytes, wanted: str, *, captured: bool, nhwc: bool = False) -> None:
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        self._stream = torch.cuda.Stream()
        options = {
            "use_tf32": "0",
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "enable_cuda_graph": "1" if captured else "0",
            "prefer_nhwc": "1" if nhwc else "0",
            "user_compute_stream": str(self._stream.cuda_stream),
        }
        self.session = ort.InferenceSession(graph, settings, providers=[("CUDAExecutionProvider", options)])
        if self.session.get_providers()[0] != "CUDAExecutionProvider":
            raise SystemExit("ONNX Runtime fell back to the CPU")
        self._wanted = wanted

    def bound(self, feeds: Arrays, shape: tuple[int, ...], dtype: str) -> tuple[Callable[[], None], torch.Tensor]:
        """A call without arguments, and the tensor that it fills."""
        held = {name: torch.from_numpy(np.ascontiguousarray(array)).cuda() for name, array in feeds.items()}
        found = torch.empty(shape, dtype=_TORCH[dtype], device="cuda")
        binding = self.session.io_binding()
        for name, tensor in held.items():
            binding.bind_input(name, "cuda", 0, feeds[name].dtype.type, tuple(tensor.shape), tensor.data_ptr())
        binding.bind_output(self._wanted, "cuda", 0, np.dtype(dtype).type, shape, found.data_ptr())

        def call(held: object = held) -> None:
            self.session.run_with_iobinding(binding)

        return call, found


class Plan:
    """A TensorRT-RTX plan that was built without a GPU, through the same calls that classic TensorRT has."""

    def __init__(self, plan: bytes, wanted: str) -> None:
        import tensorrt_rtx as trt

        self._trt, self._logger = trt, trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        print("validity:", self._runtime.get_engine_validity(plan), flush=True)
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise RuntimeError("the plan cannot be deserialised on this GPU")
        self._context, self._wanted = self.engine.create_execution_context(), wanted
        self._stream = torch.cuda.Stream()

    def bound(self, feeds: Arrays, shape: tuple[int, ...], dtype: str) -> tuple[Callable[[], None], torch.Tensor]:
        held = {name: torch.from_numpy(np.ascontiguousarray(array)).cuda() for name, array in feeds.items()}
        found = torch.empty(shape, dtype=_TORCH[dtype], device="cuda")
        for name, tensor in held.items():
            self._context.set_input_shape(name, tuple(tensor.shape))
            self._context.set_tensor_address(name, tensor.data_ptr())
        spare = []
        for index in range(self.engine.num_io_tensors):
            name = self.engine.get_tensor_name(index)
            if self.engine.get_tensor_mode(name) == self._trt.TensorIOMode.OUTPUT:
                tensor = found
                if name != self._wanted:
                    kind = _TORCH[np.dtype(self._trt.nptype(self.engine.get_tensor_dtype(name))).name]
                    tensor = torch.empty(tuple(self._context.get_tensor_shape(name)), dtype=kind, device="cuda")
                    spare.append(tensor)
                self._context.set_tensor_address(name, tensor.data_ptr())

        def call(held: object = (held, spare)) -> None:
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError("execute_async_v3 failed")

        return call, found


def expected(bundle: Bundle, feeds: Arrays, wanted: list[str]) -> list[NDArray[Any]]:
    """The plain FP32 graph on the CPU."""
    session = ort.InferenceSession(bundle.graph("fp32"), providers=["CPUExecutionProvider"])
    return [np.asarray(found) for found in session.run(wanted, feeds)]


def distance(found: NDArray[Any], right: NDArray[Any]) -> dict[str, float]:
    """PSNR over all and of the worst sample, in dB of the output's own range."""
    scale = float(right.max() - right.min())
    each = ((found.astype(np.float64) - right) ** 2).reshape(len(right), -1).mean(1)
    if not np.isfinite(found).all():
        return {"psnr_db": float("-inf"), "worst_db": float("-inf")}
    db = lambda error: 200.0 if error == 0 else 10 * float(np.log10(scale**2 / error))  # noqa: E731
    return {"psnr_db": db(each.mean()), "worst_db": db(each.max()), "largest": float(np.abs(found - right).max())}


def timed(call: Callable[[], None]) -> list[float]:
    """Seconds of each call with its synchronisation, after warming up."""
    for _ in range(_WARM):
        call()
    torch.cuda.synchronize()
    times, ends = [], time.perf_counter() + _SECONDS
    while time.perf_counter() < ends or len(times) < 20:
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return times


@contextmanager
def told(what: str, rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row; what fails says so in it and the rest goes on."""
    row: dict[str, Any] = {}
    try:
        yield row
    except Exception as problem:  # noqa: BLE001, engines raise what they like
        row["failed"] = f"{type(problem).__name__}: {problem}"[:300]
    rows[what] = row
    print(what, json.dumps({k: (round(v, 4) if isinstance(v, float) else v) for k, v in row.items()}), flush=True)


def graphs(bundle: Bundle) -> dict[str, bytes]:
    found = (
        {"fp32 plain": bundle.graph("fp32"), "fp16": bundle.graph("fp16")}
        if "fp16" in bundle.manifest.graphs
        else {"fp32 plain": bundle.graph("fp32")}
    )
    return found | {f"fp32 {name}": bundle.form(name) for name in bundle.manifest.forms}


def measure(folder: Path) -> dict[str, Any]:
    """Rows by "network | what | how"; milliseconds are medians."""
    rows: dict[str, Any] = {}
    for path in sorted(folder.glob("*.ganrt")):
        bundle = Bundle.open(path)
        spec = bundle.manifest.spec
        ports = spec.output_ports()
        raw, first = ports[-1].name, ports[0].name
        pixels = isinstance(spec.output, Image)
        feeds = inputs(spec, SAMPLES if not spec.signals else 16)
        total = len(next(iter(feeds.values())))
        right = expected(bundle, feeds, [first, raw])
        runners: dict[str, Callable[[str], Any]] = {}
        for kind, graph in graphs(bundle).items():
            runners[f"onnxruntime cuda | {kind}"] = lambda wanted, graph=graph: Cuda(graph, wanted, captured=False)
            runners[f"onnxruntime cuda graph | {kind}"] = lambda wanted, graph=graph: Cuda(graph, wanted, captured=True)
            runners[f"onnxruntime cuda graph, channels last | {kind}"] = lambda wanted, graph=graph: Cuda(
                graph, wanted, captured=True, nhwc=True
            )
        for precision in ("fp32", "fp16"):
            plan = folder / f"{path.stem}.{precision}.plan"
            if plan.exists():
                runners[f"tensorrt-rtx | {precision}"] = lambda wanted, plan=plan: Plan(plan.read_bytes(), wanted)
        for kind, make in runners.items():
            with told(f"{path.stem} | {kind}", rows) as row:
                if "graph" not in kind:
                    runner, found = make(raw), []
                    for at in range(0, total, 16):
                        part = {name: array[at : at + 16] for name, array in feeds.items()}
                        call, tensor = runner.bound(part, (16, *right[1].shape[1:]), right[1].dtype.name)
                        call()
                        torch.cuda.synchronize()
                        found.append(tensor.cpu().numpy())
                    row |= distance(np.concatenate(found), right[1])
                for n in BATCHES:
                    if n > total:
                        continue
                    part = {name: array[:n] for name, array in feeds.items()}
                    runner = make(first)
                    shape = (n, *right[0].shape[1:])
                    call, tensor = runner.bound(part, shape, right[0].dtype.name)
                    row[f"ms at {n}"] = median(timed(call)) * 1e3
                    if pixels:
                        steps = np.abs(tensor.cpu().numpy().astype(int) - right[0][:n].astype(int))
                        row[f"within one at {n}"] = float((steps <= 1).mean())
    return rows


def rivals(names: list[str]) -> dict[str, Any]:
    """The same modules in PyTorch; the latent ones alone."""
    from ..rewrites.networks import sample

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    rows: dict[str, Any] = {}
    for name in names:
        made = sample(name)
        for kind in (torch.float32, torch.float16):
            module = made.module.cuda().to(kind).to(memory_format=torch.channels_last)
            for how in ("eager", "compile"):
                with told(f"{name} | torch {how} | {kind}", rows) as row, torch.inference_mode():
                    for n in BATCHES:
                        torch._dynamo.reset()
                        run = torch.compile(module, mode="max-autotune") if how == "compile" else module
                        given = [torch.from_numpy(a[:n]).cuda() for a in inputs(made.spec, n).values()]
                        given = [one.to(kind) if one.is_floating_point() else one for one in given]
                        row[f"ms at {n}"] = median(timed(lambda run=run, given=given: run(*given))) * 1e3
    return rows


def main() -> None:
    folder, result = Path(sys.argv[1]), Path(sys.argv[2])
    versions = {"torch": torch.__version__, "onnxruntime": ort.__version__}
    here = {"gpu": torch.cuda.get_device_name(), "capability": torch.cuda.get_device_capability(), "versions": versions}
    found: dict[str, Any] = {"benchmark": "gpu", "machine": here, "rows": measure(folder)}
    result.write_text(json.dumps(found, indent=2) + "\n")
    if len(sys.argv) > 3:
        found["rows"] |= rivals(sys.argv[3:])
        result.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
