"""results/league/ -> the README's table, between two marks: the best of each rival's settings, and what it comes to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .page import Machine, header

__all__ = ["write"]

_README = Path(__file__).parents[2] / "README.md"
_START, _END = "<!-- league: made by benchmarks/league/readme.py -->\n", "<!-- /league -->\n"
_TITLES = {
    "digits": "digits, 28 x 28",
    "dcgan28": "DCGAN, 28 x 28",
    "face": "face DCGAN, 64 x 64",
    "sngan": "ResNet GAN with upsampling, 64 x 64",
    "stylegan2-64": "StyleGAN2, 64 x 64",
    "stylegan2-256": "StyleGAN2, 256 x 256",
    "srvgg": "SRVGG x4, 64 x 64",
    "rrdb": "RRDB x4, 6 blocks, 48 x 48",
    "wavegan": "WaveGAN, 16,384 samples",
    "hifigan": "HiFi-GAN",
}
_FP32 = {
    "ganrt": ("ganrt fp32",),
    "ONNX Runtime": ("ONNX Runtime",),
    "OpenVINO": ("OpenVINO", "OpenVINO throughput"),
    "PyTorch": ("PyTorch", "PyTorch channels last", "torch.compile"),
    "MNN": ("MNN",),
    "ncnn": ("ncnn",),
}
_LOWER = {"ganrt, default precision": "ganrt", "OpenVINO, INT8 by NNCF": "OpenVINO INT8"}
_EXACT_DB = 100.0  # from here on it is float32


def write(machines: Sequence[Machine]) -> None:
    """The part between the marks anew: ratios of all machines, and the times of the one that has most rows."""
    text = _README.read_text()
    before, rest = text.split(_START)
    _, after = rest.split(_END)
    shown = max(machines, key=lambda one: sum(len(network["rows"]) for network in one.held["networks"].values()))
    parts = [_ratios(machines), f"Milliseconds a call on the {_name(shown)}:", _times(shown.held["networks"])]
    _README.write_text(f"{before}{_START}\n" + "\n\n".join(parts) + f"\n\n{_END}{after}")


def _name(machine: Machine) -> str:
    name = next(iter(machine.held["networks"].values()))["machine"]["processor"]
    return " ".join(re.sub(r"\(R\)|Processor", "", name).split())


def _ratios(machines: Sequence[Machine]) -> str:
    """Every promise as a line, every machine as a column."""
    told = [dict(line.split(": ", 1) for line in one.summary) for one in machines]
    lines = header(["times as fast, geometric mean (rows won)", *map(_name, machines)])
    for what in told[0]:
        cells = []
        for one in told:
            found = re.match(r"([\d.]+)x \(geometric mean of (\d+) rows, (\d+) won", one.get(what, ""))
            cells.append(f"{found[1]}x ({found[3]} of {found[2]})" if found else "")
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _times(networks: Mapping[str, Any]) -> str:
    head = ["", "batch", *_FP32, *_LOWER]
    lines = header(head)
    for name, network in networks.items():
        for row in network["rows"]:
            times, db = row["milliseconds"], row["psnr_db"]
            least = {
                who: min((times[one] for one in ways if one in times), default=None) for who, ways in _FP32.items()
            }
            best = min(took for took in least.values() if took is not None)
            cells = [_shown(took, took == best) for took in least.values()]
            for way in _LOWER.values():
                lower = way in times and db[way] < _EXACT_DB
                cells.append(f"{_shown(times[way])} ({db[way]:.0f} dB)" if lower else "")
            lines.append(f"| {_TITLES[name]} | {row['batch']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(took: float | None, best: bool = False) -> str:
    if took is None:
        return ""
    text = f"{took:.3g}" if took < 1000 else f"{took:,.0f}"
    return f"**{text}**" if best else text
