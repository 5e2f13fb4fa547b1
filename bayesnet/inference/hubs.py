"""Hubs: noisy-ORs of many parents, taken by difference.

A hub is in nearly every clique, where combining contributions by the maximum costs several products
an entry and the factorisation of Díez & Galán (2003, Int J Intell Syst 18:165) only one. It is used
for the few hubs whose leak bounds what the subtraction can lose: P(y = 1 | parents) = 1 - P(y = 0 |
parents) is at least the leak, so that rounding grows by at most (2 - leak) / leak.

The factorisation gives the hub a double: what its contributions multiply is P(no further than each
state), and the hub is the difference of the double's states.
"""

from __future__ import annotations

import numpy as np

from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = ["double_weights", "hubs_by_difference", "leaf_hub", "leaf_hubs", "summed_up"]

#: A noisy-OR of so many parents is a hub.
HUB_PARENTS = 8
#: The subtractions of hubs may multiply rounding by this much in all: four of sixteen digits.
LARGEST_ROUNDING = 1e4


def hubs_by_difference(network: Network, free: frozenset[str]) -> frozenset[str]:
    """The two-state noisy variables to take by difference, those with most parents first."""
    found = []
    for v in network.variables:
        factors = network.factors_of(v)
        if v in free or len(network[v]) != 2 or len(factors) <= HUB_PARENTS:
            continue
        for f in factors:
            if f.contribution and len(f.scope) == 1:
                leak = float(f.values[0 if network.combines_toward_first(v) else 1])
                if leak > 0:
                    found.append((-len(factors), v, (2 - leak) / leak))
    chosen, rounding = set(), 1.0
    for _, v, growth in sorted(found):
        if rounding * growth <= LARGEST_ROUNDING:
            chosen.add(v)
            rounding *= growth
    return frozenset(chosen)


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
