"""What next: how much each unasked question, sign or test is expected to tell, for what burden.

The information of a finding X about the causes is the expected fall of their entropies,

    sum over causes c of I(X; c | e) = sum over c of [ H(c | e) - sum over x of P(x | e) H(c | e, x) ]

in bits (Lindley 1956, Ann Math Stat 27:986). Its value for the decision is the expected gain in
utility over acting now, each action being taken or left by itself,

    sum over actions a of E_x[ max(0, U(a | e, x)) ] - max(0, U(a | e)),

the expected value of (sample) information of Howard (1966, IEEE Trans Syst Sci Cybern 2:22). The
same-decision probability is P(the leading action and the urgency stay the same | e) once X is known
(Choi, Xue & Darwiche 2012, Int J Approx Reason 53:1415). All are exact: each state of each
candidate is one row of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.naming import cause_ids
from bayesnet.diagnosis.pathways import LEVELS, Pathways, gain_matrix
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
        Probability that the leading action and the urgency stay as they are.
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


def _decisions(
    gains: FloatArray, costs: FloatArray, urgency: FloatArray, causes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Net benefits, shape `(rows, actions)`, and a number that names the decision of each row."""
    net = causes @ gains.T - costs
    if not net.shape[1]:
        return net, np.zeros(len(net))
    best = np.where(net.max(1) > 0, net.argmax(1), -1)
    level = np.where(net > 0, urgency, len(LEVELS)).min(1)
    return net, best * 10 + level


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
    rows: list[Mapping[str, FloatArray]] = [vectors]
    start = {}
    for v in asked:
        start[v] = len(rows)
        rows += [{**vectors, v: state} for state in np.eye(len(network[v]))]
    found = model.run(rows, model.causes)
    weight = np.exp(found.log_evidence - found.log_evidence[0])
    # A state of probability zero has no posterior; it counts for nothing.
    posteriors = {c: np.nan_to_num(found.posteriors[c]) for c in model.causes}
    entropy = np.sum([_entropy(posteriors[c]) for c in counted], axis=0)
    gains, costs = gain_matrix(model, paths)
    urgency = np.array([LEVELS.index(a.urgency) for a in paths.actions.values()])
    together = np.concatenate([posteriors[c] for c in model.causes], axis=1)
    net, decision = _decisions(gains, costs, urgency, together)
    acted = np.maximum(net, 0).sum(1)
    results = []
    for v in asked:
        at = slice(start[v], start[v] + len(network[v]))
        p = weight[at] / weight[at].sum()
        variable = network[v]
        results.append(NextFinding(
            v, variable.name, variable.role, variable.ask,
            float(entropy[0] - p @ entropy[at]),
            max(float(p @ acted[at] - acted[0]), 0.0),
            paths.burden(v, variable.role),
            float(p @ (decision[at] == decision[0])),
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
