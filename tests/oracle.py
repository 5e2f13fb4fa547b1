"""Independent ways of getting the same numbers: enumeration, and the definition of each kind."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from bayesnet.network import (
    Mixture,
    Network,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
)


def row(network: Network, child: str, states: Mapping[str, int]) -> np.ndarray:
    """P(child | parents) written out from the definition of the kind, one configuration at a time."""
    d = network.distributions[child]
    x = [states[p] for p in d.parents]
    if isinstance(d, Table):
        return d.probabilities[tuple(x)]
    if isinstance(d, SensitivitySpecificity):
        positive = 1 - d.specificity if x[0] == 0 else d.sensitivity[x[0] - 1]
        return np.array([1 - positive, positive])
    if isinstance(d, NoisyMax):
        # Every combination of what each parent brings about. (Differences of cumulative products
        # would be shorter, and wrong in the fourth digit when a probability is 1e-13.)
        rows = [d.leak, *(link[i] for link, i in zip(d.links, x, strict=True))]
        out = np.zeros(len(d.leak))
        for brought in itertools.product(range(len(d.leak)), repeat=len(rows)):
            p = np.prod([r[k] for r, k in zip(rows, brought, strict=True)])
            out[min(brought) if d.toward_first else max(brought)] += p
        return out
    if isinstance(d, Mixture):
        parts = [(w[i], c[i]) for w, c, i in zip(d.weights, d.components, x, strict=True) if i]
        if not parts:
            return d.none
        return sum(w * c for w, c in parts) / sum(w for w, _ in parts)
    assert isinstance(d, OddsRatio)
    return network.table(child)[tuple(x)]


def joint(network: Network) -> np.ndarray:
    """The full joint distribution, one axis a variable, by enumeration."""
    ids = list(network.variables)
    out = np.ones(network.sizes(ids))
    for v in ids:
        family = [u for u in ids if u == v or u in network.parents(v)]
        parents = [u for u in family if u != v]
        table = np.empty(network.sizes([*parents, v]))
        for index in itertools.product(*map(range, table.shape[:-1])):
            table[index] = row(network, v, dict(zip(parents, index, strict=True)))
        table = np.moveaxis(table, -1, family.index(v))
        out *= table.reshape([len(network[u]) if u in family else 1 for u in ids])
    return out


def posteriors(
    network: Network, table: np.ndarray, likelihood: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], float]:
    """Posteriors of all variables and P(evidence) from the joint `table`."""
    ids = list(network.variables)
    weighted = table.copy()
    for v, vector in likelihood.items():
        shape = [1] * len(ids)
        shape[ids.index(v)] = -1
        weighted = weighted * vector.reshape(shape)
    total = weighted.sum()
    found = {
        v: weighted.sum(axis=tuple(k for k in range(len(ids)) if k != i)) / (total or 1)
        for i, v in enumerate(ids)
    }
    return found, float(total)


def to_pyagrum(network: Network):
    """The same network in pyAgrum, tables handed over in memory (its BIF reader rounds them)."""
    import pyagrum as gum

    peer = gum.BayesNet()
    for v in network.variables.values():
        peer.add(gum.LabelizedVariable(v.id, v.id, list(v.states)))
    for v in network.variables:
        for parent in network.parents(v):
            peer.addArc(parent, v)
    for v in network.variables:
        scope = [*network.parents(v), v]
        cpt = peer.cpt(v)
        # pyAgrum's flat order runs over the first variable fastest.
        axes = [scope.index(u) for u in reversed(cpt.names)]
        cpt.fillWith(np.transpose(network.table(v), axes).ravel().tolist())
    return peer
