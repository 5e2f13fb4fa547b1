"""Figures from surveys that sampled people in clusters, with weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayesnet.network.factor import FloatArray

__all__ = ["SurveyShare", "survey_share"]

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
    variance = 0.0
    strata = np.asarray(stratum)
    units = np.asarray(unit)
    for s in np.unique(strata):
        here = strata == s
        sums: FloatArray = np.array(
            [score[here & (units == u)].sum() for u in np.unique(units[here])]
        )
        k = len(sums)
        if k > 1:
            variance += k / (k - 1) * float(((sums - sums.mean()) ** 2).sum())
    n, hits = int(counted.sum()), int((y[counted] > 0.5).sum())
    if variance == 0 or share in (0.0, 1.0):
        return SurveyShare(share, share, share, n, hits)
    centre = math.log(share / (1 - share))
    half = _Z * math.sqrt(variance) / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-(centre + sign * half))) for sign in (-1, 1))
    return SurveyShare(share, low, high, n, hits)
