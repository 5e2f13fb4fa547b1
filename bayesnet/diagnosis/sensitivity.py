"""How far an answer moves with each of the model's numbers, one at a time.

One parameter t at a time, the rest of its row in proportion, P(c, e) and P(e) are linear in t, so

    P(c | e)(t) = (alpha t + beta) / (gamma t + delta)

exactly (Coupe & van der Gaag 2002, Ann Math Artif Intell 36:323, proposition 2). The four numbers
come from two values of t. Odds ratios and prevalences of odds-ratio variables are not linear; for
them only the ends of the interval are given. All parameters are rows of one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.uncertainty import (
    WIDE,
    Parts,
    Z,
    odds_ratio_tables,
    parts_of,
    prevalence_index,
    rows_of,
)
from bayesnet.errors import EvidenceError, did_you_mean
from bayesnet.inference import likelihoods_of, stack_rows
from bayesnet.network import Network, NoisyMax, OddsRatio
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel
    from bayesnet.modelfile.reader import Parameter

__all__ = [
    "ParameterRange", "Sensitivity", "SensitivityFunction", "parameter_ranges", "sensitivity",
]


@dataclass(frozen=True, slots=True)
class SensitivityFunction:
    """P(cause | findings) as a function of one parameter: (alpha t + beta) / (gamma t + delta)."""

    alpha: float
    beta: float
    gamma: float
    delta: float

    def __call__(self, t: float) -> float:
        """The posterior at the parameter value `t`."""
        return (self.alpha * t + self.beta) / (self.gamma * t + self.delta)


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How one cause's posterior moves with every parameter.

    Attributes
    ----------
    cause : str
    posterior : float
    table : DataFrame
        One row a parameter (a state of it), widest swing first: `parameter`, `value`, `low`, `high`
        (the 95 % range of the parameter), `posterior_low`, `posterior_high`, `swing`, `flips_at`
        (the value at which another cause of the group becomes more probable than the leading one,
        if there is one in [0, 1]), `where`.
    functions : dict parameter -> SensitivityFunction
        For the parameters in which the posterior is a ratio of linear functions.
    model : DiagnosticModel
    """

    cause: str
    posterior: float
    table: pd.DataFrame
    functions: Mapping[str, SensitivityFunction] = field(repr=False)
    model: DiagnosticModel = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        rows = self.table.to_dict("records")
        return {
            "cause": self.cause, "posterior": self.posterior,
            "parameters": [
                {k: None if isinstance(x, float) and np.isnan(x) else x for k, x in r.items()}
                for r in rows
            ],
        }

    def plot(self, ax: Axes | None = None, top: int = 12, theme: str = "light") -> Axes:
        """A tornado chart (`bayesnet.viz.tornado_figure.plot_tornado`)."""
        from bayesnet.viz.tornado_figure import plot_tornado

        return plot_tornado(self, ax=ax, top=top, theme=theme)


def _range(p: float, spread: Any) -> tuple[float, float]:
    """95 % range of a probability."""
    if isinstance(spread, tuple):
        return max(spread[0], 0.0), min(spread[1], 1.0)
    from scipy.stats import beta

    size = WIDE if spread is None else float(spread)
    if not 0 < p < 1:
        return p, p
    low, high = beta.ppf([0.025, 0.975], size * p, size * (1 - p))
    return float(low), float(high)


def _moved(row: FloatArray, state: int, t: float) -> FloatArray:
    """The row with one entry set to `t`, the others in proportion."""
    rest = 1 - row[state]
    out = row * ((1 - t) / rest) if rest > 0 else np.full_like(row, (1 - t) / (len(row) - 1))
    out[state] = t
    return out


def sensitivity(diagnosis: Diagnosis, cause: str | None = None) -> Sensitivity:
    """How far the posterior of a cause moves with every parameter over its 95 % range.

    Parameters
    ----------
    diagnosis : Diagnosis
    cause : str, optional
        The leading diagnosis by default.

    Raises
    ------
    EvidenceError
        For an unknown cause.
    """
    import pandas as pd

    model = diagnosis.model
    network = model.network
    chosen = cause or diagnosis.ranked("diagnoses")[0].cause
    if chosen not in model.causes:
        raise EvidenceError([f"no cause {chosen!r}.{did_you_mean(chosen, model.causes)}"])
    rivals = [r.cause for r in diagnosis.results if r.group == diagnosis[chosen].group]
    vectors = likelihoods_of(network, diagnosis.findings)
    if model.outcome is not None and model.outcome not in diagnosis.findings:
        vectors[model.outcome] = np.array([0.0, 1.0])
    strata = model.free_strata(vectors)
    relevant = network.ancestors([*vectors, *model.causes])
    ranges = [r for r in model.parameter_ranges if r.variable in relevant]
    rows = 1 + 2 * len(ranges)
    tables = {
        v: [np.repeat(x[None], rows, axis=0) for x in parts_of(network, v)]
        for v in dict.fromkeys(r.variable for r in ranges)
    }
    for i, r in enumerate(ranges):
        for k, end in enumerate(r.ends):
            for x, new in zip(tables[r.variable], end, strict=True):
                x[1 + 2 * i + k] = new
    likelihood = np.repeat(stack_rows(strata, [vectors]), rows, axis=0)
    found = strata.run(likelihood, model.causes, tables=tables)
    evidence = np.exp(found.log_evidence - found.log_evidence[0])
    present = {c: 1 - found.posteriors[c][:, 0] for c in rivals}
    leader = max(rivals, key=lambda c: present[c][0])
    out, functions = [], {}
    for i, r in enumerate(ranges):
        a, b = 1 + 2 * i, 2 + 2 * i
        post = present[chosen][[a, b]]
        flips = float("nan")
        if r.linear and r.high > r.low:
            width = r.high - r.low
            joint = post * evidence[[a, b]]
            alpha, gamma = np.diff(joint)[0] / width, np.diff(evidence[[a, b]])[0] / width
            functions[r.name] = SensitivityFunction(
                float(alpha), float(joint[0] - alpha * r.low), float(gamma),
                float(evidence[a] - gamma * r.low),
            )
            flips = _flip(present, evidence, leader, rivals, a, b, r.low, r.high, r.value)
        out.append([
            r.name, r.value, r.low, r.high, *post, abs(post[1] - post[0]), flips, r.where
        ])
    table = pd.DataFrame(out, columns=[
        "parameter", "value", "low", "high", "posterior_low", "posterior_high", "swing",
        "flips_at", "where",
    ]).sort_values("swing", ascending=False, ignore_index=True)
    return Sensitivity(chosen, float(present[chosen][0]), table, functions, model)


