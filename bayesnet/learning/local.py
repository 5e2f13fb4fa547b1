"""The maximisation step of every kind of local distribution, with the literature as the prior.

A row of probabilities has a Dirichlet prior whose mode is the model's own row p and whose weight is
its spread n: theta_k^(n p_k), as if n more patients had been seen. With expected counts N_k the new
row is (N_k + n p_k) / (N + n) (Lauritzen 1995, Comput Stat Data Anal 19:191). A 95 % interval of a
probability stands for the n whose log odds are as sure. The links and the leak of a noisy-MAX are
rows too, counted over the hidden inhibitors (Vomlel 2006, Neurocomputing 69:1171).

The log of an odds ratio has a normal prior about its own value; a prevalence has a Dirichlet prior,
at the mix of risk factors that the model began with, so that the prior of one variable does not hang
on what is learned of another. Intercepts and log odds ratios are moved by a few quasi-Newton steps;
any step that does not lower the objective keeps EM monotone (Dempster, Laird & Rubin 1977, J R Stat
Soc B 39:1, generalised EM).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesnet.diagnosis.uncertainty import WIDE, Z, prevalence_index, rows_of
from bayesnet.modelfile.reader import Parameter
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
from bayesnet.network.prevalence import solve_intercepts

__all__ = ["Local", "OddsRatioLocal", "conditional_mix", "local_of", "parameters_of", "sample_size"]

BoolArray = npt.NDArray[np.bool_]
#: Quasi-Newton steps of one maximisation of an odds-ratio variable.
STEPS = 12
#: An odds ratio stays between exp(-LARGEST) and exp(LARGEST), also where data would make it infinite.
LARGEST = 12.0


def sample_size(row: FloatArray, spread: Any) -> float:
    """The number of patients that a spread is worth for a row of probabilities."""
    if spread is None or (isinstance(spread, tuple) and len(row) != 2):
        return WIDE
    if isinstance(spread, tuple):
        low, high = (min(max(x, 1e-6), 1 - 1e-6) for x in spread)
        sd = (np.log(high / (1 - high)) - np.log(low / (1 - low))) / (2 * Z)
        p = float(row[1])
        return float(1 / (sd**2 * p * (1 - p))) if sd > 0 and 0 < p < 1 else WIDE
    return float(spread)


def parameters_of(network: Network) -> tuple[Parameter, ...]:
    """The parameters of a network that has no file: one for each block a file would have."""
    found: list[Parameter] = []

    def add(variable: str, *key: str) -> None:
        found.append(Parameter(variable, key, 0.5, (), "", None, "", ""))

    for v, d in network.distributions.items():
        if isinstance(d, Table):
            for index in np.ndindex(*d.probabilities.shape[:-1]):
                states = (network[p].states[i] for p, i in zip(d.parents, index, strict=True))
                add(v, *states)
        elif isinstance(d, SensitivitySpecificity):
            add(v, "sensitivity")
            add(v, "specificity")
        elif isinstance(d, OddsRatio):
            for p in d.risk_factors:
                add(v, p)
            for state in network[d.by].states if d.by else ():
                add(v, "prevalence", state)
            if d.by is None:
                add(v, "prevalence")
        else:
            for p in d.parents:
                add(v, p)
            add(v, "none" if isinstance(d, Mixture) else "leak")
    return tuple(found)


class Local(ABC):
    """What is known so far of one variable's numbers. Immutable.

    Its numbers are also a vector of free coordinates (log ratios within a row, log odds ratios,
    intercepts), for derivatives.
    """

    @abstractmethod
    def tables(self) -> list[FloatArray]:
        """As `Network.factors_of` gives them."""

    @abstractmethod
    def log_prior(self) -> float:
        """Log density of the prior, up to a constant."""

    @abstractmethod
    def updated(self, counts: Sequence[FloatArray]) -> Local:
        """The numbers that maximise expected log likelihood plus log prior (or do not lower it)."""

    @abstractmethod
    def distribution(self) -> Distribution:
        """As a local distribution; of an odds ratio, at the mix of risk factors it began with."""

    @property
    @abstractmethod
    def moves(self) -> bool:
        """Whether any of its numbers may change."""

    @abstractmethod
    def coordinates(self) -> FloatArray:
        """The free coordinates."""

    @abstractmethod
    def at(self, coordinates: FloatArray) -> Local:
        """The same with other coordinates."""

    @abstractmethod
    def score(self, counts: Sequence[FloatArray]) -> FloatArray:
        """Derivative of log posterior by the coordinates, from expected counts at these numbers.

        The derivative of the observed log likelihood is that of the expected one (Fisher's identity;
        Louis 1982, J R Stat Soc B 44:226).
        """

    @abstractmethod
    def people(self, network: Network, parameter: Parameter, counts: Sequence[FloatArray]) -> float:
        """The expected number of people that speak of a parameter."""


def local_of(
    network: Network,
    variable: str,
    parameters: Sequence[Parameter],
    learned: Sequence[Parameter],
    strength: float,
) -> Local:
    """The starting point of one variable.

    Parameters
    ----------
    network : Network
    variable : str
    parameters, learned : sequence of Parameter
        All parameters of the variable, and those that may change.
    strength : float
        Multiplies every spread.
    """
    d = network.distributions[variable]
    if isinstance(d, OddsRatio):
        return _odds_ratio(network, variable, d, parameters, learned, strength)
    arrays = (
        [*d.components, d.none] if isinstance(d, Mixture)
        else [f.values for f in network.factors_of(variable)]
    )
    prior = [np.zeros_like(a) for a in arrays]
    free = [np.zeros(a.shape[:-1], bool) for a in arrays]
    chosen = {p.key for p in learned}
    for p in parameters:
        for part, index in _located(network, p):
            row = arrays[part][index]
            prior[part][index] = strength * sample_size(row, p.spread) * row
            free[part][index] = p.key in chosen and np.count_nonzero(row) > 1
    if isinstance(d, Mixture):
        sizes = tuple(network.sizes(d.parents))
        return _Mixture(d, tuple(arrays), tuple(prior), tuple(free), sizes)
    return _Rows(d, tuple(arrays), tuple(prior), tuple(free))


def _located(network: Network, parameter: Parameter) -> list[tuple[int, tuple[int, ...]]]:
    """(array, row) of every row of probabilities that a parameter sets."""
    d = network.distributions[parameter.variable]
    if not isinstance(d, Mixture):
        return rows_of(network, parameter) or []
    at = [*d.parents, "none"].index(parameter.key[0])
    if at == len(d.parents):
        return [(at, ())]
    return [(at, (s,)) for s in range(1, len(d.components[at]))]


def _log_dirichlet(arrays: Sequence[FloatArray], prior: Sequence[FloatArray]) -> float:
    total = 0.0
    for a, b in zip(arrays, prior, strict=True):
        weighed = b > 0
        total += float((b[weighed] * np.log(a[weighed])).sum())
    return total


def _new_rows(
    arrays: Sequence[FloatArray],
    prior: Sequence[FloatArray],
    free: Sequence[BoolArray],
    counts: Sequence[FloatArray],
) -> tuple[FloatArray, ...]:
    out = []
    for a, b, f, n in zip(arrays, prior, free, counts, strict=True):
        total = n + b
        mass = total.sum(axis=-1, keepdims=True)
        moved = f[..., None] & (mass > 0)
        out.append(np.where(moved, total / np.where(mass > 0, mass, 1), a))
    return tuple(out)


@dataclass(frozen=True, eq=False)
class _Rows(Local):
    """Tables, noisy-MAX, sensitivity and specificity: rows of probabilities."""

    base: Distribution
    arrays: tuple[FloatArray, ...]
    prior: tuple[FloatArray, ...]
    free: tuple[BoolArray, ...]

    def tables(self) -> list[FloatArray]:
        return list(self.arrays)

    def log_prior(self) -> float:
        return _log_dirichlet(self.arrays, self.prior)

    def by_row(self, counts: Sequence[FloatArray]) -> Sequence[FloatArray]:
        """Counts shaped as `arrays`."""
        return counts

    def updated(self, counts: Sequence[FloatArray]) -> Local:
        arrays = _new_rows(self.arrays, self.prior, self.free, self.by_row(counts))
        return replace(self, arrays=arrays)

    @property
    def moves(self) -> bool:
        return any(f.any() for f in self.free)

    def distribution(self) -> Distribution:
        d, a = self.base, self.arrays
        if isinstance(d, NoisyMax):
            return NoisyMax(d.parents, a[1:], a[0], d.toward_first)
        if isinstance(d, SensitivitySpecificity):
            return SensitivitySpecificity(d.parents, a[0][1:, 1], float(a[0][0, 0]))
        return Table(d.parents, a[0])

    def _spots(self) -> list[tuple[int, tuple[int, ...], npt.NDArray[np.intp]]]:
        """(array, row, states that occur) of every free row."""
        return [
            (i, index, np.flatnonzero(a[index]))
            for i, (a, f) in enumerate(zip(self.arrays, self.free, strict=True))
            for index in (tuple(k) for k in np.argwhere(f).tolist())
        ]

    def coordinates(self) -> FloatArray:
        parts = []
        for i, index, states in self._spots():
            x = np.log(self.arrays[i][index][states])
            parts.append(x[1:] - x[0])
        return np.concatenate([*parts, np.zeros(0)])

    def at(self, coordinates: FloatArray) -> Local:
        arrays = [a.copy() for a in self.arrays]
        start = 0
        for i, index, states in self._spots():
            x = np.concatenate([[0.0], coordinates[start : start + len(states) - 1]])
            start += len(states) - 1
            e = np.exp(x - x.max())
            arrays[i][index][states] = e / e.sum()
        return replace(self, arrays=tuple(arrays))

    def score(self, counts: Sequence[FloatArray]) -> FloatArray:
        seen = self.by_row(counts)
        parts = []
        for i, index, states in self._spots():
            total = (seen[i][index] + self.prior[i][index])[states]
            parts.append((total - total.sum() * self.arrays[i][index][states])[1:])
        return np.concatenate([*parts, np.zeros(0)])

    def people(self, network: Network, parameter: Parameter, counts: Sequence[FloatArray]) -> float:
        seen = self.by_row(counts)
        return float(sum(seen[part][index].sum() for part, index in _located(network, parameter)))


@dataclass(frozen=True, eq=False)
class _Mixture(_Rows):
    """The component that drives the child is hidden; its weights stay."""

    sizes: tuple[int, ...]

    def distribution(self) -> Mixture:
        d = self.base
        assert isinstance(d, Mixture)
        return Mixture(d.parents, self.arrays[:-1], d.weights, self.arrays[-1])

    def tables(self) -> list[FloatArray]:
        return [self.distribution().table(self.sizes)]

    def by_row(self, counts: Sequence[FloatArray]) -> Sequence[FloatArray]:
        """Each count is shared out over the components that could have produced it."""
        (seen,) = counts
        d = self.base
        assert isinstance(d, Mixture)
        n, size = len(self.sizes), len(d.none)
        parts = []
        total = np.zeros(seen.shape)
        for i, (rows, weight) in enumerate(zip(self.arrays[:-1], d.weights, strict=True)):
            axes = [1] * i + [len(weight)] + [1] * (n - i - 1)
            part = np.broadcast_to((weight[:, None] * rows).reshape([*axes, size]), seen.shape)
            parts.append(part)
            total = total + part
        shared = []
        for i, part in enumerate(parts):
            share = seen * part / np.where(total > 0, total, 1)
            shared.append(share.sum(axis=tuple(k for k in range(n) if k != i)))
        return [*shared, seen[(0,) * n]]


@dataclass(frozen=True, eq=False)
class OddsRatioLocal(Local):
    """Intercepts and log odds ratios.

    Attributes
    ----------
    design : ndarray
        Shape `(groups, configurations, states)`: where each log odds ratio enters.
    fixed : ndarray
        Shape `(configurations, states)`: the log odds of those that stay.
    intercepts : ndarray
        Shape `(strata, states)`; minus infinity where a state never occurs.
    slopes, middle, precision : ndarray
        Shape `(groups,)`: log odds ratios, and mode and precision of their prior.
    mix : ndarray
        Shape `(strata, configurations)`: the risk factors among whom the prevalence is stated.
    prior : ndarray
        Shape `(strata, states)`.
    held : ndarray of bool
        Strata whose prevalence stays.
    """

    base: OddsRatio
    shape: tuple[int, ...]
    design: FloatArray
    where: tuple[tuple[int, BoolArray], ...]
    fixed: FloatArray
    intercepts: FloatArray
    slopes: FloatArray
    middle: FloatArray
    precision: FloatArray
    mix: FloatArray
    prior: FloatArray
    held: BoolArray

    def _table(self, intercepts: FloatArray, slopes: FloatArray) -> FloatArray:
        z = intercepts[:, None, :] + self.fixed + np.einsum("g,gck->ck", slopes, self.design)
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        table: FloatArray = e / e.sum(axis=-1, keepdims=True)
        return table

    def tables(self) -> list[FloatArray]:
        return [self._table(self.intercepts, self.slopes).reshape(self.shape)]

    @property
    def moves(self) -> bool:
        return bool(len(self.slopes) or not self.held.all())

    def log_prior(self) -> float:
        return self._log_prior(self._table(self.intercepts, self.slopes), self.slopes)

    def _log_prior(self, table: FloatArray, slopes: FloatArray) -> float:
        rate = np.einsum("sc,sck->sk", self.mix, table)
        weighed = self.prior > 0
        return float((self.prior[weighed] * np.log(rate[weighed])).sum()) - float(
            (self.precision * (slopes - self.middle) ** 2).sum() / 2
        )

    @property
    def _used(self) -> BoolArray:
        """Intercepts that may move."""
        used = np.isfinite(self.intercepts)
        used[:, 0] = False
        used[self.held] = False
        return used

    def _read(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Intercepts and slopes of a vector; held prevalences are kept by their intercepts."""
        slopes = x[: len(self.slopes)]
        a = self.intercepts.copy()
        a[self._used] = x[len(slopes) :]
        if len(slopes):
            log_odds = self.fixed + np.einsum("g,gck->ck", slopes, self.design)
            held = self.held
            a[held] = solve_intercepts(log_odds, self.mix[held], self.base.prevalence[held])
        return a, slopes

    def _objective(self, x: FloatArray, n: FloatArray) -> tuple[float, FloatArray]:
        """Expected log likelihood plus log prior, and its derivative."""
        a, slopes = self._read(x)
        table = self._table(a, slopes)
        seen = n > 0
        value = float((n[seen] * np.log(np.maximum(table[seen], 1e-300))).sum())
        value += self._log_prior(table, slopes)
        rate = np.einsum("sc,sck->sk", self.mix, table)
        pull = np.where(self.prior > 0, self.prior / np.where(rate > 0, rate, 1), 0)
        # Derivative with respect to the log odds of every configuration and state.
        inner = (table * pull[:, None, :]).sum(axis=-1, keepdims=True)
        by_logit = n - n.sum(axis=-1, keepdims=True) * table
        by_logit = by_logit + self.mix[..., None] * table * (pull[:, None, :] - inner)
        by_slope = np.einsum("sck,gck->g", by_logit, self.design)
        by_slope -= self.precision * (slopes - self.middle)
        by_intercept = by_logit.sum(axis=1)
        if len(slopes):
            by_slope += self._through_held(table, by_intercept)
        return value, np.concatenate([by_slope, by_intercept[self._used]])

    def _shaped(self, counts: Sequence[FloatArray]) -> FloatArray:
        return counts[0].reshape(self.mix.shape[0], -1, self.shape[-1])

    def coordinates(self) -> FloatArray:
        return np.concatenate([self.slopes, self.intercepts[self._used]])

    def at(self, coordinates: FloatArray) -> Local:
        kept = coordinates.copy()
        n = len(self.slopes)
        kept[:n] = np.clip(kept[:n], -LARGEST, LARGEST)
        a, slopes = self._read(kept)
        return replace(self, intercepts=a, slopes=slopes.copy())

    def score(self, counts: Sequence[FloatArray]) -> FloatArray:
        return self._objective(self.coordinates(), self._shaped(counts))[1]

    def people(self, network: Network, parameter: Parameter, counts: Sequence[FloatArray]) -> float:
        stratum = prevalence_index(network, parameter)
        if stratum is not None:
            return float(self._shaped(counts)[stratum].sum())
        axis = self.base.parents.index(parameter.key[0])
        away = np.moveaxis(counts[0], axis, 0)[1:]
        return float(away.sum())

    def updated(self, counts: Sequence[FloatArray]) -> Local:
        from scipy.optimize import minimize

        n = self._shaped(counts)
        start = self.coordinates()
        if not len(start):
            return self
        scale = max(float(n.sum() + self.prior.sum()), 1.0)

        def descent(x: FloatArray) -> tuple[float, FloatArray]:
            value, by = self._objective(x, n)
            return -value / scale, -by / scale

        free = len(start) - len(self.slopes)
        limits = [(-LARGEST, LARGEST)] * len(self.slopes) + [(None, None)] * free
        found = minimize(
            descent, start, jac=True, method="L-BFGS-B", bounds=limits,
            options={"maxiter": STEPS, "ftol": 1e-14, "gtol": 1e-10},
        )
        return self.at(found.x) if found.fun < descent(start)[0] else self

    def _through_held(self, table: FloatArray, by_intercept: FloatArray) -> FloatArray:
        """What the slopes do through intercepts that keep a prevalence (implicit function)."""
        total = np.zeros(len(self.slopes))
        for s in np.flatnonzero(self.held):
            keep = np.flatnonzero(np.isfinite(self.intercepts[s]))[1:]
            p, w = table[s], self.mix[s]
            by_a = np.diag(w @ p) - (p * w[:, None]).T @ p
            centred = self.design - (self.design * p).sum(axis=-1, keepdims=True)
            by_slope = np.einsum("c,ck,gck->kg", w, p, centred)
            moved = -np.linalg.solve(by_a[np.ix_(keep, keep)], by_slope[keep])
            total += by_intercept[s, keep] @ moved
        return total

    def ratios(self) -> tuple[FloatArray, ...]:
        """The odds ratios as `OddsRatio` keeps them."""
        out = [r.copy() for r in self.base.odds_ratios]
        for slope, (factor, mask) in zip(self.slopes, self.where, strict=True):
            out[factor][mask] = np.exp(slope)
        return tuple(out)

    def at_mix(self, mix: FloatArray) -> OddsRatio:
        """As a distribution whose prevalence is that at `mix`, shape `(strata, configurations)`."""
        table = self._table(self.intercepts, self.slopes)
        rate = np.einsum("sc,sck->sk", mix, table)
        rate /= rate.sum(axis=-1, keepdims=True)
        return OddsRatio(self.base.parents, rate, self.ratios(), self.base.by)

    def distribution(self) -> OddsRatio:
        return self.at_mix(self.mix)


