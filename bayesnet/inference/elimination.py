"""Elimination orders: in which order the variables are summed out, and what that costs.

The order decides the size of every table that exact inference builds (the treewidth), so several
greedy heuristics are tried with several random tie-breaks and the cheapest order is kept
(Kjærulff 1990; Koller & Friedman 2009, section 9.4.3).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "Elimination",
    "cost_of_order",
    "eliminate_greedily",
    "good_eliminations",
]


@dataclass(frozen=True, slots=True)
class Elimination:
    """An elimination order and what it costs.

    Attributes
    ----------
    order : tuple of int
        Variables, first eliminated first.
    width : int
        Treewidth of the order: variables in the largest clique, minus one.
    entries : float
        Clique-table entries in all.
    largest : float
        Entries of the largest clique.
    """

    order: tuple[int, ...]
    width: int
    entries: float
    largest: float


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _weight(log_sizes: Sequence[float]) -> Callable[[int, int, list[int]], float]:
    def score(v: int, mask: int, adjacent: list[int]) -> float:
        return log_sizes[v] + sum(log_sizes[u] for u in _bits(mask))

    return score


def _fill(log_sizes: Sequence[float]) -> Callable[[int, int, list[int]], float]:
    def score(v: int, mask: int, adjacent: list[int]) -> float:
        return sum((mask & ~adjacent[u]).bit_count() - 1 for u in _bits(mask))

    return score


def _weighted_fill(log_sizes: Sequence[float]) -> Callable[[int, int, list[int]], float]:
    def score(v: int, mask: int, adjacent: list[int]) -> float:
        total = 0.0
        for u in _bits(mask):
            missing = mask & ~adjacent[u] & ~(1 << u)
            total += log_sizes[u] * sum(log_sizes[w] for w in _bits(missing))
        return total

    return score


HEURISTICS = {"weight": _weight, "fill": _fill, "weighted_fill": _weighted_fill}


def eliminate_greedily(
    adjacency: Sequence[int],
    sizes: Sequence[int],
    heuristic: str,
    rng: random.Random,
    slack: float = 0.0,
    give_up_above: float = math.inf,
) -> Elimination | None:
    """Eliminate the cheapest variable, again and again.

    Parameters
    ----------
    adjacency : sequence of int
        Bit masks: bit u of entry v is set when u and v share a factor.
    sizes : sequence of int
        Numbers of states.
    heuristic : str
        `weight` (size of the clique made), `fill` (edges added) or `weighted_fill`.
    rng : random.Random
        Breaks ties.
    slack : float
        Variables whose score is within this fraction of the best are taken as tied.
    give_up_above : float
        Return None as soon as the order costs more entries than this.
    """
    n = len(sizes)
    log_sizes = [math.log(s) for s in sizes]
    score = HEURISTICS[heuristic](log_sizes)
    adjacent = list(adjacency)
    left = set(range(n))
    scores = {v: score(v, adjacent[v], adjacent) for v in left}
    order, width, entries, largest = [], 0, 0.0, 0.0
    while left:
        low = min(scores.values())
        limit = low + slack * abs(low) + 1e-12
        v = rng.choice([u for u in sorted(left) if scores[u] <= limit])
        mask = adjacent[v]
        size = math.exp(log_sizes[v] + sum(log_sizes[u] for u in _bits(mask)))
        entries += size
        largest = max(largest, size)
        width = max(width, mask.bit_count())
        if entries > give_up_above:
            return None
        order.append(v)
        left.remove(v)
        del scores[v]
        touched = mask
        for u in _bits(mask):
            adjacent[u] = (adjacent[u] | mask) & ~(1 << u) & ~(1 << v)
            if heuristic != "weight":
                touched |= adjacent[u]
        for u in _bits(touched):
            scores[u] = score(u, adjacent[u], adjacent)
    return Elimination(tuple(order), width, entries, largest)


def good_eliminations(
    scopes: Iterable[Sequence[int]],
    sizes: Sequence[int],
    tries: int = 8,
    seed: int = 0,
    keep: int = 16,
    enough: float = 0.0,
) -> list[Elimination]:
    """The cheapest orders found by every heuristic with `tries` random tie-breaks each.

    Parameters
    ----------
    scopes : iterable of sequence of int
        Variables of each factor.
    sizes : sequence of int
        Numbers of states.
    tries : int
        Runs a heuristic; the first has no slack.
    seed : int
        Same seed, same orders.
    keep : int
        The most orders to return, cheapest first.
    enough : float
        Stop as soon as an order has no more entries than this.
    """
    adjacency = [0] * len(sizes)
    for scope in scopes:
        mask = 0
        for v in scope:
            mask |= 1 << v
        for v in scope:
            adjacency[v] |= mask & ~(1 << v)
    found: dict[tuple[int, ...], Elimination] = {}
    cheapest = math.inf
    for heuristic in HEURISTICS:
        rng = random.Random(f"{heuristic} {seed}")
        for attempt in range(tries):
            one = eliminate_greedily(
                adjacency,
                sizes,
                heuristic,
                rng,
                slack=0.0 if attempt == 0 else 0.08,
                give_up_above=2 * cheapest,
            )
            if one is not None:
                found[one.order] = one
                cheapest = min(cheapest, one.entries)
            if cheapest <= enough:
                break
        if cheapest <= enough:
            break
    return sorted(found.values(), key=lambda e: (e.entries, e.order))[:keep]


def cost_of_order(
    scopes: Iterable[Sequence[int]], sizes: Sequence[int], order: Sequence[int]
) -> Elimination:
    """Treewidth and clique entries of a given order."""
    adjacent = [set[int]() for _ in sizes]
    for scope in scopes:
        for v in scope:
            adjacent[v] |= set(scope) - {v}
    width, entries, largest = 0, 0.0, 0.0
    for v in order:
        near = adjacent[v]
        size = float(math.prod(sizes[u] for u in near) * sizes[v])
        width, entries, largest = max(width, len(near)), entries + size, max(largest, size)
        for u in near:
            adjacent[u] |= near
            adjacent[u] -= {u, v}
    return Elimination(tuple(order), width, entries, largest)
