"""Figures from surveys that sampled people in clusters, with weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayesnet.network.factor import FloatArray

__all__ = ["SurveyShare", "survey_odds_ratio", "survey_share"]

_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class SurveyShare:
    """A weighted share with its design-based 95 % interval.

    Attributes
    ----------
    value, low, high : float
        The interval is symmetric on the logit scale; equal to `value` where all answers agree.
    n, hits : int
        People counted, unweighted, and those of them with the answer.
    """

    value: float
    low: float
    high: float
    n: int
    hits: int


def survey_share(
    answer: npt.ArrayLike,
    weight: npt.ArrayLike,
    stratum: npt.ArrayLike,
    unit: npt.ArrayLike,
    among: npt.ArrayLike,
) -> SurveyShare:
    """Share of people `among` whom `answer` holds.

    Variance by Taylor linearisation of the ratio for a stratified sample of clusters drawn with
    replacement (Woodruff 1971, J Am Stat Assoc 66:411). Everyone interviewed is passed, also those
    outside the group asked about, because their clusters belong to the design.

    Parameters
    ----------
    answer : array of float
        1, 0, or NaN where not known; shape `(people,)`.
    weight, stratum, unit : array
        Sampling weight, stratum and cluster of each person.
    among : array of bool
        Who is counted.
    """
    y = np.asarray(answer, dtype=float)
    counted = np.asarray(among, dtype=bool) & ~np.isnan(y)
    w = np.where(counted, np.asarray(weight, dtype=float), 0.0)
    y = np.where(counted, y, 0.0)
    total = w.sum()
    if total <= 0:
        raise ValueError("nobody is counted")
    share = float((w * y).sum() / total)
    score = w * (y - share) / total
    variance = _design_variance(score, stratum, unit)
    n, hits = int(counted.sum()), int((y[counted] > 0.5).sum())
    if variance == 0 or share in (0.0, 1.0):
        return SurveyShare(share, share, share, n, hits)
    centre = math.log(share / (1 - share))
    half = _Z * math.sqrt(variance) / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-(centre + sign * half))) for sign in (-1, 1))
    return SurveyShare(share, low, high, n, hits)


def _design_variance(score: FloatArray, stratum: npt.ArrayLike, unit: npt.ArrayLike) -> float:
    """Variance of the sum of `score` over clusters drawn with replacement within strata."""
    strata, units = np.asarray(stratum), np.asarray(unit)
    variance = 0.0
    for s in np.unique(strata):
        here = strata == s
        sums: FloatArray = np.array(
            [score[here & (units == u)].sum() for u in np.unique(units[here])]
        )
        k = len(sums)
        if k > 1:
            variance += k / (k - 1) * float(((sums - sums.mean()) ** 2).sum())
    return variance


def survey_odds_ratio(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    weight: npt.ArrayLike,
    stratum: npt.ArrayLike,
    unit: npt.ArrayLike,
    among: npt.ArrayLike,
) -> tuple[float, float, float, int]:
    """Weighted odds ratio of two answers, its design-based 95 % interval, and how many gave both.

    Linearised on the log: person i with weight w in cell (a, b) of share p(a, b) of the total weight
    W moves the log odds ratio by +-w / (W p(a, b)) (Binder 1983, Int Stat Rev 51:279).

    Parameters
    ----------
    first, second : array of float
        1, 0, or NaN where not known.
    weight, stratum, unit, among
        As for `survey_share`.
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    counted = np.asarray(among, bool) & ~np.isnan(x) & ~np.isnan(y)
    w = np.where(counted, np.asarray(weight, float), 0.0)
    total = w.sum()
    log_ratio, score = 0.0, np.zeros(len(x))
    for a in (0, 1):
        for b in (0, 1):
            cell = counted & (x == a) & (y == b)
            share = w[cell].sum() / total if total > 0 else 0.0
            if share == 0:
                return (float("nan"), float("nan"), float("nan"), int(counted.sum()))
            sign = 1 if a == b else -1
            log_ratio += sign * math.log(share)
            score += sign * w * (cell / share) / total
    # The four shares' own totals cancel: the log odds ratio does not depend on W.
    half = _Z * math.sqrt(_design_variance(score, stratum, unit))
    return (
        math.exp(log_ratio), math.exp(log_ratio - half), math.exp(log_ratio + half), int(counted.sum())
    )
