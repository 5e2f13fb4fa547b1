"""Anderson acceleration of EM: where the last steps together lead.

EM is slow where much is hidden. Let f(x) be the step that EM takes from x. Over the last points, the
combination of steps is sought that is shortest, by least squares, and taken to hold for the points
too (Anderson 1965, J ACM 12:547; for EM, with restarts and a guard of the objective, Henderson &
Varadhan 2019, J Comput Graph Stat 28:834). At a fixed point of EM f is nothing, so that the fixed
points stay the same; `bayesnet.learning.em` keeps a point only if the log posterior does not fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesnet.learning.local import Local
from bayesnet.network.factor import FloatArray

__all__ = ["Path"]

#: Points before the present one that are looked back on.
MEMORY = 10
#: Directions in which the steps differ less than this, relative to the most, count for nothing.
SMALLEST = 1e-8
#: The most that a coordinate (a log of odds) moves at once.
LONGEST = 8.0


@dataclass(frozen=True, eq=False)
class Path:
    """The last points of EM and the step that EM takes from each.

    Attributes
    ----------
    points, steps : tuple of ndarray
        Free coordinates of all variables, one after the other; the last is the present.
    """

    points: tuple[FloatArray, ...] = ()
    steps: tuple[FloatArray, ...] = ()

    def onward(self, here: Mapping[str, Local], there: Mapping[str, Local]) -> Path:
        """With one point more, from which EM goes `there`; afresh where coordinates came or went."""
        x, y = _coordinates(here), _coordinates(there)
        if len(x) != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
            return Path()
        if self.points and len(self.points[-1]) != len(x):
            return Path((x,), (y - x,))
        return Path((*self.points[-MEMORY:], x), (*self.steps[-MEMORY:], y - x))

    @property
    def present(self) -> Path:
        """Without the points before."""
        return Path(self.points[-1:], self.steps[-1:])

    def ahead(self, there: Mapping[str, Local]) -> dict[str, Local] | None:
        """Where the steps lead, given where EM goes; None if they do not show it."""
        if len(self.points) < 2:
            return None
        by_step = np.diff(np.array(self.steps), axis=0).T
        by_point = np.diff(np.array(self.points), axis=0).T
        step = self.steps[-1]
        combined = np.linalg.lstsq(by_step, step, rcond=SMALLEST)[0]
        move = step - (by_point + by_step) @ combined
        if not np.isfinite(move).all() or np.abs(move).max(initial=0.0) > LONGEST:
            return None
        point = self.points[-1] + move
        found, start = {}, 0
        for v, x in there.items():
            size = len(x.coordinates())
            found[v] = x.at(point[start : start + size])
            start += size
        return found


def _coordinates(state: Mapping[str, Local]) -> FloatArray:
    return np.concatenate([*(x.coordinates() for x in state.values()), np.zeros(0)])
