"""From `python` to the first image, in a fresh process each time; and what `import ganrt` costs beyond numpy.

Targets: the first image within 1.15 times a bare onnxruntime script on the same graph; the import within 30 ms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from ganrt import Bundle

from ..runner import report

ROUNDS = 25
RIVALS = Path(__file__).parent / "rivals"
IMPORTS = {"import numpy": "import numpy", "import numpy, ganrt": "import numpy, ganrt"}


def main() -> None:
    graph = Path(RIVALS.parent / "digits.onnx")
    graph.write_bytes(Bundle.open("digits").graph())
    scripts = {
        "bare": [str(RIVALS / "bare_onnxruntime.py"), str(graph)],
        "ganrt": [str(RIVALS / "ganrt_first_image.py"), "onnxruntime"],
        "ganrt auto": [str(RIVALS / "ganrt_first_image.py"), "auto"],
    }
    try:
        commands = scripts | {name: ["-c", f"{code}; print(1)"] for name, code in IMPORTS.items()}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(ROUNDS + 2):
            for name, arguments in commands.items():
                seconds = _until_first_line([sys.executable, *arguments])
                if turn >= 2:  # the first two fill the file cache and ganrt's own
                    times[name].append(seconds)
    finally:
        graph.unlink()
    ms = {name: median(values) * 1e3 for name, values in times.items()}
    ratios = {
        name: median([a / b for a, b in zip(times[name], times["bare"], strict=True)])
        for name in ("ganrt", "ganrt auto")
    }
    more = median([b - a for a, b in zip(times["import numpy"], times["import numpy, ganrt"], strict=True)])
    report(
        "cold_start",
        [
            f"to the first image: bare onnxruntime {ms['bare']:.0f} ms",
            f"ganrt on onnxruntime {ms['ganrt']:.0f} ms: {ratios['ganrt']:.3f} times",
            f"ganrt's own choice {ms['ganrt auto']:.0f} ms: {ratios['ganrt auto']:.3f} times",
            f"import ganrt beyond numpy: {more * 1e3:+.1f} ms (all paired, medians of {ROUNDS} rounds)",
        ],
        {"seconds": times, "ratios": ratios, "import_s": more},
    )


def _until_first_line(command: list[str]) -> float:
    # installed packages are byte-compiled; a checkout that may not be would pay for the compiler each time
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
    if not line or process.returncode:
        raise SystemExit(f"{command} failed.")
    return seconds
