"""results/league/ -> docs/league.md: every time, our losses as plainly as our wins."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..runner import RESULTS
from .networks import NETWORKS

__all__ = ["Machine", "file_of", "header", "results", "write"]

_PAGE = Path(__file__).parents[2] / "docs" / "league.md"
_HOW = """# ganrt against what you could take instead

Each contestant is a process of its own with the settings that its documentation gives for a CPU; they take turns of
0.15 s, and a figure is the median of seven turns' medians. A call begins with latents drawn anew and ends with pixels,
where the network makes pictures. dB is the distance of what that very process computed from PyTorch in FP32, *pixels*
the share of its values that are at most one step of 255 from PyTorch's: what the default precision may take must reach
50 dB and 99 %, and so must a rival that counts against it. *start* is from the start of the process to its first
answer, *MiB* its most resident memory by then. "ganrt" is the default precision, "ganrt int8" a graph made with
`--int8-gate 50`, which the default may take, and "first load" what `Generator.load` finds by itself in FP32; the others
are after `ganrt tune`. "OpenVINO INT8" is what NNCF makes of the network with its defaults, calibrated on the
generator's own inputs; it has no gate, so that its dB decide whether it counts. Digits and faces have trained weights,
the others random ones: times in FP32 do not depend on them, but the dB of INT8, and so what has to stay FP32 within 50
dB, do. Of the trained two, no graph of 8 bits is within 50 dB.

`python -m benchmarks league` measures the machine that it runs on and keeps the others' figures; with
`GANRT_BENCH_QUICK=1` a part, in four minutes. It needs ganrt with all its extras and `pip install --no-deps ncnn pnnx`.
"""
_SIZES = {
    "PyTorch": ("torch",),
    "ONNX Runtime": ("onnxruntime",),
    "OpenVINO": ("openvino",),
    "MNN": ("MNN",),
    "ncnn": ("ncnn",),
    "ganrt": ("ganrt", "msgspec", "platformdirs"),
}


class Machine(NamedTuple):
    """What was measured on one machine, what it comes to, and what was lost."""

    held: Mapping[str, Any]
    summary: Sequence[str]
    losses: Sequence[str]


def file_of(machine: Mapping[str, Any]) -> Path:
    """Where a machine's results lie, by the name of its processor."""
    words = re.findall(r"[a-z0-9]+", machine["processor"].lower().replace("(r)", "").replace("processor", ""))
    return RESULTS / "league" / f"{'-'.join(words)}.json"


def results() -> list[dict[str, Any]]:
    """Of every machine, its networks in their order."""
    found = [json.loads(file.read_text()) for file in sorted((RESULTS / "league").glob("*.json"))]
    return [
        one | {"networks": {name: one["networks"][name] for name in NETWORKS if name in one["networks"]}}
        for one in found
    ]


def write(machines: Sequence[Machine]) -> None:
    """The whole page, anew."""
    parts = [_HOW]
    for held, summary, losses in machines:
        networks = held["networks"]
        first = next(iter(networks.values()))
        parts += [f"## {first['machine']['processor']}", _machine(first)]
        parts += ["\n".join(f"- {line}" for line in summary), _lost(losses)]
        for name, network in networks.items():
            parts.append(f"### {name}\n\n{_table(network['rows'])}\n\n{_rate(network)} {network['note']}")
    parts.append(f"## Installed\n\n{_installed()}")
    _PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n")


def _lost(losses: Sequence[str]) -> str:
    if not losses:
        return "No row of FP32 is lost."
    return "Rows of FP32 that are lost, to whom:\n\n" + "\n".join(f"- {line}" for line in losses)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each contestant, a column for each batch; the fastest of a column in bold."""
    names = sorted({name for row in rows for name in row["milliseconds"]}, key=_order)
    last = rows[0]
    told = [one for one in _TOLD if last.get(one.key)]
    head = ["", *(f"batch {row['batch']}, ms" for row in rows), *(one.head for one in told)]
    lines = header(head)
    for name in names:
        cells = [name, *(_time(row["milliseconds"], name) for row in rows)]
        cells += [one.show(last[one.key][name]) if name in last[one.key] else "" for one in told]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def header(head: Sequence[str]) -> list[str]:
    """The first two lines of a table: words on the left, figures on the right."""
    return [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]


class _Told(NamedTuple):
    """A column of what is told beside the times: its key in a row, its heading, and how a figure is shown."""

    key: str
    head: str
    show: Callable[[float], str]


_TOLD = (
    _Told("psnr_db", "dB", lambda db: "exact" if db >= 200 else f"{db:.0f}"),
    _Told("within_one", "pixels", lambda share: f"{100 * share:.4g} %"),
    _Told("ready_s", "start, s", lambda seconds: f"{seconds:.1f}"),
    _Told("peak_mib", "MiB", lambda mib: f"{mib:.0f}"),
)


def _order(name: str) -> tuple[bool, str]:
    return not name.startswith("ganrt"), name.lower()


def _time(times: Mapping[str, float], name: str) -> str:
    if name not in times:
        return ""
    shown = f"{times[name]:.3g}" if times[name] < 1000 else f"{times[name]:.0f}"
    return f"**{shown}**" if times[name] == min(times.values()) else shown


def _rate(network: Mapping[str, Any]) -> str:
    """The arithmetic of the graph as traced, over ganrt's time; rewrites need less, so it may be more than all."""
    flops = 2 * network["multiply_adds"]
    rate = max(flops * row["batch"] / row["milliseconds"]["ganrt fp32"] / 1e6 for row in network["rows"])
    return (
        f"{flops / 1e9:.3g} billion operations a sample; ganrt in FP32 does {rate:.0f} billion a second at best, "
        f"{rate / network['gemm_gflops']:.0%} of what a matrix product reaches here ({network['gemm_gflops']:.0f})."
    )


def _machine(network: Mapping[str, Any]) -> str:
    here = network["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    return (
        f"{', '.join(here['features'])}; {here['cores']} cores, a virtual machine; Python {here['python']}, PyTorch "
        f"{network['torch'].split('+')[0]}, {versions}, MNN {network['mnn']}, ncnn {network['ncnn']}."
    )


def _installed() -> str:
    lines = ["| | MiB on disk, without what it depends on |", "|---|---:|"]
    for what, names in _SIZES.items():
        sizes = [size for name in names if (size := _size(name)) is not None]
        if len(sizes) == len(names):
            lines.append(f"| {what} | {sum(sizes) / 2**20:.1f} |")
    return "\n".join(lines)


def _size(name: str) -> int | None:
    if name == "ganrt":  # may be installed from its sources, in place
        return sum(
            file.stat().st_size for file in (_PAGE.parents[1] / "ganrt").rglob("*.*") if "__pycache__" not in str(file)
        )
    try:
        files = importlib.metadata.files(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    return sum(Path(str(file.locate())).stat().st_size for file in files if Path(str(file.locate())).is_file())
