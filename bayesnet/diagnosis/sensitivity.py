"""How far an answer moves with each of the model's numbers, one at a time.

One parameter t at a time, the rest of its row in proportion, P(c, e) and P(e) are linear in t, so

    P(c | e)(t) = (alpha t + beta) / (gamma t + delta)

exactly (Coupe & van der Gaag 2002, Ann Math Artif Intell 36:323, proposition 2). The four numbers
come from two values of t. Odds ratios and prevalences of odds-ratio variables are not linear: the
ends of their interval are given, and where another cause leads at an end, the value at which it takes
the lead is closed in on. All parameters are rows of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnet.diagnosis.renumbered import Parts, parts_of, run_renumbered
from bayesnet.diagnosis.uncertainty import (
    WIDE,
    Z,
    number_state,
    numbers_of,
    prevalence_index,
    rows_of,
    tables_from,
)
from bayesnet.errors import EvidenceError, did_you_mean
from bayesnet.inference import likelihoods_of
from bayesnet.network import Network, NoisyMax, OddsRatio, Table
from bayesnet.network.factor import FloatArray
from bayesnet.network.prevalence import odds_ratio_tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel
    from bayesnet.modelfile.reader import Parameter

__all__ = [
    "ParameterRange", "Sensitivity", "SensitivityFunction", "parameter_ranges", "sensitivity",
]

BoolArray = npt.NDArray[np.bool_]
#: Values asked at once, and how often, to enclose the value at which the lead changes: to 1e-6 of its range.
POINTS, ROUNDS = 3, 10
#: Findings so many times less likely than with the model's number count as impossible: no cause leads.
IMPOSSIBLE = 1e-9


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
        (the value nearest to the present one at which another cause of the group becomes more
        probable than the leading one: in [0, 1], or in the 95 % range of an odds ratio or of the
        prevalence of an odds-ratio variable; NaN if there is none), `where`.
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

    def _said(self, top: int = 12) -> list[tuple[str, str, str, str, str]]:
        """The widest swings: the number, its value and range, the posterior then, where the lead changes."""
        from bayesnet.diagnosis.words import amount, parameter_words, percent

        return [
            (
                parameter_words(self.model.network, r["parameter"]), amount(r["value"]),
                f"{amount(r['low'])} to {amount(r['high'])}",
                f"{percent(r['posterior_low'])} to {percent(r['posterior_high'])}",
                "-" if np.isnan(r["flips_at"]) else amount(r["flips_at"]),
            )
            for r in self.table.head(top).to_dict("records")
        ]

    def _title(self) -> str:
        from bayesnet.diagnosis.words import percent

        return f"What {self.model.network[self.cause].name}, {percent(self.posterior)}, hangs on"

    def __repr__(self) -> str:
        rows = [
            f"  {name}: {value} ({span}), present then {then}, flips at {flips}"
            for name, value, span, then, flips in self._said()
        ]
        return "\n".join([self._title(), *rows])

    def _repr_html_(self) -> str:
        from bayesnet.diagnosis.words import html_table

        headings = ("number of the model", "value", "its range", "present then", "flips at")
        return html_table(self._title(), headings, self._said(), self.model.disclaimer)

    def plot(self, ax: Axes | None = None, top: int = 12, theme: str = "light") -> Axes:
        """A tornado chart (`bayesnet.viz.tornado_figure.plot_tornado`)."""
        from bayesnet.viz.tornado_figure import plot_tornado

        return plot_tornado(self, ax=ax, top=top, theme=theme)


def _range(p: float, spread: Any) -> tuple[float, float]:
    """95 % range of a probability."""
    if isinstance(spread, tuple):
        return max(spread[0], 0.0), min(spread[1], 1.0)
    from scipy.special import betaincinv

    size = WIDE if spread is None else float(spread)
    if not 0 < p < 1:
        return p, p
    low, high = betaincinv(size * p, size * (1 - p), [0.025, 0.975])
    # The mean of a Beta that is nearly all at one end lies outside that range.
    return min(float(low), p), max(float(high), p)


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
    relevant = network.ancestors([*vectors, *model.causes])
    ranges = [r for r in model.parameter_ranges if r.variable in relevant]
    rows = 1 + 2 * len(ranges)
    tables = {
        v: [np.repeat(x[None], rows, axis=0) for x in parts_of(network, v)]
        for v in dict.fromkeys(r.variable for r in ranges)
    }
    for i, r in enumerate(ranges):
        for x, ends in zip(tables[r.variable], r.ends, strict=True):
            x[1 + 2 * i : 3 + 2 * i] = ends
    (found,) = run_renumbered(model, [vectors], model.causes, tables, rows)
    evidence = np.exp(found.log_evidence - found.log_evidence[0])
    present = {c: found.posteriors[c][:, 1:].sum(axis=1) for c in rivals}
    leader = max(rivals, key=lambda c: present[c][0])

    def lost(tables: Mapping[str, Parts], rows: int) -> BoolArray:
        (again,) = run_renumbered(model, [vectors], rivals, tables, rows)
        return _overtaken({c: again.posteriors[c][:, 1:].sum(axis=1) for c in rivals}, leader)

    at_ends = _overtaken(present, leader)[1:].reshape(-1, 2)
    losing = [
        (r, end) for r, over in zip(ranges, at_ends, strict=True) if not r.linear
        for end, here in zip((r.low, r.high), over, strict=True) if here
    ]
    curved = _turning_points(network, losing, lost)
    out, functions = [], {}
    for i, r in enumerate(ranges):
        a, b = 1 + 2 * i, 2 + 2 * i
        post = present[chosen][[a, b]]
        flips = curved.get(r.name, float("nan"))
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


def _overtaken(present: Mapping[str, FloatArray], leader: str) -> BoolArray:
    """Whether another cause is more probable than the leader, per row."""
    lead = present[leader]
    over = np.zeros(len(lead), dtype=bool)
    for p in present.values():
        over |= p > lead
    return over


def _turning_points(
    network: Network, losing: list[tuple[ParameterRange, float]],
    lost: Callable[[Mapping[str, Parts], int], BoolArray],
) -> dict[str, float]:
    """The nearest value at which the lead is lost, of numbers with an end at which it is.

    Every round asks `lost` at `POINTS` values between the last value that keeps the lead and the
    first that loses it, for all numbers and ends in one batch.
    """
    if not losing:
        return {}
    keeps, loses = [r.value for r, _ in losing], [end for _, end in losing]
    rows = len(losing) * POINTS
    for _ in range(ROUNDS):
        tables = {
            v: [np.repeat(x[None], rows, axis=0) for x in parts_of(network, v)]
            for v in dict.fromkeys(r.variable for r, _ in losing)
        }
        asked = np.linspace(keeps, loses, POINTS + 2, axis=1)[:, 1:-1]
        for k, (r, _) in enumerate(losing):
            for x, new in zip(tables[r.variable], r.at(asked[k]), strict=True):
                x[k * POINTS : (k + 1) * POINTS] = new
        for k, over in enumerate(lost(tables, rows).reshape(-1, POINTS)):
            first = int(over.argmax()) if over.any() else POINTS
            if first < POINTS:
                loses[k] = float(asked[k, first])
            if first:
                keeps[k] = float(asked[k, first - 1])
    nearest: dict[str, float] = {}
    for (r, _), kept, gone in zip(losing, keeps, loses, strict=True):
        t = (kept + gone) / 2
        if abs(t - r.value) < abs(nearest.get(r.name, np.inf) - r.value):
            nearest[r.name] = t
    return nearest


def _flip(
    present: Mapping[str, FloatArray], evidence: FloatArray, leader: str, rivals: list[str],
    a: int, b: int, low: float, high: float, value: float,
) -> float:
    """The nearest value of the parameter at which another cause takes the lead, or NaN."""
    best = float("nan")
    rise = (evidence[b] - evidence[a]) / (high - low)
    for c in rivals:
        if c == leader:
            continue
        gap = (present[leader][[a, b]] - present[c][[a, b]]) * evidence[[a, b]]
        slope = (gap[1] - gap[0]) / (high - low)
        if slope == 0:
            continue
        t = low - gap[0] / slope
        if evidence[a] + rise * (t - low) < IMPOSSIBLE:
            continue
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
    at : callable
        From values of the number, shape `(n,)`, to the variable's tables (as `Draws.tables`), with
        those values along the first axis.
    ends : list of ndarray
        The tables at `low` and at `high`, along the first axis.
    """

    name: str
    variable: str
    where: str
    value: float
    low: float
    high: float
    linear: bool
    at: Callable[[FloatArray], Parts] = field(repr=False)
    ends: Parts = field(repr=False)


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
    base = numbers_of(network, v)
    neutral = d.neutral if isinstance(d, NoisyMax) else 0
    if len(variable) == 2 and not isinstance(d, NoisyMax):
        neutral = 1 - number_state(d, p.key)
    found = []
    for part, index in rows:
        row = base[part][index]
        for s in range(len(row)):
            if s == neutral or row[s] in (0.0, 1.0):
                continue
            low, high = _range(float(row[s]), p.spread)
            name = label
            if index and not isinstance(d, Table) and p.key != ("specificity",):
                parent = network[d.parents[part - 1 if isinstance(d, NoisyMax) else part]]
                name += f"={parent.states[index[0]]}" if len(parent) > 2 else ""
            if len(row) > 2:
                name += f": {variable.states[s]}"
            at = partial(_tables_at, network, v, base, part, index, s)
            ends = at(np.array([low, high]))
            found.append(ParameterRange(name, v, p.where, float(row[s]), low, high, True, at, ends))
    return found


