"""Why did PT fail: how much of the failure each cause, or a set of causes, answers for.

For a set A of causes let S_A be success in the world where the causes of A are absent, all noise
being as it was (`bayesnet.diagnosis.counterfactual`). No cause protects against failure, so success
in this world implies S_A, and for a patient with findings e and failed therapy F

    v(A) = P(S_A | e, F) = [P(S_A | e) - P(S | e)] / P(F | e),

the probability that therapy would have succeeded without them (abduction, action, prediction; Pearl
2009, Causality, theorem 7.1.7). v of one cause is its total effect, through what it causes too. The
probability of necessity counts its direct link alone, so it is never larger.

Shares that add up are the Shapley values of v (Shapley 1953). With every other cause mended
independently with probability t, P(S) is a product of one factor a cause, so that the multilinear
extension f of v costs one row of the engine for each t (Owen 1972, Manage Sci 18:P64, equation 5):

    phi_c = integral from 0 to 1 of f(t, c mended) - f(t, c as it is) dt.

The integrand is a polynomial of a degree below the number of causes: Gauss-Legendre quadrature with
half as many nodes is exact. The shares add up to v(all causes); the rest is the leak, failure that
no cause of the model explains.

The probability of sufficiency is that the cause would have made therapy fail in a person like this
one in whom it is absent and therapy succeeded (Pearl 2009, definition 9.2.2).
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnet.diagnosis.counterfactual import TwinNetwork
from bayesnet.diagnosis.naming import where_listed
from bayesnet.diagnosis.necessity import necessity
from bayesnet.errors import EvidenceError, did_you_mean
from bayesnet.inference import likelihoods_of
from bayesnet.network.factor import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.model import DiagnosticModel

__all__ = ["Attribution", "CauseShare", "attribution", "success_without"]


@dataclass(frozen=True, slots=True)
class CauseShare:
    """What one cause answers for.

    Attributes
    ----------
    cause, label, family, group : str
    posterior : float
        P(present | findings, PT failed): the association.
    necessity : float
        PT would have succeeded without the direct link of the cause.
    total_effect : float
        PT would have succeeded had the cause been absent, through what it causes too.
    share : float
        Its Shapley share of the failure; the shares and `unexplained` add up to one.
    sufficiency : float
        In a person like this without the cause in whom PT succeeded, the cause would have made it
        fail. NaN when the findings do not allow such a person.
    """

    cause: str
    label: str
    family: str
    group: str
    posterior: float
    necessity: float
    total_effect: float
    share: float
    sufficiency: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; numbers that do not exist are None."""
        found = {k: getattr(self, k) for k in self.__slots__}
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in found.items()}


