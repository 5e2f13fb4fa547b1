"""Findings that are absent: evidence on what would bring them about.

That a noisy-OR (or noisy-MAX) y is at its neutral state is a product over its parents,

    P(y neutral | parents) = leak * product over parents p of P(y neutral from p alone | p),

so that, where nothing else depends on y, it says the same as one likelihood vector on each parent,
and couples none of them (Heckerman 1989, A tractable inference algorithm for diagnosing multiple
diseases, UAI; its quickscore). Most of a patient's findings are such; the program for the others is
several times smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bayesnet.network import Network, NoisyMax
from bayesnet.network.factor import FloatArray

__all__ = ["absent_findings", "likelihood_of_absence"]


def absent_findings(
    network: Network, patients: Sequence[Mapping[str, FloatArray]], asked: Iterable[str]
) -> tuple[str, ...]:
    """The findings for which evidence on their parents can stand in all of `patients`.

    Parameters
    ----------
    network : Network
    patients : sequence of mapping id -> ndarray
        Likelihoods of the states of what is known of each.
    asked : iterable of str
        Variables that may be asked about.

    Returns
    -------
    tuple of str
        Noisy variables that are at their neutral state or not known in each patient, that are not
        asked about, and on which nothing known or asked about depends.
    """
    wanted = set(asked)
    seen = wanted.union(*patients)
    used = {p for v in network.ancestors(seen) for p in network.parents(v)}

    def is_absent(v: str) -> bool:
        d = network.distributions[v]
        if not isinstance(d, NoisyMax) or not d.parents or v in wanted or v in used:
            return False
        neutral = np.arange(len(network[v])) == d.neutral
        return all(np.array_equal(known[v], neutral) for known in patients if v in known)

    return tuple(v for v in network.variables if v in seen and is_absent(v))


def likelihood_of_absence(
    network: Network, variable: str, tables: Sequence[FloatArray]
) -> dict[str, FloatArray]:
    """The likelihood vectors on the parents of a noisy variable that stand for its neutral state.

    Parameters
    ----------
    network : Network
    variable : str
    tables : sequence of ndarray
        The leak, shape `(..., states)`, and the link of each parent, `(..., parent states, states)`.

    Returns
    -------
    dict parent -> ndarray
        Shape `(..., parent states)`; the leak is in the first.
    """
    d = network.distributions[variable]
    assert isinstance(d, NoisyMax)
    leak, *links = (table[..., d.neutral] for table in tables)
    found = dict(zip(d.parents, links, strict=True))
    found[d.parents[0]] = found[d.parents[0]] * leak[..., None]
    return found
