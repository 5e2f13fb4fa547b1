"""How good are probabilities? Scores, calibration, discrimination, net benefit, with intervals.

scikit-learn computes what it has (areas under the curve, log loss, logistic regression).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesnet.errors import BayesnetError
from bayesnet.network.factor import FloatArray
from bayesnet.validation.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

__all__ = [
    "CalibrationBin", "CalibrationLine", "area_under_curve", "bootstrap_interval", "brier_score",
    "calibration_bins", "calibration_line", "checked", "expected_calibration_error", "log_score",
    "mean_interval", "net_benefit", "top_k",
]

#: Probabilities are kept this far from 0 and 1 where their logarithm is taken.
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions of nearly the same probability.

    Attributes
    ----------
    n, hits : int
        Predictions, and outcomes among them.
    predicted, observed : float
        Mean prediction, share of outcomes.
    low, high : float
        95 % Wilson interval of the share.
    """

    n: int
    hits: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """The outcomes' log odds as a line over the predicted log odds.

    Attributes
    ----------
    slope : float
        1 is right; below 1 the predictions are too extreme.
    intercept : float
        Of the same line.
    in_the_large : float
        The intercept where the slope is held at 1: above 0 the outcome is commoner than predicted.
    """

    slope: float
    intercept: float
    in_the_large: float


