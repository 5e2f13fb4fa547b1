"""Compile a network into a `Program`: multiply and sum its factors in an order of elimination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bayesnet.errors import TooLargeError, did_you_mean
from bayesnet.inference.hubs import leaf_hubs
from bayesnet.inference.orders import (
    LARGEST_PROGRAM,
    climbed_order,
    given_order,
    searched_order,
)
from bayesnet.inference.program import Program
from bayesnet.inference.steps import Compiler
from bayesnet.network import Network, NoisyMax

__all__ = ["compile_program", "separable"]


def compile_program(
    network: Network,
    evidence_on: Iterable[str] | None = None,
    *,
    free: Iterable[str] = (),
    zeros_stay: bool = False,
    free_hubs: bool = False,
    given: Mapping[str, str] | None = None,
    apart: Iterable[str] = (),
    order: Sequence[str] | None = None,
    tries: int = 8,
    climb: int = 0,
    seed: int = 0,
    largest: int = LARGEST_PROGRAM,
) -> Program:
    """Compile `network`.

    Parameters
    ----------
    network : Network
    evidence_on : iterable of str, optional
        Variables that may be observed or asked about; all by default. The rest is summed out once.
    free : iterable of str
        Variables whose numbers may be given anew for every row when the program runs.
    zeros_stay : bool
        Promise that a free number that is zero in `network` is zero in every row, so that products
        with it need not be formed.
    free_hubs : bool
        Take free hubs by difference too: a fraction of the work, but a row whose leak is `l` loses
        the digits of `(2 - l) / l` where nothing else explains the hub.
    given : mapping variable -> state, optional
        Answer only for patients of whom this is known: their program is smaller, since what the
        given variables coupled comes apart (cutset conditioning; Pearl 1988, section 4.3.2).
        Evidence says what is given once more, or nothing of it. The double of a hub (`leaf_hub`), which
        is its name and a prime, may be given too: the program then leaves the hub out, and its
        numbers are the probabilities that the hub goes no further than the given state.
    apart : iterable of str
        Noisy-MAX variables without children, of which every row says nothing (ones) or that they are
        in their neutral state (one there, zero elsewhere). They couple none of their parents then
        (`bayesnet.inference.steps`); their own posteriors cannot be asked for.
    order : sequence of str, optional
        An elimination order (`Program.order`, `search_order`) instead of a search for one; it may
        name more variables than this program has. One that lacks some of them is not used.
    tries, seed : int
        For the search of an elimination order (`good_eliminations`).
    climb : int
        Orders to try from the one found, each with one variable moved, where the program is large.
    largest : int
        The most clique-table entries to accept.

    Raises
    ------
    TooLargeError
        When the best order found needs more than `largest` entries; nothing has been allocated.
    KeyError
        For an unknown variable.
    ValueError
        For an unknown state of a given variable; for a variable that cannot be taken apart.
    """
    observed = set(network.variables if evidence_on is None else evidence_on)
    for v in observed:
        if v not in network:
            raise KeyError(f"no variable {v!r}.{did_you_mean(v, network.variables)}")
    held = {}
    for v, state in (given or {}).items():
        hub = v[:-1] if v not in network and v.endswith("'") else None
        states = network[hub or v].states
        if state not in states:
            raise ValueError(f"{v} has no state {state!r}.{did_you_mean(state, states)}")
        if hub is not None and (hub in observed or hub not in leaf_hubs(network)):
            raise ValueError(f"{v} can be given only for a hub without children or evidence")
        held[v] = states.index(state)
    taken_apart = frozenset(apart) & observed
    if odd := taken_apart - set(separable(network)):
        raise ValueError(f"{min(odd)} is no noisy-MAX without children and cannot be taken apart")
    slots = tuple(v for v in network.variables if v in observed or v in held)
    compiler = Compiler(network, slots, frozenset(free), zeros_stay, held, free_hubs, taken_apart)
    elimination = given_order(compiler, order) or searched_order(compiler, tries, seed, largest)
    if elimination.entries > largest:
        raise TooLargeError(
            f"exact inference needs {elimination.entries:.3g} clique-table entries "
            f"({elimination.entries * 8 / 2**30:.3g} GiB a patient; treewidth "
            f"{elimination.width}), more than the {largest:.3g} allowed; `model.posterior` conditions "
            "on the patient's evidence first, `model.approximate` estimates"
        )
    if climb:
        elimination = climbed_order(compiler, elimination, climb, seed)
    root = compiler.eliminate(elimination.order)
    sizes = network.sizes(slots)
    offsets = tuple(int(x) for x in np.concatenate([[0], np.cumsum(sizes)])[:-1])
    used = {n for s in compiler.steps for n in (s.left, s.right)} | {root}
    used |= {n for s in compiler.precomputed for n in (s.left, s.right)}
    return Program(
        variables=slots,
        sizes=sizes,
        offsets=offsets,
        nodes=tuple(compiler.nodes),
        evidence_nodes=compiler.evidence_nodes,
        table_nodes=compiler.table_nodes,
        hubs={v: network.combines_toward_first(v) for v in compiler.hubs},
        values={n: x for n, x in compiler.values.items() if n in used},
        steps=tuple(compiler.steps),
        root=root,
        elimination=elimination,
        order=tuple(compiler.names[v] for v in elimination.order),
        given=held,
        uncut=compiler.uncut,
        precomputed=tuple(compiler.precomputed),
        apart=taken_apart,
    )


def separable(network: Network) -> list[str]:
    """The noisy-MAX variables without children: what `compile_program` can take apart."""
    used = {p for d in network.distributions.values() for p in d.parents}
    return [
        v for v in network.variables
        if v not in used and isinstance(network.distributions[v], NoisyMax)
    ]
