"""How sure: what the spread of the model's own numbers does to the answer.

Every parameter has a spread: an effective sample size n (a row p of probabilities is drawn from a
Dirichlet distribution with parameters n p) or a 95 % interval (a probability is drawn from a
logit-normal, an odds ratio from a log-normal distribution with that interval; an odds ratio with a
sample size has the variance 16 / n of the log of an evenly filled fourfold table). Prevalences of
an odds-ratio variable are kept exact for every draw by solving the intercepts again, with the risk
factors as common as in the model itself. All draws are rows of one batch.

One parameter t at a time, the rest of its row in proportion, P(c, e) and P(e) are linear in t, so

    P(c | e)(t) = (alpha t + beta) / (gamma t + delta)

exactly (Coupe & van der Gaag 2002, Ann Math Artif Intell 36:323, proposition 2). The four numbers
come from two values of t. Odds ratios and prevalences of odds-ratio variables are not linear; for
them only the ends of the interval are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.errors import EvidenceError, did_you_mean
from bayesnet.inference import likelihoods_of, stack_rows
from bayesnet.network import Network, NoisyMax, OddsRatio, SensitivitySpecificity, Table
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel
    from bayesnet.modelfile.reader import Parameter

__all__ = [
    "Draws", "Intervals", "Sensitivity", "SensitivityFunction", "draw_parameters", "intervals",
    "prevalence_index", "rows_of", "sensitivity",
]

#: Spread of a parameter that states none.
WIDE = 20.0
Z = 1.959963984540054
Parts = list[FloatArray]


@dataclass(frozen=True, eq=False)
class Draws:
    """Many complete sets of the model's numbers.

    Attributes
    ----------
    n, seed : int
    tables : dict id -> list of ndarray
        As `run` takes them: one array for a table; leak and links for a noisy-MAX.
    """

    n: int
    seed: int
    tables: Mapping[str, Parts]


# ---------------------------------------------------------------- parts of a distribution


def _parts(network: Network, variable: str) -> Parts:
    """The arrays that `run` takes for a free variable, as the network has them."""
    return [f.values for f in network.factors_of(variable)]


def rows_of(
    network: Network, parameter: Parameter
) -> list[tuple[int, tuple[int, ...]]] | None:
    """(part, index) of every row that a parameter sets; None for odds ratios and prevalences."""
    d = network.distributions[parameter.variable]
    key = parameter.key
    if isinstance(d, OddsRatio):
        return None
    if isinstance(d, Table):
        index = tuple(
            network[p].states.index(s) for p, s in zip(d.parents, key, strict=False)
        )
        return [(0, index)]
    if isinstance(d, SensitivitySpecificity):
        parent = network[d.parents[0]]
        states = range(1, len(parent)) if key == ("sensitivity",) else (0,)
        return [(0, (s,)) for s in states]
    if isinstance(d, NoisyMax):
        if key == ("leak",):
            return [(0, ())]
        part = 1 + d.parents.index(key[0])
        link = d.links[part - 1]
        # A state without effect has no number of its own.
        acting = [s for s in range(1, len(link)) if link[s, d.neutral] < 1]
        return [(part, (s,)) for s in acting]
    return None


def _drawn_rows(
    row: FloatArray, spread: Any, n: int, generator: np.random.Generator
) -> FloatArray:
    """`n` draws of one row of probabilities; zeros stay zero."""
    if (row == 0).sum() == len(row) - 1:
        return np.repeat(row[None], n, axis=0)
    if isinstance(spread, tuple) and len(row) == 2:
        low, high = (min(max(x, 1e-6), 1 - 1e-6) for x in spread)
        # The interval speaks of the state that is not the baseline.
        p = row[1]
        width = (np.log(high / (1 - high)) - np.log(low / (1 - low))) / (2 * Z)
        x = np.log(p / (1 - p)) + width * generator.standard_normal(n)
        drawn = 1 / (1 + np.exp(-x))
        return np.stack([1 - drawn, drawn], axis=1)
    size = WIDE if spread is None or isinstance(spread, tuple) else float(spread)
    gamma = generator.standard_gamma(size * row, size=(n, len(row)))
    total = gamma.sum(1, keepdims=True)
    return np.where(total > 0, gamma / np.where(total > 0, total, 1), row)


def _drawn_ratio(
    ratio: FloatArray, spread: Any, n: int, generator: np.random.Generator
) -> FloatArray:
    """`n` draws of the odds ratios of one risk factor; all states rise and fall together."""
    if isinstance(spread, tuple):
        width = np.log(spread[1] / spread[0]) / (2 * Z) if spread[0] > 0 else 0.5
    else:
        width = 4 / np.sqrt(WIDE if spread is None else float(spread))
    factor = np.exp(width * generator.standard_normal(n))
    return np.where(ratio == 1, 1.0, ratio * factor.reshape(-1, *[1] * ratio.ndim))


def _solved(log_odds: FloatArray, weights: FloatArray, prevalence: FloatArray) -> FloatArray:
    """Tables of an odds-ratio variable for many draws: shape `(n, configurations, states)`.

    The intercept of each state is moved by the log of wanted over found prevalence until both
    agree (iterative proportional fitting, Deming & Stephan 1940).
    """
    with np.errstate(divide="ignore"):
        wanted = np.log(prevalence)
    intercept = wanted.copy()
    table = np.empty_like(log_odds)
    for _ in range(200):
        z = log_odds + intercept[:, None, :]
        z -= z.max(axis=2, keepdims=True)
        table = np.exp(z)
        table /= table.sum(axis=2, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = wanted - np.log(np.einsum("c,ncs->ns", weights, table))
        step = np.nan_to_num(step, neginf=0.0, posinf=0.0)
        intercept = intercept + step
        if np.abs(step).max() < 1e-10:
            break
    return table


def _odds_ratio_draws(
    network: Network, variable: str, prevalences: FloatArray, ratios: list[FloatArray]
) -> FloatArray:
    """`prevalences` `(n, strata, states)`, `ratios` each `(n, parent states, states)`."""
    d = network.distributions[variable]
    assert isinstance(d, OddsRatio)
    sizes = network.sizes(d.parents)
    strata = sizes[0] if d.by is not None else 1
    rest = list(sizes[1:] if d.by is not None else sizes)
    n, states = len(prevalences), prevalences.shape[-1]
    log_odds = np.zeros((n, *rest, states))
    for i, ratio in enumerate(ratios):
        axes = [n] + [1] * i + [rest[i]] + [1] * (len(rest) - i - 1) + [states]
        log_odds = log_odds + np.log(ratio).reshape(axes)
    flat = log_odds.reshape(n, -1, states)
    joint = network.parent_joint(variable).reshape(strata, -1)
    out = np.empty((n, strata, flat.shape[1], states))
    for s in range(strata):
        mass = joint[s].sum()
        weights = joint[s] / mass if mass > 0 else np.full(joint.shape[1], 1 / joint.shape[1])
        out[:, s] = _solved(flat, weights, prevalences[:, s])
    return out.reshape(n, *sizes, states)


def prevalence_index(network: Network, parameter: Parameter) -> int | None:
    """The stratum of a prevalence parameter, or None when it is an odds ratio."""
    d = network.distributions[parameter.variable]
    assert isinstance(d, OddsRatio)
    if parameter.key[0] != "prevalence":
        return None
    if d.by is None:
        return 0
    return network[d.parents[0]].states.index(parameter.key[1])


def draw_parameters(model: DiagnosticModel, n: int = 1000, seed: int = 0) -> Draws:
    """Draw all parameters of a model `n` times from their spreads.

    Parameters
    ----------
    model : DiagnosticModel
    n, seed : int
        Same seed, same draws.
    """
    network = model.network
    generator = np.random.default_rng(seed)
    tables = {
        v: [np.repeat(x[None], n, axis=0) for x in _parts(network, v)] for v in network.variables
    }
    prevalences: dict[str, FloatArray] = {}
    ratios: dict[str, list[FloatArray]] = {}
    for v, d in network.distributions.items():
        if isinstance(d, OddsRatio):
            prevalences[v] = np.repeat(d.prevalence[None], n, axis=0)
            ratios[v] = [np.repeat(x[None], n, axis=0) for x in d.odds_ratios]
    for p in model.document.parameters:
        rows = rows_of(network, p)
        if rows is not None:
            for part, index in rows:
                base = tables[p.variable][part][0][index]
                every: tuple[slice | int, ...] = (slice(None), *index)
                tables[p.variable][part][every] = _drawn_rows(
                    base, p.spread, n, generator
                )
            continue
        d = network.distributions[p.variable]
        assert isinstance(d, OddsRatio)
        stratum = prevalence_index(network, p)
        if stratum is not None:
            base = d.prevalence[stratum]
            prevalences[p.variable][:, stratum] = _drawn_rows(base, p.spread, n, generator)
        else:
            i = d.risk_factors.index(p.key[0])
            ratios[p.variable][i] = _drawn_ratio(d.odds_ratios[i], p.spread, n, generator)
    for v, drawn in prevalences.items():
        tables[v] = [_odds_ratio_draws(network, v, drawn, ratios[v])]
    return Draws(n, seed, tables)


# ---------------------------------------------------------------- intervals


@dataclass(frozen=True, eq=False)
class Intervals:
    """Credible intervals of a patient's answer.

    Attributes
    ----------
    posterior, necessity : dict cause -> ndarray
        All draws, shape `(n,)`.
    top : dict group -> (cause, probability)
        The leading cause of each group by necessity, and in which share of the draws it leads.
    level : float
    """

    posterior: Mapping[str, FloatArray]
    necessity: Mapping[str, FloatArray]
    top: Mapping[str, tuple[str, float]]
    level: float
    diagnosis: Diagnosis = field(repr=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a cause, in the order of the diagnosis."""
        import pandas as pd

        tail = 100 * (1 - self.level) / 2
        rows = []
        for r in self.diagnosis.results:
            low, high = np.percentile(self.posterior[r.cause], [tail, 100 - tail])
            need = self.necessity.get(r.cause)
            n_low, n_high = (
                (np.nan, np.nan) if need is None else np.percentile(need, [tail, 100 - tail])
            )
            rows.append([r.cause, r.group, r.posterior, low, high, r.necessity, n_low, n_high])
        return pd.DataFrame(rows, columns=[
            "cause", "group", "posterior", "posterior_low", "posterior_high", "necessity",
            "necessity_low", "necessity_high",
        ])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        records = self.table.to_dict("records")
        return {
            "level": self.level, "draws": len(next(iter(self.posterior.values()))),
            "top": {g: {"cause": c, "probability": p} for g, (c, p) in self.top.items()},
            "causes": [
                {k: None if isinstance(x, float) and np.isnan(x) else x for k, x in r.items()}
                for r in records
            ],
        }

    def __repr__(self) -> str:
        from bayesnet.diagnosis.words import percent

        lines = []
        for group, (cause, p) in self.top.items():
            lines.append(f"{group}: {cause} leads in {percent(p)} of the draws")
        for r in self.table[self.table["posterior"] > 0.01].head(12).to_dict("records"):
            lines.append(
                f"  {r['cause']}: present {percent(r['posterior'])} ({percent(r['posterior_low'])} to "
                f"{percent(r['posterior_high'])}), failed because of it {percent(r['necessity'])} "
                f"({percent(r['necessity_low'])} to {percent(r['necessity_high'])})"
            )
        return "\n".join(lines)


