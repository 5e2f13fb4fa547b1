"""Intercepts of odds-ratio distributions, solved so that the stated prevalence holds exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bayesnet.network.distributions import OddsRatio
from bayesnet.network.factor import Factor, FloatArray

__all__ = ["joint_of", "odds_ratio_table", "odds_ratio_tables", "solve_intercepts"]

IndexArray = npt.NDArray[np.intp]

#: Newton steps for one set of intercepts; some six are taken.
MOST_STEPS = 100
#: Entries of the tables that are solved at once: what stays in a processor's cache.
MOST_ENTRIES = 1 << 15


def joint_of(targets: Sequence[str], factors: Sequence[Factor]) -> FloatArray:
    """P(targets) from the full-table factors of the targets and all their ancestors.

    The other variables are summed out one by one, the one that makes the smallest table first.

    Returns
    -------
    ndarray
        One axis a target, in the order given.
    """
    pending = list(factors)
    sizes = {v: n for f in pending for v, n in zip(f.scope, f.values.shape, strict=True)}
    met: dict[str, set[str]] = {v: set() for v in sizes}
    for f in pending:
        for v in f.scope:
            met[v].update(f.scope)

    def made(v: str) -> int:
        return math.prod(sizes[u] for u in met[v] if u != v)

    entries = {v: made(v) for v in sizes if v not in targets}
    while entries:
        v = min(entries, key=entries.__getitem__)
        del entries[v]
        taken = [f for f in pending if v in f.scope]
        scope = tuple(dict.fromkeys(u for f in taken for u in f.scope if u != v))
        pending = [f for f in pending if v not in f.scope] + [Factor(scope, _product(taken, scope))]
        for u in scope:
            met[u].update(scope)
            met[u].discard(v)
            if u in entries:
                entries[u] = made(u)
    return _product(pending, targets)


def _product(factors: Sequence[Factor], scope: Sequence[str]) -> FloatArray:
    """The product of the factors, summed over what is not in `scope`."""
    if not factors:
        return np.ones(())
    ids: dict[str, int] = {}
    operands: list[object] = []
    for factor in factors:
        operands += [factor.values, [ids.setdefault(v, len(ids)) for v in factor.scope]]
    product: FloatArray = np.einsum(*operands, [ids[v] for v in scope], optimize="greedy")  # type: ignore[call-overload]
    return product


def solve_intercepts(log_odds: FloatArray, weights: FloatArray, prevalence: FloatArray) -> FloatArray:
    """Intercepts `a` with `sum_x w(x) softmax(a + log_odds(x)) = prevalence`, for many problems.

    The left side is the gradient of the convex function `sum_x w(x) logsumexp(a + log_odds(x))`, so
    damped Newton steps find the one solution (Boyd & Vandenberghe 2004, section 9.5).

    Parameters
    ----------
    log_odds : ndarray
        Shape `(problems, configurations, states)`, or without the first axis where all problems share
        it; the first column is zero.
    weights : ndarray
        Shape `(problems, configurations)`, each row summing to one.
    prevalence : ndarray
        Shape `(problems, states)`, each row summing to one. States of prevalence zero get intercept
        minus infinity.

    Returns
    -------
    ndarray
        Shape `(problems, states)`; the first column is zero.
    """
    intercepts = np.full(prevalence.shape, -np.inf)
    shared = log_odds.ndim == 2
    for used in np.unique(prevalence > 0, axis=0):
        alike = np.flatnonzero(((prevalence > 0) == used).all(axis=1))
        step = max(1, MOST_ENTRIES // (weights.shape[1] * int(used.sum())))
        for first in range(0, len(alike), step):
            at = alike[first : first + step]
            offsets = log_odds[None] if shared else log_odds[at]
            intercepts[np.ix_(at, used)] = _solved(
                np.ascontiguousarray(np.moveaxis(offsets[..., used], -1, 0)),
                weights[at], prevalence[np.ix_(at, used)].T,
            ).T
    return intercepts


def _solved(offsets: FloatArray, weights: FloatArray, goal: FloatArray) -> FloatArray:
    """Intercepts `(states, problems)` for `offsets` `(states, problems or 1, configurations)`."""
    shared = offsets.shape[1] == 1

    def gap(a: FloatArray, rows: IndexArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        z = a[:, :, None] + (offsets if shared else offsets[:, rows])
        top = z.max(axis=0)
        p = np.exp(z - top)
        total = p.sum(axis=0)
        p /= total
        found = np.einsum("snc,nc->sn", p, weights[rows])
        value = np.einsum("nc,nc->n", weights[rows], top + np.log(total))
        return found - goal[:, rows], p, value - (goal[:, rows] * a).sum(axis=0)

    solved = np.log(goal) - np.log(goal[0])
    solved -= np.log(np.maximum((np.exp(offsets) * weights).sum(axis=-1), 1e-300))
    open_ = np.arange(goal.shape[1])
    a, last = solved.copy(), np.full(len(open_), np.inf)
    grad, p, value = gap(a, open_)
    for _ in range(MOST_STEPS):
        error = np.abs(grad / goal[:, open_]).max(axis=0)
        done = (error < 1e-14) | ((error < 1e-9) & (error > last / 2))
        solved[:, open_[done]] = a[:, done]
        open_, last = open_[~done], error[~done]
        if not len(open_):
            break
        a, grad, p, value = a[:, ~done], grad[:, ~done], p[:, ~done], value[~done]
        free = p[1:]
        hessian = -np.einsum("snc,tnc,nc->nst", free, free, weights[open_], optimize=len(free) > 1)
        inner = np.arange(len(free))
        hessian[:, inner, inner] += np.einsum("snc,nc->ns", free, weights[open_])
        try:
            step = np.linalg.solve(hessian, grad[1:].T[..., None])[..., 0].T
        except np.linalg.LinAlgError:
            step = grad[1:] / np.maximum(hessian[:, inner, inner].T, 1e-300)
        size = np.ones(len(open_))
        for _ in range(40):
            trial = a.copy()
            trial[1:] -= size * step
            found = gap(trial, open_)
            worse = found[2] > value + 1e-13 * np.maximum(np.abs(value), 1)
            if not worse.any():
                break
            size[worse] /= 2
        a, (grad, p, value) = trial, found
    else:
        solved[:, open_] = a
    intercepts: FloatArray = solved - solved[0]
    return intercepts


def odds_ratio_tables(
    prevalences: FloatArray, ratios: Sequence[FloatArray], by: bool, parent_joint: FloatArray
) -> FloatArray:
    """The full tables of an odds-ratio distribution for many sets of its numbers.

    Parameters
    ----------
    prevalences : ndarray
        Shape `(sets, strata, child size)`.
    ratios : sequence of ndarray
        One a risk factor, shape `(sets, parent size, child size)`.
    by : bool
        Whether the first parent is the one by whose states the prevalence is given.
    parent_joint : ndarray
        P(parents), one axis a parent; the same for all sets.

    Returns
    -------
    ndarray
        Shape `(sets, *parent sizes, child size)`.
    """
    n, strata, states = prevalences.shape
    sizes = parent_joint.shape[1:] if by else parent_joint.shape
    log_odds = np.zeros((n, *sizes, states))
    for i, ratio in enumerate(ratios):
        axes = [n] + [1] * i + [sizes[i]] + [1] * (len(sizes) - i - 1) + [states]
        log_odds = log_odds + np.log(ratio).reshape(axes)
    flat = log_odds.reshape(n, -1, states)
    joint = parent_joint.reshape(strata, -1)
    # A stratum that never occurs still needs a row; any weights will do.
    mass = joint.sum(axis=1, keepdims=True)
    weights = np.where(mass > 0, joint / np.where(mass > 0, mass, 1), 1 / joint.shape[1])
    a = solve_intercepts(
        flat[0] if n == 1 else np.repeat(flat, strata, axis=0), np.tile(weights, (n, 1)),
        prevalences.reshape(-1, states),
    )
    z = a.reshape(n, strata, 1, states) + flat[:, None]
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    table: FloatArray = e / e.sum(axis=-1, keepdims=True)
    return table.reshape(n, *parent_joint.shape, states)


def odds_ratio_table(distribution: OddsRatio, parent_joint: FloatArray) -> FloatArray:
    """The full table of `distribution`, shape `(*parent sizes, child size)`.

    Parameters
    ----------
    parent_joint : ndarray
        P(parents), one axis a parent.
    """
    ratios = [r[None] for r in distribution.odds_ratios]
    table: FloatArray = odds_ratio_tables(
        distribution.prevalence[None], ratios, distribution.by is not None, parent_joint
    )[0]
    return table
