"""Simpler ways to rank the causes of the same cases: what the network must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesnet.diagnosis.pathways import LEVELS
from bayesnet.diagnosis.ranking import rank_among
from bayesnet.inference import likelihoods_of
from bayesnet.network.factor import FloatArray
from bayesnet.validation.cases import Case, evaluate
from bayesnet.validation.intervals import wilson_interval
from bayesnet.validation.metrics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.model import DiagnosticModel

__all__ = ["Ranking", "compare_rankings", "rankings", "red_flag_rule", "single_ratios"]

#: A finding points to a cause from this likelihood ratio.
POINTS = 3.0
NETWORK = ("network, likelihood ratio", "network, necessity", "network, posterior")


@dataclass(frozen=True, eq=False)
class Ranking:
    """One way to score the causes of every case.

    Attributes
    ----------
    name : str
    scores : ndarray
        Shape `(cases, causes)`; the higher, the likelier.
    probabilities : ndarray or None
        Where the scores come with a probability of each cause.
    """

    name: str
    scores: FloatArray
    probabilities: FloatArray | None

    def ranks(self, primary: FloatArray, rivals: FloatArray) -> FloatArray:
        """Rank of the primary cause among the causes of its group; ties count against it."""
        return np.array([
            rank_among(row[int(own)], row[others.astype(bool) & (np.arange(len(row)) != own)])
            for row, own, others in zip(self.scores, primary, rivals, strict=True)
        ])


def rankings(
    model: DiagnosticModel, cases: Sequence[Case], scope: str = "findings"
) -> tuple[list[Ranking], FloatArray]:
    """All rankings, and the truth as 0 and 1, shape `(cases, causes)`.

    - the network by likelihood ratio, necessity (attribution) and posterior (association);
    - naive Bayes from the same parameters: the findings taken as independent given each cause;
    - pointers counted: findings that alone have a likelihood ratio of at least 3 for the cause;
    - prior only: the same order for everybody.
    """
    causes = model.causes
    result = evaluate(model, cases, scope)
    by = {
        m: np.array([[getattr(s.diagnosis[c], m) for c in causes] for s in result.scores])
        for m in ("likelihood_ratio", "necessity", "posterior")
    }
    findings = [likelihoods_of(model.network, c.evidence(scope)) for c in cases]
    ratios, prior = single_ratios(model, findings)
    naive_lr = np.array([
        [sum(np.log(r[c]) for r in row.values()) for c in causes] for row in ratios
    ])
    start = np.array([prior[c] for c in causes])
    odds = np.log(start / (1 - start)) + naive_lr
    naive = 1 / (1 + np.exp(-odds))
    pointing = np.array([[sum(r[c] >= POINTS for r in row.values()) for c in causes] for row in ratios], float)
    alone = np.repeat(start[None], len(cases), axis=0)
    truth = np.array([[c in case.true_causes for c in causes] for case in cases], float)
    return [
        Ranking(NETWORK[0], by["likelihood_ratio"], by["posterior"]),
        Ranking(NETWORK[1], by["necessity"], by["posterior"]),
        Ranking(NETWORK[2], by["posterior"], by["posterior"]),
        Ranking("naive Bayes, likelihood ratio", naive_lr, naive),
        Ranking("naive Bayes, posterior", naive, naive),
        Ranking("pointing findings counted", pointing, None),
        Ranking("prior only", alone, alone),
    ], truth


def single_ratios(
    model: DiagnosticModel, findings: Sequence[Mapping[str, FloatArray]]
) -> tuple[list[dict[str, dict[str, float]]], dict[str, float]]:
    """Likelihood ratio of every finding alone for every cause, where PT failed; and the prior."""
    network = model.network
    outcome = model.outcome
    given = {} if outcome is None else likelihoods_of(network, {outcome: True})
    asked = sorted({v for row in findings for v in row} - {outcome})
    rows = []
    for c in model.causes:
        there = np.ones(len(network[c]))
        there[0] = 0
        rows += [{**given, c: there}, {**given, c: 1 - there}]
    found = model.run(rows, asked)
    prior = {c: float(1 - p[0]) for c, p in model.cause_priors(given.get(outcome or "")).items()}
    ratios = []
    for row in findings:
        one: dict[str, dict[str, float]] = {}
        for v, vector in row.items():
            if v in found.posteriors:
                p = found.posteriors[v] @ vector
                one[v] = {
                    c: float(max(p[2 * i], 1e-12) / max(p[2 * i + 1], 1e-12))
                    for i, c in enumerate(model.causes)
                }
        ratios.append(one)
    return ratios, prior


def compare_rankings(
    model: DiagnosticModel, cases: Sequence[Case], scope: str = "findings", seed: int = 0
) -> pd.DataFrame:
    """One row a ranking.

    Returns
    -------
    DataFrame
        `ranking`, `top_1`, `top_3`, `top_5`, `emergencies_top_3`, `log_score` and `brier` (nan
        without probabilities), and against the network by likelihood ratio the difference in top 3
        with its 95 % bootstrap interval over cases: `less_top_3`, `low`, `high`.
    """
    import pandas as pd

    found, truth = rankings(model, cases, scope)
    causes = model.causes
    groups = {c: "diagnoses" if c in model.causes_of("diagnoses") else "contributors" for c in causes}
    primary = np.array([causes.index(c.true_causes[0]) for c in cases])
    rivals = np.array(
        [[groups[c] == groups[case.true_causes[0]] for c in causes] for case in cases], float
    )
    urgent = np.array([c.urgency in ("emergency", "urgent") for c in cases])
    best = found[0].ranks(primary, rivals) <= 3
    rows = []
    for r in found:
        ranks = r.ranks(primary, rivals)
        difference = best.astype(float) - (ranks <= 3)
        low, high = mean_interval(difference, seed=seed)
        p = r.probabilities
        own = None if p is None else p[np.arange(len(cases)), primary]
        rows.append({
            "ranking": r.name,
            **{f"top_{k}": float((ranks <= k).mean()) for k in (1, 3, 5)},
            "emergencies_top_3": float((ranks[urgent] <= 3).mean()) if urgent.any() else float("nan"),
            "log_score": float("nan") if own is None else float(-np.log(np.maximum(own, 1e-12)).mean()),
            "brier": float("nan") if p is None else float(((p - truth) ** 2).mean()),
            "less_top_3": float(difference.mean()), "low": low, "high": high,
        })
    return pd.DataFrame(rows)


def red_flag_rule(
    model: DiagnosticModel, cases: Sequence[Case], scope: str = "findings"
) -> dict[str, tuple[int, int, tuple[float, float]]]:
    """By published urgency: how many of how many cases a single red flag calls not routine.

    A red flag is a finding that alone has a likelihood ratio of at least 3 for a cause whose
    pathway is urgent. Routine cases should not be called.
    """
    findings = [likelihoods_of(model.network, c.evidence(scope)) for c in cases]
    ratios, _ = single_ratios(model, findings)
    serious = {
        c for a in model.pathways.actions.values() if a.urgency in ("emergency", "urgent")
        for c in a.gains
    }
    called = [
        any(r[c] >= POINTS for r in row.values() for c in serious if c in r) for row in ratios
    ]
    out: dict[str, tuple[int, int, tuple[float, float]]] = {}
    for level in LEVELS:
        mine = [f for f, c in zip(called, cases, strict=True) if c.urgency == level]
        right = sum(mine) if level != "routine" else sum(not f for f in mine)
        out[level] = (right, len(mine), wilson_interval(right, len(mine)))
    return out
