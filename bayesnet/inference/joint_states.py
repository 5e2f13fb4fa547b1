"""The jointly most probable states of some variables, k best, exactly.

Mechanisms and findings that were not asked about are summed out, not maximised over: the question
is which set of causes is most probable, whatever the rest. Max-product on the program would answer
another question (one state for everything), so the sets are found by best-first search on the
sum-product program: the probability of a partial assignment is an upper bound for each of its
completions, and each bound is one row of a batch (branch and bound for marginal MAP; Park & Darwiche
2003, UAI).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayesnet.errors import TooLargeError
from bayesnet.inference.program import Program
from bayesnet.inference.run import run
from bayesnet.network.factor import FloatArray

__all__ = ["JointState", "most_probable_states"]

#: Partial assignments evaluated together.
BATCH = 128


@dataclass(frozen=True, slots=True)
class JointState:
    """One assignment and its probability given the evidence.

    Attributes
    ----------
    states : dict id -> int
        State index of every variable asked about.
    probability : float
    """

    states: Mapping[str, int]
    probability: float


def most_probable_states(
    program: Program,
    row: FloatArray,
    variables: Sequence[str],
    k: int = 1,
    most_evaluations: int = 200_000,
) -> list[JointState]:
    """The `k` most probable joint states of `variables`, best first.

    Parameters
    ----------
    program : Program
    row : ndarray
        Evidence, shape `(program.width,)`.
    variables : sequence of str
    k : int
        Fewer are returned when there are not so many states of positive probability.
    most_evaluations : int
        Give up beyond so many partial assignments.

    Raises
    ------
    TooLargeError
        When the probability is spread over too many sets for the search to end.
    ValueError
        When the evidence is impossible.
    """
    base = run(program, row[None, :], variables)
    if not np.isfinite(base.log_evidence[0]):
        raise ValueError("the evidence has probability zero")
    # Near-certain variables first: they hardly lower the bound and keep the frontier small.
    order = sorted(variables, key=lambda v: -float(base.posteriors[v][0].max()))
    sizes = [base.posteriors[v].shape[1] for v in order]
    offsets = [program.position[v] for v in order]
    counter = itertools.count()
    frontier: list[tuple[float, int, tuple[int, ...]]] = [(0.0, next(counter), ())]
    complete: list[tuple[float, int, tuple[int, ...]]] = []
    evaluated = 0
    while frontier:
        worst = -complete[0][0] if len(complete) >= k else np.inf
        batch: list[tuple[int, ...]] = []
        while frontier and len(batch) < BATCH and frontier[0][0] < worst:
            batch.append(heapq.heappop(frontier)[2])
        if not batch:
            break
        children = [(*states, s) for states in batch for s in range(sizes[len(states)])]
        evaluated += len(children)
        if evaluated > most_evaluations:
            raise TooLargeError(
                f"no end after {most_evaluations:,} partial assignments: the probability is spread "
                f"over very many sets of {len(variables)} variables; ask about fewer of them"
            )
        rows = np.repeat(row[None, :], len(children), axis=0)
        for i, states in enumerate(children):
            for offset, size, s in zip(offsets, sizes, states, strict=False):
                kept = rows[i, offset + s]
                rows[i, offset : offset + size] = 0
                rows[i, offset + s] = kept
        bounds = run(program, rows, ()).log_evidence - base.log_evidence[0]
        for states, bound in zip(children, bounds.tolist(), strict=True):
            if not np.isfinite(bound):
                continue
            if len(states) < len(order):
                heapq.heappush(frontier, (-bound, next(counter), states))
            elif len(complete) < k:
                heapq.heappush(complete, (bound, -next(counter), states))
            else:
                heapq.heappushpop(complete, (bound, -next(counter), states))
    ranked = sorted(complete, key=lambda c: (-c[0], -c[1]))
    return [
        JointState(
            {v: dict(zip(order, states, strict=True))[v] for v in variables}, float(np.exp(bound))
        )
        for bound, _, states in ranked
    ]
