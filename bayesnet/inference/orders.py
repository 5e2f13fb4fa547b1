"""Orders of elimination for a compiler: kept, searched for, bettered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from bayesnet.inference.elimination import Elimination, cost_of_order, good_eliminations
from bayesnet.inference.hubs import leaf_hub
from bayesnet.inference.steps import Compiler
from bayesnet.network import Network

__all__ = [
    "LARGEST_PROGRAM", "OPEN_WEIGHT", "climbed_order", "counted_multiplications",
    "estimated_entries", "given_order", "search_order", "searched_order",
]

#: Clique-table entries of the largest program: its indices take some 30 bytes an entry.
LARGEST_PROGRAM = 1 << 26
#: A long search starts by accepting orders that cost about this share more.
HEAT = 0.03
#: What the program that leaves everything open counts in a search beside that of known strata: where
#: those are not known, the mixture of the strata answers, so that it is seldom run.
OPEN_WEIGHT = 0.05
#: A program of fewer multiplications, both passes, is not worth a climb: loading the compiled count
#: takes longer.
CLIMB_ABOVE = 500_000


def given_order(compiler: Compiler, order: Sequence[str] | None) -> Elimination | None:
    """The variables of the compiler in the given order; None if there is none or it lacks some."""
    if order is None:
        return None
    present = {v for n in compiler.open_nodes() for v in compiler.nodes[n].scope}
    ids = {compiler.names[v]: v for v in present}
    named = set(order)
    kept: list[str] = []
    for v in order:
        double = f"{v}'"
        if v not in ids:
            # A hub that this program does not take by difference stands where its double would.
            kept += [v[:-1]] if v.endswith("'") and v[:-1] in ids else []
        elif double in ids and double not in named:
            kept += [double, v]
        elif double in ids or double not in named:
            kept.append(v)
    if len(kept) != len(ids) or len(set(kept)) != len(ids):
        return None
    scopes = [compiler.nodes[n].scope for n in compiler.open_nodes()]
    return cost_of_order(scopes, compiler.sizes, [ids[v] for v in kept])


def searched_order(compiler: Compiler, tries: int, seed: int, largest: float) -> Elimination:
    """The cheapest of the orders that a greedy search finds; not compared above `largest` entries."""
    present = sorted({v for n in compiler.open_nodes() for v in compiler.nodes[n].scope})
    dense = {v: i for i, v in enumerate(present)}
    candidates = [
        replace(e, order=tuple(present[i] for i in e.order))
        for e in good_eliminations(
            [[dense[v] for v in compiler.nodes[n].scope] for n in compiler.open_nodes()],
            [compiler.sizes[v] for v in present],
            tries,
            seed,
        )
    ]
    if len(candidates) == 1 or candidates[0].entries > largest:
        return candidates[0]
    # Fewest clique entries is not yet fewest multiplications: count those of the best few.
    return min(candidates, key=lambda e: compiler.cost(e.order))


def climbed_order(compiler: Compiler, found: Elimination, steps: int, seed: int) -> Elimination:
    """The cheapest order met on the way from `found`, if that one is dear."""
    cost = compiler.cost(found.order)
    if cost <= CLIMB_ABOVE:
        return found
    from bayesnet.inference.annealing import MOST_STATES, anneal

    if max(compiler.sizes) > MOST_STATES:
        return found
    order, _ = anneal(
        (compiler.work(),), np.array([1.0 / cost]), np.array(found.order), steps, 0.0, seed
    )
    scopes = [compiler.nodes[n].scope for n in compiler.open_nodes()]
    return cost_of_order(scopes, compiler.sizes, order.tolist())


def counted_multiplications(
    network: Network, evidence_on: Iterable[str] | None = None, given: Iterable[str] = (),
    order: Sequence[str] | None = None,
) -> float:
    """Multiplications of both passes of the program that holds the variables `given`.

    Counted without forming a table, and so without regard to structural zeros; infinite for a
    program that `compile_program` would refuse.
    """
    held = dict.fromkeys(given, 0)
    seen = set(network.variables if evidence_on is None else evidence_on) | held.keys()
    slots = tuple(v for v in network.variables if v in seen)
    compiler = Compiler(network, slots, frozenset(), given=held)
    found = given_order(compiler, order) or searched_order(compiler, 8, 0, LARGEST_PROGRAM)
    return compiler.cost(found.order) if found.entries <= LARGEST_PROGRAM else math.inf


def estimated_entries(network: Network) -> float:
    """Clique-table entries of a program for `network`, by one quick greedy search."""
    compiler = Compiler(network, tuple(network.variables), frozenset())
    return searched_order(compiler, 1, 0, 0.0).entries


def search_order(
    network: Network,
    steps: int = 100_000,
    seed: int = 0,
    start: Sequence[str] | None = None,
    given: Iterable[str] = (),
    restarts: int = 4,
    on_progress: Callable[[int, float], None] | None = None,
) -> tuple[str, ...]:
    """Search long for an elimination order with few multiplications, for `compile_program`.

    Parameters
    ----------
    network : Network
    steps : int
        Orders to try in each restart (`bayesnet.inference.annealing`); some thousand a second.
    seed : int
        Same seed, same order.
    start : sequence of str, optional
        An order to begin with; the cheapest that a greedy search finds by default.
    given : iterable of str
        Variables known of most patients: the order is to suit the program that holds them (`given`
        of `compile_program`), and hardly the one that leaves them open (`OPEN_WEIGHT`).
    restarts : int
        Searches from the same start.
    on_progress : callable, optional
        Called with the orders tried and the multiplications of both passes so far.
    """
    from bayesnet.inference.annealing import anneal

    hub = leaf_hub(network)
    everything = tuple(v for v in network.variables if v != hub)
    left_out = {f"{hub}'": 0} if hub is not None else {}
    compiler = Compiler(network, everything, frozenset(), given=left_out)
    begin = given_order(compiler, start) or searched_order(compiler, 20, seed, LARGEST_PROGRAM)
    compilers = [compiler]
    if held := dict.fromkeys(given, 0):
        compilers.append(Compiler(network, everything, frozenset(), given=held | left_out))
    works = tuple(c.work() for c in compilers)
    weights = np.array([1.0 / c.cost(begin.order) for c in compilers])
    if held:
        weights[0] *= OPEN_WEIGHT

    def search(restart: int) -> tuple[float, tuple[int, ...]]:
        order, cost = anneal(
            works, weights, np.array(begin.order), steps, HEAT, seed * restarts + restart
        )
        return cost, tuple(order.tolist())

    cheapest = float("inf"), begin.order
    with ThreadPoolExecutor() as pool:
        for i, found in enumerate(pool.map(search, range(restarts)), start=1):
            cheapest = min(cheapest, found)
            if on_progress:
                on_progress(i * steps, compiler.cost(cheapest[1]))
    # A program with the hub takes it last.
    last = () if hub is None else (f"{hub}'", hub)
    return (*(compiler.names[v] for v in cheapest[1]), *last)
