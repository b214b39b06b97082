"""What this machine is: processor, memory, engine packages. Facts for doctor, cache keys and reports.

Everything is detected, nothing assumed: a container may own fewer cores than it sees, and processors of one cloud
differ. Finding an engine here never imports it.
"""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec

__all__ = ["Environment", "Package", "Processor", "describe", "fingerprint", "package", "processor", "usable_cores"]

# flags of /proc/cpuinfo that decide how fast an engine runs, in the field's spelling
_FEATURES = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_fp16": "AVX-512 FP16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX BF16",
    "asimd": "NEON",
    "asimddp": "dot product",
    "bf16": "BF16",
    "i8mm": "I8MM",
    "sve": "SVE",
}

# what an engine is installed as
ENGINE_PACKAGES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "ncnn": ("ncnn",),
    "mnn": ("MNN",),
}

# distributions that matter, and the module each installs
PACKAGES = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "onnxruntime-gpu": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "MNN": "MNN",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
    "cuda-core": "cuda",
    "pillow": "PIL",
    "av": "av",
    "soundfile": "soundfile",
    "torch": "torch",
    "onnx": "onnx",
}


class Processor(msgspec.Struct, frozen=True):
    """`cores`: those that this process may use. `features`: instruction sets that engines pick kernels by."""

    name: str
    architecture: str
    cores: int
    features: tuple[str, ...]


class Package(msgspec.Struct, frozen=True):
    """An installed distribution; `version` is None when it is not installed."""

    name: str
    version: str | None


class Environment(msgspec.Struct, frozen=True):
    """A description that stands beside every figure; `memory_gib` is 0 where the system does not tell."""

    python: str
    system: str
    processor: Processor
    memory_gib: float
    packages: tuple[Package, ...]


def describe() -> Environment:
    """This machine, in full; about 30 ms, so never on the way to a sample."""
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        processor=processor(),
        memory_gib=_memory_gib(),
        packages=tuple(package(name) for name in PACKAGES),
    )


@cache
def processor() -> Processor:
    """The processor, its instruction sets, and the cores that this process may use."""
    name, flags = _cpuinfo()
    return Processor(
        name=name or platform.processor() or platform.machine() or "unknown",
        architecture=platform.machine(),
        cores=usable_cores(),
        features=tuple(label for flag, label in _FEATURES.items() if flag in flags),
    )


def usable_cores() -> int:
    """Cores that this process may use: its affinity, held down by a container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota() or cores))


def package(name: str) -> Package:
    """Version of an installed distribution, without importing it."""
    from importlib import metadata  # 20 ms

    try:
        return Package(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Package(name, None)


def fingerprint(module: str) -> str | None:
    """Changes whenever the installed module changes; None when there is none. Imports nothing, takes microseconds."""
    if sys.modules.get(module, ...) is None:  # blocked
        return None
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    status = Path(spec.origin).stat()
    return f"{spec.origin}:{status.st_size}:{status.st_mtime_ns}"


def _cpuinfo() -> tuple[str, set[str]]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "", set()
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    return fields.get("model name", ""), set((fields.get("flags") or fields.get("Features") or "").split())


def _quota() -> int | None:
    """Whole cores of the container's CPU quota (cgroup v2, then v1), rounded up; None when there is none."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text().strip()
            period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if limit == "max" or int(limit) <= 0:
        return None
    return -(-int(limit) // int(period))


def _memory_gib() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return 0.0