@dataclass(frozen=True, eq=False)
class Attribution:
    """The failure divided among its causes, largest share first.

    Attributes
    ----------
    shares : tuple of CauseShare
    explained : float
        PT would have succeeded had every named cause been absent: the sum of the shares.
    model : DiagnosticModel
    """

    shares: tuple[CauseShare, ...]
    explained: float
    model: DiagnosticModel = field(repr=False)

    @property
    def unexplained(self) -> float:
        """The rest: failure that no cause of the model explains."""
        return 1 - self.explained

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a cause: the numbers of `CauseShare`."""
        import pandas as pd

        columns = [c for c in CauseShare.__slots__ if c not in ("label", "group")]
        return pd.DataFrame([[getattr(s, c) for c in columns] for s in self.shares], columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "explained": self.explained,
            "unexplained": self.unexplained,
            "causes": [s.to_dict() for s in self.shares],
        }

    def summary(self, top: int = 6) -> str:
        """The leading shares in words."""
        from bayesnet.diagnosis.words import percent, question

        lines = [f"{question(self.model)}, in shares that add up:"]
        lines += [f"  {percent(s.share):>6}  {s.label}" for s in self.shares[:top]]
        rest = sum(s.share for s in self.shares[top:])
        if len(self.shares) > top:
            lines.append(f"  {percent(rest):>6}  all other causes")
        lines.append(f"  {percent(self.unexplained):>6}  none of the causes in the model")
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None, top: int = 8, theme: str = "light") -> Axes:
        """Bars of the shares (see `bayesnet.viz.attribution_figure.plot_attribution`)."""
        from bayesnet.viz.attribution_figure import plot_attribution

        return plot_attribution(self, ax=ax, top=top, theme=theme)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from bayesnet.diagnosis.words import percent

        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(s.label)}</td>"
            + "".join(
                f"<td style='text-align:right'>{percent(x)}</td>"
                for x in (s.share, s.total_effect, s.necessity, s.sufficiency, s.posterior)
            )
            + "</tr>"
            for s in self.shares[:10]
        )
        head = "".join(
            f"<th>{h}</th>"
            for h in ("", "share of the failure", "success had it been absent",
                      "success without its own link", "would suffice", "present")
        )
        return (
            f"<table><tr>{head}</tr>{rows}</table><p>{percent(self.unexplained)} of the failure is "
            f"explained by no cause of the model. <small>{html.escape(self.model.disclaimer)}"
            "</small></p>"
        )


def _failed_row(diagnosis: Diagnosis) -> tuple[TwinNetwork, dict[str, FloatArray]]:
    """The twin network and the findings without the outcome."""
    model = diagnosis.model
    twin = model.twin
    vectors = likelihoods_of(model.network, diagnosis.findings)
    told = vectors.pop(twin.outcome, None)
    if told is not None and told[0] != 0:
        raise EvidenceError(
            [f"{twin.outcome} is not taken as present in this patient; there is no failure to explain"]
        )
    return twin, vectors


def _absent(twin: TwinNetwork, cause: str) -> FloatArray:
    mended: FloatArray = np.eye(len(twin.network[f"mend:{cause}"]))[1]
    return mended


def _mended(
    twin: TwinNetwork, vectors: Mapping[str, FloatArray], causes: Iterable[str]
) -> dict[str, FloatArray]:
    chosen = set(causes)
    return twin.success_row(
        vectors,
        {c: _absent(twin, c) for c in chosen & twin.forced},
        {c: np.ones_like(twin.links[c]) for c in chosen - twin.forced},
    )


def success_without(diagnosis: Diagnosis, sets: Iterable[Iterable[str]]) -> list[float]:
    """For each set of causes, P(PT would have succeeded had they all been absent | findings, failed).

    Raises
    ------
    EvidenceError
        For an unknown cause, or when PT is not taken to have failed.
    """
    twin, vectors = _failed_row(diagnosis)
    listed = [tuple(s) for s in sets]
    unknown = sorted({c for s in listed for c in s} - set(twin.players))
    if unknown:
        raise EvidenceError(
            [f"no cause {c!r} that leads to failure."
             f"{did_you_mean(c, twin.players) or where_listed(twin.players)}"
             for c in unknown]
        )
    rows = [_failure(twin, vectors), _mended(twin, vectors, ())]
    rows += [_mended(twin, vectors, s) for s in listed]
    log = twin.run(rows, []).log_evidence
    return [_gain(twin, log, 2 + i) for i in range(len(listed))]


def _failure(twin: TwinNetwork, vectors: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The patient as seen: no intervention, therapy failed."""
    row = {**vectors, twin.outcome: np.array([0.0, 1.0])}
    for c in twin.forced:
        row[f"mend:{c}"] = np.eye(len(twin.network[f"mend:{c}"]))[0]
    return row


def _gain(twin: TwinNetwork, log: FloatArray, i: int) -> float:
    """[P(S_A, e) - P(S, e)] / P(F, e), from log evidences with the failure first, then success."""
    with np.errstate(over="ignore"):
        other, actual = np.exp(log[i] - log[0]), np.exp(log[1] - log[0])
    return float((1 - twin.leak) * max(other - actual, 0.0))


