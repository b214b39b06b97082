"""Which of several ways is the fastest: turns in which each has a call, until it is clear.

What else goes on on a machine slows it for a second or for a minute, so that times of different moments say little of
each other; those of one turn say much. Who is behind in most turns leaves, by less the more turns there were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean, median

import numpy as np

__all__ = ["Race"]

_TURNS = 3  # from which a median says more than the least time
_SURE = 10  # turns after which the time of a way alone is known
_ENOUGH = 70  # turns after which 6 % would have been seen
_SPREAD = 0.5  # of a median's error, times the fastest's time: over the root of the turns
_QUIET = 25  # percentile of the turns: the time that a call takes where little else goes on


class Race:
    """Ways at one batch size. `first`: a time of each, taken before; who takes `far` times the least has no turn."""

    def __init__(self, first: Mapping[str, float], far: float) -> None:
        least = min(first.values())
        self._least = dict(first)
        self._turns: list[dict[str, float]] = []
        self.running = [name for name, took in first.items() if took <= far * least]
        # times the fastest's, of those that left
        self._behind = {name: took / least for name, took in first.items() if name not in self.running}

    @property
    def over(self) -> bool:
        """Would further turns tell anything?"""
        return len(self._turns) >= (_SURE if len(self.running) == 1 else _ENOUGH)

    def turn(self, taken: Mapping[str, float]) -> None:
        """A call of each that still runs, one right after the other."""
        self._turns.append(dict(taken))
        self._least |= {name: min(took, self._least[name]) for name, took in taken.items()}
        if len(self._turns) >= _TURNS:
            levels = self._levels()
            near = (1 + _SPREAD / math.sqrt(len(self._turns))) * min(levels.values())
            self._behind |= {name: level / min(levels.values()) for name, level in levels.items() if level > near}
            self.running = [name for name, level in levels.items() if level <= near]

    def times(self) -> dict[str, float]:
        """What each takes; of too few turns the least, and who left is as far behind as it was then."""
        if len(self._turns) < _TURNS:
            return self._least
        levels = self._levels()
        least = min(levels.values())
        return {name: times * least for name, times in self._behind.items()} | levels

    def _levels(self) -> dict[str, float]:
        """Of those that had all turns: the median of a way's shares of the turns' means, times a quiet turn's mean."""
        means = [fmean(turn[name] for name in self.running) for turn in self._turns]
        quiet = float(np.percentile(means, _QUIET))
        return {
            name: quiet * median(turn[name] / mean for turn, mean in zip(self._turns, means, strict=True))
            for name in self.running
        }
