"""The probabilities of an evaluation: calibration, discrimination, decisions, subgroups, comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.errors import BayesnetError
from bayesnet.inference import likelihoods_of
from bayesnet.network.factor import FloatArray
from bayesnet.validation.cases import Case, Evaluation
from bayesnet.validation.intervals import wilson_interval
from bayesnet.validation.metrics import (
    area_under_curve,
    bootstrap_interval,
    calibration_line,
    expected_calibration_error,
    mean_interval,
    net_benefit,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "auc_by_cause", "calibration", "compare_models", "decision_curves", "predictions", "subgroups",
]

#: Cases that a cause needs for an area under the curve, and a subgroup for a row.
FEWEST = 3


def predictions(
    result: Evaluation, group: str | None = None
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Posteriors and truth, both of shape `(cases, causes)`, and the causes (of a group)."""
    causes = tuple(
        r.cause for r in result.scores[0].diagnosis.results if group is None or r.group == group
    )
    p = np.array([[s.diagnosis[c].posterior for c in causes] for s in result.scores])
    y = np.array([[c in s.case.true_causes for c in causes] for s in result.scores], float)
    return p, y, causes


def calibration(result: Evaluation, draws: int = 500, seed: int = 0) -> dict[str, Any]:
    """Over all cases and diagnoses together; intervals from cases drawn with replacement.

    Contributors (the person, the programme) are left out: a case report rarely says whether they
    were there. Published cases are chosen for being telling, and were not drawn from the people in
    whom PT failed; their calibration says how such cases are answered, not how a clinic's would be.
    """
    p, y, _ = predictions(result, "diagnoses")
    line = calibration_line(p, y)
    out: dict[str, Any] = {
        "slope": line.slope, "intercept": line.intercept, "in_the_large": line.in_the_large,
        "expected_calibration_error": expected_calibration_error(p, y),
        "auc": area_under_curve(p, y),
    }
    statistics: Mapping[str, Callable[[FloatArray, FloatArray], float]] = {
        "slope": lambda a, b: calibration_line(a, b).slope,
        "in_the_large": lambda a, b: calibration_line(a, b).in_the_large,
        "expected_calibration_error": expected_calibration_error,
        "auc": area_under_curve,
    }
    for name, statistic in statistics.items():
        drawn = partial(_on_rows, statistic, p, y)
        out[f"{name}_interval"] = list(bootstrap_interval(drawn, len(p), draws, seed))
    return out


def _on_rows(
    statistic: Callable[[FloatArray, FloatArray], float], p: FloatArray, y: FloatArray, rows: Any
) -> float:
    return statistic(p[rows], y[rows])


def auc_by_cause(result: Evaluation) -> pd.DataFrame:
    """Area under the curve of every cause that at least three cases have, with interval.

    Returns
    -------
    DataFrame
        `cause`, `cases`, `auc`, `low`, `high` (Hanley & McNeil 1982).
    """
    import pandas as pd

    p, y, causes = predictions(result)
    rows = []
    for i, c in enumerate(causes):
        n = int(y[:, i].sum())
        if n < FEWEST or n == len(y):
            continue
        a = area_under_curve(p[:, i], y[:, i])
        q1, q2, m = a / (2 - a), 2 * a * a / (1 + a), len(y) - n
        error = np.sqrt((a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m))
        rows.append((c, n, a, max(0.0, a - 1.96 * error), min(1.0, a + 1.96 * error)))
    frame = pd.DataFrame(rows, columns=["cause", "cases", "auc", "low", "high"])
    return frame.sort_values("auc", ascending=False, ignore_index=True)