def _tables_at(
    network: Network, variable: str, base: Parts, part: int, index: tuple[int, ...], state: int,
    values: FloatArray,
) -> Parts:
    """The tables with one entry at each of `values`, the rest of its row in proportion."""
    out = [np.repeat(x[None], len(values), axis=0) for x in base]
    for table, t in zip(out[part], values, strict=True):
        table[index] = _moved(base[part][index], state, t)
    return tables_from(network, variable, out)


def _range_of_odds_ratio(
    network: Network, d: OddsRatio, p: Parameter, label: str
) -> ParameterRange:
    v = p.variable
    stratum = prevalence_index(network, p)
    if stratum is not None:
        value = float(d.prevalence[stratum][1:].sum())
        low, high = _range(value, p.spread)
    else:
        acting = d.odds_ratios[d.risk_factors.index(p.key[0])]
        acting = acting[acting != 1]
        value = float(acting.max()) if acting.size else 1.0
        if isinstance(p.spread, tuple):
            low, high = map(float, p.spread)
        else:
            width = Z * 4 / np.sqrt(WIDE if p.spread is None else float(p.spread))
            low, high = float(value * np.exp(-width)), float(value * np.exp(width))

    def at(values: FloatArray) -> Parts:
        prevalences = np.stack([d.prevalence] * len(values))
        ratios = [np.stack([r] * len(values)) for r in d.odds_ratios]
        if stratum is not None:
            cases = d.prevalence[stratum][1:]
            for table, t in zip(prevalences, values, strict=True):
                table[stratum] = np.concatenate([[1 - t], cases * (t / value if value else 0)])
        else:
            i = d.risk_factors.index(p.key[0])
            ratio = d.odds_ratios[i]
            ratios[i] = np.stack([np.where(ratio == 1, 1.0, ratio * t / value) for t in values])
        return [odds_ratio_tables(prevalences, ratios, d.by is not None, network.parent_joint(v))]

    return ParameterRange(
        label, v, p.where, value, low, high, False, at, at(np.array([low, high]))
    )