def intervals(
    diagnosis: Diagnosis, draws: Draws | None = None, level: float = 0.95
) -> Intervals:
    """Credible intervals of posterior and necessity over draws of all parameters."""
    from bayesnet.diagnosis.result import FAMILY_GROUPS

    model = diagnosis.model
    network, outcome = model.network, model.outcome
    drawn = draws or model.draws()
    vectors = likelihoods_of(network, diagnosis.findings)
    told = vectors.pop(outcome, None) if outcome is not None else None
    failed = outcome is not None and (
        outcome not in diagnosis.findings or (told is not None and told[0] == 0)
    )
    if outcome is None or not failed:
        rows = [vectors if told is None or outcome is None else {**vectors, outcome: told}]
    else:
        rows = [{**vectors, outcome: np.array([0.0, 1.0])}, {**vectors, outcome: np.array([1.0, 0.0])}]
    strata = model.free_strata(rows[0])
    likelihood = np.repeat(stack_rows(strata, rows), drawn.n, axis=0)
    tables = {
        v: [np.concatenate([x] * len(rows)) for x in drawn.tables[v]]
        for v in network.ancestors([*rows[0], *model.causes])
    }
    found = strata.run(likelihood, model.causes, tables=tables)
    n = drawn.n
    posterior = {c: 1 - found.posteriors[c][:n, 0] for c in model.causes}
    necessity: dict[str, FloatArray] = {}
    if failed:
        assert outcome is not None
        odds = np.exp(found.log_evidence[n:] - found.log_evidence[:n])
        parents = network.parents(outcome)
        for c in model.causes:
            if c in parents:
                link = np.minimum(drawn.tables[outcome][1 + parents.index(c)][..., 1], 1 - 1e-12)
                given_success = found.posteriors[c][n:]
                necessity[c] = odds * (given_success * link / (1 - link)).sum(1)
            else:
                necessity[c] = np.zeros(n)
    top = {}
    measure = necessity or posterior
    for group in dict.fromkeys(FAMILY_GROUPS.values()):
        members = [r.cause for r in diagnosis.results if r.group == group]
        if members:
            leads = np.argmax(np.stack([measure[c] for c in members]), axis=0)
            first = diagnosis.ranked(group, "necessity" if failed else "posterior")[0].cause
            top[group] = (first, float(np.mean(leads == members.index(first))))
    return Intervals(posterior, necessity, top, level, diagnosis)


