"""By which way a finding bears on a cause: the strongest chain of arcs between them."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from functools import cached_property

from bayesnet.network import Network

__all__ = ["Routes"]

#: An arc that moves nothing is still a way where there is no other.
WEAKEST = 1e-9


@dataclass(frozen=True, eq=False)
class _Reached:
    """What can be reached from a variable down the arcs: how far, and from where."""

    length: dict[str, float]
    before: dict[str, str]

    def path(self, end: str) -> tuple[str, ...]:
        """The way to `end`; nothing where there is none."""
        if end not in self.before:
            return ()
        path = [end]
        while self.before[path[-1]] != path[-1]:
            path.append(self.before[path[-1]])
        return tuple(reversed(path))


@dataclass(frozen=True, eq=False)
class Routes:
    """The strongest ways through a network in which some variables are known.

    Strongest is the way whose arcs have the largest product of strengths (`Network.arc_strength`), so
    that of two ways the longer one is taken only where the shorter one carries less. A way through
    something known is closed.

    Attributes
    ----------
    network : Network
    known : frozenset of str
    """

    network: Network
    known: frozenset[str] = frozenset()

    def between(self, cause: str, finding: str) -> tuple[str, ...]:
        """The way by which `finding` bears on `cause`.

        Down the arcs from cause to finding if there is one; down from finding to cause (a risk
        factor); else from what both have in common. `(cause, "...", finding)` where they only compete
        to explain something below both, the outcome among them.
        """
        way = self._from(cause).path(finding) or self._from(finding).path(cause)
        if way:
            return way
        least = math.inf
        for v in self._above(cause, finding):
            reached = self._from(v)
            far = reached.length.get(cause, math.inf) + reached.length.get(finding, math.inf)
            if far < least:
                least = far
                way = (*reversed(reached.path(cause)), *reached.path(finding)[1:])
        return way or (cause, "...", finding)

    def _above(self, *below: str) -> list[str]:
        common = set.intersection(*(set(self.network.ancestors([v])) for v in below)) - self.known
        return sorted(common, key=self._place.__getitem__)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {v: i for i, v in enumerate(self.network.variables)}

    @cached_property
    def _trees(self) -> dict[str, _Reached]:
        return {}

    def _from(self, start: str) -> _Reached:
        """Dijkstra's algorithm on -log strength; of equals the one that comes first in the model."""
        if start in self._trees:
            return self._trees[start]
        length, before = {start: 0.0}, {start: start}
        queue = [(0.0, self._place[start], start)]
        done: set[str] = set()
        while queue:
            so_far, _, v = heapq.heappop(queue)
            if v in done:
                continue
            done.add(v)
            if v in self.known and v != start:
                continue
            for child in self.network.children[v]:
                further = so_far - math.log(max(self.network.arc_strength(v, child), WEAKEST))
                if further < length.get(child, math.inf):
                    length[child], before[child] = further, v
                    heapq.heappush(queue, (further, self._place[child], child))
        self._trees[start] = _Reached(length, before)
        return self._trees[start]