def attribution(diagnosis: Diagnosis) -> Attribution:
    """Divide the failure of one patient among its causes (see the module).

    Raises
    ------
    EvidenceError
        When PT is not taken to have failed.
    """
    model = diagnosis.model
    network = model.network
    twin, vectors = _failed_row(diagnosis)
    players = twin.players
    rows = [_failure(twin, vectors), _mended(twin, vectors, ()), _mended(twin, vectors, players)]
    rows += [_mended(twin, vectors, [c]) for c in players]
    nodes, weights = np.polynomial.legendre.leggauss((len(players) + 1) // 2 + 1)
    t = (nodes + 1) / 2
    at_t = len(rows)
    rows += [_partly_mended(twin, vectors, x) for x in t]
    at_sufficient = len(rows)
    sufficient = [c for c in players if c in twin.forced]
    for c in sufficient:
        rows += _sufficiency_rows(twin, vectors, c, diagnosis[c].state)
    targets = [f"mend:{c}" if c in twin.forced else twin.counterpart(c) for c in players]
    found = twin.run(rows, [*targets, *players])
    log = found.log_evidence
    if not np.isfinite(log[0]):
        raise model.impossible({**vectors, twin.outcome: np.array([0.0, 1.0])})
    scale = np.exp(log[at_t : at_t + len(t)] - log[0])
    direct = necessity(
        {c: twin.links[c] for c in players if (twin.links[c] < 1).all()},
        {c: found.posteriors[c][1] for c in players},
        float((1 - twin.leak) * np.exp(log[1] - log[0])),
    )
    shares = []
    for i, (c, target) in enumerate(zip(players, targets, strict=True)):
        spared = np.isfinite(log[1]) and found.posteriors[c][1, 0] > 0
        q = found.posteriors[target][at_t : at_t + len(t)]
        if c in twin.forced:
            gain = q[:, 1] / t - q[:, 0] / (1 - t)
        else:
            link = twin.links[c]
            gain = (q * link / (1 - (1 - t)[:, None] * link)).sum(1)
        share = float((1 - twin.leak) * 0.5 * np.sum(weights * scale * gain))
        variable = network[c]
        result = diagnosis[c]
        shares.append(
            CauseShare(
                cause=c, label=variable.name, family=variable.group, group=result.group,
                posterior=result.posterior, necessity=direct.get(c, result.necessity),
                total_effect=_gain(twin, log, 3 + i), share=share,
                sufficiency=_sufficiency(
                    twin, log, at_sufficient, sufficient, c, variable.states.index(result.state)
                ) if spared else math.nan,
            )
        )
    shares.sort(key=lambda s: -s.share)
    return Attribution(tuple(shares), _gain(twin, log, 2), model)


def _partly_mended(
    twin: TwinNetwork, vectors: Mapping[str, FloatArray], t: float
) -> dict[str, FloatArray]:
    """Success where every cause is mended independently with probability `t`."""
    mend = {}
    for c in twin.forced:
        weight = np.zeros(len(twin.network[f"mend:{c}"]))
        weight[:2] = 1 - t, t
        mend[c] = weight
    kept = {c: 1 - (1 - t) * twin.links[c] for c in twin.players if c not in twin.forced}
    return twin.success_row(vectors, mend, kept)


def _sufficiency_rows(
    twin: TwinNetwork, vectors: Mapping[str, FloatArray], cause: str, state: str
) -> list[dict[str, FloatArray]]:
    """Success here with the cause absent; and success there with the cause brought about."""
    absent = np.zeros(len(twin.links[cause]))
    absent[0] = 1
    here = dict(vectors)
    here[cause] = here[cause] * absent if cause in here else absent
    size = len(twin.network[f"mend:{cause}"])
    index = 1 + twin.network[cause].states.index(state)
    return [
        twin.success_row(here),
        twin.success_row(here, {cause: np.eye(size)[index]}),
    ]


def _sufficiency(
    twin: TwinNetwork, log: FloatArray, start: int, listed: list[str], cause: str, state: int
) -> float:
    if cause not in twin.forced:
        return float(twin.links[cause][state])
    i = start + 2 * listed.index(cause)
    if not np.isfinite(log[i]):
        return float("nan")
    return float(1 - np.exp(log[i + 1] - log[i]))