def decision_curves(result: Evaluation, thresholds: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.5)) -> pd.DataFrame:
    """Net benefit of acting on the model, for every action, by the exact P(any cause it is for).

    Returns
    -------
    DataFrame
        `action`, `needed_in` (cases with such a cause), `threshold`, `model`, `everybody`, `nobody`.
    """
    import pandas as pd

    model = result.scores[0].diagnosis.model
    network = model.network
    actions = {a: tuple(c for c in x.gains if c in network) for a, x in model.pathways.actions.items()}
    rows = []
    for s in result.scores:
        known = likelihoods_of(network, s.diagnosis.findings)
        rows.append(known)
        for causes in actions.values():
            none = {c: np.eye(len(network[c]))[0] for c in causes}
            rows.append({**known, **{c: none[c] * known.get(c, 1.0) for c in none}})
    logs = model.run(rows, ()).log_evidence.reshape(
        len(result.scores), len(actions) + 1
    )
    parts = []
    for i, (a, causes) in enumerate(actions.items(), start=1):
        p = np.clip(-np.expm1(logs[:, i] - logs[:, 0]), 0.0, 1.0)
        y = np.array([any(c in s.case.true_causes for c in causes) for s in result.scores], float)
        part = net_benefit(p, y, thresholds)
        part.insert(0, "action", a)
        part.insert(1, "needed_in", int(y.sum()))
        parts.append(part)
    columns = ["action", "needed_in", "threshold", "model", "everybody", "nobody"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def subgroups(result: Evaluation) -> pd.DataFrame:
    """Shares in the top 3 by sex and age band, with Wilson intervals.

    Returns
    -------
    DataFrame
        `by`, `state`, `cases`, `measure`, `top_1`, `top_3`, `low`, `high` (of the top 3).
    """
    import pandas as pd

    model = result.scores[0].diagnosis.model
    rows = []
    for by in ("sex", "age"):
        if by not in model.network:
            continue
        states = model.network[by].states
        held = [_state(model, by, s.case, result.scope) for s in result.scores]
        for state in states:
            mine = [s for s, h in zip(result.scores, held, strict=True) if h == state]
            if len(mine) < FEWEST:
                continue
            for measure in ("likelihood_ratio", "necessity", "posterior"):
                one, three = (sum(s.ranks[measure] <= k for s in mine) for k in (1, 3))
                rows.append((
                    by, state, len(mine), measure, one / len(mine), three / len(mine),
                    *wilson_interval(three, len(mine)),
                ))
    columns = ["by", "state", "cases", "measure", "top_1", "top_3", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _state(model: Any, by: str, case: Case, scope: str) -> str | None:
    vector = likelihoods_of(model.network, case.evidence(scope)).get(by)
    if vector is None or np.count_nonzero(vector) != 1:
        return None
    return str(model.network[by].states[int(vector.argmax())])


def compare_models(a: Evaluation, b: Evaluation, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Two models on the same cases: differences b - a, with paired bootstrap intervals over cases.

    Returns
    -------
    DataFrame
        `figure`, `first`, `second`, `difference`, `low`, `high`. Log and Brier scores are better
        when lower.

    Raises
    ------
    BayesnetError
        When the cases differ.
    """
    import pandas as pd

    if [s.case.id for s in a.scores] != [s.case.id for s in b.scores]:
        raise BayesnetError("the two evaluations are not of the same cases")
    figures: dict[str, tuple[FloatArray, FloatArray]] = {}
    for measure in ("likelihood_ratio", "necessity", "posterior"):
        for k in (1, 3, 5):
            figures[f"{measure} top {k}"] = tuple(  # type: ignore[assignment]
                np.array([s.ranks[measure] <= k for s in x.scores], float) for x in (a, b)
            )
    figures["log score"] = tuple(  # type: ignore[assignment]
        -np.log(np.maximum([s.posterior for s in x.scores], 1e-300)) for x in (a, b)
    )
    figures["Brier score"] = tuple(  # type: ignore[assignment]
        np.array([s.squared_error for s in x.scores]) for x in (a, b)
    )
    rows = []
    for name, (x, y) in figures.items():
        low, high = mean_interval(y - x, draws, seed)
        rows.append((name, x.mean(), y.mean(), (y - x).mean(), low, high))
    return pd.DataFrame(rows, columns=["figure", "first", "second", "difference", "low", "high"])