# ---------------------------------------------------------------- one parameter at a time


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
    base = {v: _parts(network, v) for v in network.variables}
    relevant = network.ancestors([*vectors, *model.causes])
    jobs: list[tuple[str, float, float, float, str, bool, list[Parts], str]] = []
    for p in model.document.parameters:
        if p.variable in relevant and not p.is_by_definition:
            jobs += _jobs(network, base, p)
    width = 2
    rows = 1 + width * len(jobs)
    tables = {
        v: [np.repeat(x[None], rows, axis=0) for x in parts]
        for v, parts in base.items() if any(j[4] == v for j in jobs)
    }
    for i, job in enumerate(jobs):
        for k, parts in enumerate(job[6]):
            for x, new in zip(tables[job[4]], parts, strict=True):
                x[1 + width * i + k] = new
    likelihood = np.repeat(stack_rows(strata, [vectors]), rows, axis=0)
    found = strata.run(likelihood, model.causes, tables=tables)
    evidence = np.exp(found.log_evidence - found.log_evidence[0])
    present = {c: 1 - found.posteriors[c][:, 0] for c in rivals}
    leader = max(rivals, key=lambda c: present[c][0])
    out, functions = [], {}
    for i, (name, value, low, high, _, linear, _, where) in enumerate(jobs):
        a, b = 1 + width * i, 2 + width * i
        post = present[chosen][[a, b]]
        flips = float("nan")
        if linear and high > low:
            joint = post * evidence[[a, b]]
            alpha, gamma = np.diff(joint)[0] / (high - low), np.diff(evidence[[a, b]])[0] / (high - low)
            functions[name] = SensitivityFunction(
                float(alpha), float(joint[0] - alpha * low), float(gamma),
                float(evidence[a] - gamma * low),
            )
            flips = _flip(present, evidence, leader, rivals, a, b, low, high, value)
        out.append([name, value, low, high, *post, abs(post[1] - post[0]), flips, where])
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


