"""How strongly an arc acts: the width of its line in a picture."""

from __future__ import annotations

import numpy as np

from bayesnet.network import Network, NoisyMax

__all__ = ["influence"]


def influence(network: Network, parent: str, child: str) -> float:
    """The largest change of a child's distribution when one parent leaves its first state.

    In total variation, from 0 (none) to 1; the mean over the states of the other parents, each
    counted alike (Koiter 2006, Visualizing inference in Bayesian networks, Delft). For a noisy-MAX,
    whose full table may be too large to write down, the change that the parent makes alone.

    Raises
    ------
    KeyError
        When there is no such arc.
    """
    d = network.distributions[child]
    if parent not in d.parents:
        raise KeyError(f"no arc {parent} -> {child}")
    axis = d.parents.index(parent)
    if isinstance(d, NoisyMax):
        rows = np.asarray(d.links[axis])
        return float(0.5 * np.abs(rows - rows[0]).sum(-1).max())
    table = np.moveaxis(network.table(child), axis, 0)
    change = 0.5 * np.abs(table - table[0]).sum(-1)
    return float(change.reshape(len(table), -1).mean(1).max())