def _flip(
    present: Mapping[str, FloatArray], evidence: FloatArray, leader: str, rivals: list[str],
    a: int, b: int, low: float, high: float, value: float,
) -> float:
    """The nearest value of the parameter at which another cause takes the lead, or NaN."""
    best = float("nan")
    for c in rivals:
        if c == leader:
            continue
        gap = (present[leader][[a, b]] - present[c][[a, b]]) * evidence[[a, b]]
        slope = (gap[1] - gap[0]) / (high - low)
        if slope == 0:
            continue
        t = low - gap[0] / slope
        if 0 <= t <= 1 and not abs(best - value) <= abs(t - value):
            best = float(t)
    return best


@dataclass(frozen=True, eq=False, slots=True)
class ParameterRange:
    """One number of the model, and its variable's tables at both ends of the number's 95 % range.

    Attributes
    ----------
    name, variable, where : str
    value, low, high : float
    linear : bool
        Whether probabilities are linear in it.
    ends : tuple of list of ndarray
        The tables (as `Draws.tables`) with the number at `low` and at `high`.
    """

    name: str
    variable: str
    where: str
    value: float
    low: float
    high: float
    linear: bool
    ends: tuple[Parts, Parts]


def parameter_ranges(model: DiagnosticModel) -> tuple[ParameterRange, ...]:
    """The range of every number of a model that is not so by definition."""
    return tuple(
        r for p in model.document.parameters if not p.is_by_definition
        for r in _ranges_of(model.network, p)
    )


def _ranges_of(network: Network, p: Parameter) -> list[ParameterRange]:
    v = p.variable
    variable = network[v]
    label = "/".join((v, *p.key))
    d = network.distributions[v]
    rows = rows_of(network, p)
    if rows is None:
        assert isinstance(d, OddsRatio)
        return [_range_of_odds_ratio(network, d, p, label)]
    base = parts_of(network, v)
    neutral = d.neutral if isinstance(d, NoisyMax) else 0
    found = []
    for part, index in rows:
        row = base[part][index]
        for s in range(len(row)):
            if s == neutral or row[s] in (0.0, 1.0):
                continue
            low, high = _range(float(row[s]), p.spread)
            ends = [x.copy() for x in base], [x.copy() for x in base]
            for end, t in zip(ends, (low, high), strict=True):
                end[part][index] = _moved(row, s, t)
            name = label
            if isinstance(d, NoisyMax) and part and len(network[d.parents[part - 1]]) > 2:
                name += f"={network[d.parents[part - 1]].states[index[0]]}"
            if len(row) > 2:
                name += f": {variable.states[s]}"
            found.append(ParameterRange(name, v, p.where, float(row[s]), low, high, True, ends))
    return found


def _range_of_odds_ratio(
    network: Network, d: OddsRatio, p: Parameter, label: str
) -> ParameterRange:
    v = p.variable
    stratum = prevalence_index(network, p)
    prevalences = np.stack([d.prevalence] * 2)
    ratios = [np.stack([r] * 2) for r in d.odds_ratios]
    if stratum is not None:
        row = d.prevalence[stratum]
        value = float(row[1:].sum())
        low, high = _range(value, p.spread)
        for end, t in zip(prevalences, (low, high), strict=True):
            end[stratum] = np.concatenate([[1 - t], row[1:] * (t / value if value else 0)])
    else:
        i = d.risk_factors.index(p.key[0])
        ratio = d.odds_ratios[i]
        acting = ratio[ratio != 1]
        value = float(acting.max()) if acting.size else 1.0
        if isinstance(p.spread, tuple):
            low, high = map(float, p.spread)
        else:
            width = Z * 4 / np.sqrt(WIDE if p.spread is None else float(p.spread))
            low, high = float(value * np.exp(-width)), float(value * np.exp(width))
        ratios[i] = np.stack([np.where(ratio == 1, 1.0, ratio * t / value) for t in (low, high)])
    at_low, at_high = odds_ratio_tables(network, v, prevalences, ratios)
    return ParameterRange(label, v, p.where, value, low, high, False, ([at_low], [at_high]))
