"""Intercepts of odds-ratio distributions, solved so that the stated prevalence holds exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bayesnet.network.distributions import OddsRatio
from bayesnet.network.factor import Factor, FloatArray

__all__ = ["joint_of", "odds_ratio_table", "solve_intercepts"]


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
    others = [v for v in sizes if v not in targets]

    def neighbours(v: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(u for f in pending if v in f.scope for u in f.scope if u != v))

    while others:
        v = min(others, key=lambda u: math.prod(sizes[w] for w in neighbours(u)))
        others.remove(v)
        scope = neighbours(v)
        summed = _product([f for f in pending if v in f.scope], scope)
        pending = [f for f in pending if v not in f.scope] + [Factor(scope, summed)]
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
    """Intercepts `a` with `sum_x w(x) softmax(a + log_odds(x)) = prevalence`.

    The left side is the gradient of the convex function `sum_x w(x) logsumexp(a + log_odds(x))`, so
    damped Newton steps find the one solution.

    Parameters
    ----------
    log_odds : ndarray
        Shape `(configurations, states)`; the first column is zero.
    weights : ndarray
        Shape `(configurations,)`, summing to one.
    prevalence : ndarray
        Shape `(states,)`, summing to one. States of prevalence zero get intercept minus infinity.

    Returns
    -------
    ndarray
        Shape `(states,)`; the first entry is zero.
    """
    intercepts = np.full(len(prevalence), -np.inf)
    used = np.flatnonzero(prevalence > 0)
    offsets, goal = log_odds[:, used], prevalence[used]
    a = np.log(goal) - np.log(goal[0])
    a -= np.log(np.maximum(weights @ np.exp(offsets), 1e-300))

    def gap(a: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        z = a + offsets
        top = z.max(axis=1, keepdims=True)
        e = np.exp(z - top)
        total = e.sum(axis=1, keepdims=True)
        p = e / total
        value = float(weights @ (top + np.log(total))[:, 0] - goal @ a)
        return weights @ p - goal, p, value

    grad, p, value = gap(a)
    for _ in range(200):
        if np.abs(grad[1:] / goal[1:]).max(initial=0.0) < 1e-14:
            break
        hessian = np.diag(weights @ p) - (p * weights[:, None]).T @ p
        try:
            step = np.linalg.solve(hessian[1:, 1:], grad[1:])
        except np.linalg.LinAlgError:
            step = grad[1:] / np.diag(hessian)[1:]
        size, last = 1.0, value
        for _ in range(40):
            trial = a.copy()
            trial[1:] -= size * step
            grad_t, p_t, value_t = gap(trial)
            if value_t <= last + 1e-15 * abs(last):
                break
            size /= 2
        if np.array_equal(trial, a):
            break
        a, grad, p, value = trial, grad_t, p_t, value_t
    intercepts[used] = a - a[0]
    return intercepts


def odds_ratio_table(
    distribution: OddsRatio, parent_sizes: Sequence[int], parent_joint: FloatArray
) -> FloatArray:
    """The full table of `distribution`, shape `(*parent_sizes, child size)`.

    Parameters
    ----------
    parent_sizes : sequence of int
        Sizes of `distribution.parents`.
    parent_joint : ndarray
        P(parents), one axis a parent.
    """
    child_size = distribution.prevalence.shape[1]
    strata = parent_sizes[0] if distribution.by is not None else 1
    sizes = list(parent_sizes[1:] if distribution.by is not None else parent_sizes)
    log_odds = np.zeros((*sizes, child_size))
    for i, ratio in enumerate(distribution.odds_ratios):
        axes = [1] * i + [sizes[i]] + [1] * (len(sizes) - i - 1) + [child_size]
        log_odds = log_odds + np.log(ratio).reshape(axes)
    flat = log_odds.reshape(-1, child_size)
    joint = parent_joint.reshape(strata, -1)
    table = np.empty((strata, flat.shape[0], child_size))
    for s in range(strata):
        mass = joint[s].sum()
        # A stratum that never occurs still needs a row; any weights will do.
        weights = joint[s] / mass if mass > 0 else np.full(joint.shape[1], 1 / joint.shape[1])
        z = solve_intercepts(flat, weights, distribution.prevalence[s]) + flat
        e = np.exp(z - z.max(axis=1, keepdims=True))
        table[s] = e / e.sum(axis=1, keepdims=True)
    return table.reshape(*parent_sizes, child_size)
