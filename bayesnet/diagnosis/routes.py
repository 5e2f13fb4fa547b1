"""By which way a finding bears on a cause: the strongest chain of arcs between them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection

from bayesnet.network import Network

__all__ = ["path_between"]

#: An arc that moves nothing is still a way where there is no other.
WEAKEST = 1e-9


def path_between(
    network: Network, cause: str, finding: str, known: Collection[str] = ()
) -> tuple[str, ...]:
    """The strongest way by which the finding bears on the cause, `known` being known.

    Down the arcs from cause to finding if there is one; down from finding to cause (a risk factor);
    else from what both have in common. A way through something known is closed. Strongest is the way
    whose arcs have the largest product of strengths (`Network.arc_strength`), so that of two ways the
    longer one is taken only where the shorter one carries less.
    """
    down, _ = _strongest(network, cause, finding, known)
    if down:
        return down
    up, _ = _strongest(network, finding, cause, known)
    if up:
        return up
    common = network.ancestors([cause]) & network.ancestors([finding])
    best: tuple[str, ...] = ()
    least = math.inf
    for v in network.variables:
        if v not in common or v in known:
            continue
        to_cause, first = _strongest(network, v, cause, known)
        to_finding, second = _strongest(network, v, finding, known)
        if to_cause and to_finding and first + second < least:
            best, least = (*reversed(to_cause), *to_finding[1:]), first + second
    if best:
        return best
    # Neither: they compete to explain something below both, the outcome among them.
    return (cause, "...", finding)


def _strongest(
    network: Network, start: str, end: str, known: Collection[str]
) -> tuple[tuple[str, ...], float]:
    """The directed path with the least sum of -log strength that meets nothing known between its ends.

    Dijkstra's algorithm; of equals the one that comes first in the model. Nothing, and infinity,
    where there is none.
    """
    place = {v: i for i, v in enumerate(network.variables)}
    before = {start: start}
    length = {start: 0.0}
    queue = [(0.0, place[start], start)]
    done: set[str] = set()
    while queue:
        so_far, _, v = heapq.heappop(queue)
        if v == end:
            break
        if v in done:
            continue
        done.add(v)
        for child in network.children[v]:
            if child != end and child in known:
                continue
            further = so_far - math.log(max(network.arc_strength(v, child), WEAKEST))
            if further < length.get(child, math.inf):
                length[child], before[child] = further, v
                heapq.heappush(queue, (further, place[child], child))
    if end not in before:
        return (), math.inf
    path = [end]
    while path[-1] != start:
        path.append(before[path[-1]])
    return tuple(reversed(path)), length[end]
