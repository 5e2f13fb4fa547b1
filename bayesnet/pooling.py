"""Several published figures of one thing -> one figure with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bayesnet.errors import BayesnetError
from bayesnet.studies import StudyFigure

__all__ = ["Pooled", "pool"]

_PROPORTIONS = (
    "sensitivity", "specificity", "prevalence", "proportion", "response_rate", "incidence",
)
_RATIOS = ("odds_ratio", "relative_risk", "lr_pos", "lr_neg")
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Pooled:
    """A pooled figure.

    Attributes
    ----------
    value, low, high : float
        On the scale of the figures, with the 95 % confidence interval of the mean.
    predicted_low, predicted_high : float
        95 % prediction interval: where the true figure of a new setting lies.
    tau2, i2 : float
        Variance between studies on the working scale, and the share of variation that is real.
    studies : tuple of str
        Ids of the rows.
    """

    value: float
    low: float
    high: float
    predicted_low: float
    predicted_high: float
    tau2: float
    i2: float
    studies: tuple[str, ...]

    @property
    def effective_sample_size(self) -> float:
        """Patients whose count would give a proportion this prediction interval."""
        width = (_logit(self.predicted_high) - _logit(self.predicted_low)) / (2 * _Z)
        return 1 / (width**2 * self.value * (1 - self.value))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def pool(figures: Sequence[StudyFigure]) -> Pooled:
    """Pool figures of one measure by a random-effects model.

    The working scale is the logit for proportions and the logarithm for ratios. A figure's variance
    comes from its interval, or from its sample size where no interval was printed (proportions
    only). Variance between studies by DerSimonian & Laird (1986, Control Clin Trials 7:177, eq. 9);
    prediction interval by Higgins, Thompson & Spiegelhalter (2009, J R Stat Soc A 172:137), with
    the normal quantile in place of Student's t, so that two studies still give one.

    Parameters
    ----------
    figures : sequence of StudyFigure
        Rows of the evidence table; all of one measure. A single figure is returned as it is, with the
        interval that was printed, or else that of its sample size; only 0 and 1 are moved, as in any
        pooling, by half a patient.

    Raises
    ------
    BayesnetError
        If a figure has neither interval nor sample size, or the measures differ.
    """
    if not figures:
        raise BayesnetError("nothing to pool: name at least one row of the evidence table")
    measures = sorted({f.measure for f in figures})
    if len(measures) > 1:
        raise BayesnetError(
            f"cannot pool {', '.join(measures)}: the rows must be of one measure"
        )
    forward: Callable[[float], float]
    back: Callable[[float], float]
    if measures[0] in _PROPORTIONS:
        forward, back = _logit, _expit
    elif measures[0] in _RATIOS:
        forward, back = math.log, math.exp
    else:
        raise BayesnetError(
            f"cannot pool {measures[0]}; expected one of {', '.join((*_PROPORTIONS, *_RATIOS))}"
        )
    pairs = [_on_scale(f, forward) for f in figures]
    x = np.array([p[0] for p in pairs])
    variance = np.array([p[1] for p in pairs])
    weight = 1 / variance
    fixed = (weight * x).sum() / weight.sum()
    q = float((weight * (x - fixed) ** 2).sum())
    freedom = len(x) - 1
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    tau2 = max(0.0, (q - freedom) / scale) if freedom else 0.0
    total = 1 / (variance + tau2)
    mean = float((total * x).sum() / total.sum())
    error = math.sqrt(1 / total.sum())
    wide = math.sqrt(tau2 + error**2)
    low, high = back(mean - _Z * error), back(mean + _Z * error)
    predicted_low, predicted_high = back(mean - _Z * wide), back(mean + _Z * wide)
    value = back(mean)
    if len(figures) == 1:
        # Printed intervals are rarely symmetric on the working scale.
        low, high = predicted_low, predicted_high = _printed(figures[0]) or (low, high)
        # Only a proportion of 0 or 1 was moved by more than rounding.
        stated = figures[0].value
        value = stated if stated is not None and math.isclose(stated, value, rel_tol=1e-9) else value
    return Pooled(
        value, low, high, predicted_low, predicted_high,
        tau2, max(0.0, (q - freedom) / q) if freedom and q > 0 else 0.0, tuple(f.id for f in figures),
    )


def _printed(f: StudyFigure) -> tuple[float, float] | None:
    """The interval of a figure, if it can be put on the working scale."""
    top = 1.0 if f.measure in _PROPORTIONS else math.inf
    return f.interval if f.interval is not None and 0 < f.interval[0] < f.interval[1] < top else None


def _on_scale(f: StudyFigure, forward: Callable[[float], float]) -> tuple[float, float]:
    """A figure and its variance on the working scale."""
    if f.value is None:
        raise BayesnetError(f"{f.id} has no value")
    value = f.value
    n = _count(f)
    if f.measure in _PROPORTIONS:
        if not 0 <= value <= 1:
            raise BayesnetError(f"{f.id}: {f.measure} {value:g} is not between 0 and 1")
        if value in (0.0, 1.0):
            if n is None:
                raise BayesnetError(f"{f.id}: {value:g} without a sample size cannot be weighted")
            # Half a patient added to each side, as for an empty cell.
            value = (value * n + 0.5) / (n + 1)
    elif value <= 0:
        raise BayesnetError(f"{f.id}: {f.measure} must be above 0")
    x = forward(value)
    printed = _printed(f)
    if printed is not None:
        return x, ((forward(printed[1]) - forward(printed[0])) / (2 * _Z)) ** 2
    if f.measure in _PROPORTIONS and n is not None:
        return x, 1 / (n * value * (1 - value))
    raise BayesnetError(f"{f.id} ({f.measure}) has neither an interval nor a sample size")


def _count(f: StudyFigure) -> float | None:
    """People the proportion was counted in: those with the cause for a sensitivity."""
    cause, everyone = _number(f.n_cause), _number(f.n)
    if f.measure == "sensitivity" and cause:
        return cause
    if f.measure == "specificity" and cause and everyone and everyone > cause:
        return everyone - cause
    return everyone


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return number if number > 0 else None
