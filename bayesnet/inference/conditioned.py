"""One patient on a network too wide to compile: condition on what is known first, then eliminate.

A program serves every pattern of evidence, so its cliques are those of the network with nothing
observed. Where these are too large, a patient's own evidence may still cut the network into small
pieces: observed variables are fixed, variables that matter to nothing are left out, and what remains
is eliminated for this patient alone (two passes over clique tables, Lauritzen & Spiegelhalter 1988,
J R Stat Soc B 50:157). Tables are non-negative, so a separator of zero belongs to clique entries that
are all zero, and dividing by it loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bayesnet.errors import TooLargeError
from bayesnet.inference.elimination import good_eliminations
from bayesnet.inference.run import Marginals
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = ["LARGEST_CLIQUE_ENTRIES", "condition_and_eliminate"]

#: The most clique-table entries of one patient (2 GiB).
LARGEST_CLIQUE_ENTRIES = 1 << 28
#: So many clique-table entries are multiplied faster than a better order is found.
ENTRIES_NOT_WORTH_A_SEARCH = 1e6


@dataclass(frozen=True, slots=True)
class _Table:
    """A table over `scope`, which is sorted by elimination position."""

    scope: tuple[int, ...]
    values: FloatArray


def _conditioned(
    values: FloatArray, scope: tuple[str, ...], fixed: Mapping[str, int]
) -> tuple[FloatArray, tuple[str, ...]]:
    index = tuple(fixed[v] if v in fixed else slice(None) for v in scope)
    return values[index], tuple(v for v in scope if v not in fixed)


def _sorted_table(values: FloatArray, scope: tuple[str, ...], at: Mapping[str, int]) -> _Table:
    order = sorted(range(len(scope)), key=lambda i: at[scope[i]])
    return _Table(tuple(at[scope[i]] for i in order), np.transpose(values, order))


def _spread(table: _Table, scope: tuple[int, ...]) -> FloatArray:
    """`table` with an axis of length one for each variable of `scope` that it lacks."""
    has = set(table.scope)
    sizes = iter(table.values.shape)
    return table.values.reshape([next(sizes) if v in has else 1 for v in scope])


def condition_and_eliminate(
    network: Network,
    vectors: Mapping[str, FloatArray],
    targets: Iterable[str],
    largest: float = LARGEST_CLIQUE_ENTRIES,
    tries: int = 1,
    seed: int = 0,
) -> Marginals:
    """Posteriors of `targets` for one patient.

    Parameters
    ----------
    network : Network
        Noisy-MAX tables are expanded, so their families must be small.
    vectors : mapping id -> ndarray
        Likelihoods of the states of what is known.
    targets : iterable of str
    largest : float
        The most clique-table entries to accept.
    tries, seed : int
        For the search of an elimination order.

    Raises
    ------
    TooLargeError
        Before anything is allocated, with the size.
    """
    wanted = list(targets)
    fixed = {v: int(x.argmax()) for v, x in vectors.items() if np.count_nonzero(x) == 1}
    relevant = network.ancestors([*wanted, *vectors])
    tables: list[tuple[FloatArray, tuple[str, ...]]] = []
    log_evidence = sum(math.log(vectors[v][i]) for v, i in fixed.items())
    for v in network.variables:
        if v in relevant:
            tables.append(_conditioned(network.table(v), (*network.parents(v), v), fixed))
        if v in vectors and v not in fixed:
            tables.append((vectors[v], (v,)))
    free = [v for v in network.variables if v in relevant and v not in fixed]
    dense = {v: i for i, v in enumerate(free)}
    sizes = network.sizes(free)
    posteriors = {
        v: np.eye(len(network[v]))[fixed[v]][None, :] for v in wanted if v in fixed
    }
    if free:
        scopes = [[dense[v] for v in scope] for _, scope in tables]
        best = good_eliminations(
            scopes, sizes, tries, seed, keep=1, enough=ENTRIES_NOT_WORTH_A_SEARCH
        )[0]
        if best.entries > largest:
            raise TooLargeError(
                f"exact inference needs {best.entries:.3g} clique-table entries for this patient "
                f"({best.entries * 8 / 2**30:.3g} GiB; treewidth {best.width}), more than the "
                f"{largest:.3g} allowed; ask `model.approximate(...)` for an estimate"
            )
        order = [free[i] for i in best.order]
    else:
        order = []
    at = {v: k for k, v in enumerate(order)}
    buckets: list[list[_Table]] = [[] for _ in order]
    parent_of: list[list[int]] = [[] for _ in order]
    possible = True
    for values, scope in tables:
        if scope:
            table = _sorted_table(values, scope, at)
            buckets[table.scope[0]].append(table)
        elif values > 0:
            log_evidence += math.log(values)
        else:
            possible = False
    cliques: list[_Table] = []
    messages: list[FloatArray] = []
    for k in range(len(order)):
        members = tuple(sorted({v for t in buckets[k] for v in t.scope}))
        product = _product(buckets[k], members)
        message = product.sum(axis=0)
        top = float(message.max())
        if top > 0:
            message = message / top
            product = product / top
            log_evidence += math.log(top)
        else:
            possible = False
        cliques.append(_Table(members, product))
        messages.append(message)
        if len(members) > 1:
            buckets[members[1]].append(_Table(members[1:], message))
            parent_of[members[1]].append(k)
    log_total = log_evidence if possible else -math.inf
    if possible:
        beliefs = [c.values for c in cliques]
        for k in reversed(range(len(order))):
            for child in parent_of[k]:
                separator = cliques[child].scope[1:]
                gone = tuple(i for i, v in enumerate(cliques[k].scope) if v not in separator)
                marginal = beliefs[k].sum(axis=gone)
                ratio = np.divide(
                    marginal, messages[child], out=np.zeros_like(marginal),
                    where=messages[child] > 0,
                )  # fmt: skip
                beliefs[child] = beliefs[child] * ratio[None]
    for v in wanted:
        if v in fixed:
            continue
        if possible:
            belief = beliefs[at[v]]
            marginal = belief.reshape(belief.shape[0], -1).sum(axis=1)
            posteriors[v] = (marginal / marginal.sum())[None, :]
        else:
            posteriors[v] = np.full((1, len(network[v])), np.nan)
    if not possible:
        posteriors = {v: np.full_like(x, np.nan) for v, x in posteriors.items()}
    return Marginals(posteriors, np.array([log_total]))


def _product(tables: list[_Table], scope: tuple[int, ...]) -> FloatArray:
    """All tables multiplied, small ones first."""
    ordered = sorted(tables, key=lambda t: t.values.size)
    total = _spread(ordered[0], scope)
    for table in ordered[1:]:
        total = total * _spread(table, scope)
    return total