def conditional_mix(joint: FloatArray, strata: int) -> FloatArray:
    """P(risk factors | stratum) from P(parents); even where a stratum never occurs."""
    flat = joint.reshape(strata, -1)
    mass = flat.sum(axis=1, keepdims=True)
    even = np.full_like(flat, 1 / flat.shape[1])
    return np.where(mass > 0, flat / np.where(mass > 0, mass, 1), even)


def _odds_ratio(
    network: Network,
    variable: str,
    d: OddsRatio,
    parameters: Sequence[Parameter],
    learned: Sequence[Parameter],
    strength: float,
) -> OddsRatioLocal:
    sizes = network.sizes(d.parents)
    strata, states = d.prevalence.shape
    risk = list(sizes[1:] if d.by is not None else sizes)
    mix = conditional_mix(network.parent_joint(variable), strata)
    fixed = np.zeros((*risk, states))
    design, where, slopes, precision = [], [], [], []
    chosen = {p.key for p in learned}
    spreads: Mapping[tuple[str, ...], Any] = {p.key: p.spread for p in parameters}
    for i, (parent, ratio) in enumerate(zip(d.risk_factors, d.odds_ratios, strict=True)):
        axes = [1] * i + [risk[i]] + [1] * (len(risk) - i - 1) + [states]
        rest = np.log(ratio)
        if (parent,) in chosen:
            for mask in _tied(ratio):
                enters = np.broadcast_to(mask.astype(float).reshape(axes), (*risk, states))
                design.append(enters.reshape(-1, states))
                where.append((i, mask))
                slopes.append(float(np.log(ratio[mask][0])))
                precision.append(strength / _log_sd(spreads[parent,]) ** 2)
                rest = np.where(mask, 0.0, rest)
        fixed = fixed + rest.reshape(axes)
    flat = fixed.reshape(-1, states)
    prior = np.zeros((strata, states))
    held = np.ones(strata, bool)
    for p in parameters:
        stratum = prevalence_index(network, p)
        if stratum is not None:
            row = d.prevalence[stratum]
            prior[stratum] = strength * sample_size(row, p.spread) * row
            held[stratum] = p.key not in chosen or np.count_nonzero(row) < 2
    made = np.array(design).reshape(len(design), flat.shape[0], states)
    beginning = np.array(slopes)
    log_odds = flat + np.einsum("g,gck->ck", beginning, made)
    intercepts = solve_intercepts(log_odds, mix, d.prevalence)
    return OddsRatioLocal(
        d, (*sizes, states), made, tuple(where), flat, intercepts, beginning, beginning,
        np.array(precision), mix, prior, held,
    )


def _tied(ratio: FloatArray) -> list[BoolArray]:
    """Entries that are one number: a state of the risk factor, the child's states if all equal."""
    found = []
    for s in range(1, len(ratio)):
        acting = ratio[s] != 1
        acting[0] = False
        if not acting.any():
            continue
        columns = [acting] if len(set(ratio[s, 1:])) == 1 else [
            np.arange(ratio.shape[1]) == k for k in np.flatnonzero(acting)
        ]
        for chosen in columns:
            mask = np.zeros(ratio.shape, bool)
            mask[s] = chosen
            found.append(mask)
    return found


def _log_sd(spread: Any) -> float:
    """Standard deviation of the log of an odds ratio."""
    if isinstance(spread, tuple):
        return float(np.log(spread[1] / spread[0]) / (2 * Z)) if spread[0] > 0 else 0.5
    return float(4 / np.sqrt(WIDE if spread is None else float(spread)))
