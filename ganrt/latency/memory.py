"""Resident memory of this process, in MiB."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

__all__ = ["Peak", "resident"]


def resident(field: str = "VmRSS") -> float:
    """Memory in use now; "VmHWM" is the greatest so far. 0 where the system does not tell."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return round(int(found[1]) / 1024, 1) if found else 0.0


class Peak:
    """The greatest from here on: the kernel's own mark where it can be set back, else the greatest seen by `look`."""

    def __init__(self) -> None:
        self._seen = resident()
        self._marked = False
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
            self._marked = resident("VmHWM") <= self._seen * 1.02 + 1

    def look(self) -> None:
        self._seen = max(self._seen, resident())

    def end(self) -> float:
        self.look()
        return max(self._seen, resident("VmHWM")) if self._marked else self._seen
