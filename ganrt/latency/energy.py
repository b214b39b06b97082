"""Energy of the processor, where the platform counts it.

Linux shows the counters of Intel's and AMD's processors (RAPL) under /sys/class/powercap, one for each package with all
that is on it: other programs count as well (https://docs.kernel.org/power/powercap/powercap.html). Since Linux 5.10
only root may read them, because they tell what others compute (CVE-2020-8694). Virtual machines mostly have none.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

__all__ = ["Energy", "Meter"]

_FOLDER = Path("/sys/class/powercap")


class Energy(msgspec.Struct, frozen=True):
    """`joules` in `seconds`, of the `domains` that were counted. `joules` None: not told, and `note` says why."""

    joules: float | None
    seconds: float
    domains: tuple[str, ...] = ()
    note: str = ""

    @property
    def watts(self) -> float | None:
        return None if self.joules is None or self.seconds <= 0 else self.joules / self.seconds


class _Domain(NamedTuple):
    """A counter of microjoules that begins anew after `most`."""

    name: str
    path: Path
    most: int


class Meter:
    """Counts the energy of what runs within: `with Meter() as meter: ...`, then `meter.energy`."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self.energy = Energy(None, 0.0)
        self._domains, self._note = _domains(folder)
        self._begun: list[int] = []
        self._started = 0.0

    def __enter__(self) -> Self:
        self._begun, self._started = self._read(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended, seconds = self._read(), time.perf_counter() - self._started
        if self._note:
            self.energy = Energy(None, seconds, note=self._note)
            return
        spent = [
            (after - before) % one.most for one, before, after in zip(self._domains, self._begun, ended, strict=True)
        ]
        self.energy = Energy(sum(spent) / 1e6, seconds, tuple(one.name for one in self._domains))

    def _read(self) -> list[int]:
        try:
            return [int(one.path.read_text()) for one in self._domains]
        except (OSError, ValueError) as problem:  # taken away meanwhile
            self._domains, self._note = [], f"this machine stopped telling its energy: {problem}"
            return []


def _domains(folder: Path) -> tuple[list[_Domain], str]:
    """One counter for each package, or none and the reason; the domains within a package are part of it."""
    found, closed = list[_Domain](), False
    for zone in sorted(folder.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        try:
            name = (zone / "name").read_text().strip()
            if not name.startswith("package"):  # "psys" holds the packages; "dram" is another's
                continue
            most = int((zone / "max_energy_range_uj").read_text()) + 1
            int((zone / "energy_uj").read_text())
            found.append(_Domain(name, zone / "energy_uj", most))
        except PermissionError:
            closed = True
        except (OSError, ValueError):
            continue
    if found:
        return found, ""
    if closed:
        return [], f"this machine counts its energy, but lets only root read it: sudo chmod a+r {folder}/*/energy_uj"
    return [], "this machine does not tell its energy; virtual machines mostly do not"
