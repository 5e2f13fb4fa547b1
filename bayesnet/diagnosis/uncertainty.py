"""How sure: what the spread of the model's own numbers does to the answer.

Every parameter has a spread: an effective sample size n (a row p of probabilities is drawn from a
Dirichlet distribution with parameters n p) or a 95 % interval (the log odds of a probability and the
log of an odds ratio are drawn from two half-normal distributions that meet at the value, one for each
end: half of the draws lie on either side of it, 95 % within the interval). An odds ratio with a sample
size has the variance 16 / n of the log of an evenly filled fourfold table. Prevalences of an odds-ratio
variable are kept exact for every draw by solving the intercepts again, with the risk factors as common
as in the model itself. All draws are rows of one batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.renumbered import Parts, parts_of, run_renumbered
from bayesnet.errors import EvidenceError
from bayesnet.inference import likelihoods_of
from bayesnet.network import (
    Distribution,
    Mixture,
    Network,
    NoisyMax,
    OddsRatio,
    SensitivitySpecificity,
    Table,
)
from bayesnet.network.factor import FloatArray
from bayesnet.network.prevalence import odds_ratio_tables

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel
    from bayesnet.modelfile.reader import Parameter

__all__ = [
    "WIDE", "Draws", "Intervals", "Z", "draw_parameters", "intervals",
    "number_state", "numbers_of", "prevalence_index", "rows_of", "tables_from",
]

#: Spread of a parameter that states none.
WIDE = 20.0
Z = 1.959963984540054


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
    assert isinstance(d, Mixture)
    if key == ("none",):
        return [(len(d.components), ())]
    part = d.parents.index(key[0])
    return [(part, (s,)) for s in range(1, len(d.components[part]))]


def numbers_of(network: Network, variable: str) -> Parts:
    """The arrays that `rows_of` speaks of; those of a mixture are its components and `none`."""
    d = network.distributions[variable]
    return [*d.components, d.none] if isinstance(d, Mixture) else parts_of(network, variable)


def tables_from(network: Network, variable: str, numbers: Parts) -> Parts:
    """What `run` takes for a variable, from many sets of what `numbers_of` gives."""
    d = network.distributions[variable]
    if not isinstance(d, Mixture):
        return numbers
    sizes = network.sizes(d.parents)
    made = (replace(d, components=tuple(x), none=none) for *x, none in zip(*numbers, strict=True))
    return [np.stack([m.table(sizes) for m in made])]


def number_state(d: Distribution, key: tuple[str, ...]) -> int:
    """The state of a two-state variable whose probability a parameter is."""
    return 0 if isinstance(d, SensitivitySpecificity) and key == ("specificity",) else 1


def _halves(
    middle: float, low: float, high: float, n: int, generator: np.random.Generator
) -> FloatArray:
    """Draws with `middle` as their median and `low` to `high` as their 95 % interval."""
    below, above = middle - low, high - middle
    if min(below, above) < 0:
        # A value outside its own interval: the interval tells no more than how wide it is.
        below = above = (high - low) / 2
    z = generator.standard_normal(n)
    return middle + np.where(z < 0, below, above) / Z * z


def _drawn_rows(
    row: FloatArray, spread: Any, n: int, generator: np.random.Generator, state: int
) -> FloatArray:
    """`n` draws of one row of probabilities; an interval speaks of `state`; zeros stay zero."""
    if (row == 0).sum() == len(row) - 1:
        return np.repeat(row[None], n, axis=0)
    if isinstance(spread, tuple) and len(row) == 2:
        low, high = (min(max(x, 1e-6), 1 - 1e-6) for x in spread)
        middle, low, high = (float(np.log(p / (1 - p))) for p in (row[state], low, high))
        drawn = 1 / (1 + np.exp(-_halves(middle, low, high, n, generator)))
        return np.stack([1 - drawn, drawn] if state else [drawn, 1 - drawn], axis=1)
    size = WIDE if spread is None or isinstance(spread, tuple) else float(spread)
    gamma = generator.standard_gamma(size * row, size=(n, len(row)))
    total = gamma.sum(1, keepdims=True)
    return np.where(total > 0, gamma / np.where(total > 0, total, 1), row)


def _drawn_ratio(
    ratio: FloatArray, spread: Any, n: int, generator: np.random.Generator
) -> FloatArray:
    """`n` draws of the odds ratios of one risk factor; all states rise and fall together."""
    value = float(ratio[ratio != 1].max(initial=0.0)) or 1.0
    if isinstance(spread, tuple) and spread[0] > 0:
        low, high = np.log(spread) - np.log(value)
    else:
        width = 0.5 if isinstance(spread, tuple) else 4 / np.sqrt(WIDE if spread is None else float(spread))
        low, high = -width * Z, width * Z
    factor = np.exp(_halves(0.0, low, high, n, generator))
    return np.where(ratio == 1, 1.0, ratio * factor.reshape(-1, *[1] * ratio.ndim))


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
        v: [np.repeat(x[None], n, axis=0) for x in numbers_of(network, v)]
        for v in network.variables
    }
    solved = {v: d for v, d in network.distributions.items() if isinstance(d, OddsRatio)}
    prevalences = {v: np.repeat(d.prevalence[None], n, axis=0) for v, d in solved.items()}
    ratios = {v: [np.repeat(x[None], n, axis=0) for x in d.odds_ratios] for v, d in solved.items()}
    for p in model.document.parameters:
        rows = rows_of(network, p)
        if rows is not None:
            state = number_state(network.distributions[p.variable], p.key)
            for part, index in rows:
                base = tables[p.variable][part][0][index]
                every: tuple[slice | int, ...] = (slice(None), *index)
                tables[p.variable][part][every] = _drawn_rows(
                    base, p.spread, n, generator, state
                )
            continue
        d = solved[p.variable]
        stratum = prevalence_index(network, p)
        if stratum is not None:
            base = d.prevalence[stratum]
            prevalences[p.variable][:, stratum] = _drawn_rows(base, p.spread, n, generator, 1)
        else:
            i = d.risk_factors.index(p.key[0])
            ratios[p.variable][i] = _drawn_ratio(d.odds_ratios[i], p.spread, n, generator)
    for v, numbers in tables.items():
        tables[v] = tables_from(network, v, numbers)
    for v, drawn in prevalences.items():
        by = solved[v].by is not None
        tables[v] = [odds_ratio_tables(drawn, ratios[v], by, network.parent_joint(v))]
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
        lines = self._leads()
        lines += [
            f"  {name}: present {present} ({span}), because of it {because} ({its_span})"
            for name, present, span, because, its_span in self._said()
        ]
        return "\n".join(lines)

    def _leads(self) -> list[str]:
        """The leading cause of each group, and how often it leads."""
        from bayesnet.diagnosis.words import GROUPS, percent

        network = self.diagnosis.model.network
        return [
            f"{GROUPS[group]}: {network[cause].name} leads in {percent(p)} of the draws"
            for group, (cause, p) in self.top.items()
        ]

    def _said(self) -> list[tuple[str, str, str, str, str]]:
        """Per cause that is not improbable: its name, and both numbers with their intervals."""
        from bayesnet.diagnosis.words import percent

        def span(r: dict[Hashable, Any], number: str) -> str:
            return f"{percent(r[f'{number}_low'])} to {percent(r[f'{number}_high'])}"

        network = self.diagnosis.model.network
        return [
            (
                network[r["cause"]].name, percent(r["posterior"]), span(r, "posterior"),
                percent(r["necessity"]), span(r, "necessity"),
            )
            for r in self.table[self.table["posterior"] > 0.01].head(12).to_dict("records")
        ]

    def _repr_html_(self) -> str:
        from bayesnet.diagnosis.words import html_table

        headings = ("cause", "present", "95 % interval", "because of it", "95 % interval")
        return html_table("; ".join(self._leads()), headings, self._said(), self.diagnosis.model.disclaimer)


def _of_failure(
    model: DiagnosticModel, outcome: str, vectors: Mapping[str, FloatArray], drawn: Draws
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Posterior (presence) and necessity of every cause given failure, for every draw.

    From P(c, e) and P(c, e, success), which is evidence on the outcome's parents
    (`bayesnet.inference.absent`); failure is their difference.
    """
    n, parents = drawn.n, model.network.parents(outcome)
    both, succeeded = run_renumbered(
        model, [vectors, {**vectors, outcome: np.array([1.0, 0.0])}], model.causes, drawn.tables, n
    )
    success = np.exp(succeeded.log_evidence - both.log_evidence)
    links = drawn.tables[outcome][1:]
    posterior, necessity = {}, {}
    for c in model.causes:
        # Where success is impossible nothing is given it.
        given_success = np.nan_to_num(succeeded.posteriors[c])
        joint = both.posteriors[c] - success[:, None] * given_success
        posterior[c] = np.clip(joint[:, 1:].sum(1) / (1 - success), 0, 1)
        necessity[c] = np.zeros(n)
        if c not in parents:
            continue
        at = parents.index(c)
        link = links[at][..., 1]
        if (link < 1).all():
            odds = success / (1 - success)
            necessity[c] = odds * (given_success * link / (1 - link)).sum(1)
            continue
        # A link of one cannot be divided out: success where it does nothing.
        idle = np.zeros_like(links[at])
        idle[..., 0] = 1
        tables = {**drawn.tables, outcome: [x if k != at + 1 else idle for k, x in enumerate(drawn.tables[outcome])]}
        (without,) = run_renumbered(
            model, [{**vectors, outcome: np.array([1.0, 0.0])}], (), tables, n
        )
        needed = np.exp(without.log_evidence - both.log_evidence) - success
        necessity[c] = np.maximum(needed, 0) / (1 - success)
    return posterior, necessity


