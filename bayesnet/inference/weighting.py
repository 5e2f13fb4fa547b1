"""An estimate where an exact answer would not fit: likelihood weighting, with its standard error.

Patients are drawn from the network with the observed variables held at their states, and each is
weighted by the likelihood of what was held (Fung & Chang 1990; Koller & Friedman 2009, section
12.2.2). The answer is an estimate and says so; nothing falls back to it by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayesnet.errors import EvidenceError, ImpossibleEvidenceError
from bayesnet.inference.sampling import draw_states, given_parents
from bayesnet.network import Network
from bayesnet.network.factor import FloatArray

__all__ = ["Estimate", "weighted_samples"]

BLOCK = 50_000


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated posteriors.

    Attributes
    ----------
    posteriors, standard_errors : dict id -> ndarray
        By state.
    log_evidence : float
        Natural log of the estimated probability of the evidence.
    effective_samples : float
        How many unweighted patients the weighted ones are worth; below a hundred or so, neither the
        estimates nor their errors can be trusted.
    """

    posteriors: dict[str, FloatArray]
    standard_errors: dict[str, FloatArray]
    log_evidence: float
    effective_samples: float


def weighted_samples(
    network: Network,
    vectors: Mapping[str, FloatArray],
    targets: Iterable[str],
    samples: int = 100_000,
    seed: int = 0,
) -> Estimate:
    """Estimate the posteriors of `targets`.

    Parameters
    ----------
    network : Network
    vectors : mapping id -> ndarray
        Likelihoods of the states of what is known.
    targets : iterable of str
        A name that comes twice counts once.
    samples : int
        Weighted patients to draw.
    seed : int
        Same seed, same estimate.

    Raises
    ------
    EvidenceError
        For less than one sample.
    ImpossibleEvidenceError
        When no drawn patient is compatible with the evidence.
    """
    if samples < 1:
        raise EvidenceError([f"samples={samples}: expected at least 1 patient to draw"])
    rng = np.random.default_rng(seed)
    wanted = list(dict.fromkeys(targets))
    relevant = network.ancestors([*wanted, *vectors])
    order = [v for v in network.topological_order if v in relevant]
    sums = {v: np.zeros(len(network[v])) for v in wanted}
    squares = {v: np.zeros(len(network[v])) for v in wanted}
    total = total_squares = 0.0
    scaled = {v: x / x.max() if x.any() else x for v, x in vectors.items()}
    # Weights are kept over the largest so far, or those of rare evidence would vanish.
    largest = -np.inf
    left = samples
    while left > 0:
        n = min(BLOCK, left)
        left -= n
        log_weight = np.zeros(n)
        states: dict[str, npt.NDArray[np.intp]] = {}
        for v in order:
            rows = given_parents(network, v, states, n)
            if v in scaled:
                rows = rows * scaled[v]
                mass = rows.sum(axis=1)
                with np.errstate(divide="ignore"):
                    log_weight += np.log(mass)
                rows = np.where(mass[:, None] > 0, rows, 1.0)
            states[v] = draw_states(rows, rng)
        top = max(largest, float(log_weight.max()))
        if not np.isfinite(top):
            continue
        weight, before = np.exp(log_weight - top), np.exp(largest - top)
        largest = top
        total = total * before + float(weight.sum())
        total_squares = total_squares * before**2 + float((weight**2).sum())
        for v in wanted:
            size = len(network[v])
            seen = np.bincount(states[v], weights=weight, minlength=size)
            sums[v] = sums[v] * before + seen
            seen = np.bincount(states[v], weights=weight**2, minlength=size)
            squares[v] = squares[v] * before**2 + seen
    if total == 0:
        raise ImpossibleEvidenceError(
            f"none of {samples:,} drawn patients fits the evidence; it may be impossible, or so "
            "rare that more samples are needed"
        )
    posteriors = {v: s / total for v, s in sums.items()}
    # Variance of a ratio of weighted means (Owen 2013, Monte Carlo theory, equation 9.9).
    errors = {
        v: np.sqrt(
            np.maximum(
                squares[v] * (1 - p) ** 2 + (total_squares - squares[v]) * p**2, 0
            )
        ) / total
        for v, p in posteriors.items()
    }  # fmt: skip
    log_scale = largest + sum(float(np.log(x.max())) for x in vectors.values())
    return Estimate(
        posteriors, errors, float(np.log(total / samples)) + log_scale, total**2 / total_squares
    )