def _jobs(
    network: Network, base: Mapping[str, Parts], p: Parameter
) -> list[tuple[str, float, float, float, str, bool, list[Parts], str]]:
    """(name, value, low, high, variable, linear, parts at low and high, where) for each number."""
    v = p.variable
    variable = network[v]
    label = "/".join((v, *p.key))
    rows = rows_of(network, p)
    found = []
    if rows is not None:
        for part, index in rows:
            row = base[v][part][index]
            d = network.distributions[v]
            neutral = d.neutral if isinstance(d, NoisyMax) else 0
            for s in range(len(row)):
                if s == neutral or row[s] in (0.0, 1.0):
                    continue
                low, high = _range(float(row[s]), p.spread)
                ends = []
                for t in (low, high):
                    parts = [x.copy() for x in base[v]]
                    parts[part][index] = _moved(row, s, t)
                    ends.append(parts)
                name = label
                if isinstance(d, NoisyMax) and part and len(network[d.parents[part - 1]]) > 2:
                    name += f"={network[d.parents[part - 1]].states[index[0]]}"
                if len(row) > 2:
                    name += f": {variable.states[s]}"
                found.append((name, float(row[s]), low, high, v, True, ends, p.where))
        return found
    d = network.distributions[v]
    assert isinstance(d, OddsRatio)
    stratum = prevalence_index(network, p)
    prevalence, ratios = d.prevalence, list(d.odds_ratios)
    ends = []
    if stratum is not None:
        row = prevalence[stratum]
        value = float(row[1:].sum())
        low, high = _range(value, p.spread)
        for t in (low, high):
            moved = prevalence.copy()
            moved[stratum] = np.concatenate([[1 - t], row[1:] * (t / value if value else 0)])
            ends.append([_odds_ratio_draws(network, v, moved[None], [r[None] for r in ratios])[0]])
        return [(label, value, low, high, v, False, ends, p.where)]
    i = d.risk_factors.index(p.key[0])
    acting = ratios[i][ratios[i] != 1]
    value = float(acting.max()) if acting.size else 1.0
    if isinstance(p.spread, tuple):
        low, high = p.spread
    else:
        width = Z * 4 / np.sqrt(WIDE if p.spread is None else float(p.spread))
        low, high = value * np.exp(-width), value * np.exp(width)
    for t in (low, high):
        moved_ratio = np.where(ratios[i] == 1, 1.0, ratios[i] * t / value)
        changed = [r[None] if k != i else moved_ratio[None] for k, r in enumerate(ratios)]
        ends.append([_odds_ratio_draws(network, v, prevalence[None], changed)[0]])
    return [(label, value, float(low), float(high), v, False, ends, p.where)]