def intervals(
    diagnosis: Diagnosis, draws: Draws | None = None, level: float = 0.95
) -> Intervals:
    """Credible intervals of posterior and necessity over draws of all parameters."""
    from bayesnet.diagnosis.result import FAMILY_GROUPS

    if not 0 < level < 1:
        raise EvidenceError([f"level={level:g}: expected a share between 0 and 1, such as 0.95"])
    model = diagnosis.model
    network, outcome = model.network, model.outcome
    drawn = draws or model.draws()
    vectors = likelihoods_of(network, diagnosis.findings)
    told = vectors.pop(outcome, None) if outcome is not None else None
    failed = outcome is not None and (
        outcome not in diagnosis.findings or (told is not None and told[0] == 0)
    )
    if not failed:
        row = vectors if told is None or outcome is None else {**vectors, outcome: told}
        (found,) = run_renumbered(model, [row], model.causes, drawn.tables, drawn.n)
        posterior = {c: p[:, 1:].sum(axis=1) for c, p in found.posteriors.items()}
        necessity: dict[str, FloatArray] = {}
    else:
        assert outcome is not None
        posterior, necessity = _of_failure(model, outcome, vectors, drawn)
    top = {}
    measure = necessity or posterior
    for group in dict.fromkeys(FAMILY_GROUPS.values()):
        members = [r.cause for r in diagnosis.results if r.group == group]
        if members:
            leads = np.argmax(np.stack([measure[c] for c in members]), axis=0)
            first = diagnosis.ranked(group, "necessity" if failed else "posterior")[0].cause
            top[group] = (first, float(np.mean(leads == members.index(first))))
    return Intervals(posterior, necessity, top, level, diagnosis)