def checked(predicted: ArrayLike, outcome: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both as flat arrays.

    Raises
    ------
    BayesnetError
        For arrays that differ in length or hold other values.
    """
    p, y = (np.asarray(x, float).ravel() for x in (predicted, outcome))
    if len(p) != len(y) or not len(p):
        raise BayesnetError(f"{len(p)} predictions for {len(y)} outcomes: expected as many, and some")
    if not ((p >= 0) & (p <= 1)).all():
        raise BayesnetError("predicted: expected probabilities from 0 to 1")
    if not np.isin(y, (0, 1)).all():
        raise BayesnetError("outcome: expected 0 or 1")
    return p, y


def calibration_bins(
    predicted: ArrayLike, outcome: ArrayLike, bins: int = 10
) -> tuple[CalibrationBin, ...]:
    """The reliability curve: bins of (nearly) equal numbers of predictions; equal ones stay together.

    Parameters
    ----------
    predicted : array of float, shape (n,)
        Probabilities.
    outcome : array of 0 or 1, shape (n,)
    bins : int
        The most bins.

    Raises
    ------
    BayesnetError
        As `checked`.
    """
    p, y = checked(predicted, outcome)
    found = []
    which = _bin_of(p, bins)
    for i in np.unique(which):
        chosen = which == i
        n, hits = int(chosen.sum()), int(y[chosen].sum())
        found.append(
            CalibrationBin(n, hits, float(p[chosen].mean()), hits / n, *wilson_interval(hits, n))
        )
    return tuple(found)


def _bin_of(p: FloatArray, bins: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, p, side="right")


def brier_score(predicted: ArrayLike, outcome: ArrayLike) -> float:
    """Mean squared difference of probability and outcome (Brier 1950); lower is better."""
    p, y = checked(predicted, outcome)
    return float(((p - y) ** 2).mean())


def log_score(predicted: ArrayLike, outcome: ArrayLike) -> float:
    """Mean of -ln of the probability given to what happened; lower is better."""
    from sklearn.metrics import log_loss

    p, y = checked(predicted, outcome)
    return float(log_loss(y, np.clip(p, TINY, 1 - TINY), labels=[0, 1]))


def area_under_curve(predicted: ArrayLike, outcome: ArrayLike) -> float:
    """P(one with the outcome is given more than one without); nan where all are alike."""
    from sklearn.metrics import roc_auc_score

    p, y = checked(predicted, outcome)
    return float(roc_auc_score(y, p)) if 0 < y.mean() < 1 else float("nan")


def expected_calibration_error(predicted: ArrayLike, outcome: ArrayLike, bins: int = 10) -> float:
    """Mean over predictions of |share of outcomes - mean prediction| of their bin.

    Bins hold equal numbers (Nixon et al. 2019, adaptive calibration error).
    """
    found = calibration_bins(predicted, outcome, bins)
    n = sum(b.n for b in found)
    return float(sum(b.n * abs(b.observed - b.predicted) for b in found) / n)


def calibration_line(predicted: ArrayLike, outcome: ArrayLike) -> CalibrationLine:
    """Calibration slope and intercepts (Cox 1958; Steyerberg 2009, chapter 15).

    Logistic regression of the outcome on the predicted log odds. Nan where the outcomes are all
    alike; slope and intercept also where the predictions are all alike or part the outcomes
    completely, be it with ties at the border: no finite slope is likeliest there.
    """
    from scipy.optimize import brentq
    from sklearn.linear_model import LogisticRegression

    p, y = checked(predicted, outcome)
    if not 0 < y.mean() < 1:
        return CalibrationLine(float("nan"), float("nan"), float("nan"))
    p = np.clip(p, TINY, 1 - TINY)
    x = np.log(p) - np.log1p(-p)

    def excess(shift: float) -> float:
        return float((1 / (1 + np.exp(-(x + shift))) - y).sum())

    large = float(brentq(excess, -60.0, 60.0))
    if x[y == 1].min() >= x[y == 0].max() or x[y == 1].max() <= x[y == 0].min():
        return CalibrationLine(float("nan"), float("nan"), large)
    line = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(x[:, None], y)
    return CalibrationLine(float(line.coef_[0, 0]), float(line.intercept_[0]), large)


def net_benefit(
    predicted: ArrayLike, outcome: ArrayLike, thresholds: Sequence[float] | None = None
) -> pd.DataFrame:
    """Decision curve: what acting on the model is worth, beside acting on everybody or on nobody.

    Net benefit = true positives / n - false positives / n * t / (1 - t), in true positives a person
    (Vickers & Elkin 2006, Med Decis Making 26:565).

    Returns
    -------
    DataFrame
        `threshold`, `model`, `everybody`, `nobody`.
    """
    import pandas as pd

    p, y = checked(predicted, outcome)
    at = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, float)
    if not ((at > 0) & (at < 1)).all():
        raise BayesnetError("thresholds: expected probabilities between 0 and 1")
    odds = at / (1 - at)
    acted = p[None, :] >= at[:, None]
    right = (acted & (y == 1)).mean(axis=1)
    wrong = (acted & (y == 0)).mean(axis=1)
    return pd.DataFrame({
        "threshold": at, "model": right - wrong * odds,
        "everybody": y.mean() - (1 - y.mean()) * odds, "nobody": 0.0,
    })


def top_k(scores: ArrayLike, truth: Sequence[int], k: int) -> float:
    """Share of rows whose true column is among the `k` best; ties, and nan there, count against it.

    Parameters
    ----------
    scores : array, shape (rows, columns)
    truth : sequence of int
    """
    s = np.asarray(scores, float)
    own = s[np.arange(len(s)), list(truth)]
    among = (s >= own[:, None]).sum(axis=1) <= k
    return float((among & ~np.isnan(own)).mean())


def bootstrap_interval(
    statistic: Callable[[np.ndarray[tuple[int], np.dtype[np.intp]]], float],
    n: int,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic over rows drawn with replacement (Efron 1979).

    Nan where there are no rows, or no draw has a finite value.

    Parameters
    ----------
    statistic : callable
        Takes the indices of the rows drawn, shape (n,).
    n : int
        How many rows there are.
    draws, seed : int
    level : float
    """
    if not n:
        return (float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    values = np.array([statistic(generator.integers(0, n, n)) for _ in range(draws)])
    values = values[np.isfinite(values)]
    if not len(values):
        return (float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def mean_interval(
    values: ArrayLike, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean; nan where there are no values."""
    x = np.asarray(values, float)
    return bootstrap_interval(lambda rows: float(x[rows].mean()), len(x), draws, seed, level)
