"""What next: how much each unasked question, sign or test is expected to tell, for what burden.

The information of a finding X about the causes is the expected fall of their entropies,

    sum over causes c of I(X; c | e) = sum over c of [ H(c | e) - sum over x of P(x | e) H(c | e, x) ]

in bits (Lindley 1956, Ann Math Stat 27:986). Its value for the decision is the expected gain in
utility over acting now, each action being taken or left by itself,

    sum over actions a of E_x[ max(0, U(a | e, x)) ] - max(0, U(a | e)),

the expected value of (sample) information of Howard (1966, IEEE Trans Syst Sci Cybern 2:22). The
same-decision probability is P(the leading action and the urgency stay the same | e) once X is known
(Choi, Xue & Darwiche 2012, Int J Approx Reason 53:1415).

All are exact, from P(c, x | e) = P(c | e) P(x | e, c): one row of the engine for each state of each
cause answers for every state of every candidate, of which there are ten times as many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnet.diagnosis.naming import cause_ids
from bayesnet.diagnosis.pathways import (
    LEVELS,
    Pathways,
    fires,
    gain_matrix,
    leading_actions,
    levels_by_benefit,
)
from bayesnet.errors import EvidenceError, did_you_mean
from bayesnet.inference import likelihoods_of
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel

__all__ = ["KINDS", "NextFinding", "next_findings", "worth_asking"]

#: Roles of variables that can be asked for, examined or tested.
KINDS = ("context", "history", "examination", "questionnaire", "programme", "test")
#: By which number the findings are ranked.
RANKINGS = ("information", "utility")
#: A smaller gain, as a share of what is expected now, is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class NextFinding:
    """One finding that is not known yet.

    Attributes
    ----------
    finding, label, kind, ask : str
    information : float
        Expected fall of the entropy of the causes, bits.
    utility : float
        Expected gain in utility, in the unit of the pathways.
    burden : float
        Cost of finding out, in the same unit.
    same_decision : float
        Probability that the leading action (the first of `Diagnosis.actions`) and the urgency (that of
        `Diagnosis.triage`, rules included) stay as they are.
    probabilities : dict state -> probability
        The expected answers.
    """

    finding: str
    label: str
    kind: str
    ask: str
    information: float
    utility: float
    burden: float
    same_decision: float
    probabilities: Mapping[str, float]

    def score(self, by: str = "information") -> float:
        """Worth per unit of burden."""
        return (self.information if by == "information" else self.utility) / self.burden

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "finding": self.finding, "label": self.label, "kind": self.kind, "ask": self.ask,
            "information": self.information, "utility": self.utility, "burden": self.burden,
            "same_decision": self.same_decision, "probabilities": dict(self.probabilities),
        }


def _entropy(p: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        bits: FloatArray = np.where(p > 0, -p * np.log2(p), 0.0)
    return np.asarray(bits.sum(-1))


def _candidates(
    model: DiagnosticModel, known: Iterable[str], kinds: Iterable[str] | None
) -> list[str]:
    wanted = list(KINDS if kinds is None else [kinds] if isinstance(kinds, str) else kinds)
    wrong = [k for k in wanted if k not in KINDS]
    if wrong:
        raise EvidenceError(
            [f"no kind {k!r}; expected {', '.join(KINDS)}.{did_you_mean(k, KINDS)}" for k in wrong]
        )
    seen = set(known)
    return [v for v in model.network.of_role(*wanted) if v not in seen]


def _by_rule(
    model: DiagnosticModel, paths: Pathways, vectors: Mapping[str, FloatArray], asked: Sequence[str]
) -> npt.NDArray[np.intp]:
    """The urgency that the rules call for now and after every answer, as places in `LEVELS`.

    Returns
    -------
    ndarray of int
        Shape `(1 + states of all of asked,)`.
    """
    network = model.network
    rules = [(LEVELS.index(r.level), likelihoods_of(network, r.when)) for r in paths.rules]
    now = min((rank for rank, when in rules if fires(when, vectors)), default=LEVELS.index("routine"))
    found = [now]
    for v in asked:
        about = [(rank, when) for rank, when in rules if v in when]
        for state in np.eye(len(network[v])):
            then = {**vectors, v: state}
            found.append(min((rank for rank, when in about if fires(when, then)), default=now))
    return np.minimum(found, now)


def _gain(then: float, now: float) -> float:
    """How much more is expected then; what is lost in rounding is nothing, and leaves ties as ties."""
    return then - now if then - now > ROUNDING * now else 0.0


def _after_each_answer(
    model: DiagnosticModel, vectors: Mapping[str, FloatArray], asked: Sequence[str]
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """What answers are expected, and the posterior of every cause after each.

    Parameters
    ----------
    model : DiagnosticModel
    vectors : mapping id -> ndarray
        What is known: likelihood vectors.
    asked : sequence of str

    Returns
    -------
    dict id -> ndarray
        P(x | e) of the states of each variable of `asked`.
    dict cause -> ndarray
        Shape `(1 + states of all of asked, states)`: P(c | e) in the first row, and P(c | e, x) in one
        row an answer; zeros where the answer is impossible.
    """
    network = model.network
    states = [(c, k) for c in model.causes for k in range(1, len(network[c]))]
    rows = [vectors]
    for c, k in states:
        state = np.eye(len(network[c]))[k]
        rows.append({**vectors, c: vectors[c] * state if c in vectors else state})
    # The same targets for every patient, so that the engine lays its program out only once.
    found = model.run(rows, [*network.of_role(*KINDS), *model.causes])
    shares = np.exp(found.log_evidence - found.log_evidence[0])
    answers = np.concatenate(
        [np.ones((len(rows), 1)), *(found.posteriors[v] for v in asked)], axis=1
    )
    # A state of probability zero says nothing of the answers; it counts for nothing.
    joint = shares[:, None] * np.nan_to_num(answers)
    posteriors = {
        c: np.zeros((answers.shape[1], len(network[c]))) for c in model.causes
    }
    for (c, k), together in zip(states, joint[1:], strict=True):
        posteriors[c][:, k] = together
    for p in posteriors.values():
        p[:, 0] = np.maximum(joint[0] - p.sum(axis=1), 0)
        total = p.sum(axis=1, keepdims=True)
        np.divide(p, total, out=p, where=total > 0)
    return {v: found.posteriors[v][0] for v in asked}, posteriors


def next_findings(
    diagnosis: Diagnosis,
    kinds: Iterable[str] | None = None,
    by: str = "information",
    causes: Iterable[str] | None = None,
    pathways: Pathways | None = None,
) -> tuple[NextFinding, ...]:
    """Every finding not known yet, ranked by its worth per unit of burden.

    Parameters
    ----------
    diagnosis : Diagnosis
    kinds : iterable of str, optional
        Of `KINDS`; all by default.
    by : str
        `information` or `utility`.
    causes : iterable of str, optional
        Causes whose entropy counts, by id or label; all by default.
    pathways : Pathways, optional

    Raises
    ------
    EvidenceError
        For an unknown kind, ranking or cause.
    """
    if by not in RANKINGS:
        raise EvidenceError([f"by={by!r}: expected information or utility.{did_you_mean(by, RANKINGS)}"])
    model = diagnosis.model
    network = model.network
    paths = pathways or model.pathways
    counted = cause_ids(network, model.causes, model.causes if causes is None else causes)
    vectors = likelihoods_of(network, diagnosis.findings)
    if model.outcome is not None and model.outcome not in diagnosis.findings:
        vectors[model.outcome] = np.array([0.0, 1.0])
    asked = _candidates(model, vectors, kinds)
    expected, posteriors = _after_each_answer(model, vectors, asked)
    entropy = np.sum([_entropy(posteriors[c]) for c in counted], axis=0)
    gains, costs = gain_matrix(model, paths)
    together = np.concatenate([posteriors[c] for c in model.causes], axis=1)
    acted = np.maximum(together @ gains.T - costs, 0).sum(1)
    by_benefit, _ = levels_by_benefit(gains, costs, paths.urgency, together)
    level = np.minimum(by_benefit, _by_rule(model, paths, vectors, asked))
    lead = leading_actions(gains, costs, paths.urgency, together)
    same = (level == level[0]) & (lead == lead[0])
    results = []
    first = 1
    for v in asked:
        at = slice(first, first + len(network[v]))
        first = at.stop
        p = expected[v]
        variable = network[v]
        results.append(NextFinding(
            v, variable.name, variable.role, variable.ask,
            float(entropy[0] - p @ entropy[at]),
            _gain(float(p @ acted[at]), float(acted[0])),
            paths.burden(v, variable.role),
            min(float(p[same[at]].sum()), 1.0),
            dict(zip(variable.states, p.tolist(), strict=True)),
        ))
    results.sort(key=lambda f: -f.score(by))
    return tuple(results)


def worth_asking(found: tuple[NextFinding, ...]) -> pd.DataFrame:
    """One row a finding, in the order given."""
    import pandas as pd

    return pd.DataFrame(
        [
            [f.finding, f.kind, f.ask, f.information, f.utility, f.burden, f.same_decision]
            for f in found
        ],
        columns=["finding", "kind", "ask", "information", "utility", "burden", "same_decision"],
    )
