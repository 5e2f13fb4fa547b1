"""Patients drawn from a network, parents before children."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bayesnet.network import Network, NoisyMax
from bayesnet.network.factor import FloatArray

__all__ = ["States", "draw_states", "forward_samples", "given_parents"]

#: State indices of every patient, by variable.
States = Mapping[str, npt.NDArray[np.intp]]


def draw_states(rows: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """One state for each row of weights; rows need not sum to one."""
    edges = rows.cumsum(axis=-1)
    u = rng.random((*rows.shape[:-1], 1)) * edges[..., -1:]
    drawn: npt.NDArray[np.intp] = np.minimum((edges <= u).sum(axis=-1), rows.shape[-1] - 1)
    return drawn


def given_parents(network: Network, variable: str, states: States, n: int) -> FloatArray:
    """P(variable | parents) of every patient, shape `(n, states)`.

    A noisy-MAX is read off the cumulative products of its contributions (Diez & Galan 2003).
    """
    d = network.distributions[variable]
    if not isinstance(d, NoisyMax):
        row = network.table(variable)[tuple(states[p] for p in d.parents)]
        return np.broadcast_to(row, (n, row.shape[-1]))
    flip = slice(None, None, -1) if d.toward_first else slice(None)
    total = np.broadcast_to(d.leak[flip].cumsum(), (n, len(d.leak)))
    for parent, link in zip(d.parents, d.links, strict=True):
        total = total * link[:, flip].cumsum(axis=1)[states[parent]]
    return np.maximum(np.diff(total, axis=1, prepend=0), 0)[:, flip]


def forward_samples(network: Network, n: int, rng: np.random.Generator) -> States:
    """`n` complete patients (Henrion 1988, logic sampling)."""
    states: dict[str, npt.NDArray[np.intp]] = {}
    for v in network.topological_order:
        states[v] = draw_states(given_parents(network, v, states, n), rng)
    return states
