"""Simulated annealing of elimination orders, compiled: some thousand orders a second.

Counts the same multiplications as `bayesnet.inference.steps` does in Python, for one order after
the other (Kirkpatrick, Gelatt & Vecchi 1983, Science 220:671). Needs Numba, so it is loaded only
where an order is searched long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from bayesnet.network.factor import FloatArray

__all__ = ["MOST_STATES", "Work", "anneal", "multiplications"]

IntArray = npt.NDArray[np.int64]

#: A scope wider than this is not worth counting: its table could never be formed.
WIDEST_SCOPE = 64
#: Values that contributions may take are the bits of one integer.
MOST_STATES = 62
HUGE = 1e300


@dataclass(frozen=True, eq=False)
class Work:
    """What a program starts from, as arrays.

    Attributes
    ----------
    widths : ndarray
        Shape `(factors,)`: variables of each factor.
    scopes : ndarray
        Shape `(factors, WIDEST_SCOPE)`: those variables.
    reached : ndarray
        Same shape: the values that contributions on the variable can take, as bits; 0 where the
        factor is a function of it.
    entries : ndarray of float
        Size of each factor.
    constant : ndarray of bool
    sizes : ndarray
        States of every variable.
    toward_first : ndarray of bool
        Whether contributions to it combine by the minimum.
    """

    widths: IntArray
    scopes: IntArray
    reached: IntArray
    entries: FloatArray
    constant: npt.NDArray[np.bool_]
    sizes: IntArray
    toward_first: npt.NDArray[np.bool_]

    def arrays(self) -> tuple[npt.NDArray[np.generic], ...]:
        """In the order of the compiled functions."""
        return (
            self.widths, self.scopes, self.reached, self.entries, self.constant, self.sizes,
            self.toward_first,
        )


def multiplications(work: Work, order: IntArray) -> float:
    """Multiplications of both passes in `order`."""
    arrays = work.arrays()
    return float(_count(np.asarray(order, np.int64), arrays, HUGE, _room(len(work.widths))))


def anneal(
    works: tuple[Work, ...], weights: FloatArray, start: IntArray, steps: int,
    heat: float, seed: int,
) -> tuple[IntArray, float]:
    """The cheapest order met, and its cost: the multiplications of all `works`, weighted.

    Parameters
    ----------
    works : tuple of Work
        Over the same variables.
    weights : ndarray
    start : ndarray
    steps : int
        Orders to try; one variable moves at a time.
    heat : float
        The temperature falls from this share of the cost to nothing.
    seed : int
    """
    arrays = tuple(w.arrays() for w in works)
    order, cost = _anneal(np.asarray(start, np.int64), arrays, weights, steps, heat, seed)
    return order, float(cost)


@njit(cache=True, nogil=True)
def _values(reached: int, size: int) -> int:
    """How many values: all states of a function, those reached by contributions."""
    if reached == 0:
        return size
    found = 0
    while reached:
        reached &= reached - 1
        found += 1
    return found


@njit(cache=True, nogil=True)
def _combined(a: int, b: int, toward_first: bool) -> int:
    """The maxima (minima) of a value of `a` and one of `b`, as bits."""
    if toward_first:
        # No minimum exceeds the largest value of either.
        top_a, top_b = a, b
        while top_a & (top_a - 1):
            top_a &= top_a - 1
        while top_b & (top_b - 1):
            top_b &= top_b - 1
        return (a & (2 * top_b - 1)) | (b & (2 * top_a - 1))
    low_a, low_b = a & -a, b & -b
    return (a & ~(low_b - 1)) | (b & ~(low_a - 1))


@njit(cache=True, nogil=True)
def _terms(
    a: int, b: int, gone: int, widths: IntArray, scopes: IntArray, reached: IntArray, sizes: IntArray,
    place: IntArray,
) -> float:
    """Products of a contraction, as `Compiler._terms`."""
    total = 1.0
    for i in range(widths[a]):
        place[scopes[a, i]] = i
    shared = 0
    for j in range(widths[b]):
        v = scopes[b, j]
        i = place[v]
        at_b = _values(reached[b, j], sizes[v])
        if i < 0:
            total *= at_b
            continue
        shared += 1
        at_a = _values(reached[a, i], sizes[v])
        function_a, function_b = reached[a, i] == 0, reached[b, j] == 0
        if function_a and function_b:
            total *= at_a
        elif v == gone and (function_a or function_b):
            total *= min(at_a, at_b)
        else:
            total *= at_a * at_b
        place[v] = -2 - i
    for i in range(widths[a]):
        v = scopes[a, i]
        if place[v] >= 0:
            total *= _values(reached[a, i], sizes[v])
        place[v] = -1
    return total


@njit(cache=True, nogil=True)
def _room(factors: int) -> IntArray:
    """Scopes and reached values of all nodes, to be written over for every order."""
    most = 4 * factors + 8
    return np.empty((2, most, WIDEST_SCOPE), np.int64)


@njit(cache=True, nogil=True)
def _count(order: IntArray, work: Any, limit: float, room: IntArray) -> float:
    """Multiplications of both passes; stops once they exceed `limit`."""
    widths0, scopes0, reached0, entries0, constant0, sizes, toward_first = work
    factors, n = len(widths0), len(order)
    most = room.shape[1]
    widths = np.empty(most, np.int64)
    scopes, reached = room[0], room[1]
    entries = np.empty(most)
    constant = np.empty(most, np.bool_)
    place = np.full(len(sizes), -1, np.int64)
    position = np.zeros(len(sizes), np.int64)
    head = np.full(n + 1, -1, np.int64)  # buckets as linked lists; the last is for numbers
    following = np.full(most, -1, np.int64)
    pool = np.empty(most, np.int64)
    for k in range(n):
        position[order[k]] = k
    for f in range(factors):
        widths[f], entries[f], constant[f] = widths0[f], entries0[f], constant0[f]
        bucket = n
        for j in range(widths0[f]):
            scopes[f, j], reached[f, j] = scopes0[f, j], reached0[f, j]
            bucket = min(bucket, position[scopes0[f, j]])
        following[f] = head[bucket]
        head[bucket] = f
    nodes = factors
    total = 0.0
    for k in range(n + 1):
        count = 0
        node = head[k]
        while node >= 0:
            # In the order in which the nodes were made.
            at = count
            while at > 0 and pool[at - 1] > node:
                pool[at] = pool[at - 1]
                at -= 1
            pool[at] = node
            count += 1
            node = following[node]
        while count > 0:
            right, first, second = -1, 0, 0
            last = count <= 2
            gone = order[k] if last and k < n else -1
            if k == n and count == 1:
                break
            if count > 2:
                cheapest, moves = HUGE, 2
                for i in range(count):
                    for j in range(i):
                        depends = 0 if constant[pool[i]] and constant[pool[j]] else 1
                        if depends > moves:
                            continue
                        terms = _terms(
                            pool[i], pool[j], -1, widths, scopes, reached, sizes, place
                        )
                        if depends < moves or terms < cheapest:
                            moves, cheapest, first, second = depends, terms, j, i
            elif count == 2:
                second = 1
            left = pool[first]
            if count > 1:
                right = pool[second]
            new_constant = constant[left] and (right < 0 or constant[right])
            if not new_constant:
                if right >= 0:
                    passes = 1 + (not constant[left]) + (not constant[right])
                    total += passes * _terms(left, right, gone, widths, scopes, reached, sizes, place)
                else:
                    total += 2 * entries[left]
                if total > limit:
                    return total
            out, width, size = nodes, 0, 1.0
            nodes += 1
            for side in range(2):
                source = left if side == 0 else right
                if source < 0:
                    continue
                for i in range(widths[source]):
                    v = scopes[source, i]
                    if v == gone:
                        continue
                    at = place[v]
                    if at >= 0:
                        if reached[out, at] == 0 or reached[source, i] == 0:
                            reached[out, at] = 0
                        else:
                            reached[out, at] = _combined(
                                reached[out, at], reached[source, i], toward_first[v]
                            )
                        continue
                    if width == WIDEST_SCOPE:
                        return HUGE
                    scopes[out, width], reached[out, width] = v, reached[source, i]
                    place[v] = width
                    width += 1
                    size *= sizes[v]
            for i in range(width):
                place[scopes[out, i]] = -1
            widths[out], entries[out], constant[out] = width, size, new_constant
            if last:
                bucket = n
                for i in range(width):
                    bucket = min(bucket, position[scopes[out, i]])
                if k < n:
                    following[out] = head[bucket]
                    head[bucket] = out
                break
            kept = 0
            for i in range(count):
                if i not in (first, second):
                    pool[kept] = pool[i]
                    kept += 1
            pool[kept] = out
            count = kept + 1
    return total


@njit(cache=True, nogil=True)
def _weighted(
    order: IntArray, works: Any, weights: FloatArray, limit: float, room: IntArray
) -> float:
    total = 0.0
    for i in range(len(works)):
        total += weights[i] * _count(order, works[i], (limit - total) / weights[i], room)
        if total > limit:
            break
    return total


@njit(cache=True, nogil=True)
def _anneal(
    start: IntArray, works: Any, weights: FloatArray, steps: int, heat: float, seed: int
) -> tuple[IntArray, float]:
    np.random.seed(seed)  # noqa: NPY002
    n = len(start)
    factors = 0
    for work in works:
        factors = max(factors, len(work[0]))
    room = _room(factors)
    current, best, trial = start.copy(), start.copy(), start.copy()
    now = lowest = _weighted(start, works, weights, HUGE, room)
    for step in range(steps):
        i = np.random.randint(n)  # noqa: NPY002
        shift = 1 + int(-math.log(1 - np.random.random()) * 12)  # noqa: NPY002
        j = min(n - 1, max(0, i + shift if np.random.random() < 0.5 else i - shift))  # noqa: NPY002
        if i == j:
            continue
        trial[:] = current
        if i < j:
            trial[i:j] = current[i + 1 : j + 1]
        else:
            trial[j + 1 : i + 1] = current[j:i]
        trial[j] = current[i]
        # Metropolis, with the random number drawn first: what costs more than this is refused.
        luck = 1 - np.random.random()  # noqa: NPY002
        bound = now * math.exp(-heat * (1 - step / steps) * math.log(luck))
        then = _weighted(trial, works, weights, bound, room)
        if then <= bound:
            current[:] = trial
            now = then
            if now < lowest:
                lowest = now
                best[:] = trial
    return best, lowest
