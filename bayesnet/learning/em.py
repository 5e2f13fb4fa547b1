"""Maximum a posteriori by EM: expected counts from the engine, then one step of every distribution.

Log likelihood plus log prior never falls (Dempster, Laird & Rubin 1977; Green 1990, J R Stat Soc B
52:443, for the penalised form). A fall beyond rounding is an error, not a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bayesnet.errors import BayesnetError
from bayesnet.inference.counts import CountPlan, Counts, EncodedRows, expected_counts
from bayesnet.learning.local import Local
from bayesnet.network.factor import FloatArray

__all__ = ["Progress", "Trace", "climb"]

#: Called with the iteration, the log posterior and its gain.
Progress = Callable[[int, float, float], None]


@dataclass(frozen=True, eq=False)
class Trace:
    """How EM went.

    Attributes
    ----------
    log_likelihood, log_prior : ndarray
        One entry an iteration, the first at the numbers that EM began with.
    converged : bool
        Whether the last gain was below the tolerance.
    impossible : ndarray of int
        Rows of probability zero; they were left out.
    """

    log_likelihood: FloatArray
    log_prior: FloatArray
    converged: bool
    impossible: np.ndarray[tuple[int], np.dtype[np.intp]]

    @property
    def log_posterior(self) -> FloatArray:
        """What never falls."""
        return self.log_likelihood + self.log_prior


def climb(
    plan: CountPlan,
    rows: EncodedRows,
    locals_: Mapping[str, Local],
    *,
    iterations: int,
    tolerance: float,
    threads: int | None = None,
    on_progress: Progress | None = None,
) -> tuple[dict[str, Local], Counts, Trace]:
    """Run EM.

    Parameters
    ----------
    plan : CountPlan
        Its free variables are those of `locals_`.
    rows : EncodedRows
    locals_ : mapping id -> Local
    iterations : int
        The most passes over the data.
    tolerance : float
        Stop when an iteration adds less to the log posterior than this for each person.
    threads : int, optional
    on_progress : callable, optional

    Returns
    -------
    locals, counts, trace
        `counts` are those of the last pass, at the numbers returned.
    """
    merged, where = rows.distinct()
    people = float(rows.people.sum())
    state = dict(locals_)
    likelihood: list[float] = []
    prior: list[float] = []
    converged = False
    counts = None
    for iteration in range(iterations + 1):
        counts = expected_counts(plan, merged, {v: x.tables() for v, x in state.items()}, threads)
        possible = np.isfinite(counts.log_evidence)
        likelihood.append(float(merged.people[possible] @ counts.log_evidence[possible]))
        prior.append(sum(x.log_prior() for x in state.values()))
        total = likelihood[-1] + prior[-1]
        gain = total - (likelihood[-2] + prior[-2]) if iteration else float("inf")
        if iteration:
            _must_not_fall(gain, total)
        if on_progress:
            on_progress(iteration, total, gain)
        converged = gain <= tolerance * people
        if converged or iteration == iterations:
            break
        state = {v: x.updated(counts.tables[v]) if v in counts.tables else x for v, x in state.items()}
    assert counts is not None
    impossible = np.flatnonzero(~np.isfinite(counts.log_evidence)[where])
    trace = Trace(np.array(likelihood), np.array(prior), converged, impossible)
    return state, counts, trace


def _must_not_fall(gain: float, total: float) -> None:
    if gain < -1e-9 * max(1.0, abs(total)):
        raise BayesnetError(
            f"the log posterior fell by {-gain:.3g}: please report this with the model and data"
        )
