"""Hubs: noisy-ORs of many parents, taken by difference.

A hub is in nearly every clique, where combining contributions by the maximum costs several products
an entry and the factorisation of Díez & Galán (2003, Int J Intell Syst 18:165) only one. It is used
for the few hubs whose leak bounds what the subtraction can lose: P(y = 1 | parents) = 1 - P(y = 0 |
parents) is at least the leak, so that rounding grows by at most (2 - leak) / leak.

The factorisation gives the hub a double: what its contributions multiply is P(no further than each
state), and the hub is the difference of the double's states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = [
    "LARGEST_ROUNDING", "double_weights", "hubs_by_difference", "leaf_hub", "leaf_hubs",
    "rounding_by_difference", "summed_up", "summed_up_adjoint",
]

#: A noisy-OR of so many parents is a hub.
HUB_PARENTS = 8
#: The subtractions of hubs may multiply rounding by this much in all: four of sixteen digits.
LARGEST_ROUNDING = 1e4


def hubs_by_difference(network: Network, free: frozenset[str]) -> frozenset[str]:
    """The two-state noisy variables to take by difference, those with most parents first."""
    found = []
    for v in network.variables:
        if v not in free and len(network[v]) == 2 and len(network.factors_of(v)) > HUB_PARENTS:
            found.append((-len(network.factors_of(v)), v, rounding_by_difference(network, [v])))
    chosen, rounding = set(), 1.0
    for _, v, growth in sorted(found):
        if rounding * growth <= LARGEST_ROUNDING:
            chosen.add(v)
            rounding *= growth
    return frozenset(chosen)


def rounding_by_difference(
    network: Network, hubs: Iterable[str], tables: Mapping[str, Sequence[FloatArray]] | None = None
) -> float:
    """What the subtractions of `hubs` may multiply rounding by.

    Parameters
    ----------
    network : Network
    hubs : iterable of str
    tables : mapping id -> sequence of ndarray, optional
        Numbers in place of those of the network, shaped as `Network.factors_of` gives them.
    """
    rounding = 1.0
    for v in hubs:
        factors = network.factors_of(v)
        numbers = (tables or {}).get(v, [f.values for f in factors])
        leaks = [
            float(x[0 if network.combines_toward_first(v) else 1])
            for f, x in zip(factors, numbers, strict=True) if f.contribution and len(f.scope) == 1
        ]
        rounding *= (2 - leaks[0]) / leaks[0] if leaks and leaks[0] > 0 else np.inf
    return rounding


def leaf_hubs(network: Network) -> list[str]:
    """The hubs without children."""
    used = {p for d in network.distributions.values() for p in d.parents}
    hubs = hubs_by_difference(network, frozenset())
    return [v for v in network.variables if v in hubs and v not in used]


def leaf_hub(network: Network) -> str | None:
    """The hub without children that has most parents, if there is one.

    Held at a state of its double, it factorises over its parents: two programs without it, one for
    each state of the double, answer for one with it (`bayesnet.inference.Strata`).
    """
    return max(leaf_hubs(network), key=lambda v: len(network.parents(v)), default=None)


def double_weights(likelihood: FloatArray, toward_first: bool) -> FloatArray:
    """What each state of a hub's double counts in a mixture, shape `(patients, 2)`; may be negative.

    Parameters
    ----------
    likelihood : ndarray
        Of the hub's states, shape `(patients, 2)`.
    toward_first : bool
        Whether contributions to the hub combine by the minimum.
    """
    first, second = likelihood.T
    pair = (first, second - first) if toward_first else (first - second, second)
    return np.stack(pair, axis=1)


def summed_up(contribution: FloatArray, toward_first: bool) -> FloatArray:
    """What a hub multiplies instead of a contribution: P(no further than each state)."""
    if toward_first:
        return np.cumsum(contribution[..., ::-1], axis=-1)[..., ::-1]
    return np.cumsum(contribution, axis=-1)


def summed_up_adjoint(derivative: FloatArray, toward_first: bool) -> FloatArray:
    """The derivative by a contribution, from that by what it is summed up to."""
    return summed_up(derivative, not toward_first)
