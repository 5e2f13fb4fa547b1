"""How sure learned numbers are: the curvature of the observed-data log posterior.

The observed information is minus the derivative of the score, and the score of incomplete data is
that of the expected complete data at the same numbers (Louis 1982, J R Stat Soc B 44:226). Central
differences of the exact score give it, two passes over the data a coordinate.

Near 0 and 1 the log posterior is not a parabola in log odds: with nobody affected of a thousand, the
curvature there says next to nothing. The variance in log odds is that of a proportion p of some
number n of people, v = 1 / (n p (1 - p)); where n p or n (1 - p) is small, the interval is that of
n p people of n who were affected, with all proportions alike beforehand (Bayes 1763; a beta
distribution).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bayesnet.diagnosis.uncertainty import Z
from bayesnet.inference.counts import CountPlan, StratifiedCounts
from bayesnet.learning.em import Patients
from bayesnet.learning.local import Local
from bayesnet.learning.rewrite import leaves, network_of, values_of
from bayesnet.modelfile.reader import Parameter
from bayesnet.network import Network, OddsRatio
from bayesnet.network.factor import FloatArray

__all__ = ["learned_intervals"]

#: Step in log odds of the central differences.
STEP = 1e-4
#: With fewer expected people on either side, an interval is that of a beta distribution.
FEW_PEOPLE = 5.0

_Blocks = list[tuple[str, int, int]]


def learned_intervals(
    network: Network,
    plan: CountPlan | StratifiedCounts,
    patients: Patients,
    state: Mapping[str, Local],
    learned: Sequence[Parameter],
    *,
    level: float = 0.95,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Intervals of every learned number.

    Returns
    -------
    dict (label, states) -> (low, high)
        Symmetric in logs (odds ratios) or log odds (probabilities; of a beta distribution where they
        rest on fewer than five people). Nan where the data and the prior together leave a number open,
        or have driven it to 0 or 1.
    """
    blocks: _Blocks = []
    start = 0
    for v, x in state.items():
        size = len(x.coordinates())
        blocks.append((v, start, start + size))
        start += size
    middle = np.concatenate([x.coordinates() for x in state.values()])

    def moved(point: FloatArray) -> dict[str, Local]:
        return {v: state[v].at(point[a:b]) for v, a, b in blocks}

    def score(point: FloatArray) -> FloatArray:
        there = moved(point)
        counts, _, _ = patients.counts(plan, there, threads)
        nothing: dict[str, list[FloatArray]] = {
            v: [np.zeros(shape) for shape in plan.shapes[v]] for v in there
        }
        return np.concatenate([x.score(counts.get(v, nothing[v])) for v, x in there.items()])

    information = np.zeros((start, start))
    for i in range(start):
        step = np.zeros(start)
        step[i] = STEP
        information[i] = -(score(middle + step) - score(middle - step)) / (2 * STEP)
        if on_progress:
            on_progress(i + 1, start)
    information = (information + information.T) / 2
    numbers, slope = _numbers_and_slope(network, moved, middle, blocks, learned)
    covariance = np.linalg.pinv(information, rcond=1e-12, hermitian=True)
    variance = np.einsum("ni,ij,nj->n", slope, covariance, slope)
    # Directions that neither data nor prior settle have no variance in a pseudo-inverse.
    values, vectors = np.linalg.eigh(information)
    open_ = vectors[:, values <= 1e-9 * values.max(initial=1.0)]
    unsettled = np.abs(slope @ open_).max(axis=1, initial=0.0) > 1e-6
    variance = np.where(unsettled | (variance < 0), np.nan, variance)
    at_first = values_of(network, learned)
    before = {(label, "/".join(path)): x for label, v in at_first.items() for path, x in leaves(v)}
    found = {}
    for (name, value, is_ratio), v in zip(numbers, variance, strict=True):
        if is_ratio:
            w = _quantile(level) * np.sqrt(v)
            found[name] = (float(value * np.exp(-w)), float(value * np.exp(w)))
        elif 0 < value < 1:
            found[name] = _of_probability(value, float(v), level)
        else:
            found[name] = (value, value) if value == before[name] else (np.nan, np.nan)
    return found


def _of_probability(p: float, variance: float, level: float) -> tuple[float, float]:
    """The interval of a probability whose log odds have this variance."""
    from scipy.special import betaincinv

    if not variance > 0:
        return (p, p) if variance == 0 else (np.nan, np.nan)
    people = 1 / (variance * p * (1 - p))
    if people * min(p, 1 - p) >= FEW_PEOPLE:
        x, w = np.log(p / (1 - p)), _quantile(level) * np.sqrt(variance)
        return (float(1 / (1 + np.exp(w - x))), float(1 / (1 + np.exp(-w - x))))
    a, b = people * p + 1, people * (1 - p) + 1
    low, high = (float(betaincinv(a, b, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
    # The tail that an interval leaves out may hold the estimate, next to 0 or 1.
    return (min(low, p), max(high, p))


def _quantile(level: float) -> float:
    from scipy.stats import norm

    return Z if level == 0.95 else float(norm.ppf((1 + level) / 2))


_Number = tuple[tuple[str, str], float, bool]


def _numbers_and_slope(
    network: Network,
    moved: Callable[[FloatArray], dict[str, Local]],
    middle: FloatArray,
    blocks: _Blocks,
    learned: Sequence[Parameter],
) -> tuple[list[_Number], FloatArray]:
    """Every number as a file writes it, and the derivative of its log odds (or log) by coordinates."""

    def read(at: Network, parameters: Sequence[Parameter]) -> list[_Number]:
        found = []
        for p in parameters:
            ratio = isinstance(at.distributions[p.variable], OddsRatio) and p.key[0] != "prevalence"
            ((label, value),) = values_of(at, [p]).items()
            found += [((label, "/".join(path)), x, ratio) for path, x in leaves(value)]
        return found

    def scale(found: Sequence[_Number]) -> FloatArray:
        x = np.array([value for _, value, _ in found])
        rest = np.array([1.0 if ratio else 1 - value for _, value, ratio in found])
        with np.errstate(divide="ignore"):
            odds: FloatArray = np.log(x) - np.log(rest)
            return odds

    every: list[_Number] = []
    rows: list[FloatArray] = []
    final = network_of(network, moved(middle))
    for v, a, b in blocks:
        own = [p for p in learned if p.variable == v]
        here = read(final, own)
        slope = np.zeros((len(here), len(middle)))
        for i in range(a, b):
            step = np.zeros(len(middle))
            step[i] = STEP
            ends = [
                scale(read(final.replace({v: moved(x)[v].distribution()}), own))
                for x in (middle + step, middle - step)
            ]
            with np.errstate(invalid="ignore"):
                slope[:, i] = np.nan_to_num((ends[0] - ends[1]) / (2 * STEP))
        every += here
        rows.append(slope)
    return every, np.concatenate(rows) if rows else np.zeros((0, len(middle)))
